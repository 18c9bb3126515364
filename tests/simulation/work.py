"""What a simulated world may do beside its scripts of steps and sleeps: further users, with checkers of their own.

A kind of work brings functions, and sends and asks what they need at moments that it draws for itself, so that a world
without it is the same world as before. It accounts for its own runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from headrace.functions import Function
from tests.simulation.work_limits import LimitedWork
from tests.simulation.work_waits import WaitsWork

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation


class Work(Protocol):
    """One kind of work in one world; made before the world lives, so that it can look at every commit."""

    functions: dict[str, Function]

    def schedule(self) -> None:
        """Draw what happens when; called once, for worlds from seeds only."""
        ...

    def unrest(self) -> str:
        """Say what is still to be done, or "". Asked again and again once no blow strikes any more."""
        ...

    def run_ids(self) -> set[str]:
        """Name the runs that it accounts for: nobody else judges them."""
        ...

    def finish(self) -> None:
        """Judge the world at rest."""
        ...


# By the name that a plan has for it; each is made from its simulation, whose oracles, runs and scribe it may watch.
WORK: dict[str, Callable[[Simulation], Work]] = {
    "limits": LimitedWork,
    "waits": WaitsWork,
}
