"""Addresses of apps: written in one way, so that one app is known by one, and told apart by who can reach them.

Source: the SDK protocol page, 2.1 and 2.3.
"""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from headrace.functions.targets import private_kind

_HERE = ("localhost", "127.0.0.1", "0.0.0.0")
_DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}
_INTERNAL = ("deployId", "probe")  # query parameters that are for one request
_PRIVATE_ENDS = (".localhost", ".local", ".internal", ".home.arpa")


def normal_url(url: str) -> str:
    """Write an address in one way: this machine is localhost, and what goes without saying is left out.

    One without a scheme is http. What is no address is given back as it is.
    """
    written = url.strip()
    if written and "://" not in written:
        written = f"http://{written}"
    try:
        parts = urlsplit(written)
        port = parts.port
        host = parts.hostname or ""
    except ValueError:
        return url
    name = "localhost" if host in _HERE else f"[{host}]" if ":" in host else host
    shown = "" if port is None or _DEFAULT_PORTS.get(parts.scheme) == port else f":{port}"
    user = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    kept = [(key, value) for key, value in parse_qsl(parts.query, keep_blank_values=True) if key not in _INTERNAL]
    return urlunsplit((parts.scheme, user + name + shown, parts.path, urlencode(kept), ""))


def is_private(url: str) -> bool:
    """Tell whether an address is one of this machine or of a private network, as far as it says so itself.

    A name may stand for such an address as well; that is seen when it is looked up.
    """
    try:
        host = (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return True
    return host == "localhost" or host.endswith(_PRIVATE_ENDS) or bool(private_kind(host))
