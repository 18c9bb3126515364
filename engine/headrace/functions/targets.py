"""Where requests may go that functions have made: not, unasked, to what only this node can reach.

A function's address, or one that a step is to fetch, comes from somebody else. Followed blindly it would open to them
what listens beside the node: its own ports, a database without a password, a cloud's metadata with its credentials.
Names are judged by what they resolve to at the moment of the connection, as one that was harmless a second ago may have
been pointed elsewhere (DNS rebinding).
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

from headrace.errors import BadRequest

_SCHEMES = ("http", "https")
_NAT64 = IPv6Network("64:ff9b::/96")
_METADATA = frozenset({"169.254.169.254", "169.254.170.2", "100.100.100.200", "fd00:ec2::254"})
_SHOWN_MAX = 200  # characters of an address in an error


def check_target(url: str, addresses: Iterable[str], allow_private: bool) -> None:
    """Refuse an address that requests must not be sent to.

    `addresses` are those that the URL's host has resolved to (none: only the URL itself is judged; a host that is an
    IP address is judged in any case). With `allow_private` an address may be anything, as on a developer's machine.

    Errors: BadRequest `target_invalid` for what is no http(s) URL, `target_private` for an address that is not public.
    """
    host = target_host(url)
    if allow_private:
        return
    for address in (host, *addresses):
        kind = private_kind(address)
        if kind:
            raise BadRequest(
                "target_private",
                f"{host[:_SHOWN_MAX]!r} is {kind}"
                + (f" ({address[:_SHOWN_MAX]})" if address != host else "")
                + ", and requests do not go there",
                status=403,
                why="it can be reached only from where this node runs, so that others could use the node to get there",
                do="use a public address, or allow private ones when you start the node, if its network is yours alone",
            )


def target_host(url: str) -> str:
    """Give the host of an http(s) URL: lower case, without port and brackets. Errors: BadRequest `target_invalid`."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port  # one that is no number is told only here
    except ValueError:
        parts, host = None, ""
    if parts is None or parts.scheme.lower() not in _SCHEMES or not host:
        raise BadRequest(
            "target_invalid",
            f"{without_secrets(url)[:_SHOWN_MAX]!r} is no address that a request can be sent to",
            why="it is a full URL: http:// or https://, a host, and a path",
            do="give one such as https://api.example.com/orders",
        )
    return host


def private_kind(address: str) -> str:
    """Say what an IP address is, if it is not a public one; "" for a public one, and for what is no IP address."""
    try:
        read = ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    inner = _carried(read)
    if str(inner) in _METADATA:
        return "where a cloud keeps its machines' credentials"
    if inner.is_loopback:
        return "this very machine"
    if inner.is_unspecified:
        return "no address of anybody"
    if inner.is_link_local:
        return "an address of one network segment"
    if inner.is_multicast:
        return "an address of a group"
    if isinstance(inner, IPv6Address) and inner.is_site_local:
        return "an address of a private network"
    if not inner.is_global or inner.is_reserved:
        return "an address of a private network"
    return ""


def without_secrets(url: str) -> str:
    """Give a URL without what may be secret in it: who logs in, the query, the fragment."""
    bare = url.partition("?")[0].partition("#")[0]
    scheme, separator, rest = bare.partition("://")
    if not separator:
        return bare
    authority, slash, path = rest.partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"


def _carried(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Give the IPv4 address that an IPv6 one stands for (mapped, 6to4, NAT64), as that is where it leads."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address
