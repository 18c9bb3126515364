"""Pages about the machinery: functions, partitions, dead letters; and the one that asks for a key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headrace.console.event_answers import key_text
from headrace.console.event_queries import FoundDeadLetter
from headrace.console.function_queries import Counts, FoundFunction
from headrace.console.lag_queries import Lag
from headrace.console.markup import Html, join, tag
from headrace.console.pages.charts import bar_chart
from headrace.console.pages.parts import facts, lag_note, moment, notice, pager, path, table
from headrace.console.pages.words import count_text, duration_text, share_text, size_text
from headrace.console.status import PartitionStatus
from headrace.records.definitions import Definition

_GOOD_STATE = "running"


def render_functions(root: str, functions: Sequence[FoundFunction], series: Mapping[str, Sequence[Counts]]) -> Html:
    """Make the page of the functions."""
    rows = [
        [
            _function_name(root, found),
            _triggers(root, found.definition),
            bar_chart(series.get(found.function_id, ()), label="Runs that ended in 24 hours", small=True),
            count_text(found.counts.scheduled),
            _failure_rate(found.counts),
            count_text(found.live) if found.live else tag("span", "–", class_="none"),
            _retries(found.definition),
        ]
        for found in functions
    ]
    heads = ("Function", "Triggers", "24 hours", "Runs", "Failed", "Live", "Retries")
    empty = "No function is declared. Start a node with an app, or sync an SDK app."
    return join(tag("div", tag("h1", "Functions"), class_="head"), table(heads, rows, empty=empty, kind="functions"))


def _function_name(root: str, found: FoundFunction) -> Html:
    definition = found.definition
    link = tag("a", found.function_id, href=path(root, function=found.function_id), class_="row-link")
    if definition is None:
        return join(link, tag("small", "no longer declared", class_="none"))
    named = (
        definition.name
        if definition.name not in (definition.id, definition.id.removeprefix(f"{definition.app}-"))
        else ""
    )
    return join(
        link, tag("small", " · ".join(part for part in (named, f"app {definition.app}", definition.kind) if part))
    )


def _triggers(root: str, definition: Definition | None) -> Html:
    if definition is None or not definition.triggers:
        return tag("span", "by invoke only" if definition else "–", class_="none")
    return join(
        [
            tag(
                "span",
                tag("a", trigger.event, href=path(root, "events", name=trigger.event), class_="quiet"),
                tag("code", "if ", trigger.expression) if trigger.expression else None,
                class_="trigger",
            )
            for trigger in definition.triggers
        ]
    )


def _failure_rate(counts: Counts) -> Html:
    rate = counts.failure_rate
    kind = "none" if not rate else "rate rate-bad" if rate >= 0.05 else "rate"
    return tag("span", share_text(rate), class_=kind)


def _retries(definition: Definition | None) -> Html:
    if definition is None:
        return tag("span", "–", class_="none")
    backoff = definition.backoff
    words = f"{backoff.type}, {duration_text(backoff.base_ms)} to {duration_text(backoff.max_ms)}"
    return join(definition.retries, tag("small", words) if definition.retries else None)


def render_partitions(partitions: Sequence[PartitionStatus], ready: tuple[bool, str], lag: Lag) -> Html:
    """Make the page of the partitions."""
    is_ready, reason = ready
    state = (
        notice("good", "Ready", "Every partition that this node has runs.")
        if is_ready
        else notice("wait", "Not ready", reason)
    )
    total = sum(row["lag"] or 0 for row in partitions)
    cells = [
        tag(
            "li",
            tag("b", row["partition"]),
            tag("span", _lag_words(row["lag"])),
            class_=_cell_kind(row),
            title=f"Partition {row['partition']}: {row['state']}, owner {row['owner'] or 'nobody'}",
        )
        for row in partitions
    ]
    rows = [
        [
            row["partition"],
            tag("span", row["state"], class_=f"state {_cell_kind(row)}"),
            tag("code", row["owner"]) if row["owner"] else tag("span", "nobody", class_="none"),
            _lag_words(row["lag"]),
        ]
        for row in partitions
    ]
    return join(
        tag("div", tag("h1", "Partitions"), class_="head"),
        state,
        tag("ol", cells, class_="strip", aria_label="All partitions"),
        facts(
            ("Partitions", len(partitions)),
            ("Owners", len({row["owner"] for row in partitions if row["owner"]})),
            ("Records not applied", count_text(total)),
            ("This console", lag_note(lag)),
            ("Records behind", count_text(lag.records_behind)),
            ("Records missed", count_text(lag.missed)),
        ),
        table(("Partition", "State", "Owner", "Lag"), rows, empty="The node has told nothing yet.", kind="partitions"),
    )


def _cell_kind(row: PartitionStatus) -> str:
    if row["state"] != _GOOD_STATE:
        return "cell-bad" if row["owner"] is None else "cell-busy"
    return "cell-late" if (row["lag"] or 0) > 1_000 else "cell-good"


def _lag_words(lag: int | None) -> str:
    return "–" if lag is None else count_text(lag)


def render_dead_letters(root: str, letters: Sequence[FoundDeadLetter], cursor: str | None, before: int) -> Html:
    """Make the page of the dead letters."""
    rows = [
        [
            tag("code", letter.code or "unknown"),
            tag(
                "details",
                tag("summary", letter.reason or "no reason was given"),
                tag("pre", letter.body.decode("utf-8", "backslashreplace"), tabindex="0"),
                tag("p", size_text(letter.body_bytes), class_="none"),
                id=f"dead-{letter.number}",
            ),
            tag("code", key_text(letter.key)) if letter.key is not None else tag("span", "–", class_="none"),
            tag("span", f"{letter.topic} {letter.partition} / {letter.offset}", class_="place"),
            moment(letter.at_ms),
        ]
        for letter in letters
    ]
    return join(
        tag("div", tag("h1", "Dead letters"), class_="head"),
        tag(
            "p",
            "Records that nobody could use, with the reason. The originals stand on the dead-letter topic.",
            class_="sub",
        ),
        table(("Code", "Reason", "Key", "Came from", "At"), rows, empty="None. All records made sense.", kind="dead"),
        pager(root, ("dead",), cursor, {"cursor": before}),
    )


def render_login(root: str, *, refused: bool) -> Html:
    """Make the page that asks for an API key."""
    return join(
        tag("div", tag("h1", "Sign in"), class_="head"),
        notice("error", "That is no API key of this server.") if refused else None,
        tag(
            "form",
            # Password keepers want to know whose key it is.
            tag("input", type="text", name="username", value="headrace", autocomplete="username", hidden=True),
            tag(
                "label",
                tag("span", "API key"),
                tag(
                    "input", type="password", name="key", required=True, autocomplete="current-password", autofocus=True
                ),
                tag("small", "One of those in HEADRACE_API_KEYS. It is asked for again after twelve hours."),
            ),
            tag("p", tag("button", "Sign in", type="submit", class_="primary")),
            action=path(root, "login"),
            method="post",
            class_="write narrow",
        ),
    )


def render_problem(title: str, *lines: str) -> Html:
    """Make the page for something that is not there or went wrong."""
    return join(tag("div", tag("h1", title), class_="head"), [tag("p", line) for line in lines if line])
