"""One partition and the commands that the lives of its runs consist of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headrace.records.commands import AnyCommand, RunReport, StepReport
from headrace.records.definitions import Backoff, Definition, EventTrigger
from headrace.records.history import Lifecycle
from headrace.records.rows import Failure, Run, Step, StepOp, TimerKind
from headrace.records.values import pack_value
from headrace.runs import new_start, start_run, wake_run, wake_step
from headrace.worker.timers import due_of
from headrace.worker.turn import RESOLVE, START, STOP
from tests.turns import Partition, known_event

FUNCTION = Definition(
    "shop-f", "shop", "f", [EventTrigger("order/created")], retries=2, backoff=Backoff("fixed", 1_000, 1_000, 0.0)
)
FAILURE = Failure("ValueError", "no", "Traceback", retriable=True)
FATAL = Failure("NonRetriableError", "never", "Traceback", retriable=False)


class Lives:
    """Runs of one function, moved on by commands, one turn each."""

    def __init__(self) -> None:
        self.partition = Partition(FUNCTION)
        self.now_ms = 10_000
        self.run_id = ""

    def start(self, number: int = 0) -> str:
        """Begin a run; it is the one that `run_id` names afterwards."""
        with self.partition.turn(self.now_ms) as turn:
            self.run_id = start_run(turn, new_start(turn, FUNCTION.id, known_event(number=number)))
            self.partition.overlay.steps.open_group(self.run_id.encode())
        return self.run_id

    def apply(self, function: Callable[[Any, Any], None], command: AnyCommand) -> None:
        """Apply one command in a turn of its own."""
        with self.partition.turn(self.now_ms) as turn:
            function(turn, command)

    def pass_time(self, milliseconds: int) -> int:
        """Let time pass, and fire what is due, as the machine does; returns how many timers fired."""
        self.now_ms += milliseconds
        fired = 0
        with self.partition.turn(self.now_ms) as turn:
            while (key := self.partition.overlay.timers.pop_due(self.now_ms)) is not None:
                row = turn.state.timers.get(key)
                assert row is not None
                turn.state.timers.delete(key)
                fired += 1
                if row.kind == TimerKind.STEP:
                    wake_step(turn, row.run_id, row.step, due_of(key))
                else:
                    wake_run(turn, row.run_id, due_of(key))
        return fired

    def run(self) -> Run | None:
        """The run, if it is alive."""
        return self.partition.overlay.runs.get(self.run_id.encode())

    def step(self, name: bytes) -> Step | None:
        """What is recorded of a step."""
        return self.partition.overlay.steps.get(self.run_id.encode() + name)

    @property
    def effects(self) -> list[tuple[str, bytes]]:
        """What the last turn asks of the run's code."""
        words = {START: "start", RESOLVE: "resolve", STOP: "stop"}
        return [(words[kind], step) for kind, _, step, _ in self.partition.effects]

    @property
    def history(self) -> list[Lifecycle]:
        """The lifecycle of the run so far."""
        return [record for record in self.partition.history if record.run_id == self.run_id]

    def kinds(self) -> list[str]:
        """The kinds of these records."""
        return [record.kind for record in self.history]

    def rows_of_runs(self) -> dict[bytes, bytes]:
        """Every row that a run can leave behind."""
        return {key: raw for key, raw in self.partition.everything().items() if key[:1] in b"rzst"}


def done(run_id: str, step: bytes, value: object = "value", attempt: int = 0) -> StepReport:
    """A step's attempt that worked."""
    return StepReport(run_id, step, StepOp.RUN, attempt, 1, output=pack_value(value), output_json=f'"{value}"')


def failed(run_id: str, step: bytes, attempt: int = 0, failure: Failure = FAILURE, retries: int = -1) -> StepReport:
    """A step's attempt that did not."""
    return StepReport(run_id, step, StepOp.RUN, attempt, 1, failure=failure, retries=retries)


def returned(run_id: str, attempt: int = 0) -> RunReport:
    """A body that returned."""
    return RunReport(run_id, attempt, output=pack_value("out"), output_json='"out"')


def raised(run_id: str, attempt: int = 0, failure: Failure = FAILURE) -> RunReport:
    """A body that raised."""
    return RunReport(run_id, attempt, failure=failure)
