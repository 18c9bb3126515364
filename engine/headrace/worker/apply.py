"""Apply one input to a partition: decode it, ask the pure rooms, in the order routing → admission → runs.

Everything here is synchronous and deterministic in (state, input, now_ms).
"""

from __future__ import annotations

from typing import Any

from headrace.adapters.seams import Record
from headrace.admission import Plan, first_starts, forget_event_ids, make_home, plan_of
from headrace.errors import BadRecord, StateCorrupted
from headrace.functions.settings import LIMITS, PAUSE
from headrace.records.broadcasts import split_broadcast_key
from headrace.records.commands import ENVELOPE, AnyCommand, BackFilled, Broadcast, Envelope, FilledBack, Gathered
from headrace.records.events import HEADER_SOURCE, EventFields, read_event
from headrace.records.ids import entropy, partition_of, position_entropy, ulid_tail, ulid_time
from headrace.records.rows import KnownEvent, Start, Timer, TimerKind, timer_key
from headrace.records.waits import Found
from headrace.routing import SHAPE_KIND, Forwarding, Routes
from headrace.runs import new_start, start_run, wake_run, wake_step
from headrace.worker.back_fill_rows import plan_back_fill, take_filled
from headrace.worker.burying import bury
from headrace.worker.dispatch import BROADCASTS, COMMANDS, TIMERS
from headrace.worker.event_records import header_of, known_event
from headrace.worker.honour import VERSIONS_RESERVED
from headrace.worker.timers import due_of
from headrace.worker.turn import NONE_BEFORE, OpenTurn

_NAMES_MAX = 4096
_UNKNOWN: Any = object()
_NO_PLAN = Plan(())
_Batch = tuple[str, Plan]  # a function and its plan, whose first stage gathers
_DEFINING = ("", LIMITS, PAUSE)  # the kinds of broadcasts that say how a function's events are routed and admitted


def _sender_key(source: int) -> bytes:
    return b"c" + source.to_bytes(4, "big")


class Inputs:
    """Applies inputs to one partition's turn, and counts them."""

    def __init__(self, turn: OpenTurn, events_topic_id: str, dead_value_bytes: int) -> None:
        self._turn = turn
        self._topic_id = events_topic_id
        self._dead_value_bytes = dead_value_bytes
        self._seeds: dict[int, int] = {}
        self.routes = Routes([])
        self.forwarding = Forwarding()
        self._plans: dict[str, Plan] = {}
        self._batches: dict[str, _Batch | None] = {}  # by event name, where nothing else can become of it
        self._applying = False
        self._counters = turn.counters

    def load_definitions(self) -> None:
        """Compile the triggers and the stages of all functions that the partition knows."""
        turn = self._turn
        turn.definitions_changed()
        known = [turn.definition(key.decode()) for key, _ in turn.state.definitions.scan(b"")]
        definitions = [definition for definition in known if definition is not None]
        self.routes = Routes(definitions)
        self._plans = {}
        self._batches.clear()
        for definition in definitions:
            home = make_home(definition, paused=turn.paused_at_all(definition.id))
            plan = plan_of(definition, home)
            if plan is not None:
                self._plans[definition.id] = plan

    def load_shapes(self) -> None:
        """Compile the shapes of events that are forwarded to those who wait."""
        self.forwarding = Forwarding(self._turn.state.waiting.shapes.scan(b""))
        self._batches.clear()

    def wanted(self, event_name: str) -> bool:
        """Whether an event of this name starts or resolves anything, as far as the partition knows."""
        return self.routes.wanted(event_name) or self.forwarding.wanted(event_name)

    def define(self, command: Broadcast) -> None:
        """Take in a record of the functions topic: a definition, or what else all partitions know; or its removal."""
        kind, name = split_broadcast_key(command.key)
        table = self._turn.state.broadcasts if kind else self._turn.state.definitions
        is_new = not kind and command.value is not None and table.get(command.key) is None
        if command.value is None:
            table.delete(command.key)
        else:
            table.put(command.key, command.value)
        if kind in _DEFINING:
            self.load_definitions()
        if not kind:
            plan_back_fill(self._turn, name, is_new=is_new)
        if kind in BROADCASTS:  # a kind of a newer version stays in its row until this node is upgraded
            BROADCASTS[kind](self._turn, name, command.value)
            if kind == SHAPE_KIND:
                self.load_shapes()
            if self._turn.local:
                self._apply_local()

    def command(self, command: AnyCommand) -> None:
        """Apply a command of this process, or one that has passed the order check."""
        if type(command) is KnownEvent:
            self._admit(command)
        elif type(command) is Broadcast:
            self.define(command)
        elif type(command) is Start:
            self._start(command)
        elif type(command) is Gathered:
            self._take_gathered(command)
        elif type(command) is FilledBack:
            self._fill_back(command)
        elif type(command) is BackFilled:
            self._start_late(command)
        else:
            COMMANDS[type(command)](self._turn, command)
        if self._turn.local:
            self._apply_local()

    def _apply_local(self) -> None:
        # In the order in which they were sent, as between partitions: what follows from one comes behind the others.
        if self._applying:
            return
        self._applying = True
        try:
            local = self._turn.local
            done = 0
            while done < len(local):
                self.command(local[done])
                done += 1
            local.clear()
        finally:
            self._applying = False

    def commands_record(self, record: Record) -> None:
        """Apply a record of the commands topic: once and in order, or the console's as it comes."""
        try:
            envelope = ENVELOPE.decode(record.value or b"")
        except StateCorrupted as error:
            if record.value and record.value[0] in VERSIONS_RESERVED:
                raise  # a newer node's: to bury it would be to lose it, so the partition waits for the upgrade
            bury(self._turn, record, error, self._dead_value_bytes)
            return
        self.envelope(envelope)

    def envelope(self, envelope: Envelope) -> None:
        """Apply what another partition sent, if it comes when it is due; or what the console asks, as it comes."""
        if envelope.source >= 0:
            last = self.last_seq(envelope.source)
            if envelope.seq <= last:
                self._counters.repeats += 1
                return
            if envelope.prev != last:
                self._counters.gaps += 1  # the sender goes back and sends the missing one and everything after it again
                return
            self._turn.state.last_applied.put(_sender_key(envelope.source), envelope.seq)
        self.command(envelope.command)

    def last_seq(self, source: int) -> int:
        """Tell the seq of the last command from a partition that is applied."""
        last = self._turn.state.last_applied.get(_sender_key(source))
        return NONE_BEFORE if last is None else last

    def event_record(self, record: Record) -> None:
        """Apply a record of the events topic."""
        self._counters.events += 1
        source = header_of(record, HEADER_SOURCE) if record.headers else None
        try:
            internal = source is not None
            if source is not None and not self._is_new(record.partition, source):
                return
            fields = read_event(record.value, record.key, internal=internal)
        except BadRecord as error:
            bury(self._turn, record, error, self._dead_value_bytes)
            return
        self._take_event(record, fields)

    def event_records(self, records: list[Record]) -> None:
        """Apply neighbouring records of one partition of the events topic; those for the same batch go there together.

        A batch of a busy function is what an event costs least in, so nothing is done here for each that can be done
        for all of them.
        """
        group: list[KnownEvent] = []
        batch: _Batch | None = None  # where the group goes
        batches = self._batches
        for record in records:
            _, partition, offset, at_ms, key, value, headers = record
            if headers:  # an id or a source of the engine's own
                self._gather(batch, group)
                self.event_record(record)
                continue
            self._counters.events += 1
            try:
                fields = read_event(value, key)
            except BadRecord as error:
                bury(self._turn, record, error, self._dead_value_bytes)
                continue
            name = fields.name
            into = batches.get(name, _UNKNOWN)
            if into is _UNKNOWN:
                into = self._find_batch(name)
            if into is not batch:
                self._gather(batch, group)
                batch = into
            if into is None or fields.id or fields.ts:
                self._gather(batch, group)
                self._take_event(record, fields)
            else:
                # As `known_event` does it, without asking for headers.
                cause = position_entropy(self._seed(partition), offset)
                event_id = ulid_time(at_ms) + ulid_tail(cause)
                group.append(KnownEvent(event_id, name, value or b"", at_ms, at_ms, "", key))
        self._gather(batch, group)

    def _find_batch(self, name: str) -> _Batch | None:
        """Look whether events of this name can do nothing but go into batches of one function."""
        function_id = None if self.forwarding.wanted(name) else self.routes.only(name)
        plan = None if function_id is None else self._plans.get(function_id)
        batch = None
        if function_id is not None and plan is not None and plan.gather is not None:
            batch = (function_id, plan)
        if len(self._batches) >= _NAMES_MAX:  # names come from strangers: keep the table bounded
            self._batches.clear()
        self._batches[name] = batch
        return batch

    def _gather(self, batch: _Batch | None, group: list[KnownEvent]) -> None:
        """Take events into their batch; where there is none to take them in, the next one begins it with a start."""
        if not group or batch is None:
            return
        function_id, plan = batch
        turn = self._turn
        left, group[:] = group[:], []
        while left:
            if plan.gather is not None and (taken := plan.gather(turn, left)):
                left = left[taken:]
            elif plan.forward is not None and plan.forward(turn, left):
                left = []
            else:
                self._start(new_start(turn, function_id, left.pop(0)))
            if turn.local:
                self._apply_local()

    def _take_gathered(self, gathered: Gathered) -> None:
        """Take in events from another partition; as that one, by what is known of the function here."""
        plan = self._plans.get(gathered.function_id, _NO_PLAN)
        self._gather((gathered.function_id, plan), gathered.events)

    def _take_event(self, record: Record, fields: EventFields) -> None:
        cause = self.cause(record)
        event = known_event(record, fields, cause)
        if self.forwarding.wanted(event.name):
            self.forwarding.forward(self._turn, Found(record.partition, record.offset, event))
            if self._turn.local:
                self._apply_local()
        self._place(event, cause)

    def cause(self, record: Record) -> int:
        """Give the place of an event's record as 80 bits."""
        return position_entropy(self._seed(record.partition), record.offset)

    def _seed(self, partition: int) -> int:
        seed = self._seeds.get(partition)
        if seed is None:
            seed = self._seeds[partition] = entropy(f"{self._topic_id}\0{partition}".encode())
        return seed

    def _is_new(self, partition: int, source: bytes) -> bool:
        """Whether a published event comes when it is due: once, and behind the one sent before it."""
        try:
            sender, seq, prev = (int(part) for part in source.split(b":"))
        except ValueError:
            sender = seq = prev = -1
        if not (0 <= sender < 1 << 32 and 0 <= seq < 1 << 63):
            raise BadRecord(
                "event_source_invalid",
                f"the header {HEADER_SOURCE} is {source[:60]!r}",
                why="this header is the engine's own: partition:seq:prev",
                do="do not set it",
            )
        last_applied = self._turn.state.last_applied
        place = partition.to_bytes(4, "big")
        key = b"e" + place + sender.to_bytes(4, "big")
        last = last_applied.get(key)
        forgiven = False
        if last is None:
            last, forgiven = NONE_BEFORE, last_applied.get(b"s" + place) is not None
        elif last < 0:
            last, forgiven = -last - 2, True
        if seq <= last:
            self._counters.repeats += 1
            return False
        if prev != last and not forgiven:
            self._counters.gaps += 1  # the sender goes back and sends the missing one and everything after it again
            return False
        last_applied.put(key, seq)
        return True

    def forgive_gaps(self, partition: int) -> None:
        """Take note that records of an events partition have expired unread.

        What was published there may be among them and does not come again, so each source may go on behind a gap, once:
        its last seq is kept as -2 - seq until then, and a row says so for sources that are not known yet.
        """
        last_applied = self._turn.state.last_applied
        place = partition.to_bytes(4, "big")
        for key, last in last_applied.scan(b"e" + place):
            if last >= 0:
                last_applied.put(key, -last - 2)
        last_applied.put(b"s" + place, 1)

    def _place(self, event: KnownEvent, cause: int) -> None:
        # An id without a key is decided where all records with that id are decided.
        if event.given_id and event.key is None:
            turn = self._turn
            place = event.given_id.encode()
            target = partition_of(place, turn.partitions)
            if target != turn.partition:
                event.key = place
                turn.command(target, event)
                return
        self._admit(event, cause)

    def _admit(self, event: KnownEvent, cause: int = -1) -> None:
        turn = self._turn
        if event.ts_ms > turn.now_ms and event.ts_ms > event.at_ms:
            turn.state.timers.put(
                timer_key(event.ts_ms, TimerKind.EVENT, event.id), Timer(TimerKind.EVENT, event=event)
            )
            return
        self._route(event, cause)

    def _route(self, event: KnownEvent, cause: int = -1) -> None:
        turn = self._turn
        function_ids = self.routes.match(event, turn.now_ms)
        if not function_ids:
            return
        if event.given_id:
            function_ids = first_starts(turn, event, function_ids)
        plans = self._plans
        for function_id in function_ids:
            plan = plans.get(function_id)
            if plan is None or plan.gather is None or not plan.gather(turn, [event]):
                self._start(new_start(turn, function_id, event, cause))
        if turn.local:
            self._apply_local()

    def _fill_back(self, filled: FilledBack) -> None:
        """Start a new function by events from before it was known, and move on: each of them once."""
        turn = self._turn
        for late in take_filled(turn, filled):
            event = late.event
            if late.function_id not in self.routes.match(event, turn.now_ms):
                continue
            if event.given_id and event.key is None:
                # Where all records with that id are decided, as if it came now.
                event.key = event.given_id.encode()
                turn.command(partition_of(event.key, turn.partitions), BackFilled(late.function_id, event))
            else:
                self._start_late(late)

    def _start_late(self, late: BackFilled) -> None:
        turn = self._turn
        if late.event.given_id and not first_starts(turn, late.event, [late.function_id]):
            return
        self._start(new_start(turn, late.function_id, late.event, late.cause))

    def _start(self, start: Start) -> None:
        turn = self._turn
        plan = self._plans.get(start.function_id)
        if plan is not None and not plan.admit(turn, start):
            return
        self._counters.runs_started += 1
        run_key = start_run(turn, start).encode()
        turn.state.runs.note_new(run_key)
        turn.state.steps.open_group(run_key)

    def timer(self, key: bytes) -> None:
        """Apply a due timer; one whose row is gone is nothing."""
        turn = self._turn
        row = turn.state.timers.get(key)
        if row is None:
            return
        turn.state.timers.delete(key)
        self._counters.timers_fired += 1
        due_ms = due_of(key)
        if row.kind == TimerKind.STEP:
            wake_step(turn, row.run_id, row.step, due_ms)
        elif row.kind == TimerKind.RUN:
            wake_run(turn, row.run_id, due_ms)
        elif row.kind == TimerKind.EVENT and row.event is not None:
            self._route(row.event)
        elif row.kind == TimerKind.EVENT_ID_EXPIRY:
            forget_event_ids(turn, due_ms, row.step)
        elif row.kind in TIMERS:
            TIMERS[row.kind](turn, row, due_ms)
        if turn.local:
            self._apply_local()
