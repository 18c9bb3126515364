"""The state as the next turn sees it: the store, and on top of it what is not in the store yet.

A row that a turn writes goes three steps: *dirty* (this turn), *unflushed* (encoded; its commit is on its way or
honoured), *stored*. The store is written only from commits that are honoured, some at a time and together with their
bookmark, so it may lag and never leads (I2); a run that begins and ends in between never touches it.

Decoded rows are cached, so that the next command about a run costs a dictionary look-up. When the claim is lost the
whole overlay is dropped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

import msgspec

from headrace.adapters.seams import Store
from headrace.records import rows
from headrace.records.changelog import BOOKMARK, Bookmark, RowChange

# Of one table of one partition. Decoded, a row takes some times its bytes: 100,000 sleepers in the caches were 170 MB.
BYTES_CACHED_MAX = 12 << 20
V = TypeVar("V")
MISSING: Any = object()
_ENCODER = msgspec.msgpack.Encoder()


def after_prefix(prefix: bytes) -> bytes:
    """Return the first key behind all keys that start with `prefix`."""
    return prefix + b"\xff" * 64


class Rows(Generic[V]):
    """One table: decoded values by key, the key without its table byte."""

    def __init__(self, table: bytes, kind: Any, store: Store) -> None:
        self.table = table
        self._encode: Callable[[V], bytes] = _ENCODER.encode
        self._decode: Callable[[bytes], V] = msgspec.msgpack.Decoder(kind).decode
        if kind is bytes:  # values that are bytes already stand as they are
            self._encode = self._decode = _as_it_is  # type: ignore[assignment]
        self._store = store
        self.cached: dict[bytes, V | None] = {}
        self.dirty: dict[bytes, None] = {}
        self.unflushed: dict[bytes, bytes | None] = {}
        self.fresh: set[bytes] = set()  # keys that the store has never seen: removing one of these costs it nothing
        self._bytes = 0  # encoded, of all rows that came into the cache since it was last cut down

    def get(self, key: bytes) -> V | None:
        """Read a row."""
        found = self.cached.get(key, MISSING)
        if found is not MISSING:
            return found
        raw = self.unflushed.get(key, MISSING)
        if raw is MISSING:
            raw = self._store.get(self.table + key)
        value = None
        if raw is not None:
            value = self._decode(raw)
            self._bytes += len(raw)
        self.cached[key] = value
        return value

    def put(self, key: bytes, value: V) -> None:
        """Write a row; it shows at once."""
        self.cached[key] = value
        self.dirty[key] = None

    def put_new(self, key: bytes, value: V) -> None:
        """Write a row whose key was never written before."""
        self.cached[key] = value
        self.dirty[key] = None
        self.fresh.add(key)

    def delete(self, key: bytes) -> None:
        """Remove a row, whether or not it is there."""
        self.cached[key] = None
        self.dirty[key] = None

    def remove(self, key: bytes) -> None:
        """Remove a row that is there; one that was made in this turn leaves no trace."""
        if key in self.fresh and key not in self.unflushed:
            self.fresh.discard(key)
            self.dirty.pop(key, None)
            self.cached.pop(key, None)
        else:
            self.delete(key)

    def first_keys(self, prefix: bytes, limit: int) -> list[bytes]:
        """List some live keys that start with `prefix`, at most `limit`, at a cost that does not grow with the rest."""
        start = self.table + prefix
        cut = len(self.table)
        found: list[bytes] = []
        for key, _ in self._store.scan(start, after_prefix(start)):
            if len(found) == limit:
                return found
            if self.get(key[cut:]) is not None:
                found.append(key[cut:])
        known = set(found)
        for changed in (self.unflushed, self.dirty):
            for key in changed:
                if len(found) == limit:
                    return found
                if key.startswith(prefix) and key not in known and self.get(key) is not None:
                    known.add(key)
                    found.append(key)
        return found

    def keys(self, prefix: bytes) -> list[bytes]:
        """List the keys of live rows that start with `prefix`, in order."""
        start = self.table + prefix
        cut = len(self.table)
        live = {key[cut:] for key, _ in self._store.scan(start, after_prefix(start))}
        for changed in (self.unflushed, self.dirty):
            for key in changed:
                if key.startswith(prefix):
                    live.add(key)
        return sorted(key for key in live if self.get(key) is not None)

    def keys_after(self, after: bytes, limit: int) -> list[bytes]:
        """List keys of live rows behind this one, in order, at most `limit`, at a cost that the rest adds little to."""
        found: list[bytes] = []
        changed = {key for rows_changed in (self.unflushed, self.dirty) for key in rows_changed if key > after}
        for stored, _ in self._store.scan(self.table + after + b"\0", after_prefix(self.table)):
            key = stored[len(self.table) :]
            if len(found) == limit:
                break
            if key not in changed and self.get(key) is not None:
                found.append(key)
        found += [key for key in changed if self.get(key) is not None]
        return sorted(found)[:limit]

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, V]]:
        """Go through live rows in key order, as they stand when asked for; rows may be changed meanwhile."""
        for key in self.keys(prefix):
            value = self.get(key)
            if value is not None:
                yield key, value

    def take(self, changes: list[RowChange]) -> None:
        """End the turn: encode what it wrote, and append it to the commit's rows."""
        taken = 0
        for key in self.dirty:
            value = self.cached[key]
            raw = None
            if value is not None:
                raw = self._encode(value)
                taken += len(raw)
            self.unflushed[key] = raw
            changes.append((self.table + key, raw))
        self._bytes += taken
        self.dirty = {}

    def flushed(self, key: bytes) -> None:
        """Forget an unflushed row: it stands in the store now, and no later turn has written it again."""
        raw = self.unflushed.pop(key, None)
        if raw is None and key not in self.dirty and self.cached.get(key, MISSING) is None:
            del self.cached[key]

    def shrink(self, rows_max: int) -> None:
        """Bound the cache: keep what is on its way to the store, forget the rest."""
        if len(self.cached) > rows_max or self._bytes > BYTES_CACHED_MAX:
            self._bytes = 0
            keep = self.unflushed
            self.cached = {k: v for k, v in self.cached.items() if k in keep or k in self.dirty}


def _as_it_is(value: bytes) -> bytes:
    return value


class RunRows:
    """Live runs: one table for those whose code a new owner must start, another for suspended ones."""

    def __init__(self, store: Store) -> None:
        self.active: Rows[rows.Run] = Rows(rows.RUNS, rows.Run, store)
        self.suspended: Rows[rows.Run] = Rows(rows.SUSPENDED_RUNS, rows.Run, store)

    def get(self, key: bytes) -> rows.Run | None:
        """Read a live run."""
        run = self.active.cached.get(key)
        if run is None:
            run = self.suspended.cached.get(key)  # before the store is asked for what stands in the other table
            if run is None:
                run = self.active.get(key)
                if run is None:
                    return self.suspended.get(key)
        return run

    def put(self, key: bytes, value: rows.Run) -> None:
        """Write a run in the table where it stands."""
        (self.suspended if value.suspended else self.active).put(key, value)

    def delete(self, key: bytes) -> None:
        """Remove a run."""
        (self.suspended if self.active.get(key) is None else self.active).delete(key)

    def suspend(self, key: bytes, run: rows.Run) -> None:
        """Put the run, and note that its code need not be started."""
        if not run.suspended:
            self.active.delete(key)
            run.suspended = True
        self.suspended.put(key, run)

    def note_new(self, key: bytes) -> None:
        """Note that the run was made in this turn: the store has never seen it."""
        (self.active if key in self.active.dirty else self.suspended).fresh.add(key)

    def resume(self, key: bytes, run: rows.Run) -> None:
        """Put the run, and note that its code must be started."""
        if run.suspended:
            if key in self.suspended.fresh:  # since it was made, so the store has seen it nowhere
                self.active.fresh.add(key)
            self.suspended.remove(key)
            run.suspended = False
        self.active.put(key, run)

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, rows.Run]]:
        """Go through all live runs, the suspended ones last."""
        yield from self.active.scan(prefix)
        yield from self.suspended.scan(prefix)

    def page(self, after: bytes, limit: int) -> list[tuple[bytes, rows.Run]]:
        """List live runs behind this one, by id, wherever they stand, at most `limit`."""
        keys = sorted({key for table in (self.active, self.suspended) for key in table.keys_after(after, limit)})
        return [(key, run) for key in keys[:limit] if (run := self.get(key)) is not None]

    def ended(self) -> list[bytes]:
        """List the runs that this turn has ended."""
        active, suspended = self.active, self.suspended
        gone = [k for k in active.dirty if active.cached[k] is None and suspended.cached.get(k) is None]
        gone += [k for k in suspended.dirty if suspended.cached[k] is None and active.cached.get(k) is None]
        return gone


class Overlay:
    """All tables of a partition; implements `headrace.state.State`."""

    ROWS_CACHED_MAX = 30_000

    def __init__(self, store: Store) -> None:
        from headrace.worker.admission_tables import AdmissionTables
        from headrace.worker.gate_tables import GateTables
        from headrace.worker.step_rows import StepRows
        from headrace.worker.timers import TimerRows
        from headrace.worker.wait_tables import WaitTables

        self.store = store
        self.runs = RunRows(store)
        self.steps = StepRows(store)
        self.timers = TimerRows(store)
        self.definitions: Rows[bytes] = Rows(rows.DEFINITIONS, bytes, store)
        self.broadcasts: Rows[bytes] = Rows(rows.BROADCASTS, bytes, store)
        self.waiting = WaitTables(store)
        self.gates = GateTables(store)
        self.keyed_state: Rows[bytes] = Rows(rows.KEYED_STATE, bytes, store)
        self.cron_lines: Rows[rows.CronLineRow] = Rows(rows.CRON_LINES, rows.CronLineRow, store)
        self.back_fills: Rows[rows.BackFill] = Rows(rows.BACK_FILLS, rows.BackFill, store)
        self.cancellations: Rows[rows.Cancellation] = Rows(rows.CANCELLATIONS, rows.Cancellation, store)
        self.admission = AdmissionTables(store)
        self.event_ids: Rows[rows.EventId] = Rows(rows.EVENT_IDS, rows.EventId, store)
        self.event_id_expiry: Rows[bytes] = Rows(rows.EVENT_ID_EXPIRY, bytes, store)
        self.positions: Rows[rows.Positions] = Rows(rows.POSITIONS, rows.Positions, store)
        self.last_applied: Rows[int] = Rows(rows.LAST_APPLIED, int, store)
        self.last_sent: Rows[int] = Rows(rows.LAST_SENT, int, store)
        self.outbox: Rows[bytes] = Rows(rows.OUTBOX, bytes, store)
        self.tables: list[Rows[Any]] = [
            self.runs.active,
            self.runs.suspended,
            self.steps,
            self.timers,
            self.definitions,
            self.keyed_state,
            self.cron_lines,
            self.cancellations,
            self.back_fills,
            self.broadcasts,
            *self.admission.tables,
            *self.waiting.tables,
            *self.gates.tables,
            self.event_ids,
            self.event_id_expiry,
            self.positions,
            self.last_applied,
            self.last_sent,
            self.outbox,
        ]
        self._by_byte = {table.table[0]: table for table in self.tables}
        self._in_flight: deque[list[RowChange]] = deque()  # rows of commits that are not honoured yet
        self._honoured: dict[bytes, bytes | None] = {}
        self._bookmark: Bookmark | None = None

    def take(self) -> list[RowChange]:
        """End a turn: return its rows, for the commit."""
        for key in self.runs.ended():
            self.steps.close_group(key)
        changes: list[RowChange] = []
        for table in self.tables:
            if table.dirty:
                table.take(changes)
        self._in_flight.append(changes)
        return changes

    def honour(self, changes: list[RowChange], bookmark: Bookmark) -> None:
        """Take note that the oldest commit on its way, which has these rows, counts; they may go to the store now."""
        oldest = self._in_flight.popleft()
        assert oldest is changes, "commits are honoured in the order of their turns"
        self._honoured.update(changes)
        self._bookmark = bookmark

    @property
    def honoured_rows(self) -> int:
        """How many rows wait for the next flush."""
        return len(self._honoured)

    def flush(self) -> None:
        """Write all honoured rows to the store, with the bookmark of the last one's commit, all or none."""
        if self._bookmark is None:
            return
        changes = self._honoured
        by_byte = self._by_byte
        writes: list[RowChange] = [(rows.STORE, BOOKMARK.encode(self._bookmark))]
        # A row that came and went between two flushes is no business of the store.
        writes += [
            (key, raw) for key, raw in changes.items() if raw is not None or key[1:] not in by_byte[key[0]].fresh
        ]
        self.store.write(writes)  # before anything here is forgotten: it may fail
        self._honoured = {}
        self._bookmark = None
        # Equal bytes are no sign that a row was not written again: it may have been changed and changed back since.
        written_again = {key for rows_in_flight in self._in_flight for key, _ in rows_in_flight}
        for key in changes:
            table, own_key = by_byte[key[0]], key[1:]
            table.fresh.discard(own_key)
            if key not in written_again:
                table.flushed(own_key)
        for table in self.tables:
            table.shrink(self.ROWS_CACHED_MAX)
