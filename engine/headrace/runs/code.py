"""Code: whether the node that owns a run has its function loaded, and how an SDK's app wants to be asked."""

from __future__ import annotations

from headrace.records.commands import CodeMissing, VersionChosen
from headrace.records.history import Kind
from headrace.records.rows import Phase
from headrace.runs.announce import announce
from headrace.state import Turn


def note_code(turn: Turn, command: CodeMissing) -> None:
    """Show that a run waits for its code, or that it goes on; it never fails for that."""
    run_key = command.run_id.encode()
    run = turn.state.runs.get(run_key)
    if run is None or (run.phase == Phase.NO_CODE) == command.missing:
        return
    announce(turn, command.run_id, run)
    run.phase = Phase.NO_CODE if command.missing else Phase.EXECUTING
    turn.state.runs.put(run_key, run)
    if command.missing:
        turn.history(
            Kind.RunPhase,
            command.run_id,
            run.function_id,
            phase="no_code",
            code="app_unreachable" if command.reason else "function_not_loaded",
            explanation=command.reason or f"the node that owns this run has no code for {run.function_id!r}",
            action="start the app, or mend its address; the run then goes on"
            if command.reason
            else "start the nodes with the app that declares it, or put the function back; the run then goes on",
        )
    else:
        turn.history(Kind.RunPhase, command.run_id, run.function_id, phase="executing")
        turn.execute(command.run_id)


def choose_version(turn: Turn, command: VersionChosen) -> None:
    """Keep the version of requests that the app has chosen: it holds for the whole run."""
    run_key = command.run_id.encode()
    run = turn.state.runs.get(run_key)
    if run is None or run.request_version >= 0:
        return
    run.request_version = command.version
    turn.state.runs.put(run_key, run)
