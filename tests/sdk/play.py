"""One SDK's app on the stage: its events are sent, its runs are looked up over the REST API."""

from __future__ import annotations

import json
from typing import Any

from tests.sdk.openings import Datas
from tests.sdk.programs import ONLY_ERROR, Program, ask, await_that

ENDED = ("Completed", "Failed", "Cancelled", "Skipped")
Run = dict[str, Any]


class Engine:
    """The server, asked as its users ask it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def send(self, *events: dict[str, Any]) -> list[str]:
        """Send events with one request; their internal ids."""
        ids: list[str] = ask(f"{self.url}/e/test", list(events))["ids"]
        return ids

    def runs_of(self, event_id: str) -> list[Run]:
        """List the runs that an event has started."""
        runs: list[Run] = ask(f"{self.url}/v1/events/{event_id}/runs")["data"]
        return runs

    def run(self, run_id: str) -> Run:
        """Read one run."""
        found: Run = ask(f"{self.url}/v1/runs/{run_id}")["data"]
        return found

    def run_of(self, event_id: str, function: str = "", *, phase: str = "") -> Run:
        """Wait until an event has started a run (of a function, where it starts several), and it is in a phase."""

        def there() -> Run | None:
            found = [run for run in self.runs_of(event_id) if function in ("", run["function_id"])]
            assert len(found) <= 1, found
            return found[0] if found and phase in ("", found[0]["phase"]) else None

        return await_that(there, lambda: f"a run of {event_id} {function} {phase}: {self.runs_of(event_id)}")

    def end_of(self, event_id: str, function: str = "", within_s: float = 60) -> Run:
        """Wait until the run that an event has started is over; the run."""
        run_id = self.run_of(event_id, function)["run_id"]

        def over() -> Run | None:
            run = self.run(run_id)
            return run if run["status"] in ENDED else None

        return await_that(over, lambda: f"the end of {json.dumps(self.run(run_id), indent=1)[:3000]}", within_s)


class Play(Engine):
    """An app and the first events of all its cases."""

    def __init__(self, url: str, app: Program) -> None:
        super().__init__(url)
        self.app = app
        self.kind = app.kind
        self.ids: dict[str, list[str]] = {}

    def open(self, cases: dict[str, Datas]) -> None:
        """Send the first events of cases."""
        events = [{"name": self.event(case), "data": data} for case, datas in cases.items() for data in datas]
        ids = iter(self.send(*events))
        self.ids |= {case: [next(ids) for _ in datas] for case, datas in cases.items()}

    def event(self, case: str) -> str:
        """Name an event of this app."""
        return f"{self.app.name}/{case}"

    def tell(self, case: str, **data: Any) -> str:
        """Send one more event of this app; its id."""
        return self.send({"name": self.event(case), "data": data})[0]

    def error_name(self, name: str) -> str:
        """Give the name under which the SDK reports an error of this name."""
        return "Error" if self.kind == ONLY_ERROR else name

    def function(self, case: str) -> str:
        """Give the full id of a function."""
        return f"{self.app.name}-{case}"

    def end(self, case: str, number: int = 0, within_s: float = 60) -> Run:
        """Wait for the end of the run that the case's n-th first event has started."""
        return self.end_of(self.ids[case][number], self.function(case), within_s)

    def result(self, case: str, number: int = 0) -> Any:
        """Wait for the good end of a run; its output."""
        run = self.end(case, number)
        assert run["status"] == "Completed", json.dumps(run, indent=1)[:3000]
        return run["output"]

    def noted(self, case: str, run: str | None = None, what: str | None = None) -> list[dict[str, Any]]:
        """Read what the app noted of a case."""
        return self.app.lines(case, run, what)

    def order(self, case: str, run: str) -> list[str]:
        """Name what ran in one run, in order; calls of the function itself left out."""
        return [line["what"] for line in self.noted(case, run) if line["what"] != "called"]
