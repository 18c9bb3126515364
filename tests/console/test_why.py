"""Why an event started what it started. Goal: a reason for every function, and each the one that the engine had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headrace.records.definitions import Batch, EventTrigger
from tests.console.archives import fill, serve
from tests.console.asgi import ask
from tests.console.histories import NOW_MS, TOPICS, History


def reasons(path: Path, event_id: str, now_ms: int = NOW_MS) -> dict[str, dict[str, Any]]:
    answer = ask(serve(path, now_ms=now_ms), "GET", f"/v1/events/{event_id}/why")
    assert answer.status == 200, answer.body
    rows: list[dict[str, Any]] = answer.json()["data"]
    assert len({row["function_id"] for row in rows}) == len(rows)
    return {row["function_id"]: row for row in rows}


def test_every_function_has_its_reason(tmp_path: Path) -> None:
    history = History()
    history.function("shop-order", EventTrigger("order/created"), at_ms=NOW_MS - 900)
    history.function("shop-large", EventTrigger("order/*", "event.data.total > 100"), at_ms=NOW_MS - 900)
    history.function("shop-small", EventTrigger("order/*", "event.data.total <= 100"), at_ms=NOW_MS - 900)
    history.function("shop-again", EventTrigger("order/created"), at_ms=NOW_MS - 900)
    history.function("shop-mail", EventTrigger("user/created"), EventTrigger("order/paid"), at_ms=NOW_MS - 900)
    history.function("shop-late", EventTrigger("order/created"), at_ms=NOW_MS - 10)
    history.function("shop-invoked", at_ms=NOW_MS - 900)
    event = history.event("order/created", {"total": 20}, NOW_MS - 100, id="o-1")
    run = history.run("shop-order", [event], NOW_MS - 90)
    told = {"code": "event_id_repeated", "explanation": "it was here before"}
    history.verdict(event, "shop-again", NOW_MS - 90, status="duplicate", **told)
    fill(tmp_path / "a.db", history.records)
    found = reasons(tmp_path / "a.db", "o-1")
    assert {name: (row["outcome"], row["code"]) for name, row in found.items()} == {
        "shop-order": ("started", "run_started"),
        "shop-again": ("dropped", "event_id_repeated"),
        "shop-late": ("unknown", "function_changed_later"),
        "shop-small": ("unknown", "run_not_seen"),
        "shop-large": ("unmatched", "expression_not_true"),
        "shop-mail": ("unmatched", "other_event"),
        "shop-invoked": ("unmatched", "other_event"),
    }
    assert found["shop-order"]["run_id"] == run.run_id
    assert "event.data.total > 100" in found["shop-large"]["explanation"]
    assert (
        found["shop-mail"]["explanation"] == "it waits for user/created or order/paid, and the event is order/created"
    )
    page = ask(serve(tmp_path / "a.db"), "GET", f"/events/{event}").text
    assert "Why it did not start others" in page
    assert "expression_not_true" in page
    assert "other_event" not in page


def test_what_is_held_waits_until_it_is_known_what_became_of_it(tmp_path: Path) -> None:
    history = History()
    for name in ("shop-held", "shop-went", "shop-replaced"):
        history.function(name, EventTrigger("order/created"), at_ms=NOW_MS - 900)
    event = history.event("order/created", {}, NOW_MS - 100, id="o-1")
    debounced = {"status": "debounced", "code": "held_debounced", "explanation": "it starts a run later"}
    for name in ("shop-held", "shop-went", "shop-replaced"):
        history.verdict(event, name, NOW_MS - 90, **debounced)
    history.verdict(event, "shop-held", NOW_MS - 80, status="throttled", code="held_throttled", explanation="too many")
    history.run("shop-went", [event], NOW_MS - 50)
    replaced = {"status": "debounce_replaced", "code": "debounce_replaced", "explanation": "another one came"}
    history.verdict(event, "shop-replaced", NOW_MS - 40, **replaced)
    fill(tmp_path / "a.db", history.records)
    assert {name: (row["outcome"], row["code"]) for name, row in reasons(tmp_path / "a.db", "o-1").items()} == {
        "shop-held": ("waiting", "held_throttled"),
        "shop-went": ("started", "run_started"),
        "shop-replaced": ("dropped", "debounce_replaced"),
    }


def test_an_event_that_is_gathered_may_stand_in_a_batch(tmp_path: Path) -> None:
    history = History()
    history.function("shop-clicks", EventTrigger("click"), at_ms=NOW_MS - 900, batch=Batch(500, 10_000))
    history.event("click", {}, NOW_MS - 100, id="c-1")
    fill(tmp_path / "a.db", history.records)
    found = reasons(tmp_path / "a.db", "c-1")["shop-clicks"]
    assert (found["outcome"], found["code"]) == ("unknown", "batch_may_gather")
    assert "once there are 500, or 10s after the first" in found["explanation"]


def test_an_event_that_started_nothing_names_what_was_waited_for(tmp_path: Path) -> None:
    history = History()
    history.function("shop-order", EventTrigger("order/created"), at_ms=NOW_MS - 900)
    event = history.event("order/creatd", {}, NOW_MS - 100)
    fill(tmp_path / "a.db", history.records)
    page = ask(serve(tmp_path / "a.db"), "GET", f"/events/{event}").text
    assert "Why it started none" in page
    assert "it waits for order/created, and the event is order/creatd" in page


def test_an_event_of_the_future_is_waited_for(tmp_path: Path) -> None:
    history = History(1)
    history.function("shop-order", EventTrigger("order/created"), at_ms=NOW_MS - 900)
    body = b'{"name":"order/created","id":"o-1","ts":%d}' % (NOW_MS + 60_000)
    history.add(TOPICS.events, 0, NOW_MS, body)
    fill(tmp_path / "a.db", history.records)
    assert reasons(tmp_path / "a.db", "o-1")["shop-order"]["outcome"] == "waiting"
    assert reasons(tmp_path / "a.db", "o-1", NOW_MS + 60_001)["shop-order"]["code"] == "run_not_seen"


@pytest.mark.parametrize("expression", ["event.data.", "1 +", "event.data.x == ('" + "(" * 50, "nonsense(1)"])
def test_a_condition_that_cannot_be_read_is_one_that_is_not_true(tmp_path: Path, expression: str) -> None:
    history = History()
    history.function("shop-order", EventTrigger("order/created", expression), at_ms=NOW_MS - 900)
    event = history.event("order/created", {}, NOW_MS - 100)
    fill(tmp_path / "a.db", history.records)
    assert reasons(tmp_path / "a.db", event)["shop-order"]["code"] == "expression_not_true"


def test_an_unknown_event_is_404(tmp_path: Path) -> None:
    fill(tmp_path / "a.db", [])
    assert ask(serve(tmp_path / "a.db"), "GET", "/v1/events/none/why").status == 404
