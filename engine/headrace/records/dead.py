"""Dead letters: the original key and value, and in headers the reason and where it stood."""

from __future__ import annotations

from headrace.errors import HeadraceError

HEADER_CODE = "headrace-code"
HEADER_REASON = "headrace-reason"
HEADER_TOPIC = "headrace-topic"
HEADER_PARTITION = "headrace-partition"
HEADER_OFFSET = "headrace-offset"
HEADER_RUN_ID = "headrace-run-id"
HEADER_EVENT_ID = "headrace-event-id"


def dead_headers(error: HeadraceError, topic: str, partition: int, offset: int) -> list[tuple[str, bytes]]:
    """Make the headers of a dead letter; all are UTF-8 text."""
    reason = error.what + (f"; {error.why}" if error.why else "") + (f"; {error.do}" if error.do else "")
    return [
        (HEADER_CODE, error.code.encode()),
        (HEADER_REASON, reason.encode("utf-8", "backslashreplace")[:2000]),
        (HEADER_TOPIC, topic.encode()),
        (HEADER_PARTITION, str(partition).encode()),
        (HEADER_OFFSET, str(offset).encode()),
    ]


def refused_headers(reason: str, event_id: str, run_id: str) -> list[tuple[str, bytes]]:
    """Make the headers of an event that a run has refused, because it does not fit the model of its name."""
    return [
        (HEADER_CODE, b"event_data_invalid"),
        (HEADER_REASON, reason.encode("utf-8", "backslashreplace")[:2000]),
        (HEADER_EVENT_ID, event_id.encode()),
        (HEADER_RUN_ID, run_id.encode()),
    ]
