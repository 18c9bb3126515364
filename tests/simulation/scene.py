"""A simulated world in which the test says what happens; the checkers look on all the same, and judge at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from headrace.adapters.memory_network import CALM, Faults
from headrace.execution import Settings
from headrace.records.ids import partition_of
from headrace.testing import Member
from headrace.worker.layout import Limits
from headrace.worker.machine import Machine
from tests.simulation.oracle import Violation
from tests.simulation.plan import Plan
from tests.simulation.simulation import Simulation
from tests.simulation.workload import Sent, event_value

STEP_S = 0.05


def scene(
    *,
    partitions: int = 1,
    faults: Faults = CALM,
    limits: Limits | None = None,
    live_max: int = 1_000,
    unflushed_max: int = 0,
    work: str = "",
) -> Scene:
    """Set up a world without processes."""
    Violation.raised.clear()
    plan = Plan(
        seed=1,
        partitions=partitions,
        events_partitions=partitions,
        members=0,
        seconds=0.0,
        events=0,
        blows={},
        faults=faults,
        limits=limits or Limits(),
        settings=Settings(live_max=live_max, blocked_ms=0),
        evict_always=False,
        unflushed_max=unflushed_max,
        skew_ms=0,
        work=frozenset([work] if work else []),
    )
    return Scene(plan)


class Scene(Simulation):
    """Drive it, then call `finish`; or use it in a `with` statement, which does."""

    def __enter__(self) -> Scene:
        return self

    def __exit__(self, kind: type[BaseException] | None, *more: object) -> None:
        try:
            if kind is None:
                self.finish()
        finally:
            self.world.close()

    def finish(self) -> None:
        """Come to rest, judge, and restore everything on an empty disk."""
        self._calm_down()
        self._come_to_rest()
        self._judge()
        self._restore_afresh()

    def node(self, name: str, **more: Any) -> Member:
        """Start a process and wait until every partition runs."""
        member = self.start(name, **more)
        self.until(self.world.settled)
        return member

    def send(self, name: str, key: str | None = "k1", **data: Any) -> Sent:
        """Append an event to the topic."""
        number = len(self.sent) + 1
        place = 0 if key is None else partition_of(key.encode(), self.plan.partitions)
        data = {"n": number, **data}
        offset = self.world.cluster.append(
            self.world.topics.events,
            place,
            event_value({"name": name, "data": data}),
            None if key is None else key.encode(),
        )
        self.sent.append(Sent(name, data, place, offset, key))
        return self.sent[-1]

    def until(self, condition: Callable[[], object], seconds_max: float = 90.0) -> None:
        """Let time pass until a condition holds."""
        for _ in range(int(seconds_max / STEP_S)):
            if condition():
                return
            self.pass_time(STEP_S)
        raise AssertionError(f"not within {seconds_max} s: {condition}; told: {self.world.told()[-5:]}")

    def machine(self, partition: int = 0) -> Machine:
        """The machine that runs a partition now."""
        for member in self.alive():
            ownership = member.node.owned.get(partition)
            if ownership is not None and ownership.machine is not None:
                return ownership.machine
        raise AssertionError(f"partition {partition} does not run")

    def live(self, function_id: str) -> list[str]:
        """The runs of a function that are alive, as the log shows them."""
        return [life.run_id for life in self.runs.lives.values() if life.alive and life.function_id == function_id]

    def codes(self, code: str) -> list[str]:
        """What was told under a code."""
        return [sentence for _, found, sentence in self.world.told() if found == code]

    def faults_now(self, **faults: float) -> None:
        """Have the network lose or delay from now on."""
        self.network.faults = replace(self.network.faults, **faults)  # type: ignore[arg-type]
