"""Tables with an index of their keys in memory. Goal: they say what the rows say, also when the index was given up."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Generic, TypeVar

import pytest

from headrace.adapters.memory_store import MemoryStores
from headrace.adapters.seams import Store
from headrace.records.changelog import RowChange
from headrace.records.gate_rows import SlotClaim
from headrace.records.waits import Purpose, Waiter, waiter_key
from headrace.worker.gate_tables import ClaimRows
from headrace.worker.overlay import Rows
from headrace.worker.wait_tables import WaiterRows

DIGESTS = [bytes([number]) * 16 for number in range(4)]
T = TypeVar("T", bound=Rows[Any])
RUN_IDS = [f"{number:026d}" for number in range(6)]


class Life(Generic[T]):
    """A table that lives through turns, flushes and new owners."""

    def __init__(self, make: Callable[[Store], T]) -> None:
        self._make = make
        self._store = MemoryStores().open(0)
        self._honoured: dict[bytes, bytes | None] = {}
        self.table = make(self._store)

    def commit(self) -> None:
        changes: list[RowChange] = []
        self.table.take(changes)
        self._honoured.update(changes)

    def flush(self) -> None:
        self.commit()
        self._store.write(self._honoured.items())
        for key in self._honoured:
            self.table.fresh.discard(key[1:])
            self.table.flushed(key[1:])
        self._honoured = {}
        self.table.shrink(2)

    def hand_over(self) -> None:
        self.flush()
        self.table = self._make(self._store)


def play(draw: Random, life: Life[T], change: Callable[[], None], look: Callable[[], None]) -> None:
    for _ in range(150):
        kind = draw.random()
        if kind < 0.7:
            change()
        elif kind < 0.85:
            life.commit()
        elif kind < 0.95:
            life.flush()
        else:
            life.hand_over()
        look()


def waiter(run_id: str) -> Waiter:
    return Waiter(run_id, b"step", 0, 1, 0, Purpose.RESOLVE, "paid", "async.data.k", "", b"", 0, 0, 0)


@pytest.mark.parametrize("keys_max", [0, 3, 1_000])
@pytest.mark.parametrize("seed", range(8))
def test_who_waits_for_a_value_is_found(keys_max: int, seed: int) -> None:
    draw, life = Random(seed), Life(lambda store: WaiterRows(store, keys_max))
    there: set[bytes] = set()

    def change() -> None:
        run_id = draw.choice(RUN_IDS)
        key = waiter_key(draw.choice(DIGESTS), run_id, b"step", 0)
        if draw.random() < 0.6:
            there.add(key)
            life.table.put(key, waiter(run_id))
        else:
            there.discard(key)
            life.table.delete(key)

    def look() -> None:
        for digest in DIGESTS:
            found = [key for key, _ in life.table.scan(digest)]
            assert found == sorted(key for key in there if key.startswith(digest))

    play(draw, life, change, look)


@pytest.mark.parametrize("keys_max", [0, 3, 1_000])
@pytest.mark.parametrize("seed", range(8))
def test_who_has_a_slot_or_waits_for_one_is_known(keys_max: int, seed: int) -> None:
    draw, life = Random(seed), Life(lambda store: ClaimRows(store, keys_max))
    there: dict[bytes, SlotClaim] = {}

    def change() -> None:
        key = draw.choice(DIGESTS) + draw.choice(RUN_IDS).encode()
        if draw.random() < 0.6:
            there[key] = SlotClaim(draw.randrange(9), draw.choice([b"", b"place"]))
            life.table.put(key, there[key])
        else:
            there.pop(key, None)
            life.table.delete(key)

    def look() -> None:
        for digest in DIGESTS:
            for run_id in RUN_IDS:
                key = digest + run_id.encode()
                assert life.table.get(key) == there.get(key)
            assert life.table.given(digest) == sum(
                1 for key, row in there.items() if key[:16] == digest and not row.queued
            )

    play(draw, life, change, look)
