"""Three questions; one order is allowed, one is not, and the node is killed while they wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from examples.stage import Stage

QUESTION = "What do 3 kettles and 2 mugs cost? Order them if under 200."
SHORT = {"AGENT_PATIENCE": "5s"}


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
    ended = {run["run_id"]: run for run in stage.await_runs("agent-answer", 2)}
    answers = {run_id: run["output"]["answer"] for run_id, run in ended.items()}
    stage.check("what was allowed is ordered", answers[allowed] == "Together 157.08. Ordered 3 kettles and 2 mugs.")
    stage.check("what was not allowed is not", answers[other] == "Together 157.08. nobody has allowed it.")
    attempts = [step["attempts"] for step in stage.steps(allowed)]
    stage.check("nothing was thought twice, though the node was killed", attempts == [1] * 10)
