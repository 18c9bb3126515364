"""The list of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from headrace.console.function_queries import Counts
from headrace.console.markup import Html, join, tag
from headrace.console.pages.charts import bar_chart
from headrace.console.pages.parts import duration, moment, options, pager, path, short_id, status_pill, table
from headrace.console.pages.words import STATUS_WORDS, count_text
from headrace.console.run_answers import explain, phase_now
from headrace.console.run_queries import FoundRun
from headrace.console.run_rows import RunRow

_STATUSES = ("", "Scheduled", "Running", "Completed", "Failed", "Cancelled")
_SINCE = (("", "Any time"), ("15m", "15 minutes"), ("1h", "1 hour"), ("24h", "24 hours"), ("7d", "7 days"))


class RunList(NamedTuple):
    """What the page shows. `query` holds the filters as they were asked for, by their names."""

    runs: Sequence[FoundRun]
    cursor: str | None
    functions: Sequence[str]
    series: Sequence[Counts]
    live: Mapping[str, int]
    query: dict[str, Any]
    now_ms: int


def render_run_list(root: str, shown: RunList) -> Html:
    """Make the page."""
    return join(
        tag("div", tag("h1", "Runs"), _live_counts(shown.live), class_="head"),
        _chart(shown.series),
        _filters(root, shown),
        run_table(root, shown.runs, shown.now_ms, empty=_empty(shown)),
        pager(root, (), shown.cursor, shown.query),
    )


def run_table(root: str, runs: Sequence[FoundRun], now_ms: int, *, empty: str) -> Html:
    """Show runs as a table; pages about events and functions have one too."""
    rows = [_row(root, found, now_ms) for found in runs]
    heads = ("Status", "Run", "Function", "Trigger", "Queued", "Started", "Ended", "Duration")
    return table(heads, rows, empty=empty, kind="runs")


def _row(root: str, found: FoundRun, now_ms: int) -> list[object]:
    row = found.row
    phase = phase_now(row, now_ms)
    more = f" +{row.event_count - 1}" if row.event_count > 1 else None
    trigger = found.event_name or "event"
    return [
        tag("span", status_pill(row.status, phase), title=explain(row, now_ms) or None),
        tag("a", short_id(row.run_id), href=path(root, "runs", row.run_id), class_="row-link"),
        tag("a", row.function_id, href=path(root, function=row.function_id), class_="quiet"),
        tag("a", trigger, more, href=path(root, "events", row.event_id), class_="quiet") if row.event_id else "–",
        moment(row.queued_ms),
        _started(row),
        moment(row.ended_ms),
        run_duration(row, now_ms),
    ]


def _started(row: RunRow) -> Html:
    waited_ms = row.started_ms - row.queued_ms
    if not row.started_ms:
        return moment(0)
    return join(
        moment(row.started_ms), tag("span", " after ", duration(waited_ms), class_="delay") if waited_ms >= 1 else None
    )


def run_duration(row: RunRow, now_ms: int) -> Html:
    """Show how long a run took, or has taken so far."""
    if not row.started_ms:
        return duration(None)
    return duration(max(0, (row.ended_ms or now_ms) - row.started_ms), live=not row.ended_ms)


def _live_counts(live: Mapping[str, int]) -> Html:
    known = [(phase, live[phase]) for phase in STATUS_WORDS if live.get(phase)]
    pills = [
        tag("span", status_pill("", phase), tag("b", count_text(number)), class_="live-count")
        for phase, number in known
    ]
    return tag("div", pills or tag("span", "Nothing runs now", class_="none"), class_="live-counts")


def _chart(series: Sequence[Counts]) -> Html:
    total = Counts()
    for counts in series:
        total = total.plus(counts)
    legend = tag(
        "p",
        tag("b", "Last 24 hours"),
        tag("span", count_text(total.completed), " completed", class_="key key-completed"),
        tag("span", count_text(total.failed), " failed", class_="key key-failed"),
        tag("span", count_text(total.cancelled), " cancelled", class_="key key-cancelled"),
        class_="legend",
    )
    return tag("section", legend, bar_chart(series, label="Runs that ended, by time"), class_="chart")


def _filters(root: str, shown: RunList) -> Html:
    query = {**shown.query, "cursor": ""}
    chosen = str(query.get("status", ""))
    tabs = [
        tag(
            "a",
            status or "All",
            href=path(root, **{**query, "status": status}),
            aria_current="true" if status.lower() == chosen.lower() else None,
        )
        for status in _STATUSES
    ]
    function = str(query.get("function", ""))
    names = sorted({*shown.functions, function} - {""})
    fields = [
        tag("input", type="hidden", name="status", value=chosen) if chosen else None,
        tag(
            "label",
            tag("span", "Function"),
            tag("select", options(function, [("", "All functions"), *((n, n) for n in names)]), name="function"),
        ),
        tag("label", tag("span", "Since"), tag("select", options(str(query.get("since", "")), _SINCE), name="since")),
        tag(
            "label",
            tag("span", "Event"),
            tag(
                "input",
                name="event_id",
                value=query.get("event_id", ""),
                placeholder="Event id",
                autocomplete="off",
                spellcheck="false",
            ),
        ),
        tag("button", "Filter", type="submit"),
    ]
    return tag(
        "div",
        tag("nav", tabs, class_="tabs", aria_label="Status"),
        tag("form", fields, action=path(root), method="get", class_="filters", data_auto=True),
        class_="choose",
    )


def _empty(shown: RunList) -> str:
    if any(value for name, value in shown.query.items()):
        return "No run fits these filters."
    return "No run yet. Send an event that a function waits for, and its run shows here."
