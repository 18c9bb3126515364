"""Twenty deliveries for four repositories, each delivered three times, as code hosts do when they are in doubt."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from examples.stage import Stage

SHORT = {"WEBHOOKS_BUILD_TAKES_S": "0.3"}
REPOSITORIES = 4
PUSHES = 5  # to each


def play(stage: Stage) -> None:
    """Deliver pushes, and count what they have started."""
    deliveries = [
        {
            "name": "code/push",
            "id": f"{repository}-{number}",
            "data": {
                "repository": repository,
                "branch": "main" if number == PUSHES - 1 else "try",
                "commit": f"{repository}-{number}",
                "message": "broken" if repository == "r-0" else "fine",
                "author": "ada",
            },
        }
        for number in range(PUSHES)
        for repository in (f"r-{n}" for n in range(REPOSITORIES))
    ]
    for _ in range(3):
        stage.send_all(deliveries)
    stage.await_runs("webhooks-build", REPOSITORIES - 1)
    stage.await_runs("webhooks-build", 1, status="Failed")
    (complaint,) = stage.await_runs("webhooks-build-failure", 1)
    stage.check("who broke the build is told", "the tests of r-0-4 fail" in complaint["output"])
    stage.await_runs("webhooks-announce", REPOSITORIES * PUSHES + REPOSITORIES - 1)
    tallies = stage.await_runs("webhooks-tally", REPOSITORIES * PUSHES)
    counts = sorted(run["output"]["code/push"] for run in tallies)
    stage.check("each repository was counted 1, 2, 3, 4, 5", counts == sorted([1, 2, 3, 4, 5] * REPOSITORIES))
