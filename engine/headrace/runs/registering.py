"""Registering: a run's wait goes to the partition that decides about it, and is withdrawn when it is not wanted."""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.errors import BadRecord
from headrace.functions.bindings import event_bindings
from headrace.functions.correlation import (
    Criteria,
    criteria_of,
    digest_at,
    digest_of,
    no_digest,
    partition_of_digest,
    signal_digest,
)
from headrace.records.commands import Wait
from headrace.records.rows import KnownEvent, Run
from headrace.records.wait_rows import MATCHED_STEP, Registered, WaitRow, wait_key
from headrace.records.waits import Purpose, Register, Waiter, Withdraw
from headrace.state import Turn


def stored_of(event: KnownEvent) -> dict[str, Any]:
    """Decode what started a run to what conditions see as `event`; nothing can be equal to JSON that has no value."""
    try:
        return event_bindings(event)
    except (BadRecord, msgspec.MsgspecError, RecursionError):
        return {}


def place_wait(run_id: str, wait: Wait, criteria: Criteria, stored: dict[str, Any]) -> Registered:
    """Find the digest of a wait; one whose own value is missing has a digest that no event has."""
    if criteria.stored is None:
        return Registered(digest_of(wait.event, "", b""))
    # The digest is of the arriving path: both sides have to come to the same.
    digest = digest_at(wait.event, criteria.path, criteria.stored, {"event": stored})
    return Registered(no_digest(wait.event, criteria.path, run_id) if digest is None else digest)


def register(turn: Turn, run_id: str, step: bytes, run: Run, row: WaitRow, index: int) -> None:
    """Ask the partition of the digest to wait; `row` says for what and since when."""
    placed = row.registered[index]
    wait = row.waits[index]
    if row.purpose == Purpose.SIGNAL:
        criteria, stored = Criteria("", None, ""), b""
    else:
        criteria = criteria_of(wait.match, wait.expression)
        stored = msgspec.json.encode(stored_of(run.events[0])) if criteria.expression else b""
    waiter = Waiter(
        run_id,
        step,
        index,
        placed.n,
        turn.partition,
        row.purpose,
        "" if row.purpose == Purpose.SIGNAL else wait.event,
        criteria.path,
        criteria.expression,
        stored,
        row.from_ms,
        row.due_ms,
        row.asked_ms,
        row.strict,
        [] if row.purpose == Purpose.SIGNAL else _without(turn, run_id, run, row),
        confirm=index in row.unconfirmed,
        conflict=row.conflict,
    )
    turn.command(partition_of_digest(placed.digest, turn.partitions), Register(placed.digest, waiter))


def _without(turn: Turn, run_id: str, run: Run, row: WaitRow) -> list[str]:
    ids = [event.id for event in run.events]
    if row.purpose == Purpose.RESOLVE:
        ids += [event_id for at_ms, event_id in matched_events(turn, run_id) if at_ms >= row.from_ms]
    return ids


def signal_place(signal: str) -> Registered:
    """Find the digest of a signal."""
    return Registered(signal_digest(signal))


def matched_events(turn: Turn, run_id: str) -> list[tuple[int, str]]:
    """List the events that have resolved waits of the run."""
    row = turn.state.waiting.asked.get(wait_key(run_id, MATCHED_STEP))
    return [] if row is None else row.matched


def note_matched(turn: Turn, run_id: str, event: KnownEvent) -> None:
    """Note that the event has resolved a wait of the run: it resolves no other."""
    key = wait_key(run_id, MATCHED_STEP)
    row = turn.state.waiting.asked.get(key) or WaitRow(Purpose.RESOLVE, [], [], 0, 0, 0)
    row.matched.append((event.at_ms, event.id))
    turn.state.waiting.asked.put(key, row)


def withdraw(turn: Turn, run_id: str, step: bytes, row: WaitRow, but: int = -1) -> None:
    """Forget what a step waits for; those of its waits that are not decided are withdrawn, in this very commit."""
    for index, placed in enumerate(row.registered):
        if index != but and placed.open:
            target = partition_of_digest(placed.digest, turn.partitions)
            turn.command(target, Withdraw(placed.digest, run_id, step, index, placed.n))
    turn.state.waiting.asked.delete(wait_key(run_id, step))
