"""The machine of one owned partition: inputs in, turns, commits out.

    inputs ──► turn (apply.py over the overlay) ──► commit on the changelog ──► honoured ──► store, outbox, user code

While commit n is on its way, turn n+1 is applied on top of it. The machine lives for one claim: when the claim is lost,
it is dropped with everything that is not honoured.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial

from headrace.adapters.seams import Handle
from headrace.records.changelog import Bookmark
from headrace.records.commands import AnyCommand, Broadcast, TakenUp
from headrace.records.history import SEQ_BITS
from headrace.records.rows import Positions, Run, Step
from headrace.worker.apply import Inputs
from headrace.worker.arrivals import Arrivals, way_out
from headrace.worker.commits import Commit, Commits
from headrace.worker.loading import load_run
from headrace.worker.look_back import LookBacks
from headrace.worker.outbox import Outbox
from headrace.worker.overlay import Overlay
from headrace.worker.sources import Sources
from headrace.worker.surroundings import Surroundings, Watcher
from headrace.worker.turn import LOOK_BACK, QUEUED, RESOLVE, START, OpenTurn, unpack_outbox_row
from headrace.worker.young import YoungRuns

POSITIONS_KEY = b""
_ROOM_S = 0.01
_START_SLICE = 500


class Machine:
    """Runs one partition under one claim."""

    def __init__(
        self,
        around: Surroundings,
        partition: int,
        claim: int,
        clock_offset_ms: int,
        topic_ids: tuple[str, str],
        overlay: Overlay,
        watcher: Watcher,
    ) -> None:
        self._around = around
        self.partition = partition
        self.claim = claim
        self._clock_offset_ms = clock_offset_ms
        self._watcher = watcher
        self.overlay = overlay
        self._limits = around.limits
        self._loop = around.loop
        self._execution = around.execution
        self.turn = OpenTurn(
            partition, around.partitions, around.topics, overlay, lambda name: self.inputs.wanted(name), around.counters
        )
        self.turn.limits = around.limits.runs
        self.inputs = Inputs(self.turn, topic_ids[1], around.limits.dead_value_bytes)
        self.commits = Commits(
            around.commits,
            around.topics.changelog,
            partition,
            topic_ids[0],
            claim,
            around.limits.chunk_bytes,
            self._honoured,
            self._fenced,
        )
        self._arrivals = Arrivals(around, partition, self.inputs, self._ask_pump)
        self.outbox = Outbox(way_out(around, partition), around.loop, around.limits.resend_ms, tell=watcher.tell)
        self.positions = overlay.positions.get(POSITIONS_KEY) or Positions()
        self.sources = Sources(
            around.reader,
            around.topics,
            partition,
            self.positions,
            self.inputs,
            around.limits.pending_bytes,
            self._ask_pump,
            watcher.stopped_source,
        )
        self._own: deque[AnyCommand] = deque()  # from executions and from the node
        self._definitions: deque[tuple[int, Broadcast]] = deque()
        self._snapshot_done: tuple[int, int] | None = None
        self._honoured_seq = 0  # every seq below belongs to a commit that is honoured
        self._pump_asked = False
        self._wake: Handle | None = None
        self._wake_ms = 0
        self._flush_timer: Handle | None = None
        self._tidy_timer: Handle | None = None
        self._room_timer: Handle | None = None
        self._hold_timer: Handle | None = None
        self._young = YoungRuns(around, overlay, self.submit)
        self.look_backs = LookBacks(around, overlay, self.inputs, self.submit, self.now_ms, watcher.tell)
        self.tidy = False  # make a turn, even if there is nothing to apply
        self._drained: Callable[[], None] | None = None
        self._draining = False
        self._timers_held = True
        self.alive = True

    # --- beginning and ending -----------------------------------------------------------------------------------

    def start(self, ends: dict[tuple[str, int], int], events_partitions: list[int]) -> None:
        """Begin: `ends` says where the logs of the inputs ended at the claim; timers wait until so much is applied."""
        self._honoured_seq = (self.claim + 1) << SEQ_BITS
        self.inputs.load_definitions()
        self.inputs.load_shapes()
        self.outbox.push([(key, unpack_outbox_row(raw)) for key, raw in self.overlay.outbox.scan(b"")])
        self.sources.start(ends, events_partitions)
        self._arrivals.open()
        self._start_found(deque(key.decode() for key, _ in self.overlay.runs.active.scan(b"")))
        self._hold_timers()
        self.look_backs.start()
        if self.turn.held_waits.needed():
            self.submit(TakenUp(self.claim))
        self._tidy_later()  # what the owner before had sent already is sent once more, and has to leave the state
        self._ask_pump()

    def _start_found(self, found: deque[str]) -> None:
        # Some at a time, and none while there is no room: there may be a million, and the loop has other partitions.
        started: list[str] = []
        while found and len(started) < _START_SLICE and self.alive and not self._execution.full:
            run_id = found.popleft()
            self._start_code(run_id)
            self.overlay.steps.keys(run_id.encode())  # what a new owner finds has an open group as well
            started.append(run_id)
        if self.alive:
            self._young.add(started)
        if found and self.alive:
            self._loop.call_later(0 if len(started) == _START_SLICE else _ROOM_S, self._start_found, found)

    def drop(self) -> None:
        """End at once: the claim is lost. Nothing that is not honoured leaves, and no report counts any more."""
        if not self.alive:
            return
        self.alive = False
        self._arrivals.drop()
        self.commits.close()
        self.outbox.close()
        self._around.counters.changelog_bytes += self.commits.bytes
        self._around.counters.resends += self.outbox.resends
        self.sources.close()
        self.look_backs.close()
        self._young.close()
        for timer in (self._wake, self._flush_timer, self._tidy_timer, self._room_timer, self._hold_timer):
            if timer is not None:
                timer.cancel()
        self._execution.drop(self)

    def drain(self, done: Callable[[], None]) -> None:
        """End in good order: read nothing more, let executions finish and be committed, send what is due, then call."""
        self.sources.close()
        self._arrivals.close()
        self._draining = True
        self._execution.drain(self, partial(self._executions_drained, done), self._limits.drain_ms)

    def _executions_drained(self, done: Callable[[], None]) -> None:
        if self.alive:
            self._drained = done
            self._ask_pump()

    def _finish_drain(self) -> None:
        done, self._drained = self._drained, None
        self.overlay.flush()
        self.drop()
        if done is not None:
            done()

    # --- inputs -------------------------------------------------------------------------------------------------

    def submit(self, command: AnyCommand) -> None:
        """Take a result of an execution, or a wish of this node, as an input."""
        if self.alive:
            self._own.append(command)
            self._ask_pump()

    def define(self, offset: int, command: Broadcast) -> None:
        """Take the record that stands at this offset of the functions topic, unless it is known."""
        if self.alive and offset >= self.positions.functions:
            self._definitions.append((offset, command))
            self._ask_pump()

    def snapshot_complete(self, upto: int, begin: int) -> None:
        """Commit that a complete snapshot stands on the snapshots topic: only this permits trimming."""
        self._snapshot_done = (upto, begin)
        self._ask_pump()

    # --- turns --------------------------------------------------------------------------------------------------

    def _ask_pump(self) -> None:
        if not self._pump_asked and self.alive:
            self._pump_asked = True
            self._loop.call_soon(self.pump)

    def now_ms(self) -> int:
        """The partition's time: the broker's as this node knows it, never going back."""
        return max(self.positions.now_ms, self._around.clock.monotonic_ms() + self._clock_offset_ms)

    time_ms = now_ms  # for execution: what begins and what ends is told by one clock

    def pump(self) -> None:
        """Make a turn if there is anything to apply and room for another commit."""
        self._pump_asked = False
        try:
            self._pump()
        except Exception as error:  # whatever it is, this partition must not go on as if nothing had happened
            self._break(error)

    def _break(self, error: Exception) -> None:
        self.drop()
        self._watcher.broken(error)

    def _pump(self) -> None:
        if not self.alive or self.commits.in_flight >= self._limits.commits_in_flight:
            return
        now_ms = self.now_ms()
        due = self._timer_due(now_ms)
        records = bool(self.sources.waiting) or self._arrivals.due()
        if (records or due) and self._execution.full:
            records = due = False  # or turns without an input would be committed, one after the other
            self._look_for_room()
        if not (records or self._own or self._definitions or due or self._snapshot_done is not None or self.tidy):
            if self._drained is not None and not self.commits.in_flight:
                self._finish_drain()
            return
        self._make_turn(now_ms)
        self._ask_pump()

    def _make_turn(self, now_ms: int) -> None:
        turn = self.turn
        turn.open(now_ms, self.commits.next_offset)
        positions = self.positions
        positions.now_ms = now_ms
        while self._definitions:
            offset, define = self._definitions.popleft()
            if offset >= positions.functions:
                self.inputs.define(define)
                positions.functions = offset + 1
        left = self._limits.turn_inputs
        own = self._own
        apply_command = self.inputs.command
        while own and left:
            apply_command(own.popleft())
            left -= 1
        if left and not self._execution.full:
            left = self._arrivals.apply(left, self._limits.turn_bytes)
        if self.sources.waiting and left and not self._execution.full:
            self.sources.apply(left, self._limits.turn_bytes)
        if not self._timers_held and not self._draining:
            self._fire_timers(now_ms)
        self.overlay.positions.put(POSITIONS_KEY, positions)
        self.tidy = False
        for key in self.outbox.take_done():
            self.overlay.outbox.delete(key)
        rows, sends, effects = turn.close()
        upto, begin = self._snapshot_done or (-1, -1)
        self._snapshot_done = None
        handed = self._arrivals.take_applied()
        self.commits.append(Commit(rows, sends, effects, upto, begin, positions.commands, handed))

    def _timer_due(self, now_ms: int) -> bool:
        if self._draining or (self._timers_held and not self.sources.caught_up()):
            return False
        self._timers_held = False
        due_ms = self.overlay.timers.next_due_ms()
        if due_ms is None:
            return False
        if due_ms <= now_ms:
            return True
        if self._wake is None or due_ms < self._wake_ms:
            if self._wake is not None:
                self._wake.cancel()
            self._wake_ms = due_ms
            self._wake = self._loop.call_later(min(due_ms - now_ms, self._limits.wake_ms) / 1000, self._woken)
        return False

    def _hold_timers(self) -> None:
        # What stood in the logs at the claim comes first. Behind the last record there may be offsets that hold none
        # (the marks of a producer's transactions), and nothing comes for those: silence is taken for the end.
        position = self.sources.progress

        def look() -> None:
            self._hold_timer = None
            if self.sources.progress == position and not self.sources.waiting:
                self._timers_held = False
                self._ask_pump()
            elif self._timers_held:
                self._hold_timers()

        self._hold_timer = self._loop.call_later(self._limits.catch_up_ms / 1000, look)

    def _woken(self) -> None:
        self._wake = None
        self._ask_pump()

    def _look_for_room(self) -> None:
        # Nobody tells when code ends that belongs to another partition of this node.
        if self._room_timer is None:
            self._room_timer = self._loop.call_later(_ROOM_S, self._room_looked)

    def _room_looked(self) -> None:
        self._room_timer = None
        self._ask_pump()

    def _fire_timers(self, now_ms: int) -> None:
        left = 4 * self._limits.turn_inputs  # what is due is late already; reports of what it sets free can wait
        timers = self.overlay.timers
        while left:
            if self._execution.full:  # whatever is due will start code; it stays due until there is room
                return
            key = timers.pop_due(now_ms)
            if key is None:
                return
            if not self.turn.held_waits.puts_aside(key):
                self.inputs.timer(key)
            left -= 1

    # --- what a commit sets free --------------------------------------------------------------------------------

    def _honoured(self, commit: Commit, bookmark: Bookmark) -> None:
        try:
            self._set_free(commit, bookmark)
        except Exception as error:
            self._break(error)

    def _set_free(self, commit: Commit, bookmark: Bookmark) -> None:
        self._honoured_seq = bookmark.position << SEQ_BITS
        self._around.counters.commits += 1
        overlay = self.overlay
        overlay.honour(commit.rows, bookmark)
        if commit.sends:
            self.outbox.push(commit.sends)
        if commit.handed:
            self._arrivals.honoured(commit.handed)
        execution = self._execution
        started: list[str] = []
        queued: list[str] = []
        for kind, run_id, step, row in commit.effects:
            if kind == START:
                started.append(run_id)
                self._start_code(run_id)
            elif kind == RESOLVE and row is not None:
                execution.resolve(self, run_id, step, row)
            elif kind == LOOK_BACK:
                self.look_backs.begin(step, run_id)
            elif kind == QUEUED:
                queued.append(run_id)
            else:
                execution.stop(self, run_id)
        self._young.add(started)
        self._young.add(queued, queued=True)
        if overlay.honoured_rows >= self._limits.flush_rows:
            overlay.flush()
        elif self._flush_timer is None:
            self._flush_timer = self._loop.call_later(self._limits.flush_after_ms / 1000, self.flush)
        self._tidy_later()
        if commit.snapshot_upto >= 0:
            self._watcher.snapshot_honoured(commit.snapshot_upto, commit.snapshot_begin, commit.commands_upto)
        self._ask_pump()

    def flush(self) -> None:
        """Bring the store up to the last commit that counts; what goes wrong there ends the machine."""
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None
        try:
            self.overlay.flush()
        except Exception as error:  # the disk is full, say
            self._break(error)

    def _tidy_later(self) -> None:
        if self._tidy_timer is None:
            self._tidy_timer = self._loop.call_later(self._limits.tidy_after_ms / 1000, self._tidy_up)

    def _tidy_up(self) -> None:
        # What the outbox has sent for good leaves the state with the next commit; without traffic, with one of its own.
        self._tidy_timer = None
        if self.outbox.done:
            self.tidy = True
            self._ask_pump()
        elif self.outbox.pending:
            self._tidy_later()

    def _start_code(self, run_id: str) -> None:
        loaded = self.load(run_id)
        if loaded is not None:
            self._execution.start(self, run_id, *loaded)

    def load(self, run_id: str) -> tuple[Run, dict[bytes, Step]] | None:
        """Read a live run and what is committed of its steps, by name."""
        return load_run(self.overlay, run_id, self._honoured_seq)

    def _fenced(self, reason: str) -> None:
        self.drop()
        self._watcher.fenced(reason)
