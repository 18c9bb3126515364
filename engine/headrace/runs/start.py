"""Start: an event begins a run of a function."""

from __future__ import annotations

from functools import lru_cache

from headrace.records.events import RESERVED_PREFIX
from headrace.records.ids import entropy, ulid_tail, ulid_time
from headrace.records.rows import KnownEvent, Run
from headrace.state import Turn

_ENTROPY_CHARACTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LIFECYCLE_NAMES = frozenset(f"{RESERVED_PREFIX}function.{end}" for end in ("failed", "finished", "cancelled"))


@lru_cache(maxsize=4096)
def _function_entropy(function_id: str) -> int:
    return entropy(b"function\0" + function_id.encode())


def _tail_entropy(ulid: str) -> int:
    return int(ulid[10:].translate(_TO_BASE_32), 32)


_TO_BASE_32 = str.maketrans(_ENTROPY_CHARACTERS, "0123456789abcdefghijklmnopqrstuv")


def run_id_of(event_id: str, function_id: str, started_ms: int) -> str:
    """Derive the id of the run that an event starts of a function.

    Exclusive or with the function's hash keeps the 80 bits one-to-one in the event, and costs less than a hash.
    """
    return ulid_time(started_ms) + ulid_tail(_tail_entropy(event_id) ^ _function_entropy(function_id))


def start_run(turn: Turn, function_id: str, event: KnownEvent) -> str:
    """Make the run and have its code started; return its id."""
    now_ms = turn.now_ms
    # The time in the id is the event's log time: a cause that is applied again makes the same run.
    run_id = run_id_of(event.id, function_id, event.at_ms)
    quiet = event.name in _LIFECYCLE_NAMES
    turn.state.runs.put(run_id.encode(), Run(function_id, now_ms, [event], quiet=quiet))
    turn.execute(run_id)
    return run_id
