"""The keys that guard a node's doors, and the rule that none may be missing beyond loopback."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

from headrace.errors import NotReady


@dataclass(frozen=True)
class Keys:
    """Who may send events, who may use the API, and what signs the calls to apps of SDKs."""

    event: tuple[str, ...] = field(default=(), repr=False)
    api: tuple[str, ...] = field(default=(), repr=False)
    signing: str = field(default="", repr=False)
    signing_fallback: str = field(default="", repr=False)

    @classmethod
    def load(cls, variables: Mapping[str, str]) -> Keys:
        """Gather the keys from HEADRACE_EVENT_KEYS, _API_KEYS (comma-separated), _SIGNING_KEY and its _FALLBACK."""
        return cls(
            listed(variables.get("HEADRACE_EVENT_KEYS", "")),
            listed(variables.get("HEADRACE_API_KEYS", "")),
            variables.get("HEADRACE_SIGNING_KEY", "").strip(),
            variables.get("HEADRACE_SIGNING_KEY_FALLBACK", "").strip(),
        )

    def check(self, host: str) -> None:
        """Refuse to listen beyond loopback without event, API and signing keys; raises NotReady."""
        if is_loopback(host):
            return
        missing = [
            name
            for name, value in (
                ("HEADRACE_EVENT_KEYS", self.event),
                ("HEADRACE_API_KEYS", self.api),
                ("HEADRACE_SIGNING_KEY", self.signing),
            )
            if not value
        ]
        if missing:
            raise NotReady(
                "keys_missing",
                f"the node is to listen on {host}, and {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} "
                "not set",
                why="beyond this machine anybody could send events, read runs and cancel them",
                do="set them (HEADRACE_SIGNING_KEY as signkey-prod-<hex>), or listen on 127.0.0.1",
            )


def is_loopback(host: str) -> bool:
    """Say whether only this machine can reach a server that listens on this host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def listed(text: str) -> tuple[str, ...]:
    """Take a list in a variable apart: its parts have commas between them."""
    return tuple(part.strip() for part in text.split(",") if part.strip())
