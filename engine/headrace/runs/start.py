"""Start: an event begins a run of a function."""

from __future__ import annotations

from functools import lru_cache

from headrace.records.ids import entropy, ulid_tail, ulid_time
from headrace.records.rows import KnownEvent, Phase, Run, Start
from headrace.runs.cancel_on import watch_for_cancel
from headrace.runs.queue import queue_run
from headrace.runs.telling import LIFECYCLE_NAMES
from headrace.runs.timeouts import begin_finish
from headrace.state import Turn

_ENTROPY_CHARACTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@lru_cache(maxsize=4096)
def _function_entropy(function_id: str) -> int:
    return entropy(b"function\0" + function_id.encode())


def _tail_entropy(ulid: str) -> int:
    return int(ulid[10:].translate(_TO_BASE_32), 32)


_TO_BASE_32 = str.maketrans(_ENTROPY_CHARACTERS, "0123456789abcdefghijklmnopqrstuv")


def run_id_of(cause: int, function_id: str, started_ms: int) -> str:
    """Derive the id of the run of a function from its cause: 80 bits.

    Exclusive or with the function's hash keeps them one-to-one in the cause, and costs less than a hash.
    """
    return ulid_time(started_ms) + ulid_tail(cause ^ _function_entropy(function_id))


def new_start(turn: Turn, function_id: str, event: KnownEvent, cause: int = -1) -> Start:
    """Make what becomes a run of the function for this event.

    `cause` is the place of the event's record, as 80 bits. A record may bring an id along and stand in the log twice,
    so such an id alone would make one run of two inputs. Without a cause, where the state sees to it that the event is
    there once (by its timer, by the window of its given id), the event's id is it.
    """
    # The time in the id is the event's log time: a cause that is applied again makes the same run.
    run_id = run_id_of(_tail_entropy(event.id) if cause < 0 else cause, function_id, event.at_ms)
    return Start(function_id, run_id, [event], turn.now_ms, quiet=event.name in LIFECYCLE_NAMES)


def start_run(turn: Turn, start: Start) -> str:
    """Make the run and have its code started; return its id."""
    run_id = start.run_id
    run = Run(start.function_id, turn.now_ms, start.events, quiet=start.quiet, replies=start.replies, locks=start.locks)
    run.place = start.place
    definition = turn.definition(start.function_id)
    if definition is not None and definition.cancel_on and watch_for_cancel(turn, run_id, run, definition.cancel_on):
        run.slots = start.slots
        run.phase = Phase.QUEUED
        run.suspended = True  # `begin_run` follows, or its end
        turn.state.runs.put(run_id.encode(), run)
        return run_id
    if start.slots is not None:
        queue_run(turn, run_id, run, start.slots)
        return run_id
    turn.state.runs.put(run_id.encode(), run)
    if definition is not None and definition.timeouts is not None:
        begin_finish(turn, run_id, run, definition.timeouts)
    turn.execute(run_id)
    return run_id


def begin_run(turn: Turn, run_id: str, run: Run) -> None:
    """Let a run begin that was held until it was known that nothing has cancelled it."""
    if run.slots is not None:
        queue_run(turn, run_id, run, run.slots)
        return
    run.phase = Phase.EXECUTING
    turn.state.runs.resume(run_id.encode(), run)
    definition = turn.definition(run.function_id)
    if definition is not None and definition.timeouts is not None:
        begin_finish(turn, run_id, run, definition.timeouts)
    turn.execute(run_id)
