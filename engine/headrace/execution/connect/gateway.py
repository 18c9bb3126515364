"""Calls apps through the connections of their workers: an `AppCaller` for addresses that begin with ws.

Every frame of a worker goes to its session, and what that wants done is done here; a sweep tells all of them the time.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from headrace.adapters.seams import Clock
from headrace.errors import BadDeclaration, BadRequest, HeadraceError
from headrace.execution.connect.apps import INVALID, function_ids, read_functions, registration
from headrace.execution.connect.calls import Calls
from headrace.execution.connect.messages import Kind, Named, Reply, WorkerConnect, frame
from headrace.execution.connect.session import (
    CLOSING,
    GOING_AWAY,
    Close,
    Effect,
    Extend,
    Heard,
    Paused,
    Phase,
    Ready,
    Register,
    Replied,
    Send,
    Session,
    Taken,
)
from headrace.execution.connect.settings import ConnectSettings
from headrace.execution.connect.workers import Worker
from headrace.execution.sdk.seams import Answer, AppCall

logger = logging.getLogger("headrace.connect")

_SWEEP_S = 0.5


class Socket(Protocol):
    """The WebSocket of a worker."""

    def send(self, frame: bytes) -> None:
        """Queue a frame."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Close it once what is queued has been sent."""
        ...

    async def receive(self) -> bytes | None:
        """Wait for a frame; None once it is closed."""
        ...


class ConnectGateway:
    """The workers that are connected to this node, and the calls that they have.

    `register` takes the body of an app's registration and the platform that its worker runs on; what it refuses is told
    to the worker. `admits` says whether the tokens of a worker let it in. `pass_on` is given
    answers to calls that are not of this node: they may be another one's, or over. `pick(n)` chooses a number below n.
    """

    def __init__(
        self,
        register: Callable[[bytes, str], Awaitable[Any]],
        admits: Callable[[WorkerConnect], bool],
        clock: Clock,
        *,
        pass_on: Callable[[Reply], object] = lambda reply: None,
        settings: ConnectSettings | None = None,
        pick: Callable[[int], int] = random.randrange,
    ) -> None:
        self._register = register
        self._admits = admits
        self._clock = clock
        self._pass_on = pass_on
        self._settings = settings or ConnectSettings()
        self._calls = Calls(clock, self._settings, pick, self._send, self._call_ended)
        self._sockets: dict[Session, Socket] = {}
        self._listeners: list[Callable[[str], object]] = []
        self._sweeping: asyncio.Task[None] | None = None
        self._closing = False

    async def call(self, call: AppCall) -> Answer:
        """Give a call to a worker and wait for its answer; see `AppCaller`.

        While no worker has room it waits, those of an app in the order in which they came.
        """
        return await self._calls.call(call)

    def on_ready(self, listener: Callable[[str], object]) -> None:
        """Have the name of an app told whenever a worker is ready to take calls for it."""
        self._listeners.append(listener)

    def take_reply(self, reply: Reply) -> None:
        """Take a worker's answer to a call, however it came; one to a call that is over changes nothing."""
        if not self._calls.take_reply(reply):
            self._pass_on(reply)

    def take_passed(self, reply: Reply) -> None:
        """Take an answer that came to another node; it goes no further."""
        self._calls.take_reply(reply)

    @property
    def workers(self) -> list[Worker]:
        """The workers that are connected, in the order in which they came."""
        return list(self._calls.workers)

    def ready_apps(self) -> set[str]:
        """Name the apps that calls can be made to now."""
        now_ms = self._clock.monotonic_ms()
        return {app for worker in self._calls.workers if worker.session.is_healthy(now_ms) for app in worker.apps}

    async def attend(self, socket: Socket) -> None:
        """Deal with one worker, from its WebSocket's beginning to its end."""
        session = Session(self._admits, self._settings, self._clock.monotonic_ms())
        self._sockets[session] = socket
        if self._sweeping is None:
            self._sweeping = asyncio.create_task(self._sweep_on(), name="connect-sweep")
        try:
            await self._do(session, session.leave() if self._closing else session.greet())
            while (data := await socket.receive()) is not None:
                await self._do(session, session.receive(data, self._clock.monotonic_ms()))
        except Exception:
            logger.exception("the connection of the worker %s failed", session.hello.instance_id[:100])
            await self._do(session, session.failed())
        finally:
            session.phase = Phase.CLOSED
            del self._sockets[session]
            worker = self._worker_of(session)
            if worker is not None:
                self._calls.lose(worker)

    async def sweep(self) -> None:
        """Look at the time: at leases, heartbeats, and workers that were to introduce themselves."""
        now_ms = self._clock.monotonic_ms()
        for session in list(self._sockets):
            await self._do(session, session.sweep(now_ms))
        self._calls.sweep()

    def begin_drain(self) -> None:
        """Take no more calls and no more workers; tell each worker to go elsewhere once it has answered its calls."""
        self._closing = True
        self._calls.close()
        self._dismiss(False)

    async def stop(self) -> None:
        """Tell every worker to go elsewhere, and close the connections; calls not answered are to be made elsewhere."""
        self.begin_drain()
        self._dismiss(True)
        for socket in self._sockets.values():
            socket.close(GOING_AWAY, CLOSING)
        self._calls.drop()
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)
            self._sweeping = None

    # --- what sessions want -------------------------------------------------------------------------------------

    async def _do(self, session: Session, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send():
                    self._send(session, effect.frame)
                case Close():
                    instance = session.hello.instance_id[:100] or "that has not said its name"
                    logger.info("the connection of a worker %s is closed: %s", instance, effect.reason)
                    self._sockets[session].close(effect.code, effect.reason)
                case Register():
                    await self._do(session, await self._introduce(session))
                case Ready():
                    self._calls.serve()
                    for app in session.hello.apps:
                        for listener in self._listeners:
                            listener(app.app_name)
                case Heard():
                    worker = self._worker_of(session)
                    if worker is not None:
                        self._calls.heartbeat(worker)
                case Paused():
                    worker = self._worker_of(session)
                    if worker is not None:
                        self._calls.pause(worker)
                case Taken():
                    self._calls.take(effect.request_id)
                case Replied():
                    self.take_reply(effect.reply)
                    self._send(session, frame(Kind.WORKER_REPLY_ACK, Named(effect.reply.request_id)))
                case Extend():
                    self._send(session, self._calls.extend(session.hello.instance_id, effect.asked))

    async def _introduce(self, session: Session) -> list[Effect]:
        """Register the apps of a worker that has introduced itself; what is to be done then."""
        hello = session.hello
        if self._closing:
            return session.leave()
        try:
            apps = {app.app_name: read_functions(app) for app in hello.apps}
            for app in hello.apps:
                await self._register(registration(hello, app, apps[app.app_name]), hello.platform or "")
        except (BadRequest, BadDeclaration) as error:
            logger.warning("an app of the worker %s cannot be registered: %s", hello.instance_id[:100], error)
            return session.refused(INVALID, error.what)
        except HeadraceError as error:
            logger.warning("an app of the worker %s is not registered yet: %s", hello.instance_id[:100], error)
            return session.failed()
        if self._closing:
            return session.leave()
        self._calls.add(Worker(session, {name: function_ids(functions) for name, functions in apps.items()}))
        logger.info("the worker %s is connected: %s", hello.instance_id[:100], ", ".join(apps)[:200])
        return session.registered(self._clock.monotonic_ms())

    def _send(self, session: Session, data: bytes) -> None:
        socket = self._sockets.get(session)
        if socket is not None:
            socket.send(data)

    def _worker_of(self, session: Session) -> Worker | None:
        return next((worker for worker in self._calls.workers if worker.session is session), None)

    # --- time, and the end --------------------------------------------------------------------------------------

    async def _sweep_on(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            await self.sweep()

    def _call_ended(self) -> None:
        if self._closing:
            self._dismiss(False)

    def _dismiss(self, busy_too: bool) -> None:
        for worker in self._calls.workers:
            session = worker.session
            if session.phase is not Phase.PAUSED and (busy_too or not self._calls.workers.busy(worker.instance_id)):
                for effect in session.leave():
                    if isinstance(effect, Send):
                        self._send(session, effect.frame)
