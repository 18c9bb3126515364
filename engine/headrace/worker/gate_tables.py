"""The tables of gates, with what is asked of them on the way of every limited run held in memory.

How many slots of a gate are given out, and which shares wait at it in which order, is counted from the rows once, when
a claim begins, and kept from then on: a gate that nothing is known of has no rows, and the store need not be asked.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from headrace.adapters.seams import Store
from headrace.functions.gates import GATE_BYTES
from headrace.records import gate_rows as rows
from headrace.worker.overlay import MISSING, Rows, after_prefix
from headrace.worker.queues import QueueRows

_CACHED_MAX = 50_000  # small rows: they name their run and do not hold it


class ClaimRows(Rows[rows.SlotClaim]):
    """Runs at gates, and how many slots each gate has given out.

    While they are not too many their keys are known, and the store is not asked for a run that comes the first time.
    """

    def __init__(self, store: Store, keys_max: int = _CACHED_MAX) -> None:
        super().__init__(rows.CLAIMS, rows.SlotClaim, store)
        self._keys_max = keys_max
        self._given: dict[bytes, int] = {}
        self._rows: dict[bytes, int] = {}
        self._keys: set[bytes] | None = set()  # None: they are too many
        for key, raw in store.scan(rows.CLAIMS, after_prefix(rows.CLAIMS)):
            self._count(self._rows, key[1:], 1)
            self._know(key[1:])
            if not self._decode(raw).queued:
                self._count(self._given, key[1:], 1)

    @staticmethod
    def _count(counts: dict[bytes, int], key: bytes, change: int) -> None:
        gate = key[:GATE_BYTES]
        count = counts.get(gate, 0) + change
        if count:
            counts[gate] = count
        else:
            counts.pop(gate, None)

    def _know(self, key: bytes) -> None:
        if self._keys is not None:
            self._keys.add(key)
            if len(self._keys) > self._keys_max:
                self._keys = None

    def given(self, gate: bytes) -> int:
        """Return how many runs have a slot."""
        return self._given.get(gate, 0)

    def get(self, key: bytes) -> rows.SlotClaim | None:
        if key[:GATE_BYTES] not in self._rows if self._keys is None else key not in self._keys:
            return None
        return super().get(key)

    def put(self, key: bytes, value: rows.SlotClaim) -> None:
        known: Any = self.cached.get(key, MISSING)
        if known is MISSING:
            known = self.get(key)
        had = known is not None and not known.queued
        if known is None:
            self._count(self._rows, key, 1)
            self._know(key)
        if known is None and key not in self.unflushed and key not in self.dirty:
            self.put_new(key, value)
        else:
            super().put(key, value)
        if had is bool(value.queued):
            self._count(self._given, key, -1 if had else 1)

    def delete(self, key: bytes) -> None:
        known = self.get(key)
        if known is None:
            return
        self._count(self._rows, key, -1)
        if self._keys is not None:
            self._keys.discard(key)
        if not known.queued:
            self._count(self._given, key, -1)
        super().delete(key)


class TurnRows(Rows[int]):
    """Shares that wait at gates, in the order of their turns."""

    def __init__(self, store: Store) -> None:
        super().__init__(rows.TURNS, int, store)
        self._waiting: dict[bytes, dict[bytes, None]] = {}
        found = [(self._decode(raw), key[1:]) for key, raw in store.scan(rows.TURNS, after_prefix(rows.TURNS))]
        for _, key in sorted(found):
            self._waiting.setdefault(key[:GATE_BYTES], {})[key[GATE_BYTES:]] = None

    def gates(self) -> list[bytes]:
        """List the gates at which runs wait."""
        return list(self._waiting)

    def shares(self, gate: bytes) -> Collection[bytes]:
        """List the shares that wait at a gate, in the order of their turns."""
        return self._waiting.get(gate, ())

    def put(self, key: bytes, value: int) -> None:
        """Give a share its turn; the number is greater than every one before, so it is the last now."""
        super().put(key, value)
        shares = self._waiting.setdefault(key[:GATE_BYTES], {})
        shares.pop(key[GATE_BYTES:], None)
        shares[key[GATE_BYTES:]] = None

    def delete(self, key: bytes) -> None:
        super().delete(key)
        gate = key[:GATE_BYTES]
        shares = self._waiting.get(gate)
        if shares is not None:
            shares.pop(key[GATE_BYTES:], None)
            if not shares:
                del self._waiting[gate]


class GateTables:
    """Implements `headrace.state.Gates`."""

    def __init__(self, store: Store) -> None:
        self.claims = ClaimRows(store)
        self.queue: QueueRows[rows.QueuedRun] = QueueRows(
            rows.QUEUED_RUNS, rows.QueuedRun, store, cached_max=_CACHED_MAX
        )
        self.turns = TurnRows(store)
        self.paused: QueueRows[bytes] = QueueRows(rows.PAUSED_RUNS, bytes, store)
        self.tables: list[Rows[Any]] = [self.claims, self.queue, self.turns, self.paused]
