"""The page of one run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from headrace.console.event_queries import FoundEvent
from headrace.console.markup import Html, join, tag
from headrace.console.pages.parts import (
    duration,
    facts,
    json_block,
    moment,
    notice,
    panel,
    path,
    status_pill,
)
from headrace.console.pages.run_list import run_duration
from headrace.console.pages.waterfall import STEPS_SHOWN_MAX, render_waterfall
from headrace.console.pages.words import duration_text
from headrace.console.run_answers import explain, phase_now
from headrace.console.run_queries import FoundRun
from headrace.console.run_rows import ENDED, RunRow
from headrace.console.steps import Attempt, Mistake, RunTold, StepTold
from headrace.console.timeline import draw_timeline


class RunShown(NamedTuple):
    """What the page shows. `events` are those of the run that the archive has."""

    found: FoundRun
    told: RunTold
    events: Sequence[FoundEvent]
    even: bool
    cancellable: bool
    now_ms: int


def render_run_page(root: str, shown: RunShown) -> Html:
    """Make the page."""
    row, now_ms = shown.found.row, shown.now_ms
    end_ms = row.ended_ms or now_ms
    line = draw_timeline(shown.told, row.queued_ms, end_ms, even=shown.even)
    return join(
        _head(root, shown),
        _facts(row, now_ms),
        _why(row, now_ms),
        panel(
            "Timeline",
            render_waterfall(root, row.run_id, shown.told, line, now_ms, even=shown.even),
            kind="wide",
        ),
        tag("div", _trigger(root, shown), _result(row), class_="two"),
        _attempts("Failed attempts of the function", shown.told.attempts),
        _steps(shown.told.steps[:STEPS_SHOWN_MAX], now_ms),
    )


def _head(root: str, shown: RunShown) -> Html:
    row = shown.found.row
    cancel = (
        tag(
            "form",
            tag("button", "Cancel run", type="submit", class_="danger"),
            action=path(root, "runs", row.run_id, "cancel"),
            method="post",
            data_ask="Cancel this run? Its code is interrupted.",
        )
        if shown.cancellable and row.status not in ENDED
        else None
    )
    return tag(
        "div",
        tag(
            "div",
            tag("p", tag("a", "Runs", href=path(root)), " / ", tag("span", row.function_id), class_="crumbs"),
            tag("h1", row.function_id),
            tag("p", tag("code", row.run_id, class_="copy", data_copy=row.run_id), class_="sub"),
        ),
        tag("div", status_pill(row.status, phase_now(row, shown.now_ms)), cancel, class_="head-side"),
        class_="head",
    )


def _facts(row: RunRow, now_ms: int) -> Html:
    queued_ms = (row.started_ms or row.ended_ms or now_ms) - row.queued_ms
    return facts(
        ("Queued", moment(row.queued_ms)),
        ("Started", moment(row.started_ms)),
        ("Ended", moment(row.ended_ms)),
        ("In the queue", duration(max(0, queued_ms), live=not row.started_ms and not row.ended_ms)),
        ("Duration", run_duration(row, now_ms)),
        ("Partition", row.partition),
    )


def _why(row: RunRow, now_ms: int) -> Html | None:
    if row.status == "Completed":
        return None
    mistake = join(tag("code", row.error_name), " ", row.error_message) if row.error_name else row.error_message
    if row.status in ENDED:
        kind = "error" if row.status == "Failed" else "wait"
        title = row.error_message or row.error_name if row.status == "Cancelled" else mistake
        code = join(tag("code", row.code), " ", row.explanation) if row.code or row.explanation else None
        return notice(kind, title or row.status, code, row.action, _stack(row.error_stack))
    phase = phase_now(row, now_ms)
    code = tag("code", row.code) if row.code else None
    if row.explanation:
        return notice("wait", _sentence(row.explanation), _sentence(row.action), code)
    if phase == "backing_off":
        title = join(f"Attempt {row.attempt + 1} failed. The next one is made at ", moment(row.due_ms), ".")
        return notice("wait", title, mistake, _stack(row.error_stack))
    if phase == "sleeping" and row.due_ms:
        return notice("note", join("Sleeps until ", moment(row.due_ms), "."))
    said = explain(row, now_ms)
    return notice("wait", _sentence(said)) if said else None


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:] + ("" if not words or words[-1] in ".!?" else ".")


def _stack(stack: str) -> Html | None:
    if not stack:
        return None
    return tag("details", tag("summary", "Traceback"), tag("pre", stack, tabindex="0"), class_="stack")


def _trigger(root: str, shown: RunShown) -> Html:
    found = shown.found
    known = {event.event_id: event for event in shown.events}
    parts = []
    for event_id in found.event_ids[:20]:
        event = known.get(event_id)
        link = tag("a", event.name if event else event_id, href=path(root, "events", event_id))
        sent = moment(event.ts_ms) if event else None
        parts.append(tag("p", link, " ", sent, class_="sub"))
        parts.append(
            json_block(event.body, empty="") if event else tag("p", "The event is not kept here.", class_="none")
        )
    more = len(found.event_ids) - 20
    title = "Trigger" if len(found.event_ids) < 2 else f"Trigger: {len(found.event_ids)} events"
    return panel(
        title, parts or tag("p", "Unknown", class_="none"), tag("p", f"… and {more} more") if more > 0 else None
    )


def _result(row: RunRow) -> Html:
    if row.status == "Completed":
        return panel("Output", json_block(row.output, empty="The function returned nothing."))
    words = (
        "None: the run has not ended." if row.status not in ENDED else f"None: the run ended as {row.status.lower()}."
    )
    return panel("Output", tag("p", words, class_="none"))


def _steps(steps: Sequence[StepTold], now_ms: int) -> Html | None:
    if not steps:
        return None
    return panel("Steps", [_step(number, step, now_ms) for number, step in enumerate(steps)], kind="steps")


def _step(number: int, step: StepTold, now_ms: int) -> Html:
    length_ms = (step.ended_ms or now_ms) - step.started_ms
    summary = tag(
        "summary",
        status_pill(step.status, step.phase),
        tag("span", step.id, class_="step-name"),
        tag("span", step.op.replace("_", " "), class_="op"),
        tag("span", f"{len(step.attempts)} attempts", class_="op") if len(step.attempts) > 1 else None,
        tag("span", duration_text(length_ms), class_="step-length"),
    )
    due = (
        ("Until" if step.phase in ("sleeping", "waiting") else "Next attempt", moment(step.due_ms))
        if step.phase
        else None
    )
    rows = [("Started", moment(step.started_ms)), ("Ended", moment(step.ended_ms))]
    failed = step.status == "Failed"
    return tag(
        "details",
        summary,
        facts(*rows, *([due] if due and step.due_ms else [])),
        _mistake(step.mistake) if failed else None,
        _attempts("Attempts", step.attempts) if len(step.attempts) > 1 else None,
        json_block(step.output, empty="") if step.output and step.op != "sleep" else None,
        id=f"step-{number}",
        open=failed,
    )


def _attempts(title: str, attempts: Sequence[Attempt]) -> Html | None:
    if not attempts:
        return None
    rows = [
        tag(
            "li",
            tag("b", f"Attempt {attempt.number + 1}"),
            " ",
            moment(attempt.started_ms),
            " ",
            duration(max(0, attempt.ended_ms - attempt.started_ms)),
            f", the next one {duration_text(attempt.next_ms - attempt.ended_ms)} later" if attempt.next_ms else None,
            _mistake(attempt.mistake),
        )
        for attempt in attempts
    ]
    return tag("section", tag("h3", title), tag("ol", rows, class_="attempts"))


def _mistake(mistake: Mistake | None) -> Html | None:
    if mistake is None:
        return None
    return tag(
        "div", tag("p", tag("code", mistake.name), " ", mistake.message), _stack(mistake.stack), class_="mistake"
    )
