"""A run over time: its phases on the first line, then a line for each step with its attempts and waits."""

from __future__ import annotations

from typing import NamedTuple

from headrace.console.markup import Html, join, tag
from headrace.console.pages.parts import path
from headrace.console.pages.words import STATUS_WORDS, duration_text
from headrace.console.steps import RunTold, StepTold
from headrace.console.timeline import Timeline

STEPS_SHOWN_MAX = 500
_LABEL_SHARE_MIN = 8.0  # per cent of the width that a duration on the axis needs
_LEGEND = (
    ("executing", "Code runs"),
    ("queued", "Queued"),
    ("sleeping", "Sleeps or waits"),
    ("backing-off", "Backs off"),
    ("failed", "Attempt failed"),
)


class Bar(NamedTuple):
    """One piece of a line: from when to when, what it is, and what is said about it."""

    begin_ms: int
    end_ms: int
    kind: str
    words: str


def render_waterfall(root: str, run_id: str, told: RunTold, line: Timeline, now_ms: int, *, even: bool) -> Html:
    """Make the drawing."""
    steps = told.steps[:STEPS_SHOWN_MAX]
    rows = [_row("Run", "", _run_bars(told), line, duration_text(line.end_ms - line.begin_ms), kind="whole")]
    for number, step in enumerate(steps):
        total_ms = (step.ended_ms or now_ms) - step.started_ms
        label = tag("a", step.id, href=f"#step-{number}")
        rows.append(_row(label, step.op, _step_bars(step, now_ms), line, duration_text(total_ms)))
    hidden = len(told.steps) - len(steps)
    scale = (
        tag("a", "Shorten the waits", href=path(root, "runs", run_id))
        if even
        else tag("a", "Draw all times alike", href=path(root, "runs", run_id, scale="even"))
        if line.gaps
        else None
    )
    return join(
        tag("p", [tag("span", words, class_=f"key key-{kind}") for kind, words in _LEGEND], scale, class_="legend"),
        tag("div", _axis(line), rows, class_="waterfall"),
        tag("p", f"… and {hidden} more steps", class_="none") if hidden > 0 else None,
    )


def _row(label: object, op: str, bars: list[Bar], line: Timeline, length: str, kind: str = "") -> Html:
    return tag(
        "div",
        tag("span", tag("span", op.replace("_", " "), class_="op") if op else None, label, class_="lane-label"),
        tag("svg", _gaps(line), [_draw(bar, line) for bar in bars], class_="lane", role="img", aria_label=_said(bars)),
        tag("span", length, class_="lane-length"),
        class_=f"lane-row {kind}".strip(),
    )


def _draw(bar: Bar, line: Timeline) -> Html:
    begin, end = line.place(bar.begin_ms), line.place(bar.end_ms)
    return tag(
        "rect",
        x=f"{min(begin, 99.7):.3f}%",
        width=f"{max(end - begin, 0.3):.3f}%",
        y=5,
        height=14,
        rx=2,
        class_=f"bar {bar.kind}",
        data_words=bar.words,
    )


def _gaps(line: Timeline) -> list[Html]:
    return [
        tag(
            "rect",
            x=f"{line.place(gap.begin_ms):.3f}%",
            width=f"{line.place(gap.end_ms) - line.place(gap.begin_ms):.3f}%",
            y=0,
            height=24,
            class_="gap",
        )
        for gap in line.gaps
    ]


def _axis(line: Timeline) -> Html:
    return tag(
        "div",
        tag("span", class_="lane-label"),
        tag("svg", _parts(line) if line.gaps else _ticks(line), class_="axis", aria_hidden="true"),
        tag("span", class_="lane-length"),
        class_="lane-row axis-row",
    )


def _ticks(line: Timeline) -> list[Html]:
    marks = []
    for tick in line.ticks():
        words = duration_text(tick.after_ms) if tick.after_ms else "0"
        anchor = "end" if tick.place > 90 else "start" if tick.place < 2 else "middle"
        marks += [_mark(tick.place), tag("text", words, x=f"{tick.place:.3f}%", y=10, text_anchor=anchor)]
    return marks


def _parts(line: Timeline) -> list[Html]:
    """Say how long each part of a scale is that is not even; a wave stands before those that are drawn shorter."""
    marks = [_mark(0.0)]
    for part in line.parts():
        marks.append(_mark(part.end))
        if part.end - part.begin >= _LABEL_SHARE_MIN:
            words = ("≈ " if part.cut else "") + duration_text(part.length_ms)
            centre = (part.begin + part.end) / 2
            marks.append(
                tag("text", words, x=f"{centre:.3f}%", y=14, text_anchor="middle", class_="cut" if part.cut else None)
            )
    return marks


def _mark(place: float) -> Html:
    return tag("line", x1=f"{place:.3f}%", x2=f"{place:.3f}%", y1=14, y2=22)


def _run_bars(told: RunTold) -> list[Bar]:
    bars = [
        Bar(
            part.begin_ms,
            part.end_ms,
            part.phase.replace("_", "-"),
            f"{STATUS_WORDS.get(part.phase, part.phase)}: {duration_text(part.end_ms - part.begin_ms)}",
        )
        for part in told.stretches
    ]
    return bars + [
        Bar(attempt.ended_ms, attempt.ended_ms, "failed", f"Attempt {attempt.number + 1} of the function failed")
        for attempt in told.attempts
    ]


def _step_bars(step: StepTold, now_ms: int) -> list[Bar]:
    end_ms = step.ended_ms or now_ms
    if step.op == "sleep" or step.phase in ("sleeping", "waiting"):
        words = f"{'Slept' if step.ended_ms else 'Sleeps'}: {duration_text(end_ms - step.started_ms)}"
        return [Bar(step.started_ms, end_ms, "sleeping", words)]
    bars: list[Bar] = []
    for attempt in step.attempts:
        failed = attempt.mistake is not None
        said = f"Attempt {attempt.number + 1} {'failed' if failed else 'succeeded'}"
        said += f" after {duration_text(attempt.ended_ms - attempt.started_ms)}"
        if failed and attempt.mistake is not None:
            said += f": {attempt.mistake.name}"
        bars.append(Bar(attempt.started_ms, attempt.ended_ms, "failed" if failed else "executing", said))
        if attempt.next_ms:
            until_ms = min(attempt.next_ms, end_ms)
            words = f"Backs off: {duration_text(attempt.next_ms - attempt.ended_ms)}"
            bars.append(Bar(attempt.ended_ms, until_ms, "backing-off", words))
    if step.phase == "executing" and step.due_ms:
        bars.append(Bar(step.due_ms, end_ms, "executing", "An attempt is made"))
    return bars


def _said(bars: list[Bar]) -> str:
    return "; ".join(bar.words for bar in bars[:20])
