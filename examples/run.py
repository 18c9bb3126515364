"""Run one example from its first event to its end: `make example NAME=welcome`, or `python -m examples.run welcome`.

Starts an embedded Kafka (or uses `--kafka HOST:PORT`), a node with the example's app, and plays its scenario. Prints
what ran, and what was checked. Exit status 0 only if everything that must have happened did.
"""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
import tempfile
import uuid
from collections import Counter
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from examples.stage import NotSo, Stage
from headrace.adapters.embedded_kafka import EmbeddedKafka

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """List the examples that can be played."""
    return sorted(path.parent.name for path in FOLDER.glob("*/scenario.py"))


def main(arguments: list[str] | None = None) -> int:
    """Run an example; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="make example", description="Run one example from its first event to its end."
    )
    parser.add_argument("name", metavar="NAME", choices=names(), nargs="?", help=", ".join(names()))
    parser.add_argument("--kafka", metavar="HOST:PORT", help="use this broker instead of starting one")
    chosen = parser.parse_args(arguments)
    if chosen.name is None:
        print("Which one? make example NAME=…, of these: " + ", ".join(names()), file=sys.stderr)
        return 2
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="headrace-example-")))
        bootstrap = chosen.kafka or stack.enter_context(EmbeddedKafka(folder / "kafka")).bootstrap
        return play(chosen.name, folder, bootstrap, importlib.import_module(f"examples.{chosen.name}.scenario"))


def play(name: str, folder: Path, bootstrap: str, scenario: Any, kind: type[Stage] = Stage) -> int:
    """Play the scenario of an example on a broker, in topics of its own; return the exit status."""
    console = Console(highlight=False)
    console.print(f"[bold]{name}[/bold]: {(scenario.__doc__ or '').strip()}")
    home = folder / name
    home.mkdir()
    kind = getattr(scenario, "STAGE", kind)
    stage = kind(FOLDER / name / "app.py", home, bootstrap, f"example-{name}-{uuid.uuid4().hex[:8]}", scenario.SHORT)
    try:
        with stage:
            console.print(f"Kafka at {bootstrap}, Headrace at http://127.0.0.1:{stage.port}")
            scenario.play(stage)
            console.print(table(stage, name))
    except NotSo as failure:
        stage.wrong.append(str(failure))
    for what in stage.checked:
        console.print(f"  [green]✓[/green] {what}", soft_wrap=True)
    for what in stage.wrong:
        console.print(f"  [red]✗ wrong:[/red] {what}", soft_wrap=True)
    if not stage.checked:
        console.print("  [red]✗ nothing was checked[/red]")
    return 1 if stage.wrong or not stage.checked else 0


def table(stage: Stage, title: str) -> Table:
    """Say what ran."""
    shown = Table(title=title)
    shown.add_column("function")
    for column in ("runs", "completed", "failed", "cancelled", "median ms"):
        shown.add_column(column, justify="right")
    for function in stage.get("/v1/functions")["data"]:
        runs = stage.runs(function["id"])
        statuses = Counter(run["status"] for run in runs)
        took = [took_ms(run) for run in runs if run["ended_at"] and run["run_started_at"]]
        counts = (len(runs), statuses["Completed"], statuses["Failed"], statuses["Cancelled"])
        shown.add_row(function["id"], *map(str, counts), f"{median(took):.0f}" if took else "")
    return shown


def took_ms(run: dict[str, Any]) -> float:
    """Give how long a run took that has ended."""
    began, ended = (datetime.fromisoformat(run[moment]) for moment in ("run_started_at", "ended_at"))
    return (ended - began).total_seconds() * 1000


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the node and its Kafka end as well
    sys.exit(main())
