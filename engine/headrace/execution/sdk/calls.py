"""Calls: what one run has under way, at its app and elsewhere."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from headrace.execution.sdk.answer import Op, read_answer
from headrace.execution.sdk.memo import event_json, has_ended
from headrace.execution.sdk.names import hash_of
from headrace.execution.sdk.request import Asked, request_body
from headrace.execution.sdk.seams import TARGET, AppCall, AppUnreachable, CallBroken
from headrace.execution.sdk.taking import take_answer
from headrace.execution.sdk.wishes import options_of
from headrace.records.rows import Failure, StepOp

if TYPE_CHECKING:
    from headrace.execution.sdk.app_run import AppRun

WHOLE = b""  # stands for a call for the whole function


class Calls:
    """Makes them, one for each step at a time and one for the whole function."""

    __slots__ = ("_events", "_queue", "_run", "under_way")

    def __init__(self, run: AppRun) -> None:
        self._run = run
        self._events: list[bytes] | None = None
        self._queue: deque[tuple[bytes, int]] = deque()  # what waits for other calls of a limited function
        self.under_way: dict[bytes, asyncio.Task[None]] = {}

    def begin(self, step: bytes, attempt: int) -> None:
        """Call the app for one step, or for the whole function; nothing while that is under way."""
        run = self._run
        if run.ended or run.owned.draining or step in self.under_way:
            return
        if self.under_way and run.definition.concurrency:
            # A run has one slot of a limit on concurrency, so it makes one call at a time.
            if (step, attempt) not in self._queue:
                self._queue.append((step, attempt))
            return
        self.under_way[step] = run.home.loop.create_task(self._call(step, attempt))
        run.home.calls_begun += 1

    def begin_request(self, name: bytes, op: Op, attempt: int) -> None:
        """Make the request that an AI or fetch step asks for."""
        run = self._run
        run.gateways[name] = op
        if not run.ended and not run.owned.draining and name not in self.under_way:
            self.under_way[name] = run.home.loop.create_task(self._request(name, op, attempt))

    def cancel(self) -> None:
        """Give up everything; whatever is answered is nothing."""
        self._queue.clear()
        for task in list(self.under_way.values()):
            task.cancel()

    async def _call(self, step: bytes, attempt: int) -> None:
        run = self._run
        home = run.home
        started_ms = run.owned.owner.time_ms()
        used = run.attempt + attempt
        try:
            call = self._app_call(step, used)
            answer = await home.caller_of(call.url).call(call)
        except AppUnreachable as error:
            self._done(step)
            run.not_reached(str(error))
            return
        except CallBroken as error:
            self._done(step)
            run.call_failed(step, used, Failure(error.name, error.message))
            return
        except asyncio.CancelledError:
            self._done(step)
            raise
        except Exception as error:  # what is recorded cannot be written, say
            self._done(step)
            run.call_failed(step, used, self._unexpected(error))
            return
        self._done(step)
        if run.ended:
            return
        try:
            home.reached(run.definition)
            read = read_answer(answer, home.clock.wall_ms())
            run.choose_version(read.version, answer.status)
            take_answer(run, step, used, started_ms, read.outcome)
        except Exception as error:
            run.call_failed(step, used, self._unexpected(error))
        run.look_soon()

    def _unexpected(self, error: Exception) -> Failure:
        """Make a failed attempt of what nobody has foreseen: the run must not hang for it."""
        run = self._run
        run.home.tell("app_call_failed", f"run {run.run_id} of {run.definition.id}: {error!r}")
        return Failure(type(error).__name__, str(error))

    def _app_call(self, step: bytes, used: int) -> AppCall:
        run = self._run
        definition, run_id = run.definition, run.run_id
        step_id = TARGET if step == WHOLE else hash_of(step)
        request_id = run.home.new_id()
        checkpointed = ""
        if step == WHOLE:
            run.request_id = request_id
            if run.home.checkpoints and not run.plan_only:
                checkpointed = definition.id
        job_id = f"{run_id}-{step_id}"  # the same for all attempts of one thing
        if step == WHOLE:
            job_id += f"-{sum(map(has_ended, run.memo.values()))}"
        if self._events is None:
            self._events = [event_json(event) for event in run.run.events]
        asked = Asked(
            run_id,
            step_id,
            used,
            definition.retries + 1,
            run.plan_only,
            run.version,
            request_id,
            job_id,
            used,
            checkpointed,
        )
        body = request_body(asked, self._events, run.memo)
        return AppCall(
            definition.app, definition.id, definition.url, run_id, step_id, request_id, job_id, run.version, body
        )

    async def _request(self, name: bytes, op: Op, attempt: int) -> None:
        run = self._run
        started_ms = run.owned.owner.time_ms()
        output: bytes | None = None
        failure: Failure | None
        try:
            output, failure = await run.home.perform(op.op, options_of(op))
        except Exception as error:
            failure = self._unexpected(error)
        finally:
            self._done(name)
        if not run.ended:
            run.report_step(name, StepOp.GATEWAY, attempt, started_ms, output, failure)
            run.look_soon()

    def _done(self, step: bytes) -> None:
        run = self._run
        self.under_way.pop(step, None)
        if step == WHOLE:
            run.request_id = ""
        if self._queue and not self.under_way and not run.ended:
            self.begin(*self._queue.popleft())
