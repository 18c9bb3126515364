"""The machine of one owned partition: inputs in, turns, commits out.

    inputs ──► turn (apply.py over the overlay) ──► commit on the changelog ──► honoured ──► store, outbox, user code

While commit n is on its way, turn n+1 is applied on top of it. The machine lives for one claim: when the claim is lost,
it is dropped with everything that is not honoured.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from headrace.adapters.seams import Appender, Clock, Handle, Loop, Reader, ReadFailure, Reading, Record
from headrace.records.changelog import Bookmark
from headrace.records.commands import AnyCommand, DefineFunction
from headrace.records.rows import Positions, Run, Step, StepState, run_key
from headrace.worker.apply import Inputs
from headrace.worker.commits import Commit, Commits
from headrace.worker.layout import Limits, Topics
from headrace.worker.outbox import Outbox
from headrace.worker.overlay import Overlay
from headrace.worker.turn import RESOLVE, SEQ_BITS, START, OpenTurn, unpack_outbox_row

POSITIONS_KEY = b""


class Execution(Protocol):
    """Where user code runs (`execution/`). Everything is asked for after the commit that permits it is honoured."""

    @property
    def full(self) -> bool:
        """Whether so much code is alive that no more events should be taken for now."""
        ...

    def start(self, owner: Machine, run_id: str, run: Run, steps: dict[bytes, Step]) -> None:
        """Begin a run's code, or go on from what is recorded of it."""
        ...

    def resolve(self, owner: Machine, run_id: str, step: bytes, row: Step) -> None:
        """Tell the code what became of a step; code that is not alive is started."""
        ...

    def stop(self, owner: Machine, run_id: str) -> None:
        """Interrupt the code: its run has ended."""
        ...

    def drain(self, owner: Machine, done: Callable[[], None], within_ms: int) -> None:
        """Start nothing, let what executes finish, cancel the rest, then call."""
        ...

    def drop(self, owner: Machine) -> None:
        """Cancel everything of this owner at once."""
        ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the machines of one node share: the seams, the settings, where user code runs."""

    node: str
    partitions: int
    topics: Topics
    limits: Limits
    loop: Loop
    clock: Clock
    commits: Appender
    outbox: Appender
    reader: Reader
    execution: Execution


class Watcher(Protocol):
    """Who is told what becomes of a machine."""

    def fenced(self, reason: str) -> None: ...

    def stopped_source(self, topic: str, partition: int, failure: ReadFailure, text: str) -> None: ...

    def snapshot_honoured(self, upto: int, begin: int, commands_upto: int) -> None: ...


class _Source:
    """One partition that is read as input."""

    __slots__ = ("caught_up_at", "paused", "position", "reading")

    def __init__(self, position: int) -> None:
        self.position = position  # next offset to be applied
        self.caught_up_at = 0  # what stood in the log at the claim ends here
        self.reading: Reading | None = None
        self.paused = False


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
        changelog_id, events_id = topic_ids
        self.turn = OpenTurn(partition, around.partitions, around.topics, overlay, self._wanted)
        self.inputs = Inputs(self.turn, events_id, around.limits.dead_value_bytes)
        self.commits = Commits(
            around.commits,
            around.topics.changelog,
            partition,
            changelog_id,
            claim,
            around.limits.chunk_bytes,
            self._honoured,
            self._fenced,
        )
        self.outbox = Outbox(around.outbox, around.loop, around.limits.resend_ms)
        self.positions = overlay.positions.get(POSITIONS_KEY) or Positions()
        self._events: dict[int, _Source] = {}
        self._commands = _Source(self.positions.commands)
        self._records: deque[list[Record]] = deque()  # read, not applied yet
        self._record_index = 0
        self._pending_bytes = 0
        self._own: deque[AnyCommand] = deque()  # from executions and from the node
        self._definitions: deque[tuple[int, DefineFunction]] = deque()
        self._snapshot_done: tuple[int, int] | None = None
        self._honoured_seq = 0  # every seq below belongs to a commit that is honoured
        self._pump_asked = False
        self._wake: Handle | None = None
        self._wake_ms = 0
        self._flush_timer: Handle | None = None
        self._tidy_timer: Handle | None = None
        self._tidy = False
        self._drained: Callable[[], None] | None = None
        self._draining = False
        self._timers_held = True
        self.alive = True
        self.turns = 0

    # --- beginning and ending -----------------------------------------------------------------------------------

    def start(self, ends: dict[tuple[str, int], int], events_partitions: list[int]) -> None:
        """Begin: `ends` says where the logs of the inputs ended at the claim; timers wait until so much is applied."""
        topics = self._around.topics
        self._honoured_seq = (self.claim + 1) << SEQ_BITS
        self.inputs.load_definitions()
        self.outbox.push([(key, unpack_outbox_row(raw)) for key, raw in self.overlay.outbox.scan(b"")])
        for q in events_partitions:
            source = self._events[q] = _Source(self.positions.events.get(q, 0))
            source.caught_up_at = ends[(topics.events, q)]
            self._read(source, topics.events, q)
        self._commands.caught_up_at = ends[(topics.commands, self.partition)]
        self._read(self._commands, topics.commands, self.partition)
        self._execution_begin()
        self._ask_pump()

    def _execution_begin(self) -> None:
        for key, _ in self.overlay.executing.scan(b""):
            self._start_code(key.decode())

    def _read(self, source: _Source, topic: str, partition: int) -> None:
        source.reading = self._around.reader.read(
            topic,
            partition,
            source.position,
            self._take_records,
            lambda failure, text: self._watcher.stopped_source(topic, partition, failure, text),
        )

    def skip_to(self, topic: str, partition: int, offset: int) -> None:
        """Go on with a source at a later offset (what was before is gone from the log), by the operator's setting."""
        source = self._commands if topic == self._around.topics.commands else self._events[partition]
        source.position = offset
        self._read(source, topic, partition)

    def drop(self) -> None:
        """End at once: the claim is lost. Nothing that is not honoured leaves, and no report counts any more."""
        if not self.alive:
            return
        self.alive = False
        self.commits.close()
        self.outbox.close()
        self._close_readings()
        for timer in (self._wake, self._flush_timer, self._tidy_timer):
            if timer is not None:
                timer.cancel()
        self._execution.drop(self)

    def drain(self, done: Callable[[], None]) -> None:
        """End in good order: read nothing more, let executions finish and be committed, send what is due, then call."""
        self._close_readings()
        self._draining = True
        self._records.clear()
        self._pending_bytes = self._record_index = 0
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

    def _close_readings(self) -> None:
        for source in (self._commands, *self._events.values()):
            if source.reading is not None:
                source.reading.close()
                source.reading = None

    # --- inputs -------------------------------------------------------------------------------------------------

    def submit(self, command: AnyCommand) -> None:
        """Take a result of an execution, or a wish of this node, as an input."""
        if self.alive:
            self._own.append(command)
            self._ask_pump()

    def define(self, offset: int, command: DefineFunction) -> None:
        """Take a definition that stands at this offset of the functions topic, unless it is known."""
        if self.alive and offset >= self.positions.functions:
            self._definitions.append((offset, command))
            self._ask_pump()

    def snapshot_complete(self, upto: int, begin: int) -> None:
        """Commit that a complete snapshot stands on the snapshots topic: only this permits trimming."""
        self._snapshot_done = (upto, begin)
        self._ask_pump()

    def _take_records(self, records: list[Record]) -> None:
        self._records.append(records)
        size = 0
        for record in records:
            size += len(record.value or b"") + 64
        self._pending_bytes += size
        if self._pending_bytes > self._limits.pending_bytes:
            self._pause(True)
        self._ask_pump()

    def _pause(self, pause: bool) -> None:
        # Commands are never paused: what other partitions wait for must not stand behind a flood of events.
        for source in self._events.values():
            if source.reading is not None and source.paused != pause:
                source.paused = pause
                if pause:
                    source.reading.pause()
                else:
                    source.reading.resume()

    # --- turns --------------------------------------------------------------------------------------------------

    def _ask_pump(self) -> None:
        if not self._pump_asked and self.alive:
            self._pump_asked = True
            self._loop.call_soon(self.pump)

    def now_ms(self) -> int:
        """The partition's time: the broker's as this node knows it, never going back."""
        return max(self.positions.now_ms, self._around.clock.monotonic_ms() + self._clock_offset_ms)

    def pump(self) -> None:
        """Make a turn if there is anything to apply and room for another commit."""
        self._pump_asked = False
        if not self.alive or self.commits.in_flight >= self._limits.commits_in_flight:
            return
        now_ms = self.now_ms()
        due = self._timer_due(now_ms)
        if not (
            self._records or self._own or self._definitions or due or self._snapshot_done is not None or self._tidy
        ):
            if self._drained is not None and not self.commits.in_flight:
                self._finish_drain()
            return
        self._make_turn(now_ms)
        self._ask_pump()

    def _make_turn(self, now_ms: int) -> None:
        self.turns += 1
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
        if self._records and left and not self._execution.full:
            self._apply_records(left)
        if not self._timers_held and not self._draining:
            self._fire_timers(now_ms)
        self.overlay.positions.put(POSITIONS_KEY, positions)
        self._tidy = False
        for key in self.outbox.take_done():
            self.overlay.outbox.delete(key)
        rows, sends, effects = turn.close()
        upto, begin = self._snapshot_done or (-1, -1)
        self._snapshot_done = None
        self.commits.append(Commit(rows, sends, effects, upto, begin, positions.commands))

    def _apply_records(self, left: int) -> None:
        budget = self._limits.turn_bytes
        index = self._record_index
        commands_topic = self._around.topics.commands
        taken = 0
        while self._records and left > 0 and taken < budget:
            records = self._records[0]
            record = records[index]
            taken += len(record.value or b"") + 64
            if record.topic == commands_topic:
                self.inputs.commands_record(record)
                self._commands.position = self.positions.commands = record.offset + 1
            else:
                self.inputs.event_record(record)
                self._events[record.partition].position = record.offset + 1
                self.positions.events[record.partition] = record.offset + 1
            left -= 1
            index += 1
            if index == len(records):
                self._records.popleft()
                index = 0
        self._record_index = index
        self._pending_bytes -= taken
        if self._pending_bytes < self._limits.pending_bytes // 2:
            self._pause(False)

    def _caught_up(self) -> bool:
        return self._commands.position >= self._commands.caught_up_at and all(
            source.position >= source.caught_up_at for source in self._events.values()
        )

    def _timer_due(self, now_ms: int) -> bool:
        if self._draining:
            return False
        if self._timers_held:
            if not self._caught_up():
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
            # A wake-up at most a minute ahead: the clock's offset and the loop's own time may drift apart.
            self._wake = self._loop.call_later(min(due_ms - now_ms, 60_000) / 1000, self._woken)
        return False

    def _woken(self) -> None:
        self._wake = None
        self._ask_pump()

    def _fire_timers(self, now_ms: int) -> None:
        left = self._limits.turn_inputs
        timers = self.overlay.timers
        while left:
            key = timers.pop_due(now_ms)
            if key is None:
                return
            self.inputs.timer(key)
            left -= 1

    # --- what a commit sets free --------------------------------------------------------------------------------

    def _honoured(self, commit: Commit, bookmark: Bookmark) -> None:
        self._honoured_seq = bookmark.position << SEQ_BITS
        overlay = self.overlay
        overlay.honour(commit.rows, bookmark)
        if commit.sends:
            self.outbox.push(commit.sends)
        execution = self._execution
        for kind, run_id, step, row in commit.effects:
            if kind == START:
                self._start_code(run_id)
            elif kind == RESOLVE and row is not None:
                execution.resolve(self, run_id, step, row)
            else:
                execution.stop(self, run_id)
        if overlay.honoured_rows >= self._limits.flush_rows:
            overlay.flush()
        elif self._flush_timer is None:
            self._flush_timer = self._loop.call_later(self._limits.flush_after_ms / 1000, self._flush)
        if self._tidy_timer is None:
            self._tidy_timer = self._loop.call_later(self._limits.tidy_after_ms / 1000, self._tidy_up)
        if commit.snapshot_upto >= 0:
            self._watcher.snapshot_honoured(commit.snapshot_upto, commit.snapshot_begin, commit.commands_upto)
        self._ask_pump()

    def _flush(self) -> None:
        self._flush_timer = None
        self.overlay.flush()

    def _tidy_up(self) -> None:
        # What the outbox has sent for good leaves the state with the next commit; without traffic, with one of its own.
        self._tidy_timer = None
        if self.outbox.done:
            self._tidy = True
            self._ask_pump()
        elif self.outbox.pending:
            self._tidy_timer = self._loop.call_later(self._limits.tidy_after_ms / 1000, self._tidy_up)

    def _start_code(self, run_id: str) -> None:
        loaded = self.load(run_id)
        if loaded is not None:
            self._execution.start(self, run_id, *loaded)

    def load(self, run_id: str) -> tuple[Run, dict[bytes, Step]] | None:
        """Read a live run and what is committed of its steps, by name.

        A result whose commit is on its way must not be seen by code yet (I10): it is shown as pending with `due_ms` -1,
        and `resolve` follows.
        """
        key = run_key(run_id)[1:]
        run = self.overlay.runs.get(key)
        if run is None:
            return None
        steps: dict[bytes, Step] = {}
        for step_key, row in self.overlay.steps.scan(key):
            if row.order >= self._honoured_seq:
                row = Step(row.id, row.op, StepState.PENDING, row.attempt, row.order, None, None, -1, row.started_ms)
            steps[step_key[len(key) :]] = row
        return run, steps

    def _wanted(self, event_name: str) -> bool:
        return self.inputs.routes.wanted(event_name)

    def _fenced(self, reason: str) -> None:
        self.drop()
        self._watcher.fenced(reason)

    @property
    def backlog_records(self) -> int:
        """Records that were read and are not applied yet."""
        return sum(map(len, self._records)) - self._record_index
