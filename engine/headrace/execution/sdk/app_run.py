"""AppRun: one run of an SDK's function, between the app that is called and the machine that decides.

    call with what is recorded ──► ops: steps made, steps planned, wishes ──► commands ──► committed ──► the next call

A call for the whole function (`TARGET`) makes it go on from its beginning, past what is recorded; a call for one step
makes that step alone. Of the former one is under way at a time. Nothing here has to survive: a run that is taken up
anew begins with a call for the whole function, whose answer says again what is wanted, and what is known is skipped.

After several ops at once (a group) the function goes on when all of them have ended (request version 2), or when each
does (version 1, and ops that race). Source: the SDK protocol page, sections 3.4 to 3.7.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from headrace.execution.sdk.answer import Op
from headrace.execution.sdk.calls import WHOLE, Calls
from headrace.records.commands import AnyCommand, RunReport, StepReport, Suspended, VersionChosen
from headrace.records.definitions import Definition
from headrace.records.rows import Failure, Run, Step, StepOp, StepState, is_waiting
from headrace.records.values import json_text

if TYPE_CHECKING:
    from headrace.execution.sdk.sdk_execution import Owned, SdkExecution

_PENDING = int(StepState.PENDING)
_MADE = (StepOp.RUN, StepOp.GATEWAY)
_IDLE_MAX = 3
OUTPUT_CHARACTERS_MAX = 4 << 20  # of a run's result in the history; a longer one is shortened there
_VERSION_1 = 1


class AppRun:
    """A run that is called, or about to be."""

    __slots__ = (
        "_idle",
        "_look_asked",
        "_result",
        "_suspended",
        "again",
        "asked",
        "attempt",
        "attempts_used",
        "backing_off",
        "calls",
        "checkpoints",
        "definition",
        "ended",
        "gateways",
        "group",
        "home",
        "memo",
        "owned",
        "plan_only",
        "planned",
        "quiet",
        "racing",
        "request_id",
        "run",
        "run_id",
        "unreachable",
        "version",
    )

    def __init__(
        self,
        home: SdkExecution,
        owned: Owned,
        run_id: str,
        run: Run,
        steps: dict[bytes, Step],
        definition: Definition,
    ) -> None:
        self.home = home
        self.owned = owned
        self.run_id = run_id
        self.run = run
        self.definition = definition
        self.memo = steps
        self.attempt = run.attempt
        self.version = run.request_version
        self.ended = False  # nothing counts any more
        self.backing_off = False  # the function has failed; the machine says when it is tried again
        self.unreachable = ""  # why the app cannot be called
        self.request_id = ""  # of the call for the whole function that is under way
        self.checkpoints: dict[bytes, asyncio.Future[None]] = {}  # steps that the app waits to see recorded
        self.calls = Calls(self)
        self.asked: set[bytes] = set()  # steps whose commands are on their way through the machine
        self.group: set[bytes] = set()
        self.racing: set[bytes] = set()
        self.planned: set[bytes] = set()  # steps that are made by calls of their own
        self.quiet: set[bytes] = set()  # steps after which the app goes on by itself
        self.gateways: dict[bytes, Op] = {}
        self.plan_only = any(row.state == _PENDING and row.op != StepOp.DEFER for row in steps.values())
        self.again = False
        self._idle = 0
        self._look_asked = False
        self._suspended = False
        self._result: RunReport | None = None
        self.attempts_used = 0

    # --- what the machine says ---------------------------------------------------------------------------------

    def begin(self) -> None:
        """Call for the whole function, at first or once more."""
        self.backing_off = False
        self.attempts_used = max(
            (row.attempt for row in self.memo.values() if row.state == _PENDING and row.op in _MADE and not row.due_ms),
            default=0,
        )
        self.discover()

    def go_again(self, run: Run) -> None:
        """Begin again after a back-off."""
        self.run = run
        self.attempt = run.attempt
        self.begin()

    def resolve(self, step: bytes, row: Step) -> None:
        """Take what the machine decided about a step; its commit is honoured."""
        known = self.memo.get(step)
        if known is not None and row.order <= known.order and known.due_ms != -1:
            return
        self.memo[step] = row
        self.asked.discard(step)
        self._suspended = False
        waiting = self.checkpoints.pop(step, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)
        is_step = row.op != StepOp.DEFER
        if row.state != _PENDING and is_step:
            self.attempt = 0  # the machine gives the function its attempts again
            self._idle = 0
        if self._result is not None:
            if not self.asked:
                self._report()
        elif not is_step:
            pass  # the function does not wait for it
        elif row.state != _PENDING:
            self._completed(step)
        elif not is_waiting(row) and not row.due_ms:
            self._make_again(step, row)
        self.look_soon()

    def _completed(self, step: bytes) -> None:
        races_on = step in self.racing
        in_group = step in self.group
        self.group.discard(step)
        self.planned.discard(step)
        self.racing.discard(step)
        self.gateways.pop(step, None)
        self.attempts_used = 0
        if step in self.quiet:
            self.quiet.discard(step)
            return
        if self.version > _VERSION_1 and in_group and not races_on and self.group:
            return
        # A group that ends with a sleep is found out by the call after it, which still asks for plans: so it is known.
        if not self.group and self.version > _VERSION_1 and not (in_group and self.memo[step].op == StepOp.SLEEP):
            self.plan_only = False
        self.discover()

    def _make_again(self, step: bytes, row: Step) -> None:
        if step in self.planned:
            self.calls.begin(step, row.attempt)
        elif step in self.gateways:
            self.calls.begin_request(step, self.gateways[step], row.attempt)
        else:
            self.attempts_used = row.attempt
            self.discover()

    # --- calls ---------------------------------------------------------------------------------------------------

    def discover(self) -> None:
        """Call for the whole function, now or when the call for it that is under way has ended."""
        if self.ended or self.backing_off or self._result is not None:
            return
        if WHOLE in self.calls.under_way:
            self.again = True
        else:
            self.calls.begin(WHOLE, self.attempts_used)

    def choose_version(self, version: int, status: int) -> None:
        """Keep the version of requests that the app has chosen with its first good answer."""
        if self.version < 0 <= version and status < 300:
            self.version = version
            self.owned.owner.submit(VersionChosen(self.run_id, version))

    def not_reached(self, reason: str) -> None:
        """Note that a call has not reached the app; the run waits for it once its other calls have ended."""
        if not self.ended:
            self.unreachable = reason
            self.look_soon()

    def call_failed(self, step: bytes, used: int, failure: Failure) -> None:
        """Report that a call has failed: an attempt of the function, or of the step that it was for."""
        if self.ended:
            return
        if not step:
            self.fail(failure)
        elif failure.retriable and used < self.definition.retries:
            self.report_step(step, StepOp.RUN, self.attempt_of(step), 0, None, failure)
        else:
            self.fail(msgspec.structs.replace(failure, retriable=False))
        self.look_soon()

    # --- commands --------------------------------------------------------------------------------------------------

    def has_ended(self, name: bytes) -> bool:
        """Tell whether a step has its result."""
        row = self.memo.get(name)
        return row is not None and row.state != _PENDING

    def attempt_of(self, name: bytes) -> int:
        """Count the attempts of a step that are used up."""
        row = self.memo.get(name)
        return 0 if row is None else row.attempt

    def submit(self, name: bytes, command: AnyCommand) -> None:
        """Ask the machine for something about a step; `resolve` follows."""
        self.asked.add(name)
        self.owned.owner.submit(command)

    def report_step(
        self,
        name: bytes,
        op: StepOp,
        attempt: int,
        started_ms: int,
        output: bytes | None,
        failure: Failure | None,
        mark: bytes = b"j",
    ) -> None:
        """Report an attempt of a step that has ended; `output` is JSON, `mark` how it is recorded."""
        row = self.memo.get(name)
        if row is not None and (row.state != _PENDING or row.due_ms):
            return  # it has ended, or is tried again at its own time
        packed = None if output is None else mark + output
        text = json_text(packed) if packed is not None else ""
        started_ms = started_ms or self.owned.owner.time_ms()
        retries = self.definition.retries
        self.submit(name, StepReport(self.run_id, name, int(op), attempt, started_ms, packed, failure, text, retries))

    def end(self, output: bytes) -> None:
        """Report what the function returned, JSON."""
        packed = b"j" + output
        # In full: what a run came to is read by programs, from the history and what is made of it.
        self._set_result(RunReport(self.run_id, self.attempt, packed, None, json_text(packed, OUTPUT_CHARACTERS_MAX)))

    def fail(self, failure: Failure) -> None:
        """Report that the function has failed."""
        self._set_result(RunReport(self.run_id, self.attempt, None, failure))

    def _set_result(self, report: RunReport) -> None:
        if self.ended or self._result is not None:
            return
        self._result = report
        if not self.asked:  # the machine takes a report only about the attempt that it knows: a result may reset it
            self._report()

    def _report(self) -> None:
        report = self._result
        assert report is not None
        report = msgspec.structs.replace(report, attempt=self.attempt)
        self.owned.owner.submit(report)
        if report.failure is not None and report.failure.retriable:
            self._result = None
            self.backing_off = True
            self.again = False
            if not self.calls.under_way:
                self.home.forget(self)
            return
        may_be_void = self.attempt > 0 and any(row.state == _PENDING for row in self.memo.values())
        self.home.reported(self, report if may_be_void else None)
        self.cut()

    # --- coming to rest ----------------------------------------------------------------------------------------------

    def look_soon(self) -> None:
        """Look whether anything is left to do, once what is about to happen has happened."""
        if not self._look_asked and not self.ended:
            self._look_asked = True
            self.home.loop.call_soon(self._look)

    def _look(self) -> None:
        self._look_asked = False
        if self.ended or self.calls.under_way or self.owned.draining:
            return
        if self.backing_off:
            self.home.forget(self)
            return
        if self.unreachable:
            self.home.park(self, self.unreachable)
            return
        if self.asked or self._result is not None:
            return
        waiting: list[bytes] = []
        for name, row in self.memo.items():
            if row.state == _PENDING:
                if row.due_ms == -1:
                    return  # its commit is on the way
                if is_waiting(row):
                    waiting.append(name)
        if not waiting or self.again:
            self.again = False
            self._idle += 1
            if self._idle > _IDLE_MAX:
                message = "the app was called and answered that there is nothing to do, and the run has not ended"
                self.fail(Failure("NothingToDo", message))
            else:
                self.discover()
        elif not self._suspended:
            self._suspended = True
            self.owned.owner.submit(Suspended(self.run_id, sorted(waiting)))
            ends_group = waiting[0] in self.group and self.memo[waiting[0]].op == StepOp.SLEEP
            alone = len(waiting) == 1 and self.memo[waiting[0]].op not in _MADE and not ends_group
            if alone or self.home.crowded:
                self.home.forget(self)  # one call says again all that is known here

    @property
    def busy(self) -> bool:
        """Whether it does anything, or waits for a commit."""
        return bool(self.calls.under_way or self.asked or self._look_asked)

    @property
    def calling(self) -> bool:
        """Whether an app is at work for it."""
        return bool(self.calls.under_way)

    def cut(self) -> None:
        """Give up all calls; whatever they answer is nothing."""
        self.ended = True
        self.calls.cancel()
        for future in self.checkpoints.values():
            future.cancel()
