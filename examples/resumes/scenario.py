"""Sixty uploads in one moment: a greedy account, repeats, and paying customers who come last and go first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError

if TYPE_CHECKING:
    from examples.stage import Stage

SHORT = {"RESUMES_MINUTE": "3s"}  # of the model, which takes ten in each
FREE, PAYING, GREEDY = 15, 5, 30


def play(stage: Stage) -> None:
    """Upload, and see who was parsed, in which order, and what became of the others."""
    try:
        stage.send("resume/uploaded", {"text": "whose is it?"})
    except HTTPError as refused:
        stage.check("an upload without an account is refused at the door", b"account" in refused.read())
        refused.close()
    else:
        stage.check("an upload without an account is refused at the door", False)
    free = [upload(f"free-{number}", number) for number in range(FREE)]
    greedy = [upload("greedy", number) for number in range(GREEDY)]
    paying = [upload(f"paying-{number}", number, "pro") for number in range(PAYING)]
    ids = stage.send_all([*free, *greedy, *free[:10], *paying])
    runs = stage.await_runs("resumes-parse", FREE + PAYING + 20)
    dropped: dict[str, int] = {}

    def all_told() -> bool:
        dropped.clear()
        for event_id in ids:
            for reason in stage.get(f"/v1/events/{event_id}/why")["data"]:
                if reason["outcome"] == "dropped":
                    dropped[reason["code"]] = dropped.get(reason["code"], 0) + 1
        return sum(dropped.values()) == 20

    stage.wait(all_told, "what was dropped is told, with the reason")
    stage.check("ten were repeats, ten were too much", dropped == {"idempotency_key_repeated": 10, "rate_limited": 10})
    began = sorted((run["run_started_at"], run["output"]["account"]) for run in runs)
    last_paying = max(place for place, (_, account) in enumerate(began) if account.startswith("paying"))
    stage.check("who pays came last, and went before all that waited", last_paying < FREE + PAYING + 10)


def upload(account: str, number: int, plan: str = "free") -> dict[str, Any]:
    """Make an upload."""
    text = f"Name {number}, {number}@{account}.example.com, 3 years of Kafka"
    return {"name": "resume/uploaded", "data": {"account": account, "text": text, "plan": plan}}
