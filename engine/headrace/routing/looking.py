"""Looking back: waiters that asked before their partition was told of everything are decided once the log is read.

One look-back of a shape is under way at a time, from the earliest time that any of its waiters asks for up to exactly
the offsets from which the index of recent events is complete. Those who come meanwhile are the next one's, all of them.
"""

from __future__ import annotations

from headrace.functions.correlation import partition_of_digest, path_reader
from headrace.records.waits import LookedBack, ShapeRow, Waiter, undecided_key
from headrace.routing.arriving import Arriving
from headrace.routing.deciding import earlier, matches, settle
from headrace.routing.recent import remember, trusted_since_ms
from headrace.state import Turn


def is_told_of_all(turn: Turn, row: ShapeRow) -> bool:
    """Whether every partition forwards the events of the shape."""
    return len(row.known) == turn.partitions


def put_off(turn: Turn, shape: bytes, row: ShapeRow, key: bytes, waiter: Waiter) -> None:
    """Keep a waiter undecided until the next look-back has ended."""
    waiter.looked = False
    waiter.job = row.job + 1
    row.queued_from_ms = waiter.from_ms if not row.queued else min(row.queued_from_ms, waiter.from_ms)
    row.queued += 1
    turn.state.waiting.waiters.put(key, waiter)
    turn.state.waiting.undecided.put(undecided_key(shape, waiter.job, key), b"")
    turn.state.waiting.shapes.put(shape, row)


def start_look_back(turn: Turn, shape: bytes, row: ShapeRow) -> None:
    """Begin the next look-back if there is one to make, and everything that comes meanwhile is told."""
    if row.looking or row.queued <= 0 or not is_told_of_all(turn, row):
        return
    row.job += 1
    row.looking = True
    row.look_from_ms = row.queued_from_ms
    row.look_floors = dict(row.floors)
    row.queued = 0
    turn.state.waiting.shapes.put(shape, row)
    turn.look_back(shape)


def take_findings(turn: Turn, command: LookedBack) -> None:
    """Take in what was found; with the last of it, decide about those for whom it was looked."""
    shape = command.shape
    row = turn.state.waiting.shapes.get(shape)
    if row is None or not row.looking or row.job != command.job:
        return
    reader = path_reader(row.path)
    for found in command.found:
        arriving = Arriving(found)
        digest = arriving.digest(row.path, reader)
        if digest is None or partition_of_digest(digest, turn.partitions) != turn.partition:
            continue
        remember(turn, shape, row, digest, found)
        offer(turn, digest, arriving)
    if command.done:
        _finish(turn, shape, row, command.gone_ms)


def offer(turn: Turn, digest: bytes, arriving: Arriving) -> None:
    """Note an event for the waiters that are not decided yet: the earliest match will count."""
    waiters = turn.state.waiting.waiters
    for key, waiter in waiters.scan(digest):
        if not waiter.looked and matches(turn, waiter, arriving):
            waiter.best = earlier(waiter.best, arriving.found)
            waiters.put(key, waiter)


def _finish(turn: Turn, shape: bytes, row: ShapeRow, gone_ms: int) -> None:
    row.looking = False
    # What was found and is not too old stands in the index now: it reaches back so far.
    row.since_ms = min(row.since_ms, row.look_from_ms)
    turn.state.waiting.shapes.put(shape, row)
    for key, waiter in _undecided(turn, shape, row.job):
        settle(turn, shape, row, key, waiter, gone_ms)
    # Some of those who came meanwhile asked for no earlier time than what is known by now.
    trusted_ms = trusted_since_ms(row, turn.now_ms)
    row.queued = 0
    for key, waiter in _undecided(turn, shape, row.job + 1):
        if waiter.from_ms >= trusted_ms:
            waiter.job = row.job + 1
            row.queued += 1  # `settle` takes it out again if it decides
            settle(turn, shape, row, key, waiter, 0)
            if waiter.looked:
                row.queued -= 1
        else:
            row.queued_from_ms = waiter.from_ms if not row.queued else min(row.queued_from_ms, waiter.from_ms)
            row.queued += 1
    turn.state.waiting.shapes.put(shape, row)
    start_look_back(turn, shape, row)


def _undecided(turn: Turn, shape: bytes, job: int) -> list[tuple[bytes, Waiter]]:
    prefix = undecided_key(shape, job, b"")
    waiters = turn.state.waiting.waiters
    keys = [key[len(prefix) :] for key in turn.state.waiting.undecided.first_keys(prefix, 1 << 62)]
    return [(key, waiter) for key in keys if (waiter := waiters.get(key)) is not None]


def reopen(turn: Turn, shape: bytes, row: ShapeRow) -> None:
    """Put off all waiters of a shape again: for a while they were not told of everything."""
    row.looking = False  # what is under way is of no use any more
    row.job += 1
    row.queued = 0
    waiting = turn.state.waiting
    for key, waiter in waiting.waiters.scan(b""):
        if waiter.event == row.event and waiter.path == row.path:
            if not waiter.looked:
                waiting.undecided.delete(undecided_key(shape, waiter.job, key))
            put_off(turn, shape, row, key, waiter)
