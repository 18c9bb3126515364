"""Shapes: which events every partition forwards to those who decide about waits.

Whoever has a waiter of a shape tells the shape's keeper, the partition of the shape's own key. The keeper broadcasts
it; each partition takes it up in a turn of its own, forwards the shape's events from there on, and says so to all
(`ShapeKnown`). When all have said so, a holder knows from which offsets on it is told of everything. A shape that
nobody has waited for in a week is taken down in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable

from headrace.expressions import Expression
from headrace.functions.correlation import partition_of_digest, path_reader, shape_key
from headrace.records.broadcasts import broadcast_key
from headrace.records.codec import Packed
from headrace.records.rows import Positions, Timer, TimerKind, timer_key
from headrace.records.waits import Found, Seen, ShapeBroadcast, ShapeKnown, ShapeRow, ShapeUsed
from headrace.routing.arriving import Arriving
from headrace.routing.looking import reopen, start_look_back
from headrace.state import Turn

SHAPE_KIND = "shape"
RETIRE_MS = 7 * 86_400_000
_TELL_MS = 86_400_000  # a keeper hears of a shape that is waited for at least so often
_BROADCAST: Packed[ShapeBroadcast] = Packed("shape", ShapeBroadcast)
_NO_POSITIONS = Positions()


class Forwarding:
    """The shapes that a partition forwards, by event name; made anew when one comes or goes."""

    def __init__(self, shapes: Iterable[tuple[bytes, ShapeRow]] = ()) -> None:
        self._by_name: dict[str, list[tuple[bytes, str, Expression | None]]] = {}
        for key, row in shapes:
            if row.forwarding:
                self._by_name.setdefault(row.event, []).append((key, row.path, path_reader(row.path)))

    def wanted(self, name: str) -> bool:
        """Whether anybody may wait for events of this name."""
        return name in self._by_name

    def forward(self, turn: Turn, found: Found) -> None:
        """Send an event to where those are decided who wait for its values."""
        arriving = Arriving(found)
        for key, path, reader in self._by_name.get(found.event.name, ()):
            digest = arriving.digest(path, reader)
            if digest is not None:
                turn.command(partition_of_digest(digest, turn.partitions), Seen(key, digest, found))


def use_shape(turn: Turn, key: bytes, row: ShapeRow) -> None:
    """Tell the keeper that somebody waits, unless it was told within a day; the row is put by the caller."""
    if row.told_ms and turn.now_ms - row.told_ms < _TELL_MS:
        return
    _watch(turn, key, row)
    row.told_ms = turn.now_ms
    turn.command(partition_of_digest(key, turn.partitions), ShapeUsed(row.event, row.path))


def keep_shape(turn: Turn, command: ShapeUsed) -> None:
    """At the keeper: broadcast a shape that is not up, and note that it is used."""
    key = shape_key(command.event, command.path)
    row = turn.state.waiting.shapes.get(key) or ShapeRow(command.event, command.path)
    _watch(turn, key, row)
    row.kept_ms = turn.now_ms
    if not row.kept_up:
        row.kept_up = True
        row.kept_generation += 1
        _broadcast(turn, key, row)
    turn.state.waiting.shapes.put(key, row)


def look_after_shape(turn: Turn, timer: Timer, due_ms: int) -> None:
    """Once a day: as a holder, say that there are waiters still; as the keeper, take down what nobody uses."""
    key = timer.step
    row = turn.state.waiting.shapes.get(key)
    if row is None or row.watch_ms != due_ms:
        return
    row.watch_ms = 0
    if row.kept_up and turn.now_ms - row.kept_ms >= RETIRE_MS:
        row.kept_up = False
        row.kept_generation += 1
        _broadcast(turn, key, row)
    if row.waiters:
        row.told_ms = turn.now_ms
        turn.command(partition_of_digest(key, turn.partitions), ShapeUsed(row.event, row.path))
    elif row.told_ms:
        row.told_ms = 0  # the next waiter tells it again
    if row.waiters or row.kept_up:
        _watch(turn, key, row)
    turn.state.waiting.shapes.put(key, row)


def _watch(turn: Turn, key: bytes, row: ShapeRow) -> None:
    if not row.watch_ms:
        row.watch_ms = turn.now_ms + _TELL_MS
        turn.state.timers.put(timer_key(row.watch_ms, TimerKind.SHAPE, step=key), Timer(TimerKind.SHAPE, step=key))


def _broadcast(turn: Turn, key: bytes, row: ShapeRow) -> None:
    value = _BROADCAST.encode(ShapeBroadcast(row.event, row.path, row.kept_generation, row.kept_up))
    turn.broadcast(broadcast_key(SHAPE_KIND, key.hex()), value)


def take_shape(turn: Turn, name: str, value: bytes | None) -> None:
    """Take up a shape, or down, as the functions topic says; a repeat or an older word is nothing."""
    if value is None:
        return
    word = _BROADCAST.decode(value)
    key = bytes.fromhex(name)
    row = turn.state.waiting.shapes.get(key) or ShapeRow(word.event, word.path)
    if word.generation <= row.generation:
        return
    row.generation = word.generation
    row.forwarding = word.up
    if word.up:
        positions = turn.state.positions.get(b"") or _NO_POSITIONS
        floors = dict(positions.events)
        for target in range(turn.partitions):
            turn.command(
                target, ShapeKnown(word.event, word.path, word.generation, turn.partition, floors, turn.now_ms)
            )
    else:
        row.known = {p: g for p, g in row.known.items() if g > word.generation}
        row.told_ms = 0
        if row.waiters:  # somebody asked while it was taken down: those have to be told of what comes meanwhile
            reopen(turn, key, row)
            use_shape(turn, key, row)
    turn.state.waiting.shapes.put(key, row)


def know_shape(turn: Turn, command: ShapeKnown) -> None:
    """At a holder: note from where on a partition forwards; with the last one, look back for those who asked before."""
    key = shape_key(command.event, command.path)
    row = turn.state.waiting.shapes.get(key) or ShapeRow(command.event, command.path)
    if row.known.get(command.partition, 0) >= command.generation:
        return
    row.known = {**row.known, command.partition: command.generation}
    row.floors = {**row.floors, **command.floors}
    row.since_ms = max(row.since_ms, command.at_ms)
    turn.state.waiting.shapes.put(key, row)
    start_look_back(turn, key, row)
