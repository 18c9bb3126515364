"""LiveRun: one run whose code is alive in this process, between the code that asks and the machine that decides."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar

from headrace.execution.current import CURRENT
from headrace.execution.failures import failure_of
from headrace.execution.order import Order
from headrace.execution.rest import waits_for_steps_alone
from headrace.execution.values import pack_output
from headrace.functions.errors import DuplicateStep, NestedStep, StepMisuse
from headrace.functions.step_ids import STEP_ID_LENGTH_MAX, check_step_id
from headrace.records.commands import AnyCommand, RunReport, Suspended
from headrace.records.rows import Failure, Run, Step, StepState, is_waiting, split_step_name, step_name

if TYPE_CHECKING:
    from headrace.execution.context import Context
    from headrace.execution.in_process import InProcess, Owned
    from headrace.execution.threads import HandlerThread
    from headrace.functions import Function

_PENDING = int(StepState.PENDING)
_NOTHING: dict[bytes, int] = {}
# Stands in the memo for a result that the code has: its bytes are not needed again, and nothing is news beside it.
HANDED_OVER = Step("", 0, StepState.DONE, order=1 << 62)


class Call:
    """A step that the code has asked for and has not got the result of."""

    __slots__ = ("attempt", "executing", "in_flight", "live", "name", "step_id", "task", "waiter")
    is_body: ClassVar[bool] = False

    def __init__(self, live: LiveRun, name: bytes, step_id: str) -> None:
        self.live = live
        self.name = name
        self.step_id = step_id
        self.attempt = 0
        self.executing = False  # the callable is running
        self.in_flight = False  # a report is on its way through the machine
        self.task: asyncio.Task[Any] | None = None
        self.waiter: asyncio.Future[Step] | None = None


class LiveRun:
    """The code of a run from its start, or replay, to its end or eviction."""

    __slots__ = (
        "_check_asked",
        "_result",
        "_suspended",
        "activity",
        "attempt",
        "branches",
        "calls",
        "clock",
        "closing",
        "context",
        "dead",
        "ended",
        "executing",
        "function",
        "home",
        "in_flight",
        "loop",
        "main",
        "memo",
        "now_ms",
        "occurrences",
        "order",
        "owned",
        "promised",
        "recorded",
        "replaying",
        "run",
        "run_id",
        "stale",
        "thread",
    )
    is_body: ClassVar[bool] = True

    def __init__(
        self, home: InProcess, owned: Owned, run_id: str, run: Run, steps: dict[bytes, Step], function: Function
    ) -> None:
        self.home = home
        self.loop = home.loop
        self.clock = home.clock
        self.owned = owned
        self.run_id = run_id
        self.run = run
        self.function = function
        self.attempt = run.attempt  # the machine changes its row in place
        self.memo = steps
        self.now_ms = run.created_ms  # when the last result that the code has was recorded
        # What was recorded when this replay began: the order of each result, -1 for what is pending.
        self.recorded = {name: _order_of(row) for name, row in steps.items()} if steps else _NOTHING
        self.replaying = len(steps)  # recorded steps that the code has not come to yet
        self.occurrences: dict[str, int] = {}  # how often each step id was asked for
        self.promised: set[str] = set()  # ids of steps that were called and not awaited yet
        self.calls: dict[bytes, Call] = {}
        self.branches: set[asyncio.Task[Any]] = set()  # tasks that the body created
        self.activity = 0  # grows when a branch begins, ends, or asks for a step
        self.order: Order | None = None  # made when a result first has to wait for its turn
        self.executing = 0  # callables of steps that are running
        self.in_flight = 0  # reports on their way through the machine
        self.main: asyncio.Task[None] | None = None
        self.context: Context | None = None  # for middleware
        self.thread: HandlerThread | None = None  # of a plain `def` function
        self.ended = False  # nothing counts any more: reported, evicted, stopped or dropped
        self.closing = False  # the body has ended; what it left behind is waited for
        self.stale = False  # the code was replaced: replay at the next boundary
        self.dead: list[int] = []  # places of the events that do not fit their models and go to the dead letters
        self._result: tuple[bytes | None, Failure | None, str] = (None, None, "")
        self._suspended = False
        self._check_asked = False

    @property
    def live(self) -> LiveRun:
        """Itself: what `CURRENT` holds has a `live`, be it a body or a step."""
        return self

    # --- steps that the code asks for --------------------------------------------------------------------------

    def take(self, step_id: str) -> bytes:
        """Give the name of the step that is asked for now; refuse what cannot work."""
        if self.ended or self.closing:
            raise asyncio.CancelledError("the run's code is being unwound; steps do nothing any more")
        current = CURRENT.get()
        if isinstance(current, Call):
            raise _nested(step_id, current)
        if type(step_id) is not str:
            check_step_id(step_id)
        count = self.occurrences.get(step_id, 0)
        if count:
            if step_name(step_id, count - 1) in self.calls:
                raise _duplicate(step_id)
            name = step_name(step_id, count)
        else:
            if not 0 < len(step_id) <= STEP_ID_LENGTH_MAX or not step_id.isascii() or "\0" in step_id:
                check_step_id(step_id)
            name = step_id.encode()
        self.occurrences[step_id] = count + 1
        self.activity += 1
        if self.replaying:
            # A step that is not recorded ends the replay: what comes now was never done.
            self.replaying = self.replaying - 1 if name in self.recorded else 0
        return name

    def submit(self, call: Call, command: AnyCommand) -> None:
        """Report about a call, or ask for it; `resolve` follows."""
        call.in_flight = True
        self.in_flight += 1
        self.owned.owner.submit(command)

    def let_go(self, call: Call) -> None:
        """Forget a call whose code was cancelled by the user, unless the machine knows of it."""
        call.waiter = None
        call.executing = False
        if not call.in_flight and call.name not in self.memo and self.calls.get(call.name) is call:
            del self.calls[call.name]

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """Note a task that the body created: from now on results are handed out in order."""
        self.branches.add(task)
        self.activity += 1
        task.add_done_callback(self._branch_done)

    def _branch_done(self, task: asyncio.Task[Any]) -> None:
        self.branches.discard(task)
        self.activity += 1
        if self.calls:
            self.check_soon()

    # --- what became of them -----------------------------------------------------------------------------------

    def resolve(self, step: bytes, row: Step) -> None:
        """Take what the machine decided about a step; its commit is honoured."""
        known = self.memo.get(step)
        if known is not None and row.order <= known.order and known.due_ms != -1:
            return
        self.memo[step] = row
        self._suspended = False
        call = self.calls.get(step)
        if call is not None and call.in_flight:
            call.in_flight = False
            self.in_flight -= 1
        if row.state != _PENDING:
            self.attempt = 0  # the machine gives the body its attempts again
        if self.closing:
            self._close()
        elif row.state == _PENDING and is_waiting(row):
            self.check_soon()
        elif call is not None:
            self._go_on(call, row)

    def _go_on(self, call: Call, row: Step) -> None:
        waiter = call.waiter
        if waiter is None or waiter.done():  # cancelled by the user's code
            self.calls.pop(call.name, None)
            return
        if (self.stale or self.home.evict_always) and self._at_boundary():
            self.home.replay(self)
        elif row.state != _PENDING and (self.branches or self.order):
            self.in_turn(row, call)
        else:
            waiter.set_result(row)

    def in_turn(self, row: Step, call: Call) -> None:
        """Hand over a result when the code has come to rest from those recorded before it."""
        if self.order is None:
            self.order = Order(self)
        self.order.add(row.order, call.name)

    def _at_boundary(self) -> bool:
        return not (self.executing or self.in_flight or self.order) and waits_for_steps_alone(self)

    def check_soon(self) -> None:
        """Look whether the code has come to rest, once what is about to run has run."""
        if not self._check_asked:
            self._check_asked = True
            self.loop.call_soon(self._check)

    def _check(self) -> None:
        self._check_asked = False
        if self.ended or self.closing or self.executing or self.in_flight or self.order or not self.calls:
            return
        memo = self.memo
        for name in self.calls:
            row = memo.get(name)
            if row is None or not is_waiting(row):
                return
        certain = waits_for_steps_alone(self)
        if certain and not self._suspended:
            self._suspended = True
            self.owned.owner.submit(Suspended(self.run_id, sorted(self.calls)))
        self.home.rests(self, certain)

    # --- how the body ends -------------------------------------------------------------------------------------

    def returned(self, value: Any) -> None:
        """Take the value that the body returned."""
        if self.ended:
            return
        if self.promised:
            self.failed(_not_awaited(self.promised))
            return
        try:
            output, output_json = pack_output(value, self.home.settings)
        except Exception as error:  # of our own encoding or of the value's own code, such as a model's
            self.failed(error)
            return
        self._result = (output, None, output_json)
        # A report about an attempt that a recorded step has meanwhile reset would not be taken.
        if self.attempt and self.in_flight:
            self._begin_closing()
        else:
            self._report()

    def failed(self, error: BaseException) -> None:
        """Take the exception that the body raised."""
        if self.ended:
            return
        failure = failure_of(error, self.clock)
        self._result = (None, failure, "")
        # What will be tried again waits for its steps: they would run twice, side by side with the next attempt.
        if (failure.retriable and (self.executing or self.in_flight)) or (self.attempt and self.in_flight):
            self._begin_closing()
        else:
            self._report()

    def _begin_closing(self) -> None:
        self.closing = True
        for call in self.calls.values():
            if call.waiter is not None:
                call.waiter.cancel()

    def executed(self) -> None:
        """Note that a step's callable has ended, or was given up, after the body did."""
        if self.closing and not self.ended:
            self._close()

    def _close(self) -> None:
        if not self.in_flight and not (self.executing and self._will_be_tried_again()):
            self._report()

    def _will_be_tried_again(self) -> bool:
        failure = self._result[1]
        return failure is not None and failure.retriable

    def _report(self) -> None:
        output, failure, output_json = self._result
        self.home.reported(self, unresolved=bool(self.calls))
        self.owned.owner.submit(RunReport(self.run_id, self.attempt, output, failure, output_json, self.dead))
        self.ended = True
        self.order = None  # it refers to its run, as calls do
        if self.calls or self.branches:
            self._cut_calls()

    def cut(self) -> None:
        """Unwind the code at once; whatever it still does is nothing."""
        if self.ended:
            return
        self.ended = True
        self._cut_calls()
        # A thread cannot be interrupted: it is unwound at its step call, or at its next one, and the task ends with it.
        if self.main is not None and (self.thread is None or not self.thread.ident):
            self.main.cancel()

    def _cut_calls(self) -> None:
        for call in self.calls.values():
            if call.waiter is not None:
                call.waiter.cancel()
            elif call.task is not None and call.task is not self.main:
                call.task.cancel()
        if self.thread is not None:
            self.thread.unwind()
        # Calls refer to their run. Whoever evicts a million sleepers would else leave as many circles, and what is kept
        # of each run with them, to a garbage collection that comes late.
        self.calls.clear()
        self.order = None


def _order_of(row: Step) -> int:
    return -1 if row.state == _PENDING else row.order


def _nested(step_id: object, within: Call) -> NestedStep:
    return NestedStep(
        "nested_step",
        f"the step {step_id!r} was asked for inside the step {within.step_id!r}",
        why="a step is recorded as a whole, so what happens inside it cannot be remembered step by step",
        do=f"ask for {step_id!r} in the function itself, before or after {within.step_id!r}",
    )


def _not_awaited(step_ids: set[str]) -> StepMisuse:
    named = ", ".join(sorted(map(repr, step_ids)))
    return StepMisuse(
        "step_not_awaited",
        f"the function returned, and these steps were called but never awaited: {named}",
        why="calling a step of an async function gives a coroutine: without await nothing of it happens",
        do="write await in front of the call; for several at once: await asyncio.gather(…)",
    )


def _duplicate(step_id: str) -> DuplicateStep:
    return DuplicateStep(
        "duplicate_step",
        f"the step {step_id!r} was asked for again before its earlier call was resolved",
        why="a step is remembered by its id; two at once under one id could be given each other's results",
        do='give every branch its own id, as in ctx.step.run(f"load-{n}", load, n); one after the other may share it',
    )


def readable(name: bytes) -> str:
    """Write a step's name for keys and people: its occurrence, a colon, its id."""
    step_id, occurrence = split_step_name(name)
    return f"{occurrence}:{step_id}"
