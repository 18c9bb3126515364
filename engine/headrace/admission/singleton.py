"""Singleton: one run of a key at a time. Another one is skipped, or cancels the one there is and takes its place.

The lock stands on the partition of its key, and is taken before the run is: it covers the way through the later stages
as well. What takes it carries a note of it (`Start.locks`, `Run.locks`), and whoever ends that start or run, for
whatever reason, sends the lock back.

In mode cancel the one that is to go may be anywhere on its way: held by a later stage, or under way to one, or a run.
So its trail is noted with the lock, and the cancellation goes the same way, behind it, from partition to partition.
"""

from __future__ import annotations

from collections.abc import Sequence

from headrace.admission.keys import StageKey, bucket_prefix
from headrace.admission.plan import Stage, StageNumber
from headrace.admission.verdicts import drop, let_go, tell_held
from headrace.records.admission_rows import Singleton as SingletonRow
from headrace.records.commands import CancelStart, ReleaseLock
from headrace.records.definitions import Definition, Singleton
from headrace.records.ids import partition_of
from headrace.records.rows import Lock, Start
from headrace.state import State, Turn


class SingletonStage:
    """Holds the lock of each key."""

    number = StageNumber.SINGLETON

    def __init__(self, definition: Definition, option: Singleton) -> None:
        self._key = StageKey(definition.id, self.number, option.key)
        self._cancels = option.mode == "cancel"
        self._later: Sequence[Stage] = ()

    def know_later(self, later: Sequence[Stage]) -> None:
        """Take note of the stages behind it: they say what way a start goes."""
        self._later = later

    def place(self, turn: Turn, start: Start) -> bytes | None:
        """Where the key's value belongs."""
        return self._key.place(start)

    def decide(self, turn: Turn, start: Start) -> bool:
        """Let it pass with the lock if that is free; a key that is false needs none."""
        bucket = self._key.bucket(start)
        if bucket is None:
            return True
        singletons = turn.state.admission.singletons
        lock = singletons.get(bucket)
        if lock is None:
            singletons.put(bucket, SingletonRow(start.run_id, self._trail(turn, start)))
            start.locks.append(Lock(turn.partition, bucket))
            return True
        if not self._cancels:
            drop(
                turn,
                start,
                "skipped",
                "singleton_skipped",
                f"run {lock.run_id} has not ended yet{self._key.shown(start)}",
                'nothing, or use singleton="cancel", by which the later one takes the place of the earlier',
            )
            return False
        self._wait(turn, bucket, lock, start)
        return False

    def _wait(self, turn: Turn, bucket: bytes, lock: SingletonRow, start: Start) -> None:
        reason = f"event {start.events[0].id} takes its place{self._key.shown(start)}: the function is a singleton"
        earlier = lock.waiting
        lock.waiting, lock.waiting_trail = start, self._trail(turn, start)
        turn.state.admission.singletons.put(bucket, lock)
        tell_held(turn, start, "waiting", f"run {lock.run_id} is cancelled and makes room for it")
        if earlier is not None:
            drop(turn, earlier, "singleton_replaced", "singleton_replaced", reason)
            return  # the one that holds the lock has been cancelled for that one
        trail = lock.trail or [turn.partition]
        turn.command(trail[0], CancelStart(start.function_id, lock.run_id, reason, trail))

    def _trail(self, turn: Turn, start: Start) -> list[int]:
        """List the partitions that it comes to from here on."""
        if not self._cancels:
            return []
        trail = [turn.partition]
        for stage in self._later:
            place = stage.place(turn, start)
            if place is not None:
                partition = partition_of(place, turn.partitions)
                if partition != trail[-1]:
                    trail.append(partition)
        return trail


def release_lock(turn: Turn, command: ReleaseLock) -> None:
    """Give the lock to the one that waits for it, or take it away; nothing if another one holds it."""
    singletons = turn.state.admission.singletons
    lock = singletons.get(command.key)
    if lock is None or lock.run_id != command.run_id:
        return
    start = lock.waiting
    if start is None:
        singletons.delete(command.key)
        return
    singletons.put(command.key, SingletonRow(start.run_id, lock.waiting_trail))
    start.locks.append(Lock(turn.partition, command.key))
    let_go(turn, start)


def waiting_for_lock(state: State, function_id: str) -> list[tuple[bytes, Start]]:
    """List what waits for a lock of a function: the lock's key and the start."""
    prefix = bucket_prefix(function_id, StageNumber.SINGLETON)
    return [(key, lock.waiting) for key, lock in state.admission.singletons.scan(prefix) if lock.waiting is not None]


def take_waiting(turn: Turn, key: bytes) -> None:
    """Take away what waits for a lock; the one that holds it is being cancelled all the same."""
    lock = turn.state.admission.singletons.get(key)
    if lock is not None:
        lock.waiting, lock.waiting_trail = None, []
        turn.state.admission.singletons.put(key, lock)


def make_singleton(definition: Definition) -> SingletonStage | None:
    """Make the stage of a function that declares it."""
    option = definition.singleton
    return None if option is None else SingletonStage(definition, option)
