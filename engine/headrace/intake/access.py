"""Who may come in: the keys, and when one is needed."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

# The last two are where a server may listen; a client that is told so, and asks there, asks this very machine.
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0", "::"})
_LOOPBACK_ADDRESS = re.compile(r"127(\.\d{1,3}){3}")
_SIGNING_PREFIX = re.compile(r"^signkey-\w+-")


def host_name(host: str) -> str:
    """Take the name out of a Host header: without its port, brackets and case."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.count(":") == 1 else host


def is_loopback(name: str) -> bool:
    """Tell whether a host's name (see `host_name`) means this very machine."""
    return name in _LOOPBACK_NAMES or name.endswith(".localhost") or _LOOPBACK_ADDRESS.fullmatch(name) is not None


class KeyRing:
    """A set of keys that a text is compared with in constant time."""

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self._keys = tuple(key.encode() for key in keys if key)

    def __bool__(self) -> bool:
        return bool(self._keys)

    def __repr__(self) -> str:
        return f"KeyRing({len(self._keys)} keys)"

    def holds(self, text: str) -> bool:
        """Tell whether the text is one of the keys; every key is looked at, whatever the others said."""
        asked = text.encode("utf-8", "surrogatepass")
        found = False
        for key in self._keys:
            found |= hmac.compare_digest(key, asked)
        return found

    def sign(self, text: str) -> list[str]:
        """Sign a text with each key (HMAC-SHA256, hex)."""
        return [hmac.new(key, text.encode(), hashlib.sha256).hexdigest() for key in self._keys]


def bearer_forms(signing_keys: Iterable[str]) -> list[str]:
    """List what a client may show for a signing key: raw or hashed, with and without its prefix.

    Source: the Inngest SDKs; they hash the hex digits behind "signkey-<env>-" with SHA-256, and keep the prefix (the
    TypeScript one) or drop it (the Python one).
    """
    forms: list[str] = []
    for key in signing_keys:
        bare = _SIGNING_PREFIX.sub("", key)
        if not bare:
            continue  # the hash of nothing is known to everybody
        prefix = key[: len(key) - len(bare)]
        forms += [key, bare]
        try:
            hashed = hashlib.sha256(bytes.fromhex(bare)).hexdigest()
        except ValueError:
            continue  # one that is not hex digits cannot be hashed by the SDKs either
        forms += [hashed, prefix + hashed]
    return list(dict.fromkeys(forms))


@dataclass(frozen=True)
class Access:
    """The keys of a node. `keys_required` is set for a node that listens beyond loopback.

    `strict`: on loopback too, events need an event key where there are any, what apps of SDKs ask needs their signing
    key, and a key that is shown has to be right. Dev servers are not: apps there show keys that they have made up.
    """

    keys_required: bool = False
    strict: bool = False
    event_keys: KeyRing = field(default_factory=KeyRing)
    api_keys: KeyRing = field(default_factory=KeyRing)
    signing_keys: KeyRing = field(default_factory=KeyRing)  # of `bearer_forms`

    def key_needed(self, headers: Mapping[str, str]) -> bool:
        """Tell whether a request with these headers needs a key.

        One that came through a proxy needs one too: it names another host than this machine, or says that it was passed
        on. (A proxy that hides both must ask for keys itself.)
        """
        passed_on = any(name in headers for name in ("forwarded", "via", "x-forwarded-for", "x-real-ip"))
        return self.keys_required or passed_on or not is_loopback(host_name(headers.get("host", "")))

    def event_key_needed(self, headers: Mapping[str, str]) -> bool:
        """Tell whether a request to send events has to show an event key."""
        return self.key_needed(headers) or (self.strict and bool(self.event_keys))

    def bearer_needed(self, headers: Mapping[str, str]) -> bool:
        """Tell whether the Authorization header of a request, or that there is none, has to be right."""
        if self.key_needed(headers):
            return True
        shown = headers.get("authorization", "").lower().startswith("bearer ")
        return self.strict and shown and bool(self.api_keys or self.signing_keys)

    def bearer_holds(self, authorization: str) -> bool:
        """Tell whether an Authorization header carries one of the API keys or signing keys.

        What a signing key says of its environment is no part of it.
        """
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            return False
        token = token.strip()
        bare = _SIGNING_PREFIX.sub("", token)
        api, signing, other = self.api_keys.holds(token), self.signing_keys.holds(token), self.signing_keys.holds(bare)
        return api or signing or other
