"""InProcess: the code of all runs that this process owns, as the worker's machines see it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from headrace.adapters.seams import Clock
from headrace.execution.blocking_steps import BlockingSteps
from headrace.execution.callables import Callee
from headrace.execution.context import Context
from headrace.execution.current import CURRENT, is_running, watch_tasks
from headrace.execution.live_run import LiveRun
from headrace.execution.observed import run_observed
from headrace.execution.rest import waits_for_steps_alone
from headrace.execution.seams import Owner, Settings
from headrace.execution.steps import Steps
from headrace.execution.threads import call_on_thread
from headrace.execution.watchdog import Watchdog
from headrace.functions import Function
from headrace.records.commands import CodeMissing
from headrace.records.rows import Phase, Run, Step

_DRAIN_LOOK_S = 0.005
_REPORTED_MAX = 10_000


# (full function id, step's name, how to call, callable) → what is called instead, and how.
StandIns = Callable[[str, bytes, Callee, Any], tuple[Callee, Any]]


class Owned:
    """What belongs to one owner."""

    __slots__ = ("draining", "live", "owner", "reported", "without_code")

    def __init__(self, owner: Owner) -> None:
        self.owner = owner
        self.live: dict[str, LiveRun] = {}
        self.without_code: dict[str, str] = {}  # run id -> function id
        # Attempts of bodies that were reported while steps of theirs were unresolved: what becomes of those must not
        # start the code again before the report is applied.
        self.reported: dict[str, int] = {}
        self.draining = False


class Counts:
    """What happened since the start, for metrics."""

    __slots__ = ("attempts", "evictions", "replays", "starts")

    def __init__(self) -> None:
        self.starts = 0
        self.replays = 0  # of these, from something recorded
        self.attempts = 0  # of steps' callables
        self.evictions = 0


class InProcess:
    """Runs functions in this process. Everything is called on the loop's thread."""

    def __init__(
        self,
        functions: Mapping[str, Function],
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        evict_always: bool = False,
        settings: Settings | None = None,
    ) -> None:
        self.loop = loop
        self.clock = clock
        self.evict_always = evict_always
        self.settings = settings if settings is not None else Settings()
        self.counts = Counts()
        self.functions: dict[str, Function] = dict(functions)
        self.stand_ins: StandIns | None = None  # what tests put in the place of steps' callables
        self.observes = _observes(functions)  # False, as nearly always: nothing need be asked for each step
        self._owned: dict[Owner, Owned] = {}
        self._live = 0
        # Runs that wait for timers, the longest waiting first: those that certainly do nothing else, and those of
        # which that cannot be told.
        self._resting: dict[LiveRun, None] = {}
        self._perhaps_resting: dict[LiveRun, None] = {}
        self._pool: ThreadPoolExecutor | None = None
        self._watchdog: Watchdog | None = None
        watch_tasks(loop)
        if self.settings.blocked_ms:
            self._watchdog = Watchdog(loop, self.functions, self.settings.blocked_ms)

    @property
    def pool(self) -> ThreadPoolExecutor:
        """The threads for plain functions and steps."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.settings.threads, thread_name_prefix="headrace")
        return self._pool

    @property
    def live(self) -> int:
        """How many runs have their code in memory."""
        return self._live

    @property
    def busy(self) -> int:
        """How many of these do something, or wait for a commit."""
        return self._live - len(self._resting) - len(self._perhaps_resting)

    @property
    def full(self) -> bool:
        """Whether so much code is busy that no more events should be taken for now."""
        return self.busy >= self.settings.live_max

    # --- what machines ask for ---------------------------------------------------------------------------------

    def start(self, owner: Owner, run_id: str, run: Run, steps: dict[bytes, Step]) -> None:
        """Begin the code of a run, or replay it; nothing if it is alive, or backing off."""
        owned = self._owned.get(owner)
        if owned is None:
            owned = self._owned[owner] = Owned(owner)
        if run_id in owned.live or owned.draining or run.retry_due_ms:
            return
        if owned.reported:
            owned.reported.pop(run_id, None)
        function = self.functions.get(run.function_id)
        if function is None:
            if run_id not in owned.without_code:
                owned.without_code[run_id] = run.function_id
                owner.submit(CodeMissing(run_id, True))
            return
        if run.phase == Phase.NO_CODE:
            owned.without_code.pop(run_id, None)
            owner.submit(CodeMissing(run_id, False))
        counts = self.counts
        counts.starts += 1
        if steps:
            counts.replays += 1
        if self._live >= self.settings.live_max:
            self._make_room()
        self._live += 1
        live = owned.live[run_id] = LiveRun(self, owned, run_id, run, steps, function)
        # Made by hand: the task factory is for what user code creates.
        live.main = asyncio.Task(_drive(live), loop=self.loop)

    def alive(self, owner: Owner, run_id: str) -> bool:
        """Tell whether the code of a run is in memory."""
        owned = self._owned.get(owner)
        return owned is not None and run_id in owned.live

    def resolve(self, owner: Owner, run_id: str, step: bytes, row: Step) -> None:
        """Tell the code what became of a step; code that is not alive is replayed."""
        owned = self._owned.get(owner)
        live = None if owned is None else owned.live.get(run_id)
        if live is None:
            self._wake(owner, run_id)
            return
        if live in self._resting or live in self._perhaps_resting:
            self._busy_again(live)
        live.resolve(step, row)

    def stop(self, owner: Owner, run_id: str) -> None:
        """Interrupt the code of a run that has ended."""
        owned = self._owned.get(owner)
        if owned is None:
            return
        owned.without_code.pop(run_id, None)
        owned.reported.pop(run_id, None)
        live = owned.live.get(run_id)
        if live is not None:
            self._forget(live)
            live.cut()

    def drain(self, owner: Owner, done: Callable[[], None], within_ms: int) -> None:
        """Start nothing, let what executes finish and be committed, cancel the rest, then call `done`."""
        owned = self._owned.get(owner)
        if owned is None:
            owned = self._owned[owner] = Owned(owner)
        owned.draining = True
        self.loop.call_soon(self._look_drained, owned, done, self.loop.time() + within_ms / 1000)

    def _look_drained(self, owned: Owned, done: Callable[[], None], deadline: float) -> None:
        if all(map(_is_settled, owned.live.values())) or self.loop.time() >= deadline:
            self._cut_all(owned)
            done()
        else:
            self.loop.call_later(_DRAIN_LOOK_S, self._look_drained, owned, done, deadline)

    def drop(self, owner: Owner) -> None:
        """Cancel everything of an owner at once; nothing of it is submitted any more."""
        owned = self._owned.pop(owner, None)
        if owned is not None:
            owned.draining = True
            self._cut_all(owned)

    def _cut_all(self, owned: Owned) -> None:
        for live in list(owned.live.values()):
            self._forget(live)
            live.cut()
        owned.without_code.clear()
        owned.reported.clear()

    # --- code that comes and goes ------------------------------------------------------------------------------

    def load_functions(self, functions: Mapping[str, Function]) -> None:
        """Use these functions from now on; runs in flight go on with them at their next step boundary."""
        self.functions = dict(functions)
        self.observes = self.stand_ins is not None or _observes(functions)
        if self._watchdog is not None:
            self._watchdog.watch(self.functions)
        for owned in self._owned.values():
            for run_id, function_id in list(owned.without_code.items()):
                if function_id in self.functions:
                    del owned.without_code[run_id]
                    owned.owner.submit(CodeMissing(run_id, False))
            for live in list(owned.live.values()):
                if self.functions.get(live.function.id) != live.function:
                    live.stale = True
                    if live in self._resting or live in self._perhaps_resting:
                        self._evict(live)

    def use_stand_ins(self, stand_ins: StandIns) -> None:
        """Ask for what is called in the place of each step's callable; for tests."""
        self.stand_ins = stand_ins
        self.observes = True

    def close(self) -> None:
        """Let go of threads; for the end of a process, after every owner was dropped."""
        if self._watchdog is not None:
            self._watchdog.close()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    # --- what live runs ask for --------------------------------------------------------------------------------

    def rests(self, live: LiveRun, certain: bool) -> None:
        """Note that a run waits for timers; keep its code while there is room."""
        self._busy_again(live)
        (self._resting if certain else self._perhaps_resting)[live] = None
        if certain and (live.thread is not None or live.stale or self.evict_always):
            self._evict(live)
        elif self._live > self.settings.live_max:
            self._make_room()

    def reported(self, live: LiveRun, unresolved: bool) -> None:
        """Note that a body has ended; `unresolved` if steps of it may still be resolved."""
        self._forget(live)
        if unresolved:
            reported = live.owned.reported
            reported[live.run_id] = live.attempt
            if len(reported) > _REPORTED_MAX:
                del reported[next(iter(reported))]

    def replay(self, live: LiveRun) -> None:
        """Drop the code and run it again from what is recorded."""
        self._evict(live)
        self._wake(live.owned.owner, live.run_id)

    def _wake(self, owner: Owner, run_id: str) -> None:
        loaded = owner.load(run_id)
        owned = self._owned.get(owner)
        if loaded is None:
            if owned is not None:
                owned.reported.pop(run_id, None)
            return
        run, steps = loaded
        # A report of the body is on its way (unless a step that was recorded meanwhile has made it void).
        if owned is not None and owned.reported.get(run_id) == run.attempt and not run.retry_due_ms:
            return
        self.start(owner, run_id, run, steps)

    def _busy_again(self, live: LiveRun) -> None:
        self._resting.pop(live, None)
        self._perhaps_resting.pop(live, None)

    def _forget(self, live: LiveRun) -> None:
        owned = live.owned
        if owned.live.get(live.run_id) is live:
            del owned.live[live.run_id]
            self._live -= 1
            if self._resting or self._perhaps_resting:
                self._busy_again(live)

    def _evict(self, live: LiveRun) -> None:
        self.counts.evictions += 1
        self._forget(live)
        live.cut()

    def _make_room(self) -> None:
        for waiting in (self._resting, self._perhaps_resting):
            if waiting:
                self._evict(next(iter(waiting)))
                return


def _observes(functions: Mapping[str, Function]) -> bool:
    return any(function.middleware or function.injected for function in functions.values())


def _is_settled(live: LiveRun) -> bool:
    """Whether a run may be cut off at a drain without losing what it has just done."""
    if live.thread is not None and not live.thread.ident:
        return True  # it waits for a thread and has done nothing: the next owner begins it, perhaps sooner
    return not (live.executing or live.in_flight or live.order) and waits_for_steps_alone(live)


async def _drive(live: LiveRun) -> None:
    """Run the body of a function to its end."""
    CURRENT.set(live)
    function = live.function
    try:
        if function.is_async:
            step = Steps(live)
            context = Context(live, step)
            call = function.call
            if live.home.observes:
                arguments = (context, step) if function.takes_step else (context,)
                result = await run_observed(live, context, lambda injected: call(*arguments, **injected))
            else:
                result = await (call(context, step) if function.takes_step else call(context))
        else:
            blocking = BlockingSteps(live)
            context = Context(live, blocking)
            given = (context, blocking) if function.takes_step else (context,)
            result = await run_observed(live, context, lambda injected: call_on_thread(live, given, injected))
    except BaseException as error:  # also a KeyboardInterrupt: the operator's comes as a signal, never through here
        if isinstance(error, GeneratorExit) and not is_running(live.main):
            raise  # nobody raised it: the interpreter clears away a task that will never go on
        live.failed(error)
    else:
        live.returned(result)
    finally:
        live.context = None
        live.main = None  # the task refers to the run through its context: a circle that nobody needs any more
