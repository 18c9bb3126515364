"""Pause: what a paused function of an SDK is to start is skipped, as its users know it; others wait at their homes.

What a throttle holds by then is to start already, and waits.
"""

from __future__ import annotations

from headrace.admission.plan import StageNumber
from headrace.admission.verdicts import drop
from headrace.records.definitions import Definition
from headrace.records.rows import Start
from headrace.state import Turn


class PauseStage:
    """Drops what comes while the function is paused."""

    number = StageNumber.PAUSE

    def place(self, turn: Turn, start: Start) -> bytes | None:
        """Wherever it is: every partition knows of the pause."""
        return None

    def decide(self, turn: Turn, start: Start) -> bool:
        """Let it pass unless the function is paused; a pause of one key holds it later, at its home."""
        if not turn.paused(start.function_id, None):
            return True
        drop(
            turn,
            start,
            "skipped",
            "function_paused",
            "the function is paused",
            f"headrace resume {start.function_id}; what was skipped is not made up for",
        )
        return False


def make_pause(definition: Definition) -> PauseStage | None:
    """Make the stage of a function of an SDK."""
    return None if definition.kind == "python" else PauseStage()
