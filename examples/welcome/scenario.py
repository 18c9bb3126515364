"""Three users: one begins at once, one does nothing, one leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from examples.stage import Stage

SHORT = {"WELCOME_NUDGE_AFTER": "4s", "WELCOME_BETWEEN_TIPS": "400ms"}


def play(stage: Stage) -> None:
    """Sign them up, twice each, as a double click does; let them do what they do; count the letters."""
    for user in ("ada", "bob", "cy"):
        for _ in range(2):
            stage.send("user/signed-up", {"userId": user, "email": f"{user}@example.com"})
    stage.await_runs("welcome-welcome", 3, phase="waiting")
    stage.send("project/created", {"userId": "ada", "name": "Engine"})
    stage.send("user/deleted", {"userId": "cy"})
    completed = stage.await_runs("welcome-welcome", 2)
    stage.await_runs("welcome-welcome", 1, status="Cancelled")
    seconds = sorted(run["output"][1] for run in completed)
    stage.check(
        "one was praised and one was nudged", seconds == ["how to make your first project", "well done: Engine"]
    )
    letters = sorted(path.name for path in (stage.folder / ".headrace" / "outbox").glob("*.eml"))
    stage.check("nine letters were written: 4, 4 and 1", len(letters) == 9)
