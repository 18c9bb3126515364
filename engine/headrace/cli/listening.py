"""The node's port: one that is taken is told at once, and uvicorn serves it on the loop that the node has."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import uvicorn

from headrace.errors import NotReady

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_LAST_ANSWERS_S = 2  # that are on their way when the server stops
_KEEP_ALIVE_S = 30
_BACKLOG = 1024
_SOCKET_MESSAGE_BYTES_MAX = 1 << 20


def take_port(host: str, port: int) -> socket.socket:
    """Listen on a port, so that nobody else takes it; who connects waits until the server runs. Raises NotReady."""
    bare = host.strip("[]")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            bare, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as problem:
        raise _not_listening(host, port, problem) from None
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        # Binding alone does not keep others out, where both allow that the address is used again.
        bound.listen(_BACKLOG)
    except OSError as problem:
        bound.close()
        raise _not_listening(host, port, problem) from None
    bound.setblocking(False)
    return bound


class _Server(uvicorn.Server):
    """Leaves the signals to whom they belong: the node stops first, and the server answers meanwhile."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class WebServer:
    """An ASGI app on a bound socket, until it is stopped."""

    def __init__(self, app: ASGIApp, bound: socket.socket) -> None:
        config = uvicorn.Config(
            cast(Any, app),  # two libraries, two descriptions of ASGI
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="auto",
            backlog=_BACKLOG,
            timeout_graceful_shutdown=_LAST_ANSWERS_S,
            timeout_keep_alive=_KEEP_ALIVE_S,
            # Listeners say little, and there are many of them: compressing would cost each a window in memory.
            ws_max_size=_SOCKET_MESSAGE_BYTES_MAX,
            ws_per_message_deflate=False,
        )
        self._server = _Server(config)
        self._bound = bound
        self._serving: asyncio.Task[Any] | None = None

    async def start(self) -> None:
        """Listen; requests are answered from here on."""
        self._serving = asyncio.create_task(self._server.serve([self._bound]), name="web-server")
        while not self._server.started:
            if self._serving.done():
                self._serving.result()
                raise AssertionError("the web server ended before it began")
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Take no more requests, finish those on their way."""
        self._server.should_exit = True
        if self._serving is not None:
            await asyncio.gather(self._serving, return_exceptions=True)
        self._bound.close()


def _not_listening(host: str, port: int, problem: OSError) -> NotReady:
    if problem.errno == errno.EADDRINUSE:
        return NotReady(
            "port_taken",
            f"{host}:{port} is in use",
            why="another process listens there, perhaps another node",
            do=f"stop it, or choose another port: --port {port + 1 if port < 65535 else 8288}",
        )
    if problem.errno == errno.EACCES:
        return NotReady(
            "port_denied",
            f"this user may not listen on {host}:{port}",
            why="ports below 1024 are for the system's administrator",
            do="choose another port: --port 8288",
        )
    return NotReady(
        "host_unusable",
        f"nobody can listen on {host}:{port}: {problem.strerror or problem}",
        why="the host is an address or a name of this machine",
        do="choose another one: --host 127.0.0.1",
    )
