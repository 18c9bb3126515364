"""Keeps one trouble from filling the log: while Kafka is away its clients say so many times a second."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable

_EVERY_S = 10.0
_SHAPES_MAX = 1_000
# What differs between two lines that say the same: which client, which of its threads, how long it took.
_DIFFERENT = re.compile(r"\[[^\]]*\]|#(?:consumer|producer)-\d+|\d+ ?ms\b|\d+")


class Repeats(logging.Filter):
    """Lets one line of each shape through every `every_s`, which says how many were left out before it."""

    def __init__(self, *, every_s: float = _EVERY_S, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._every_s = every_s
        self._now = now
        self._lock = threading.Lock()
        self._shapes: dict[str, tuple[float, int]] = {}  # shape -> (when one was let through, left out since)

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether a record is written; one that is, may be given its count."""
        said = message_of(record)
        shape = _DIFFERENT.sub("", said)
        now = self._now()
        with self._lock:
            since, left_out = self._shapes.get(shape, (-self._every_s, 0))
            if now - since < self._every_s:
                self._shapes[shape] = (since, left_out + 1)
                return False
            if len(self._shapes) >= _SHAPES_MAX:
                self._shapes.clear()
            self._shapes[shape] = (now, 0)
        if left_out:
            record.msg, record.args = f"{said} (and {left_out} more like it since the last such line)", None
        return True


def message_of(record: logging.LogRecord) -> str:
    """Write a record's message; as it was given, with a note, where its values do not fit into it."""
    try:
        return record.getMessage()
    except Exception as problem:
        note = f"(its values cannot be put in: {type(problem).__name__}: {problem})"
        try:
            return f"{record.msg} {note}"
        except Exception:
            return f"a message of type {type(record.msg).__name__} {note}"
