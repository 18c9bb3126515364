"""One script on the stage: its function's calls, and its runs."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from tests.sdk.play import Engine, Run
from tests.sdk.programs import await_that
from tests.sdk.wire.fake_app import FakeApp
from tests.sdk.wire.scripts import Call


class Played(Engine):
    """A function that answers as its script says, and the events that have started it."""

    def __init__(self, url: str, app: FakeApp, name: str, ids: list[str]) -> None:
        super().__init__(url)
        self.app, self.name, self.ids = app, name, ids
        self.function = f"{app.name}-{name}"

    def end(self, number: int = 0) -> Run:
        """Wait for the end of the run that the n-th event has started."""
        return self.end_of(self.ids[number], self.function)

    def output(self, number: int = 0) -> Any:
        """Wait for the good end of a run; its output."""
        run = self.end(number)
        assert run["status"] == "Completed", json.dumps(run, indent=1)[:3000]
        return run["output"]

    def failure(self, number: int = 0) -> dict[str, Any]:
        """Wait for the bad end of a run; its output, which is the error."""
        run = self.end(number)
        assert run["status"] == "Failed", json.dumps(run, indent=1)[:3000]
        found: dict[str, Any] = run["output"]
        return found

    @property
    def calls(self) -> list[Call]:
        """List the function's calls so far."""
        return self.app.calls(self.function)

    def await_calls(self, count: int) -> list[Call]:
        """Wait until the function has been called so often."""
        return await_that(
            lambda: self.calls if len(self.calls) >= count else None,
            lambda: f"call {count}, there are {len(self.calls)}",
        )

    def gaps(self) -> list[float]:
        """Give the times between the calls, in seconds."""
        moments = [call.at for call in self.calls]
        return [later - earlier for earlier, later in pairwise(moments)]
