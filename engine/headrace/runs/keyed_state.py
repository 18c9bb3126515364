"""Keyed state: what a function keeps for one value of its concurrency key, from run to run.

All runs of that key live on this partition, so it is read and written where they are, in the commit that records the
step: it happens once, and a replay finds what was read then.
"""

from __future__ import annotations

from headrace.records.commands import StateAsked
from headrace.records.rows import Failure, Run, Step, StepOp, StepState, keyed_state_key, split_step_name
from headrace.records.values import NONE
from headrace.runs.announce import announce
from headrace.runs.asked import may_be_asked
from headrace.runs.recording import record_result
from headrace.state import Turn

_VERBS = ("get", "set", "delete")


def apply_state(turn: Turn, asked: StateAsked) -> None:
    """Get, set or delete a value, and record the step with what was found."""
    run_key = asked.run_id.encode()
    run = turn.state.runs.get(run_key)
    if run is None or not may_be_asked(turn, run_key + asked.step):
        return
    announce(turn, asked.run_id, run)
    output: bytes | None = None
    failure = _refused(turn, asked, run)
    key = b"" if run.place is None else keyed_state_key(run.function_id, run.place, asked.name)
    if failure is None:
        found = turn.state.keyed_state.get(key) if asked.verb == "get" else None
        output = NONE if found is None else found
    step_id, _ = split_step_name(asked.step)
    state = StepState.DONE if failure is None else StepState.FAILED
    row = Step(step_id, StepOp.STATE, state, 1, turn.next_order(), output, failure, turn.now_ms, turn.now_ms)
    if not record_result(turn, asked.run_id, run, asked.step, row):
        return  # the run has failed, and what it wanted to write with it
    if failure is None and asked.verb == "set":
        turn.state.keyed_state.put(key, NONE if asked.value is None else asked.value)
    elif failure is None and asked.verb == "delete":
        turn.state.keyed_state.delete(key)
    turn.resolve(asked.run_id, asked.step, row)


def _refused(turn: Turn, asked: StateAsked, run: Run) -> Failure | None:
    limits = turn.limits
    value_bytes = 0 if asked.value is None else len(asked.value)
    name_bytes = len(asked.name.encode())
    if run.place is None:
        what = f"{run.function_id} has no concurrency key, so its runs share no place where state could be kept"
        do = 'declare one, as in concurrency=Concurrency(1, key="event.data.userId")'
    elif asked.verb not in _VERBS:
        what, do = f"state cannot be asked to {asked.verb!r}", "ask it to get, set or delete"
    elif not 0 < name_bytes <= limits.keyed_name_bytes:
        what = f"the name of a value in the state has {name_bytes} bytes; 1 to {limits.keyed_name_bytes} are allowed"
        do = "give it a short name"
    elif value_bytes > limits.keyed_value_bytes:
        what = (
            f"the value of {asked.name!r} in the state has {value_bytes} bytes; {limits.keyed_value_bytes} are allowed"
        )
        do = "keep it under several names, or elsewhere"
    else:
        return None
    return Failure("StateRefused", f"{what}; {do}", retriable=False)
