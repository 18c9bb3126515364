"""Burying: a record that nobody can use goes to the dead letters, with its reason."""

from __future__ import annotations

from headrace.adapters.seams import Record
from headrace.errors import HeadraceError
from headrace.records.dead import dead_headers
from headrace.records.events import KEY_BYTES_MAX
from headrace.worker.turn import OpenTurn


def bury(turn: OpenTurn, record: Record, error: HeadraceError, value_bytes_max: int) -> None:
    """Put a record on the dead-letter topic; of what is too large for a commit the first bytes are kept."""
    turn.counters.dead_letters += 1
    headers: list[tuple[str, bytes]] = dead_headers(error, record.topic, record.partition, record.offset)
    value = record.value
    if value is not None and len(value) > value_bytes_max:
        headers.append(("headrace-truncated", str(len(value)).encode()))
        value = value[:value_bytes_max]
    key = record.key
    if key is not None and len(key) > KEY_BYTES_MAX:
        headers.append(("headrace-key-truncated", str(len(key)).encode()))
        key = key[:KEY_BYTES_MAX]
    turn.dead(key, value, headers)
