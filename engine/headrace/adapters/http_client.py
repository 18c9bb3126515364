"""The client for HTTP: one pool of connections, limits on time and size, addresses checked before anything is sent."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

_REDIRECTS_MAX = 10
_REDIRECTS = (301, 302, 303, 307, 308)
_CONNECT_S = 10.0
_CONNECTIONS_MAX = 1_000
_CONNECTIONS_A_HOST = 250
_KEEP_S = 4.0  # servers close idle connections after five seconds, and a call that meets that has failed


class HttpAnswer(NamedTuple):
    """What came back. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class NotReached(Exception):
    """Nothing was sent: there is no such host, nobody listens, or the address is not allowed."""


class NoAnswer(Exception):
    """The request was sent, at least in part, and no complete answer came."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


# Refuses a target by raising a HeadraceError: (host, its addresses).
CheckTarget = Callable[[str, Sequence[str]], None]


class HttpClient:
    """Makes requests. `check` sees each host with its addresses before a connection is made, redirects too."""

    def __init__(self, check: CheckTarget | None = None) -> None:
        self._check = check
        self._session: aiohttp.ClientSession | None = None

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                limit=_CONNECTIONS_MAX,
                limit_per_host=_CONNECTIONS_A_HOST,
                resolver=_CheckedResolver(self._check),
                keepalive_timeout=_KEEP_S,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("User-Agent", "Accept"),
            )
        return self._session

    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        *,
        timeout_s: float,
        bytes_max: int,
        follow: bool = True,
    ) -> HttpAnswer:
        """Make a request and give its answer, whatever its status; of a body beyond `bytes_max`, one byte more.

        Redirects are followed, if at all, with method and body as they are. Raises NotReached, NoAnswer, and what
        `check` does.
        """
        try:
            async with asyncio.timeout(timeout_s):
                for _ in range(_REDIRECTS_MAX):
                    answer = await self._once(method, url, headers, body, bytes_max)
                    target = answer.headers.get("location") if follow and answer.status in _REDIRECTS else None
                    if target is None:
                        return answer
                    url = urljoin(url, target)
        except TimeoutError:
            raise NoAnswer("Timeout", f"{_shown(url)} did not answer within {timeout_s:g} s") from None
        raise NoAnswer("TooManyRedirects", f"{_shown(url)} was the {_REDIRECTS_MAX}th redirect in a row")

    async def _once(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, bytes_max: int
    ) -> HttpAnswer:
        connect = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S)
        self._check_literal(url)
        try:
            async with self._opened().request(
                method, url, headers=_written(headers), data=body, allow_redirects=False, timeout=connect
            ) as response:
                read = await _read(response, bytes_max)
                return HttpAnswer(response.status, _joined(response.headers), read)
        except (aiohttp.ClientConnectorError, aiohttp.InvalidURL, aiohttp.ConnectionTimeoutError) as error:
            raise NotReached(f"{_shown(url)}: {_reason(error)}") from None
        except ValueError as error:  # a port that is no number, say
            raise NotReached(f"{_shown(url)}: {error}") from None
        except (aiohttp.ClientError, OSError) as error:
            raise NoAnswer("ConnectionLost", f"{_shown(url)}: {_reason(error)}") from None

    def _check_literal(self, url: str) -> None:
        """Check an address that is written out: it is never looked up."""
        if self._check is None:
            return
        host = urlsplit(url).hostname or ""
        try:
            socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
        except OSError:
            return
        self._check(host, [host])

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


class _CheckedResolver(AbstractResolver):
    """Looks names up on a thread, and refuses what may not be called: what is checked is what is connected to."""

    def __init__(self, check: CheckTarget | None) -> None:
        self._check = check
        self._resolver = aiohttp.ThreadedResolver()

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        if self._check is not None:
            self._check(host, [one["host"] for one in found])
        return found

    async def close(self) -> None:
        await self._resolver.close()


def _joined(headers: Mapping[str, str]) -> dict[str, str]:
    """Give each header once; what came more than once is one list."""
    found: dict[str, str] = {}
    for name, value in headers.items():
        name = name.lower()
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def _written(headers: Mapping[str, str]) -> dict[str, str]:
    """Write names of headers as nearly everybody does (X-Api-Key): some servers look for them so."""
    return {_name(name): value for name, value in headers.items()}


@lru_cache(maxsize=256)
def _name(name: str) -> str:
    return "-".join(part.capitalize() for part in name.split("-"))


async def _read(response: aiohttp.ClientResponse, bytes_max: int) -> bytes:
    declared = response.content_length
    if declared is not None and declared <= bytes_max and "content-encoding" not in response.headers:
        return await response.read()
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > bytes_max:
            break
    return b"".join(parts)[: bytes_max + 1]


def _shown(url: str) -> str:
    """Write an address without what may be secret in it."""
    return url.partition("?")[0][:200]


def _reason(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        return str(error.os_error) or type(error.os_error).__name__
    return str(error) or type(error).__name__
