"""What becomes of a source whose next record is not in the log any more."""

from __future__ import annotations

from headrace.errors import StateCorrupted


def may_skip(position: int, bounds: tuple[int, int], skip_expired: bool) -> bool:
    """Tell whether reading may go on at the log's start.

    Position 0 means that the partition has never read it: events from before Headrace was there are owed to nobody.
    Otherwise records were lost unread, and only the operator's setting permits to go on without them.
    """
    return bounds[0] > position and (skip_expired or position == 0)


def source_stopped(topic: str, partition: int, found: str, *, expired: bool) -> StateCorrupted:
    """Say that a source is not read any more."""
    if expired:
        why = "records were deleted before they were applied"
        do = "lengthen the topic's retention; to go on without them start the node with HEADRACE_SKIP_EXPIRED=1"
    else:
        why = "Kafka refuses it, or the topic is shorter than what was read of it: it was truncated or made anew"
        do = "look at this client's rights and at the topic, then start the node again"
    return StateCorrupted("source_stopped", f"{topic}[{partition}] is not read any more: {found}", why=why, do=do)
