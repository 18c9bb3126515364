"""A run as the console's lists show it: one row, folded from the run's lifecycle records. Pure.

Records may come twice and, after a resend, out of order. So a fact that is set once is simply set, and what changes
(the phase) goes by the record's seq: folding the same records in any order, any number of times, gives the same row.
"""

from __future__ import annotations

import msgspec

from headrace.records.history import Lifecycle
from headrace.records.ids import is_ulid, ulid_ms

OUTPUT_CHARACTERS_MAX = 16_384  # of an output in the row; a longer one is read from the run's records when asked for
ENDED = frozenset({"Completed", "Failed", "Cancelled"})


class RunRow(msgspec.Struct, gc=False):
    """One row of the table `runs`; the fields stand in the table's order."""

    run_id: str
    function_id: str
    partition: int
    status: str = "Running"
    phase: str = "executing"
    phase_seq: int = -1
    due_ms: int = 0
    queued_ms: int = 0
    started_ms: int = 0
    ended_ms: int = 0
    last_ms: int = 0
    attempt: int = 0
    event_id: str = ""
    event_count: int = 0
    output: str = ""
    output_bytes: int = 0
    error_name: str = ""
    error_message: str = ""
    error_stack: str = ""
    error_more: str = ""
    code: str = ""
    explanation: str = ""
    action: str = ""


COLUMNS = RunRow.__struct_fields__


def new_row(record: Lifecycle) -> RunRow:
    """Begin the row of a run with any of its records (the first may have expired)."""
    row = RunRow(record.run_id, record.function_id, record.partition)
    row.queued_ms = ulid_ms(record.run_id) if is_ulid(record.run_id) else record.at_ms
    return row


def phase_after(record: Lifecycle) -> str | None:
    """Tell the phase that a run is in after this record; "" when it has ended, None where the record does not say."""
    kind = record.kind
    if kind == "StepEnded":
        return "executing"
    if kind == "RunEnded":
        return ""
    if kind in ("RunScheduled", "RunPhase"):
        return record.phase or "queued"
    if kind == "StepPlanned":
        if record.op == "sleep":
            return "sleeping"
        return "waiting" if record.op.startswith("wait") or record.op in ("signal", "invoke") else None
    return "backing_off" if kind in ("StepAttemptFailed", "RunAttemptFailed") else None


def fold(row: RunRow, record: Lifecycle) -> None:
    """Take one record into the row."""
    kind = record.kind
    if record.at_ms > row.last_ms:
        row.last_ms = record.at_ms
    if record.event_ids:  # the record that makes a run: its RunScheduled, or the RunEnded of one that was over at once
        row.queued_ms = record.started_ms or record.at_ms
        row.event_count = len(record.event_ids)
        row.event_id = record.event_ids[0]
        if record.phase in ("executing", ""):
            _start(row, row.queued_ms)
    if kind == "RunEnded":
        _end(row, record)
        return
    phase = phase_after(record)
    if phase is not None:
        if record.phase == "executing" and not record.event_ids:
            _start(row, record.at_ms)
        _change_phase(row, record, phase)


def _start(row: RunRow, at_ms: int) -> None:
    if row.started_ms == 0 or at_ms < row.started_ms:
        row.started_ms = at_ms


def _change_phase(row: RunRow, record: Lifecycle, phase: str) -> None:
    if record.seq <= row.phase_seq or row.status in ENDED:
        return
    row.phase_seq = record.seq
    row.phase = phase
    row.status = "Scheduled" if phase == "queued" else "Running"
    row.due_ms = record.due_ms
    row.attempt = record.attempt
    # What a live run shows is why it waits now: the error it backs off from, or what the engine said.
    _set_error(row, record)
    row.code = record.code
    row.explanation = record.explanation
    row.action = record.action


def _set_error(row: RunRow, record: Lifecycle) -> None:
    row.error_name = record.error_name
    row.error_message = record.error_message
    row.error_stack = record.error_stack
    row.error_more = error_more(record) if record.more else ""


def error_more(record: Lifecycle) -> str:
    """Give what else the error of a record says: a JSON object, or ""."""
    try:
        error = msgspec.json.decode(record.more, type=dict[str, msgspec.Raw]).get("error")
    except (msgspec.MsgspecError, RecursionError):
        return ""
    return "" if error is None else bytes(error).decode()


def _end(row: RunRow, record: Lifecycle) -> None:
    row.status = record.status
    row.phase = ""
    row.phase_seq = max(row.phase_seq, record.seq)
    row.due_ms = 0
    row.ended_ms = record.at_ms
    row.attempt = record.attempt
    row.output = record.output if len(record.output) <= OUTPUT_CHARACTERS_MAX else ""
    row.output_bytes = len(record.output)
    _set_error(row, record)
    row.code = record.code
    row.explanation = record.explanation
    row.action = record.action
