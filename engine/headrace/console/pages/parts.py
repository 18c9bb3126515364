"""Pieces that several pages are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from headrace.console.lag_queries import Lag
from headrace.console.markup import Html, join, tag
from headrace.console.moments import iso
from headrace.console.pages.words import STATUS_WORDS, count_text, duration_text

_JSON_CHARACTERS_MAX = 200_000


def path(root: str, *parts: str, **query: object) -> str:
    """Make a link within this application: every part is quoted, empty query values are left out."""
    joined = root + "/" + "/".join(quote(part, safe="") for part in parts)
    asked = {name: value for name, value in query.items() if value not in ("", None, 0)}
    return joined + ("?" + urlencode(asked) if asked else "")


def icon(name: str) -> Html:
    """Show one of the icons of `static/icons.svg`; they say nothing that the text beside them does not."""
    return tag("span", class_=f"icon icon-{name}", aria_hidden="true")


def status_pill(status: str, phase: str = "") -> Html:
    """Show a status; of a live run what it does now."""
    word = STATUS_WORDS.get(phase, status) if phase else status
    kind = (phase or status).lower().replace("_", "-")
    return tag("span", tag("i", aria_hidden="true"), word, class_=f"pill pill-{kind}")


def moment(time_ms: int, *, empty: str = "–") -> Html:
    """Show a point in time: in UTC, and in the reader's own zone where scripts run."""
    written = iso(time_ms)
    if written is None:
        return tag("span", empty, class_="none")
    return tag("time", written[:10], " ", tag("b", written[11:19]), written[19:23], datetime=written)


def short_id(run_id: str) -> Html:
    """Show an id with its end, which is what tells ids of one time apart, in full strength."""
    return tag("span", tag("span", run_id[:-8], class_="id-head"), run_id[-8:], class_="id")


def duration(ms: int | None, *, live: bool = False) -> Html:
    """Show a duration; a dash where there is none."""
    if ms is None:
        return tag("span", "–", class_="none")
    return tag("span", duration_text(ms), class_="duration live" if live else "duration")


def pretty_json(value: str | bytes) -> str:
    """Lay out JSON over several lines; what is none, or too deep, is given as it stands."""
    raw = value.encode() if isinstance(value, str) else value
    try:
        shown = msgspec.json.format(raw, indent=2).decode("utf-8", "replace")
    except (msgspec.MsgspecError, RecursionError):
        shown = raw.decode("utf-8", "backslashreplace")
    if len(shown) > _JSON_CHARACTERS_MAX:
        left = len(shown) - _JSON_CHARACTERS_MAX
        return f"{shown[:_JSON_CHARACTERS_MAX]}\n… {count_text(left)} more characters: the API has them all"
    return shown


def json_block(value: str | bytes, *, empty: str) -> Html:
    """Show JSON."""
    if not value:
        return tag("p", empty, class_="none")
    return tag("pre", tag("code", pretty_json(value)), class_="json", tabindex="0")


def facts(*rows: tuple[str, object]) -> Html:
    """Show names with their values."""
    return tag("dl", [tag("div", tag("dt", name), tag("dd", value)) for name, value in rows], class_="facts")


def panel(title: str, *children: object, kind: str = "") -> Html:
    """Show a part of a page under a heading."""
    return tag("section", tag("h2", title), *children, class_=f"panel {kind}".strip())


def table(heads: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str, kind: str = "") -> Html:
    """Show a table; on narrow screens every row becomes a card, whose cells carry the heads."""
    if not rows:
        return tag("p", empty, class_="empty")
    cells = [[tag("td", cell, data_head=head) for head, cell in zip(heads, row, strict=True)] for row in rows]
    return tag(
        "div",
        tag(
            "table",
            tag("thead", tag("tr", [tag("th", head, scope="col") for head in heads])),
            tag("tbody", [tag("tr", row) for row in cells]),
            class_=f"rows {kind}".strip(),
        ),
        class_="table",
    )


def pager(root: str, where: Sequence[str], cursor: str | None, query: dict[str, Any]) -> Html | None:
    """Show the way to the next page of a list, and back to its beginning."""
    first = tag("a", "Newest", href=path(root, *where, **{**query, "cursor": ""})) if query.get("cursor") else None
    older = tag("a", "Older", href=path(root, *where, **{**query, "cursor": cursor})) if cursor else None
    if first is None and older is None:
        return None
    return tag("nav", first, older, class_="pager", aria_label="Pages")


def lag_note(lag: Lag) -> Html:
    """Say how far behind a page may be."""
    if not lag.running:
        kind, words = "bad", "Projection stopped"
    elif lag.records_behind > 0 and lag.seconds_behind >= 1:
        behind = duration_text(lag.seconds_behind * 1000)
        kind, words = "late", f"{behind} behind ({count_text(lag.records_behind)} records)"
    else:
        kind, words = "good", "Up to date"
    return tag("span", tag("i", aria_hidden="true"), words, class_=f"lag lag-{kind}")


def notice(kind: str, title: object, *lines: object) -> Html:
    """Show something that the reader should know: `kind` is error, wait or note."""
    written = [
        line if isinstance(line, Html) and line.startswith("<details") else tag("p", line) for line in lines if line
    ]
    return tag("div", tag("strong", title), written, class_=f"notice notice-{kind}", role="note")


def options(chosen: str, rows: Sequence[tuple[str, str]]) -> Html:
    """Make the options of a select."""
    return join([tag("option", words, value=value, selected=value == chosen) for value, words in rows])
