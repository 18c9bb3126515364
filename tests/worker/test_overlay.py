"""The overlay and its timers. Goal: a turn sees all that was written before it; the store holds a prefix of the log.

Method: a machine draws puts, deletes, ends of turns, honoured commits, flushes and lost claims. Beside it stand two
plain dictionaries: what the next turn must see, and what a reader of the log would have at the bookmark.
"""

from __future__ import annotations

from collections import deque
from itertools import product
from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from headrace.adapters.memory_store import MemoryStores
from headrace.records import rows
from headrace.records.changelog import BOOKMARK, Bookmark, RowChange
from headrace.worker.overlay import Overlay
from headrace.worker.timers import TimerRows, due_of

IN_FLIGHT_MAX = 3
RUN_IDS = [letter * 26 for letter in "ABC"]
STEPS = [b"load", b"load\x001", b"save"]
keys = st.sampled_from([b"", b"a", b"ab", b"b"])
runs = st.sampled_from(RUN_IDS)


def timer(due_ms: int) -> bytes:
    return rows.timer_key(due_ms, rows.TimerKind.EVENT_ID_EXPIRY)


class OverlayMachine(RuleBasedStateMachine):
    """The overlay beside two dictionaries by full key."""

    @initialize(cached_max=st.sampled_from([0, 4, 1000]), groups_max=st.sampled_from([1, 1000]))
    def begin(self, cached_max: int, groups_max: int) -> None:
        self.store = MemoryStores().open(0)
        self.cached_max, self.groups_max = cached_max, groups_max
        self.view: dict[bytes, bytes] = {}  # what the next turn must see
        self.logged: dict[bytes, bytes] = {}  # what the honoured commits make
        self.stored: dict[bytes, bytes] = {}  # the same, at the last flush
        self.flight: list[list[RowChange]] = []
        self.position = 0
        self.stored_position = 0
        self.outbox_keys = 0
        self.open_overlay()

    def open_overlay(self) -> None:
        self.overlay = Overlay(self.store)
        self.overlay.ROWS_CACHED_MAX = self.cached_max
        self.overlay.steps.GROUPS_MAX = self.groups_max
        timers = self.overlay.timers = TimerRows(self.store, window_max=2)
        self.overlay.tables = [timers if t.table == rows.TIMERS else t for t in self.overlay.tables]
        self.overlay._by_byte = {table.table[0]: table for table in self.overlay.tables}

    # --- writing ------------------------------------------------------------------------------------------------

    def put(self, table: Any, key: bytes, value: Any, raw: bytes | None = None) -> None:
        table.put(key, value)
        self.view[table.table + key] = msgspec.msgpack.encode(value) if raw is None else raw

    def delete(self, table: Any, key: bytes) -> None:
        table.delete(key)
        self.view.pop(table.table + key, None)

    @rule(key=keys, value=st.sampled_from([b"", b"x", b"xyz"]))
    def put_bytes(self, key: bytes, value: bytes) -> None:
        self.put(self.overlay.definitions, key, value, value)

    @rule(key=keys)
    def delete_bytes(self, key: bytes) -> None:
        self.delete(self.overlay.definitions, key)

    @rule(key=keys, number=st.integers(0, 3))
    def put_number(self, key: bytes, number: int) -> None:
        self.put(self.overlay.last_applied, key, number)

    @rule(due_ms=st.integers(0, 12))
    def set_timer(self, due_ms: int) -> None:
        self.put(self.overlay.timers, timer(due_ms), rows.Timer(rows.TimerKind.EVENT_ID_EXPIRY))

    @rule(due_ms=st.integers(0, 12))
    def take_timer_back(self, due_ms: int) -> None:
        self.delete(self.overlay.timers, timer(due_ms))

    @rule(now_ms=st.integers(0, 12))
    def fire_timers(self, now_ms: int) -> None:
        fired = []
        while (key := self.overlay.timers.pop_due(now_ms)) is not None:
            fired.append(key)
            self.delete(self.overlay.timers, key)
        assert fired == sorted(fired)
        left = [key[1:] for key in self.view if key[:1] == rows.TIMERS]
        assert all(due_of(key) > now_ms for key in left), "a due timer was passed over"

    @rule()
    def post(self) -> None:
        self.outbox_keys += 1
        key = self.outbox_keys.to_bytes(8, "big")
        self.overlay.outbox.put_new(key, b"row")
        self.view[rows.OUTBOX + key] = b"row"

    @precondition(lambda self: any(key[:1] == rows.OUTBOX for key in self.view))
    @rule()
    def sent(self) -> None:
        self.delete(self.overlay.outbox, min(key for key in self.view if key[:1] == rows.OUTBOX)[1:])

    # --- runs and their steps -----------------------------------------------------------------------------------

    def live(self, run_id: str) -> bool:
        key = run_id.encode()
        return rows.RUNS + key in self.view or rows.SUSPENDED_RUNS + key in self.view

    @rule(run_id=runs)
    def start_run(self, run_id: str) -> None:
        if not self.live(run_id):
            key = run_id.encode()
            self.overlay.runs.put(key, rows.Run("f", 1, []))
            self.view[rows.RUNS + key] = msgspec.msgpack.encode(rows.Run("f", 1, []))
            self.overlay.steps.open_group(key)

    @rule(run_id=runs, suspend=st.booleans(), attempt=st.integers(0, 2))
    def move_run(self, run_id: str, suspend: bool, attempt: int) -> None:
        key = run_id.encode()
        run = self.overlay.runs.get(key)
        assert (run is not None) == self.live(run_id)
        if run is not None:
            run.attempt = attempt
            (self.overlay.runs.suspend if suspend else self.overlay.runs.resume)(key, run)
            self.view.pop((rows.RUNS if suspend else rows.SUSPENDED_RUNS) + key, None)
            self.view[(rows.SUSPENDED_RUNS if suspend else rows.RUNS) + key] = msgspec.msgpack.encode(run)

    @rule(run_id=runs, step=st.sampled_from(STEPS), attempt=st.integers(0, 2))
    def put_step(self, run_id: str, step: bytes, attempt: int) -> None:
        if self.live(run_id):
            self.put(self.overlay.steps, run_id.encode() + step, rows.Step("s", 0, 1, attempt))

    @rule(run_id=runs)
    def end_run(self, run_id: str) -> None:
        if self.live(run_id):
            for key, _ in self.overlay.steps.scan(run_id.encode()):
                self.delete(self.overlay.steps, key)
            self.overlay.runs.delete(run_id.encode())
            self.view.pop(rows.RUNS + run_id.encode(), None)
            self.view.pop(rows.SUSPENDED_RUNS + run_id.encode(), None)

    # --- turns, commits, flushes --------------------------------------------------------------------------------

    @rule()
    def end_turn(self) -> None:
        if len(self.flight) < IN_FLIGHT_MAX:
            self.flight.append(self.overlay.take())

    @precondition(lambda self: self.flight)
    @rule()
    def honour(self) -> None:
        changes = self.flight.pop(0)
        self.position += 1
        self.overlay.honour(changes, Bookmark("topic", self.position, 0, self.position, False, 0))
        for key, raw in changes:
            self.logged.pop(key, None)
            if raw is not None:
                self.logged[key] = raw

    @rule()
    def flush(self) -> None:
        self.overlay.flush()
        self.stored, self.stored_position = dict(self.logged), self.position

    @rule()
    def lose_the_claim_and_restore(self) -> None:
        self.flush()
        self.flight = []
        self.view = dict(self.logged)
        self.open_overlay()

    # --- what must hold -----------------------------------------------------------------------------------------

    @invariant()
    def the_store_is_what_the_log_makes_at_the_bookmark(self) -> None:
        found = dict(self.store.scan(b"", b"\xff" * 9))
        packed = found.pop(rows.STORE, None)
        assert found == self.stored
        assert (BOOKMARK.decode(packed).position if packed else 0) == self.stored_position

    @invariant()
    def the_next_turn_sees_everything(self) -> None:
        overlay = self.overlay
        for table in overlay.tables:
            expected = {key[1:]: raw for key, raw in sorted(self.view.items()) if key[:1] == table.table}
            if table is overlay.steps:
                for run_id in RUN_IDS:
                    found = {key: table._encode(value) for key, value in table.scan(run_id.encode())}
                    assert found == {k: raw for k, raw in expected.items() if k.startswith(run_id.encode())}
                continue
            seen = {key: table._encode(value) for key, value in table.scan(b"")}
            assert seen == expected, table.table
            assert list(seen) == list(expected)

    @invariant()
    def the_next_timer_is_known(self) -> None:
        due = [due_of(key[1:]) for key in self.view if key[:1] == rows.TIMERS]
        assert self.overlay.timers.next_due_ms() == min(due, default=None)


TestOverlay = OverlayMachine.TestCase
TestOverlay.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("cached_max", [0, 1000])
def test_every_way_in_which_three_writes_of_one_row_can_meet_on_their_way_to_the_store(cached_max: int) -> None:
    """Method: all orders of put, delete, honour and flush up to seven moves; after each, one row and the store."""
    orders = 0
    for moves in product("xdhf", repeat=7):
        writes = honoured = 0
        for move in moves:
            writes += move in "xd"
            honoured += move == "h"
            if honoured > writes or writes - honoured > IN_FLIGHT_MAX:
                break
        else:
            orders += 1
            one_row_travels("".join(moves), cached_max)
    assert orders > 5_000


def one_row_travels(moves: str, cached_max: int) -> None:
    store = MemoryStores().open(0)
    overlay = Overlay(store)
    overlay.ROWS_CACHED_MAX = cached_max
    flight: deque[list[RowChange]] = deque()
    row, logged, position = None, None, 0
    for number, move in enumerate(moves):
        if move == "x":
            row = b"x"
            overlay.definitions.put(b"key", row)
        elif move == "d":
            row = None
            overlay.definitions.delete(b"key")
        elif move == "h":
            changes = flight.popleft()
            position += 1
            overlay.honour(changes, Bookmark("topic", position, 0, position, False, 0))
            logged = changes[0][1]
        else:
            overlay.flush()
            assert store.get(rows.DEFINITIONS + b"key") == logged
        if move in "xd":
            flight.append(overlay.take())
        assert [value for _, value in overlay.definitions.scan(b"")] == ([] if row is None else [row]), moves[
            : number + 1
        ]
