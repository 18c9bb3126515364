"""The calls that workers have, and those for which none has room; see `gateway` for how workers come and go."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from headrace.adapters.seams import Clock
from headrace.execution.connect.answers import answer_of, request_frame
from headrace.execution.connect.leases import Fate, HeldCall
from headrace.execution.connect.messages import ExtendLease, ExtendLeaseAck, Kind, Reply, frame
from headrace.execution.connect.session import Session
from headrace.execution.connect.settings import ConnectSettings
from headrace.execution.connect.workers import Worker, Workers
from headrace.execution.sdk.seams import Answer, AppCall, AppUnreachable, CallBroken
from headrace.records.ids import ulid_tail

logger = logging.getLogger("headrace.connect")

STOPPED = "connect_worker_stopped_responding"


class _Held(HeldCall):
    """A held call, the connection that it went by, and who waits for its answer (None: it is to be given again)."""

    __slots__ = ("outcome", "worker")
    worker: Worker | None
    outcome: asyncio.Future[Answer | None]


class _Waiter:
    """A call for which no worker has room."""

    __slots__ = ("call", "chosen")

    def __init__(self, call: AppCall) -> None:
        self.call = call
        self.chosen: asyncio.Future[Worker] = asyncio.get_running_loop().create_future()


class Calls:
    """All calls of this node. `send` gives a frame to a worker; `ended` is told whenever a call is over."""

    def __init__(
        self,
        clock: Clock,
        settings: ConnectSettings,
        pick: Callable[[int], int],
        send: Callable[[Session, bytes], None],
        ended: Callable[[], None],
    ) -> None:
        self.workers = Workers(pick)
        self._clock = clock
        self._settings = settings
        self._send = send
        self._ended = ended
        self._held: dict[str, _Held] = {}  # by request
        self._waiting: dict[str, deque[_Waiter]] = {}  # by app, the longest first
        self._closing = False

    async def call(self, call: AppCall) -> Answer:
        """Give a call to a worker and wait for its answer; see `AppCaller`."""
        given = 0
        while given < self._settings.given_max:
            worker = await self._choose(call)
            answer, was_lost = await self._give(call, worker)
            if answer is not None:
                return answer
            given += not was_lost
        raise CallBroken(STOPPED, "no worker acknowledged the call")

    def serve(self) -> None:
        """Give those who wait the room that there is, each app's longest first."""
        for app, waiting in list(self._waiting.items()):
            while waiting:
                waiter = waiting[0]
                if not waiter.chosen.done():
                    serving = self._serving(waiter.call)
                    worker = self.workers.choose(serving)
                    if worker is not None:
                        waiter.chosen.set_result(worker)
                    elif not serving:
                        waiter.chosen.set_exception(AppUnreachable(f"no worker of the app {app!r} is left"))
                    else:
                        break
                waiting.popleft()
            if not waiting:
                del self._waiting[app]

    # --- what workers say ---------------------------------------------------------------------------------------

    def add(self, worker: Worker) -> None:
        """Take in a worker: perhaps one that is back, and still has its calls."""
        self.workers.add(worker)
        now_ms = self._clock.monotonic_ms()
        for held in self._held.values():
            if held.instance == worker.instance_id:
                held.find(now_ms)

    def heartbeat(self, worker: Worker) -> None:
        """Note that a worker lives."""
        for held in self._held.values():
            if held.worker is worker:
                held.heartbeat(self._clock.monotonic_ms())

    def pause(self, worker: Worker) -> None:
        """Give no more calls to a worker."""
        for held in self._held.values():
            if held.worker is worker:
                held.pause(self._clock.monotonic_ms())
        self.serve()

    def lose(self, worker: Worker) -> None:
        """Let go of a worker whose connection is gone."""
        self.workers.remove(worker)
        for held in self._held.values():
            if held.worker is worker:
                held.worker = None
                _settle(held, held.lose(self._clock.monotonic_ms()))
        self.serve()

    def take(self, request_id: str) -> None:
        """Note that a worker has a call."""
        held = self._held.get(request_id)
        if held is not None:
            held.take()

    def take_reply(self, reply: Reply) -> bool:
        """Take a worker's answer to a call, however it came; False if there is no such call here."""
        held = self._held.get(reply.request_id)
        if held is None:
            return False
        if not held.outcome.done():
            held.outcome.set_result(answer_of(reply))
        return True

    def extend(self, instance_id: str, asked: ExtendLease) -> bytes:
        """Let a worker keep a call; the frame to answer with."""
        held = self._held.get(asked.request_id)
        lease = None
        if held is not None and not held.outcome.done():
            now_ms, wall_ms = self._clock.monotonic_ms(), self._clock.wall_ms()
            lease = held.renew(asked.lease_id, instance_id, now_ms, wall_ms)
        if lease is None:
            logger.info("the worker %s no longer has the call %s", instance_id[:100], asked.request_id[:100])
        answer = ExtendLeaseAck(
            asked.request_id, asked.account_id, asked.env_id, asked.app_id, asked.function_slug, lease
        )
        return frame(Kind.WORKER_REQUEST_EXTEND_LEASE_ACK, answer)

    # --- time, and the end --------------------------------------------------------------------------------------

    def sweep(self) -> None:
        """Look at the time: at leases, and at workers that were not heard of."""
        now_ms = self._clock.monotonic_ms()
        for held in list(self._held.values()):
            _settle(held, held.fate(now_ms))
        self.serve()

    def close(self) -> None:
        """Give no more calls to workers; those that they have go on."""
        self._closing = True
        self.serve()

    def drop(self) -> None:
        """Have the calls that workers still have made elsewhere."""
        for held in self._held.values():
            if not held.outcome.done():
                held.outcome.set_exception(AppUnreachable("this node stops"))

    # --- one call -----------------------------------------------------------------------------------------------

    async def _choose(self, call: AppCall) -> Worker:
        serving = self._serving(call)
        if not serving:
            raise AppUnreachable(f"no worker of the app {call.app!r} is connected that has {call.function_id!r}")
        waiting = self._waiting.get(call.app)
        if waiting is None:
            worker = self.workers.choose(serving)
            if worker is not None:
                return worker
            waiting = self._waiting[call.app] = deque()
        waiter = _Waiter(call)
        waiting.append(waiter)
        try:
            return await waiter.chosen
        except asyncio.CancelledError:
            with suppress(ValueError):
                waiting.remove(waiter)
            if waiter.chosen.done() and not waiter.chosen.cancelled() and waiter.chosen.exception() is None:
                self._release(waiter.chosen.result())
            else:
                self.serve()  # where it was the first one, others may be served now
            raise

    async def _give(self, call: AppCall, worker: Worker) -> tuple[Answer | None, bool]:
        """Give a call to a worker; its answer, and whether its connection was lost."""
        now_ms, wall_ms = self._clock.monotonic_ms(), self._clock.wall_ms()
        held = _Held(call, worker.instance_id, self._settings, _fresh, now_ms, wall_ms)
        held.worker = worker
        held.outcome = asyncio.get_running_loop().create_future()
        self._held[call.request_id] = held
        self._send(worker.session, request_frame(call, held.lease))
        try:
            return await held.outcome, held.worker is None
        finally:
            if self._held.get(call.request_id) is held:
                del self._held[call.request_id]
            self._release(worker)

    def _serving(self, call: AppCall) -> list[Worker]:
        return [] if self._closing else self.workers.serving(call.app, call.function_id, self._clock.monotonic_ms())

    def _release(self, worker: Worker) -> None:
        self.workers.release(worker.instance_id)
        self.serve()
        self._ended()


def _settle(held: _Held, fate: Fate) -> None:
    if held.outcome.done() or fate is Fate.WAITS:
        return
    if fate is Fate.ANEW:
        held.outcome.set_result(None)
    else:
        held.outcome.set_exception(CallBroken(STOPPED, "The worker stopped responding to the request."))


def _fresh() -> str:
    return ulid_tail(int.from_bytes(uuid.uuid4().bytes[:10]))
