"""What lists and single things look like on a terminal; JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

_COLOURS = {
    "completed": "green",
    "failed": "red",
    "cancelled": "yellow",
    "running": "cyan",
    "scheduled": "blue",
    "skipped": "bright_black",
    "sleeping": "blue",
    "waiting": "blue",
    "backing_off": "yellow",
    "no_code": "red",
    "parked": "red",
    "ok": "green",
    "note": "yellow",
    "bad": "red",
}
# In a pipe nobody scrolls sideways, and a cut id is no id.
_PIPE_WIDTH = 1_000


def terminal() -> Console:
    """Give the console for results (standard output), as wide as it needs to be where it is no terminal."""
    wide = None if sys.stdout.isatty() else _PIPE_WIDTH
    return Console(file=sys.stdout, width=wide, highlight=False)


def print_json(answer: object) -> None:
    """Print an answer as indented JSON."""
    click.echo(json.dumps(answer, indent=2, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], empty: str) -> None:
    """Print rows under their columns, or the sentence that says why there are none. The first column is never cut."""
    rows = list(rows)
    if not rows:
        click.echo(empty)
        return
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for index, column in enumerate(columns):
        table.add_column(column, no_wrap=index == 0, overflow="fold")
    for row in rows:
        table.add_row(*map(cell, row))
    print_rich(table)


def print_pairs(pairs: Iterable[tuple[str, object]]) -> None:
    """Print names and values, one pair a line; what is None or empty is left out."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs:
        if value is not None and value != "":
            table.add_row(name, cell(value))
    print_rich(table)


def print_rich(thing: object) -> None:
    """Print what rich draws, without the blanks that it puts at the ends of lines."""
    console = terminal()
    with console.capture() as captured:
        console.print(thing)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def cell(value: object) -> Text:
    """Draw one value: words of our own in their colour, everything else as plain text (never as markup)."""
    if isinstance(value, Text):
        return value
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return Text(text, style=_COLOURS.get(text.lower(), ""))


def moment(value: Any, *, precise: bool = False) -> str:
    """Write a moment (RFC 3339, or milliseconds since 1970) in local time; "" for none."""
    when = _parsed(value)
    if when is None:
        return "" if value in (None, "", 0) else str(value)
    local = when.astimezone()
    today = local.date() == datetime.now().astimezone().date()
    shown = local.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M:%S")
    return f"{shown}.{local.microsecond // 1000:03d}" if precise else shown


def duration(start: Any, end: Any) -> str:
    """Write how long something took; "" while one of its ends is missing."""
    first, last = _parsed(start), _parsed(end)
    if first is None or last is None:
        return ""
    seconds = (last - first).total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.2f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s"


def short(value: object, length: int = 80) -> str:
    """Write a value as JSON in one line, cut with … where it is longer than `length`."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1] + "…"


def _parsed(value: Any) -> datetime | None:
    if isinstance(value, int | float) and not isinstance(value, bool) and value:
        return datetime.fromtimestamp(value / 1000, UTC)
    if isinstance(value, str) and value:
        try:
            when = datetime.fromisoformat(value)
        except ValueError:
            return None
        return when if when.tzinfo is not None else when.replace(tzinfo=UTC)
    return None
