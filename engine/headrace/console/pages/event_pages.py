"""The list of events, the page of one event, and the form that sends one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from headrace.console.event_answers import key_text
from headrace.console.event_queries import FoundEvent
from headrace.console.lag_queries import Lag
from headrace.console.markup import Html, join, tag
from headrace.console.pages.parts import (
    facts,
    json_block,
    moment,
    notice,
    options,
    pager,
    panel,
    path,
    short_id,
    status_pill,
    table,
)
from headrace.console.pages.run_list import run_table
from headrace.console.pages.words import count_text
from headrace.console.run_queries import FoundRun
from headrace.console.why import Reason

_SINCE = (("", "Any time"), ("15m", "15 minutes"), ("1h", "1 hour"), ("24h", "24 hours"), ("7d", "7 days"))
_RUNS_SHOWN_MAX = 4


class EventList(NamedTuple):
    """What the list shows. `started` gives the runs of each event: (run id, function id, status)."""

    events: Sequence[FoundEvent]
    cursor: str | None
    started: Mapping[str, Sequence[tuple[str, str, str]]]
    names: Sequence[str]
    query: dict[str, Any]
    lag: Lag


def render_event_list(root: str, shown: EventList) -> Html:
    """Make the list's page."""
    rows = [
        [
            tag("a", event.name, href=path(root, "events", event.event_id), class_="row-link event-name"),
            _runs_of(root, shown.started.get(event.event_id, ())),
            moment(event.received_ms),
            tag("code", event.given_id) if event.given_id else short_id(event.event_id),
            tag("code", key_text(event.key)) if event.key is not None else tag("span", "–", class_="none"),
            tag("span", f"{event.partition} / {event.offset}", class_="place"),
        ]
        for event in shown.events
    ]
    wanted = bool(shown.query.get("name") or shown.query.get("since"))
    empty = "No event fits these filters." if wanted else "No event yet."
    return join(
        tag("div", tag("h1", "Events"), class_="head"),
        _sampling(shown.lag),
        _filters(root, shown),
        table(
            ("Event", "Runs started", "Received", "Id", "Key", "Partition / offset"), rows, empty=empty, kind="events"
        ),
        pager(root, ("events",), shown.cursor, shown.query),
    )


def _runs_of(root: str, started: Sequence[tuple[str, str, str]]) -> Html:
    if not started:
        return tag("span", "none", class_="none")
    shown = [
        tag("a", status_pill(status), " ", function_id, href=path(root, "runs", run_id), class_="started")
        for run_id, function_id, status in started[:_RUNS_SHOWN_MAX]
    ]
    more = len(started) - len(shown)
    return tag("span", shown, tag("span", f"+{more}", class_="none") if more else None, class_="started-list")


def _sampling(lag: Lag) -> Html | None:
    if not lag.events_seen:
        return None
    return notice(
        "note",
        f"Only {count_text(lag.events_kept)} of the last hour's {count_text(lag.events_seen)} events are shown here.",
        "The console was far behind and kept a part of them. Their runs are all there, and so are the events on Kafka.",
    )


def _filters(root: str, shown: EventList) -> Html:
    query = shown.query
    fields = [
        tag(
            "label",
            tag("span", "Name"),
            tag(
                "input",
                name="name",
                value=query.get("name", ""),
                list="event-names",
                placeholder="order/created or order/*",
                autocomplete="off",
                spellcheck="false",
            ),
            tag("datalist", [tag("option", value=name) for name in shown.names], id="event-names"),
        ),
        tag("label", tag("span", "Since"), tag("select", options(str(query.get("since", "")), _SINCE), name="since")),
        tag("button", "Filter", type="submit"),
    ]
    return tag("form", fields, action=path(root, "events"), method="get", class_="filters", data_auto=True)


class EventShown(NamedTuple):
    """What the page of one event shows."""

    event: FoundEvent
    runs: Sequence[FoundRun]
    reasons: Sequence[Reason]
    now_ms: int


def render_event_page(root: str, shown: EventShown) -> Html:
    """Make the page of one event."""
    event = shown.event
    again = tag("a", "Send again, changed", href=path(root, "send", event=event.event_id), class_="button")
    return join(
        tag(
            "div",
            tag(
                "div",
                tag(
                    "p", tag("a", "Events", href=path(root, "events")), " / ", tag("span", event.name), class_="crumbs"
                ),
                tag("h1", event.name),
                tag("p", tag("code", event.event_id, class_="copy", data_copy=event.event_id), class_="sub"),
            ),
            tag("div", again, class_="head-side"),
            class_="head",
        ),
        facts(
            ("Received", moment(event.received_ms)),
            ("Its own time", moment(event.ts_ms)),
            ("Sender's id", tag("code", event.given_id) if event.given_id else tag("span", "none", class_="none")),
            ("Key", tag("code", key_text(event.key)) if event.key is not None else tag("span", "none", class_="none")),
            ("Partition / offset", f"{event.partition} / {event.offset}"),
        ),
        tag("h2", "Runs it started"),
        run_table(root, shown.runs, shown.now_ms, empty="It started no run."),
        _reasons(root, shown.reasons),
        panel("Event", json_block(event.body, empty="")),
    )


def _reasons(root: str, reasons: Sequence[Reason]) -> Html | None:
    """Say why other functions were not started; those that wait for something else only if it started none."""
    started = any(reason.outcome == "started" for reason in reasons)
    told = [
        reason for reason in reasons if reason.outcome != "started" and not (started and reason.code == "other_event")
    ]
    if not told:
        return None
    rows = [
        [
            tag("a", reason.function_id, href=path(root, function=reason.function_id)),
            tag("code", reason.code),
            join(reason.explanation, tag("small", reason.action) if reason.action else None),
        ]
        for reason in told
    ]
    title = "Why it did not start others" if started else "Why it started none"
    return join(tag("h2", title), table(("Function", "Code", "Because"), rows, empty="", kind="reasons"))


class Draft(NamedTuple):
    """An event that is being written, as it stands in the form; `mistake` says why it was not taken."""

    name: str = ""
    data: str = "{}"
    id: str = ""
    key: str = ""
    mistake: tuple[str, str, str] | None = None


def render_send_page(root: str, draft: Draft, names: Sequence[str]) -> Html:
    """Make the form."""
    title, why, do = draft.mistake or ("", "", "")
    return join(
        tag("div", tag("h1", "Send an event"), class_="head"),
        notice("error", title, why, do) if draft.mistake else None,
        tag(
            "form",
            tag(
                "label",
                tag("span", "Name"),
                tag(
                    "input",
                    name="name",
                    value=draft.name,
                    required=True,
                    maxlength=512,
                    list="event-names",
                    placeholder="order/created",
                    autocomplete="off",
                    spellcheck="false",
                    autofocus=True,
                ),
                tag("datalist", [tag("option", value=name) for name in names], id="event-names"),
            ),
            tag(
                "label",
                tag("span", "Data, a JSON object"),
                tag("textarea", draft.data, name="data", rows=14, spellcheck="false", data_json=True),
            ),
            tag(
                "div",
                _field("Id", "id", draft.id, "Two events with one id start a function once in 24 hours."),
                _field("Key", "key", draft.key, "Events of one key are dealt with in order."),
                class_="two",
            ),
            tag("p", tag("button", "Send", type="submit", class_="primary")),
            action=path(root, "send"),
            method="post",
            class_="write",
        ),
    )


def _field(words: str, name: str, value: str, hint: str) -> Html:
    box = tag("input", name=name, value=value, maxlength=512, autocomplete="off", spellcheck="false")
    return tag("label", tag("span", words, tag("em", "optional")), box, tag("small", hint))
