"""EndpointCaller: calls of durable endpoints, whose first one is under way already when the engine hears of it.

Such a run begins in the app, within a request of somebody else. What it does is reported by the app (console/
endpoints.py) to the node that it talks to; here it looks as if that node had called it: the first call waits for what
is reported, and its answer is the first thing that the app cannot do by itself, or the end. Every later call is that
first request, made again.
"""

from __future__ import annotations

import asyncio

import msgspec

from headrace.adapters.seams import Clock
from headrace.errors import BadRequest
from headrace.execution.sdk.answer import ANSWER_BYTES_MAX
from headrace.execution.sdk.endpoint_requests import endpoint_request
from headrace.execution.sdk.gateway import Ask
from headrace.execution.sdk.seams import TARGET, Answer, AppCall, AppUnreachable, CallBroken

CALL_S = 2 * 3600.0
SILENCE_S = 900.0
UNDER_WAY_MAX = 10_000


class UnderWay:
    """A call that the app began: `begun` once the run waits for what it comes to, `answer` what that is."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.begun = asyncio.Event()
        self.answer: asyncio.Future[Answer] = loop.create_future()
        self.heard_s = loop.time()

    def hear(self) -> None:
        """Note that the app is alive."""
        self.heard_s = asyncio.get_running_loop().time()


class EndpointCaller:
    """Calls durable endpoints. With a signing key, each call is signed."""

    def __init__(self, ask: Ask, clock: Clock, signing_key: str = "", *, silence_s: float = SILENCE_S) -> None:
        self._ask = ask
        self._clock = clock
        self._signing_key = signing_key
        self._silence_s = silence_s
        self._under_way: dict[str, UnderWay] = {}

    def expect(self, run_id: str) -> UnderWay | None:
        """Note that an app has begun a run; None if there are too many already."""
        loop = asyncio.get_running_loop()
        if len(self._under_way) >= UNDER_WAY_MAX:
            self._forget_lost(loop.time() - self._silence_s)
            if len(self._under_way) >= UNDER_WAY_MAX:
                return None
        expected = self._under_way[run_id] = UnderWay(loop)
        return expected

    def _forget_lost(self, before_s: float) -> None:
        """Forget runs that have never come to this node: their partition has moved on."""
        for run_id, began in list(self._under_way.items()):
            if not began.begun.is_set() and began.heard_s < before_s:
                self.forget(run_id)

    def under_way(self, run_id: str) -> UnderWay | None:
        """Find the call that an app began; None if it is over, or not known here."""
        return self._under_way.get(run_id)

    def forget(self, run_id: str) -> None:
        """Take back what was expected."""
        self._under_way.pop(run_id, None)

    async def call(self, call: AppCall) -> Answer:
        """Wait for what the app's own call comes to, or enter the endpoint again. Raises AppUnreachable, CallBroken."""
        began = self._under_way.get(call.run_id)
        if began is None or call.step_id != TARGET or began.begun.is_set():
            return await self._enter(call)
        began.begun.set()
        began.hear()
        try:
            return await self._wait(began)
        finally:
            self.forget(call.run_id)

    async def _wait(self, began: UnderWay) -> Answer:
        loop = asyncio.get_running_loop()
        while not began.answer.done():
            left_s = began.heard_s + self._silence_s - loop.time()
            if left_s <= 0:
                raise CallBroken(
                    "EndpointSilent", f"the app began this run and has said nothing of it for {self._silence_s:g} s"
                )
            await asyncio.wait({began.answer}, timeout=left_s)
        return began.answer.result()

    async def _enter(self, call: AppCall) -> Answer:
        try:
            method, url, headers, body = endpoint_request(call, self._signing_key, self._clock.wall_ms() // 1_000)
        except msgspec.MsgspecError as error:
            raise CallBroken(
                "EndpointUnknown", f"the run's event does not tell how it was requested: {error}"
            ) from None
        try:
            return await self._ask(method, url, headers, body, timeout_s=CALL_S, bytes_max=ANSWER_BYTES_MAX)
        except BadRequest as error:
            raise AppUnreachable(f"{error.what}; {error.do}") from None
