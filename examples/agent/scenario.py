"""Two questions; one order is allowed, the other one waits, and the node is killed before."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from examples.stage import Stage

QUESTION = "What do 3 kettles and 2 mugs cost? Order them if under 200."
SHORT: dict[str, str] = {}


def play(stage: Stage) -> None:
    """Ask; kill the node; allow what is asked for; read the answers."""
    for _ in range(2):
        stage.send("agent/asked", {"question": QUESTION})
    waiting = stage.await_runs("agent-answer", 2, phase="waiting")
    stage.kill()
    stage.start()
    allowed, other = (run["run_id"] for run in waiting)
    taken = stage.post("/v1/signals", {"signal": f"allow {allowed}", "data": {"by": "kim"}})
    stage.check("the signal went to the run that it names", taken["data"]["run_id"] == allowed)
    (ended,) = stage.await_runs("agent-answer", 1)
    answer = "Together 157.08. Ordered 3 kettles and 2 mugs."
    stage.check("what was allowed is ordered", (ended["run_id"], ended["output"]["answer"]) == (allowed, answer))
    stage.check(
        "the other one waits",
        [run["run_id"] for run in stage.await_runs("agent-answer", 1, phase="waiting")] == [other],
    )
    attempts = [step["attempts"] for step in stage.steps(allowed)]
    stage.check("nothing was thought twice, though the node was killed", attempts == [1] * 10)
