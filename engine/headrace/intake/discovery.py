"""Discovery: in dev, apps of SDKs on this machine are found by where they usually are. Source: SDK protocol page, 2.1.

It costs next to nothing while nothing is there: a refused connection for each port. A port where something else listens
is asked less and less.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from headrace.adapters.http_client import HttpAnswer, NoAnswer, NotReached
from headrace.functions.sdk_urls import normal_url

PORTS = (
    *(80, 443),
    *range(3000, 3011),
    *(4321, 5000, 5173, 8000, 8080, 8081, 8787, 8888),
    *range(8910, 8916),
)
PATHS = ("/api/inngest", "/x/inngest", "/.netlify/functions/inngest", "/.redwood/functions/inngest")
_TIMEOUT_S = 2.0
_BYTES_MAX = 64 << 10
_LOOKS = 12  # each round; behind them every sixth
_SELDOM = 6


class Asks(Protocol):
    """Makes requests, as `adapters.http_client.HttpClient` does."""

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
    ) -> HttpAnswer: ...


class Discovery:
    """Looks for apps. `open_ports` tells which of some ports somebody listens on; it may block for a moment."""

    def __init__(
        self,
        http: Asks,
        open_ports: Callable[[Sequence[int]], list[int]],
        *,
        more_ports: Iterable[int] = (),
        without: Iterable[int] = (),
    ) -> None:
        self._http = http
        self._open_ports = open_ports
        own = set(without)  # of this process
        self._ports = [port for port in dict.fromkeys((*PORTS, *more_ports)) if port not in own]
        self._looks: dict[int, int] = {}

    async def find(self) -> list[str]:
        """Look once; the addresses of the apps that are there."""
        found: list[str] = []
        is_open = await asyncio.to_thread(self._open_ports, self._ports)
        for port in is_open:
            looks = self._looks[port] = self._looks.get(port, 0) + 1
            if looks <= _LOOKS or looks % _SELDOM == 0:
                found += [url for path in PATHS if (url := await self._look(port, path))]
        return found

    async def _look(self, port: int, path: str) -> str:
        url = normal_url(f"http://127.0.0.1:{port}{path}")
        try:
            answer = await self._http.request("GET", url, {}, None, timeout_s=_TIMEOUT_S, bytes_max=_BYTES_MAX)
        except (NotReached, NoAnswer):
            return ""
        return url if "x-inngest-sdk" in answer.headers else ""
