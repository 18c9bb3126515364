"""Time-outs: a run that takes longer than its function allows is cancelled."""

from __future__ import annotations

from headrace.records.definitions import Timeouts
from headrace.records.rows import Failure, Run, Timer, TimerKind, timer_key
from headrace.runs.ending import end_run
from headrace.state import Turn


def begin_finish(turn: Turn, run_id: str, run: Run, timeouts: Timeouts | None) -> None:
    """Have the run cancelled if it has not ended so long after now, when it begins; once for each run."""
    if timeouts is None or not timeouts.finish_ms or run.finish_due_ms:
        return
    run.finish_due_ms = turn.now_ms + timeouts.finish_ms
    turn.state.runs.put(run_id.encode(), run)
    turn.state.timers.put(timer_key(run.finish_due_ms, TimerKind.FINISH, run_id), Timer(TimerKind.FINISH, run_id))


def finish_timed_out(turn: Turn, timer: Timer, due_ms: int) -> None:
    """Cancel a run that has taken too long, whatever it does; one that has ended is nothing."""
    run = turn.state.runs.get(timer.run_id.encode())
    if run is None or run.finish_due_ms != due_ms:
        return
    definition = turn.definition(run.function_id)
    timeouts = None if definition is None else definition.timeouts
    allowed = f"; timeouts.finish is {timeouts.finish_ms} ms" if timeouts is not None else ""
    what = f"the run has not ended in time{allowed}"
    failure = Failure("FinishTimeout", what, retriable=False)
    do = "let it do less, or declare a longer timeouts=Timeouts(finish=…)"
    end_run(turn, timer.run_id, run, "Cancelled", failure=failure, code="finish_timeout", explanation=what, action=do)
    turn.stop(timer.run_id)
