"""What really ran: one line for each execution, in a file of this process that survives its death.

The file is opened for appending and each line is one write, so what stands there was there when the process was killed.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from functools import cache
from pathlib import Path
from typing import Any

from headrace import Context

FOLDER = "WITNESS_FOLDER"

_numbers = itertools.count()


@cache
def _descriptor() -> int:
    path = Path(os.environ[FOLDER]) / f"{os.getpid()}.jsonl"
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def note(kind: str, ctx: Context, **more: Any) -> None:
    """Write one line: kind, run, function, attempt, the order's number, the event's id, and what else is known."""
    event = ctx.event
    line = {
        "kind": kind,
        "at_ms": time.time_ns() // 1_000_000,
        "run": ctx.run_id,
        "function": ctx.function_id,
        "attempt": ctx.attempt,
        "n": event.data.get("n"),
        "event": event.id,
        **more,
    }
    os.write(_descriptor(), json.dumps(line).encode() + b"\n")


def begin_step(ctx: Context, step: str, occurrence: int) -> str:
    """Note that a step's callable starts; give a value that no other execution has."""
    value = f"{os.getpid()}-{next(_numbers)}"
    note("step-start", ctx, step=step, occurrence=occurrence, value=value)
    return value
