"""Back-fills as rows: which events of the log a new function has still to run over, and how far it is."""

from __future__ import annotations

from headrace.errors import BadDeclaration
from headrace.expressions import parse_duration_ms
from headrace.records.commands import BackFilled, FilledBack
from headrace.records.rows import BackFill
from headrace.worker.turn import OpenTurn


def plan_back_fill(turn: OpenTurn, function_id: str, *, is_new: bool) -> None:
    """Have a new function run over what is in the log before the place where it became known, as it declares.

    What it was to run over is forgotten when it is removed. Changing `start_from` later changes nothing.
    """
    rows = turn.state.back_fills
    definition = turn.definition(function_id)
    if definition is None:
        for key, _ in rows.scan(function_id.encode() + b"\0"):
            rows.delete(key)
        return
    positions = turn.state.positions.get(b"")
    if not is_new or not definition.start_from or not definition.triggers or positions is None:
        return
    from_offset, from_ms = -1, 0
    if definition.start_from.isdecimal():
        from_offset = int(definition.start_from)
    else:
        try:
            from_ms = turn.now_ms - parse_duration_ms(definition.start_from, option="start_from")
        except BadDeclaration:  # checked where it was declared, by a version that knows more
            return
    for partition, until in positions.events.items():
        if until > 0:
            key = function_id.encode() + b"\0" + partition.to_bytes(4, "big")
            rows.put(key, BackFill(function_id, partition, until, from_ms, from_offset, turn.now_ms))
            turn.fill_back(key)


def take_filled(turn: OpenTurn, filled: FilledBack) -> list[BackFilled]:
    """Move a back-fill on; give the events that count. One that was read again, or is over, gives none."""
    rows = turn.state.back_fills
    row = rows.get(filled.key)
    if row is None or row.next != filled.first:
        return []
    found: list[BackFilled] = []
    for late, (sender, seq) in zip(filled.events, filled.sources, strict=True):
        if sender >= 0:
            if seq <= row.sources.get(sender, -1):
                continue  # it stands in the log twice: it was sent again
            row.sources[sender] = seq
        event = late.event
        if event.ts_ms > event.at_ms and event.ts_ms > row.defined_ms:
            continue  # its time had not come when the function became known: then it starts this one with the others
        found.append(late)
    row.events += len(found)
    row.next = filled.next
    if row.next >= row.until:
        rows.delete(filled.key)
    else:
        rows.put(filled.key, row)
    turn.fill_back(filled.key)
    return found
