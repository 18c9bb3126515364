"""Commands that only runs of SDKs' functions need, and what is kept beside runs for people."""

from __future__ import annotations

from headrace.records.command import Command


class VersionChosen(Command, tag=63):
    """The app of an SDK has chosen the version of requests for this run, with its first answer."""

    run_id: str
    version: int


class NoteMetadata(Command, tag=70):
    """Keep something beside a run, or beside one of its steps, for people to see; the run may have ended.

    `updates` is a JSON list of `{"kind", "op", "values"}` (SDK protocol, 6.1), `id` names who asked. `step_id` is ""
    for the run itself, `attempt` -1 for all attempts of the step.
    """

    id: str
    run_id: str
    updates: str
    scope: str = "run"  # run | step | extended_trace
    step_id: str = ""
    occurrence: int = 0
    attempt: int = -1
