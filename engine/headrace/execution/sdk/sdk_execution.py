"""SdkExecution: the runs of SDKs' functions that this process owns, as the worker's machines see them."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from headrace.adapters.seams import Clock
from headrace.execution.sdk.answer import Op
from headrace.execution.sdk.app_run import AppRun
from headrace.execution.sdk.away import Away
from headrace.execution.sdk.memo import ended_in_order, event_json, memos
from headrace.execution.sdk.seams import AppCaller, AppUnreachable
from headrace.execution.sdk.taking import take_checkpoint
from headrace.execution.seams import Owner
from headrace.records.commands import CodeMissing, RunReport
from headrace.records.definitions import Definition
from headrace.records.rows import Failure, Phase, Run, Step, StepState

# Make a request for an AI or fetch step: (op, its options) → JSON of its result, or why there is none.
Perform = Callable[[str, Mapping[str, Any]], Awaitable[tuple[bytes | None, Failure | None]]]
_DRAIN_LOOK_S = 0.005
_REPORTED_MAX = 10_000
LIVE_MAX = 10_000


class Owned:
    """What belongs to one owner."""

    __slots__ = ("draining", "live", "owner", "reported")

    def __init__(self, owner: Owner) -> None:
        self.owner = owner
        self.live: dict[str, AppRun] = {}
        # What functions came to whose runs may be given their attempts again before that is applied.
        self.reported: dict[str, RunReport] = {}
        self.draining = False


class SdkExecution:
    """Calls the apps that run functions. Everything is called on the loop's thread.

    `definition_of` gives the newest definition of a function, `known` tells whether there is any of an SDK; `callers`
    makes calls, by the scheme of the address.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        definition_of: Callable[[str], Definition | None],
        callers: Mapping[str, AppCaller],
        perform: Perform,
        tell: Callable[[str, str], None],
        known: Callable[[], bool],
        *,
        checkpoints: bool = False,
        live_max: int = LIVE_MAX,
    ) -> None:
        self.loop = loop
        self.clock = clock
        self.perform = perform
        self.tell = tell
        self.checkpoints = checkpoints  # whether apps may report steps in the middle of a call
        self.calls_begun = 0
        self._id_prefix = uuid.uuid4().hex
        self._ids = 0
        self._definition_of = definition_of
        self._known = known
        self._callers = callers
        self._live_max = live_max
        self._owned: dict[Owner, Owned] = {}
        self._away = Away(loop, tell)
        self._live = 0
        self._last: dict[str, Definition] = {}  # runs of a function go on that its app does not register any more

    @property
    def live(self) -> int:
        """How many runs are known here."""
        return self._live

    @property
    def used(self) -> bool:
        """Whether there is any function of an SDK, or was."""
        return bool(self._last) or self._known()

    @property
    def crowded(self) -> bool:
        """Whether what only waits should be let go, so that counting what is busy stays rare."""
        return self._live > self._live_max // 2

    @property
    def full(self) -> bool:
        """Whether so many runs are under way that no more events should be taken for now."""
        if self._live < self._live_max:
            return False
        return sum(run.busy for owned in self._owned.values() for run in owned.live.values()) >= self._live_max

    def definition(self, function_id: str) -> Definition | None:
        """Give the definition of an SDK's function, also of one that was known before; None for all others."""
        found = self._definition_of(function_id)
        if found is None:
            return self._last.get(function_id)
        if found.kind != "sdk":
            return None
        self._last[function_id] = found
        return found

    def alive(self, owner: Owner, run_id: str) -> bool:
        """Tell whether the run is under way here."""
        owned = self._owned.get(owner)
        return owned is not None and run_id in owned.live

    # --- what machines ask for ---------------------------------------------------------------------------------

    def start(self, owner: Owner, run_id: str, run: Run, steps: dict[bytes, Step]) -> None:
        """Call the app of a run, at first or again; nothing while it is under way, or backing off."""
        owned = self._of(owner)
        if owned.draining or run.retry_due_ms:
            return
        live = owned.live.get(run_id)
        if live is not None:
            if live.backing_off:
                live.go_again(run)
            return
        if owned.reported:
            owned.reported.pop(run_id, None)
        definition = self.definition(run.function_id)
        if definition is None:
            owner.submit(CodeMissing(run_id, True))
            return
        away = self._away.reason(definition.app)
        if away:
            self._away.add(definition.app, owner, run_id, away, tried=False)
            return
        if run.phase == Phase.NO_CODE:
            owner.submit(CodeMissing(run_id, False))
        self._live += 1
        live = owned.live[run_id] = AppRun(self, owned, run_id, run, steps, definition)
        live.begin()

    def resolve(self, owner: Owner, run_id: str, step: bytes, row: Step) -> None:
        """Tell a run what became of a step; one that is not under way is taken up."""
        owned = self._of(owner)
        live = owned.live.get(run_id)
        if live is not None:
            live.resolve(step, row)
            return
        loaded = owner.load(run_id)
        report = owned.reported.pop(run_id, None)
        if loaded is None:
            return
        run, steps = loaded
        if report is not None and run.attempt != report.attempt and not run.retry_due_ms:
            # The step has given the function its attempts again, so the report was about none that is known.
            owner.submit(RunReport(run_id, run.attempt, report.output, report.failure, report.output_json))
            return
        self.start(owner, run_id, run, steps)

    def stop(self, owner: Owner, run_id: str) -> None:
        """Give up the calls of a run that has ended."""
        owned = self._owned.get(owner)
        if owned is None:
            return
        owned.reported.pop(run_id, None)
        self._away.forget(owner, run_id)
        live = owned.live.get(run_id)
        if live is not None:
            self.forget(live)
            live.cut()

    def drain(self, owner: Owner, done: Callable[[], None], within_ms: int) -> None:
        """Begin no call, let those under way end and be committed, give up the rest, then call `done`."""
        owned = self._of(owner)
        owned.draining = True
        self.loop.call_soon(self._look_drained, owned, done, self.loop.time() + within_ms / 1000)

    def _look_drained(self, owned: Owned, done: Callable[[], None], deadline: float) -> None:
        if self.loop.time() < deadline and any(run.calling for run in owned.live.values()):
            self.loop.call_later(_DRAIN_LOOK_S, self._look_drained, owned, done, deadline)
            return
        self._cut_all(owned)
        done()

    def drop(self, owner: Owner) -> None:
        """Give up everything of an owner at once."""
        owned = self._owned.pop(owner, None)
        if owned is not None:
            owned.draining = True
            self._cut_all(owned)
            self._away.forget(owner)

    def _cut_all(self, owned: Owned) -> None:
        for live in list(owned.live.values()):
            self.forget(live)
            live.cut()
        owned.reported.clear()

    def _of(self, owner: Owner) -> Owned:
        owned = self._owned.get(owner)
        if owned is None:
            owned = self._owned[owner] = Owned(owner)
        return owned

    # --- what runs ask for -------------------------------------------------------------------------------------

    def caller_of(self, url: str) -> AppCaller:
        """Give what calls an address."""
        caller = self._callers.get(url.partition(":")[0].lower())
        if caller is None:
            raise AppUnreachable(f"nothing here calls addresses such as {url[:100]!r}")
        return caller

    def new_id(self) -> str:
        """Make an id for a request."""
        self._ids += 1
        return f"{self._id_prefix}-{self._ids}"

    def forget(self, live: AppRun) -> None:
        """Let go of a run; what is to be known of it stands in the state."""
        live.ended = True
        if live.owned.live.get(live.run_id) is live:
            del live.owned.live[live.run_id]
            self._live -= 1

    def reported(self, live: AppRun, report: RunReport | None) -> None:
        """Note that a function has ended; `report` if what it came to may have to be said again."""
        self.forget(live)
        if report is not None:
            kept = live.owned.reported
            kept[live.run_id] = report
            if len(kept) > _REPORTED_MAX:
                del kept[next(iter(kept))]

    def park(self, live: AppRun, reason: str) -> None:
        """Have a run wait until its app can be reached."""
        self.forget(live)
        self._away.add(live.definition.app, live.owned.owner, live.run_id, reason, tried=True)

    def reached(self, definition: Definition) -> None:
        """Note that an app has answered."""
        self._away.reached(definition.app)

    def app_is_back(self, app: str) -> None:
        """Call the runs of an app again at once: it has registered, or a worker of it is ready."""
        self._away.reached(app)

    # --- what apps ask for -------------------------------------------------------------------------------------

    def find(self, run_id: str) -> tuple[Run, dict[bytes, Step]] | None:
        """Read a live run that this process owns, with its steps."""
        for owner in self._owned:
            loaded = owner.load(run_id)
            if loaded is not None:
                return loaded
        return None

    def events_of(self, run_id: str) -> bytes | None:
        """Write what started a run, as a JSON array; None for one that is not alive here."""
        found = self.find(run_id)
        return None if found is None else b"[%s]" % b",".join(event_json(event) for event in found[0].events)

    def memos_of(self, run_id: str) -> bytes | None:
        """Write what is recorded of a run's steps, by hash, as a JSON object; None for one that is not alive here."""
        found = self.find(run_id)
        return None if found is None else memos(ended_in_order(found[1]))

    def settled(self, run_id: str) -> bool:
        """Tell whether the machine knows what a run's last call came to: it waits for something, or has ended."""
        for owned in self._owned.values():
            live = owned.live.get(run_id)
            if live is not None:
                return not live.asked
        found = self.find(run_id)
        if found is None:
            return True
        run, steps = found
        return run.retry_due_ms > 0 or any(row.state == StepState.PENDING for row in steps.values())

    async def checkpoint(self, run_id: str, request_id: str, ops: list[Op]) -> bool:
        """Record steps that an app has made in the middle of a call; False if that call counts no more."""
        for owned in self._owned.values():
            live = owned.live.get(run_id)
            if live is not None:
                if request_id and request_id != live.request_id:
                    return False
                try:
                    await asyncio.gather(*take_checkpoint(live, ops))
                except asyncio.CancelledError:
                    if live.ended:
                        return False
                    raise
                return True
        return False
