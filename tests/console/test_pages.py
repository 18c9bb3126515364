"""The pages. Goal: they show what there is, take what is typed, and nothing a stranger sent becomes part of them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from starlette.applications import Starlette

from headrace.adapters.system_clock import SystemClock
from headrace.console.archive import prepare_archive
from headrace.console.lag_queries import ALIVE_MS
from headrace.console.pages.words import count_text, duration_text, share_text, size_text
from headrace.errors import BadRecord
from headrace.intake.http import EventDoor
from headrace.records.definitions import EventTrigger
from headrace.records.history import Kind
from tests.console.archives import ToldStatus, fill, serve
from tests.console.asgi import Answer, ask
from tests.console.histories import NOW_MS, TOPICS, History
from tests.console.shop import shop_history
from tests.console.test_markup import Seen
from tests.intake.appenders import QuietAppender, TakingAppender

HOSTILE = "\"'><img src=x onerror=alert(1)></script><script>alert(2)</script>\u202e{{7*7}}"


def page(path: Path, where: str, **more: Any) -> Answer:
    answer = ask(serve(path, **more), "GET", where)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return answer


def words(answer: Answer) -> str:
    """What a reader sees, with single spaces."""
    return re.sub(r"\s+", " ", Seen(answer.text).words)


def links(answer: Answer) -> list[str]:
    return [str(found["href"]) for tag, found in Seen(answer.text).tags if tag == "a" and "href" in found]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    fill(tmp_path / "a.db", shop_history(NOW_MS, runs=60).records)
    return tmp_path / "a.db"


def test_every_link_of_every_page_leads_somewhere(shop: Path) -> None:
    app = serve(shop)
    seen: set[str] = set()
    waiting = ["/"]
    while waiting:
        where = waiting.pop()
        if where in seen or where.startswith("#") or len(seen) > 150:
            continue
        seen.add(where)
        answer = ask(app, "GET", where)
        assert answer.status == 200, where
        waiting += links(answer)
    kinds = {where.partition("?")[0].split("/")[1] for where in seen}
    assert kinds == {"", "runs", "events", "functions", "partitions", "dead", "send"}


@pytest.mark.parametrize(
    ("where", "status"),
    [("/none", 404), ("/v1/none", 404), ("/static/none.css", 404), ("/runs/a/b/c", 404), ("/runs/x/cancel", 405)],
)
def test_a_browser_that_went_astray_gets_a_page(shop: Path, where: str, status: int) -> None:
    accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    answer = ask(serve(shop), "GET", where, headers={"accept": accept})
    assert (answer.status, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert "The links above lead to every page." in words(answer)
    assert "/functions" in links(answer)


def test_the_list_of_runs_shows_and_filters(shop: Path) -> None:
    assert "shop-process-order" in words(page(shop, "/"))
    failed = words(page(shop, "/?status=Failed"))
    assert "Failed" in failed
    rows = page(shop, "/?status=Failed").text.count("<tr>") - 1
    assert rows == len(ask(serve(shop), "GET", "/v1/runs?status=Failed").json()["data"])
    assert "No run fits these filters." in words(page(shop, "/?function=none"))
    assert "Older" in words(page(shop, "/?limit=5"))
    older = next(link for link in links(page(shop, "/?limit=5&status=Completed")) if "cursor=" in link)
    assert "status=Completed" in older
    assert "Newest" in words(page(shop, older))


def test_an_empty_archive_says_what_to_do(tmp_path: Path) -> None:
    prepare_archive(tmp_path / "a.db")
    assert "No run yet." in words(page(tmp_path / "a.db", "/"))
    assert "No event yet." in words(page(tmp_path / "a.db", "/events"))
    assert "No function is declared." in words(page(tmp_path / "a.db", "/functions"))
    assert "All records made sense." in words(page(tmp_path / "a.db", "/dead"))


def test_a_run_shows_its_steps_attempts_errors_and_waits(tmp_path: Path) -> None:
    history = History()
    event = history.event("order/created", {"n": 42}, NOW_MS - 5_000)
    run = history.run("shop-order", [event], NOW_MS - 4_000, phase="queued", started_ms=0)
    run.add(Kind.RunPhase, NOW_MS - 3_700, phase="executing")
    run.step("load", NOW_MS - 3_699, NOW_MS - 3_600, {"found": "it"})
    run.fail_attempt("charge", 0, NOW_MS - 3_600, NOW_MS - 3_500, NOW_MS - 2_500)
    run.fail_attempt("charge", 1, NOW_MS - 2_500, NOW_MS - 2_400, NOW_MS + 2_000)
    fill(tmp_path / "a.db", history.records)
    answer = page(tmp_path / "a.db", f"/runs/{run.run_id}")
    shown = words(answer)
    for expected in (
        *("shop-order", run.run_id, "Backing off", "Attempt 2 failed.", "ConnectionError", "2 attempts"),
        *("the payment provider did not answer", "load", '"found": "it"', "order/created", '"n": 42', "300 ms"),
    ):
        assert expected in shown, expected
    drawn = [found for tag, found in Seen(answer.text).tags if tag == "rect" and "data-words" in found]
    said = [str(found["data-words"]) for found in drawn]
    assert "Queued: 300 ms" in said
    assert "Attempt 1 succeeded after 99 ms" in said
    assert "Attempt 1 failed after 100 ms: ConnectionError" in said
    assert "Backs off: 1 s" in said
    for found in drawn:
        assert 0 <= float(str(found["x"]).rstrip("%")) <= 100
        assert 0 < float(str(found["width"]).rstrip("%")) <= 100.001


def test_a_failed_run_shows_why(tmp_path: Path) -> None:
    history = History()
    run = history.run("f", ["e"], NOW_MS - 9).fail(NOW_MS, "CardError", "declined")
    fill(tmp_path / "a.db", history.records)
    shown = words(page(tmp_path / "a.db", f"/runs/{run.run_id}"))
    assert "CardError declined" in shown
    assert "Traceback (most recent call last)" in shown


def test_a_run_that_waits_for_its_code_says_what_to_do(tmp_path: Path) -> None:
    history = History()
    run = history.run("f", ["e"], NOW_MS - 9)
    run.add(
        Kind.RunPhase, NOW_MS, phase="no_code", code="function_not_loaded", explanation="because", action="start it"
    )
    fill(tmp_path / "a.db", history.records)
    shown = words(page(tmp_path / "a.db", f"/runs/{run.run_id}"))
    assert "Because." in shown
    assert "Start it." in shown
    assert "function_not_loaded" in shown


def test_a_run_with_very_many_steps_is_shown_in_part(tmp_path: Path) -> None:
    history = History()
    run = history.run("f", ["e"], NOW_MS - 9_000)
    for number in range(700):
        run.step("think", NOW_MS - 8_000 + number, NOW_MS - 8_000 + number + 1, number, occurrence=number)
    fill(tmp_path / "a.db", history.records)
    assert "and 200 more steps" in words(page(tmp_path / "a.db", f"/runs/{run.run_id}"))
    assert len(ask(serve(tmp_path / "a.db"), "GET", f"/v1/runs/{run.run_id}").json()["data"]["steps"]) == 700


# --- What strangers send --------------------------------------------------------------------------------------------


@pytest.fixture
def hostile(tmp_path: Path) -> tuple[Path, History, str]:
    """Every text of an archive that comes from outside is hostile."""
    history = History(1)
    event = history.event(HOSTILE, {HOSTILE: HOSTILE}, NOW_MS - 50, id=HOSTILE, key=HOSTILE.encode())
    history.function(f"app{HOSTILE}-f", EventTrigger(HOSTILE, HOSTILE))
    told = {"code": HOSTILE, "explanation": HOSTILE, "action": HOSTILE}
    run = history.run(f"app{HOSTILE}-f", [event], NOW_MS - 40, **told)
    run.step(HOSTILE, NOW_MS - 39, NOW_MS - 30, HOSTILE, op=HOSTILE)
    mistake = {"error_name": HOSTILE, "error_message": HOSTILE, "error_stack": HOSTILE}
    run.add(Kind.StepAttemptFailed, NOW_MS - 29, step_id=HOSTILE, op="run", occurrence=1, due_ms=NOW_MS + 9, **mistake)
    run.add(Kind.RunAttemptFailed, NOW_MS - 28, due_ms=NOW_MS + 9, **mistake)
    run.add(Kind.RunPhase, NOW_MS - 27, phase=HOSTILE, **told)
    ended = history.run(f"app{HOSTILE}-f", [event], NOW_MS - 35)
    ended.add(Kind.RunEnded, NOW_MS - 20, status="Failed", output=HOSTILE, **mistake, **told)
    odd = history.run(f"app{HOSTILE}-f", [HOSTILE], NOW_MS - 34)
    odd.add(Kind.RunEnded, NOW_MS - 20, status=HOSTILE, output=HOSTILE)
    done = history.run(f"app{HOSTILE}-f", [event], NOW_MS - 33).complete(NOW_MS, HOSTILE)
    assert done
    history.verdict(event, HOSTILE, NOW_MS, status=HOSTILE, **told)
    history.dead(BadRecord(HOSTILE, HOSTILE, why=HOSTILE, do=HOSTILE), HOSTILE.encode() + b"\xff", NOW_MS, b"\xff" * 9)
    fill(tmp_path / "a.db", history.records)
    return tmp_path / "a.db", history, event


def _check_harmless(answer: Answer) -> None:
    seen = Seen(answer.text)
    assert [dict(found) for tag, found in seen.tags if tag == "script"] == [
        dict(found) for tag, found in seen.tags if tag == "script" and str(found.get("src", "")).startswith("/static/")
    ]
    assert sum(tag == "script" for tag, _ in seen.tags) == 1
    for tag, found in seen.tags:
        assert tag not in ("img", "iframe", "object", "style", "base"), tag
        for name, value in found.items():
            assert not name.startswith("on"), (tag, name)
            assert name != "style"
            if name in ("href", "src", "action"):
                assert str(value).startswith(("/", "#")), value
                assert not str(value).startswith("//"), value
    assert "\u202e" not in answer.text


def test_nothing_hostile_becomes_part_of_a_page(hostile: tuple[Path, History, str]) -> None:
    path, history, event = hostile
    status = ToldStatus(1)
    status.rows[0]["owner"] = HOSTILE
    status.rows[0]["state"] = HOSTILE
    status.reason = HOSTILE
    app = serve(path, status=status, door=EventDoor(TakingAppender(), TOPICS.events, 1, SystemClock()))
    runs = {str(record.key, "utf-8") for record in history.records if record.topic == TOPICS.history and record.key}
    places = ["/", "/events", "/functions", "/partitions", "/dead", f"/events/{event}", f"/send?event={event}"]
    quoted = urlencode({"q": HOSTILE})[2:]
    for name in ("name", "status", "function", "event_id", "since", "cursor", "limit"):
        places += [f"/?{name}={quoted}", f"/events?{name}={quoted}", f"/send?{name}={quoted}"]
    places += [f"/runs/{quoted}", f"/events/{quoted}", f"/{quoted}"]
    shown = 0
    for where in [*places, *(f"/runs/{run_id}" for run_id in runs)]:
        answer = ask(app, "GET", where, headers={"accept": "text/html"})
        assert answer.status in (200, 400, 404), (where, answer.status)
        _check_harmless(answer)
        shown += "onerror=alert(1)" in Seen(answer.text).words.replace("\\u202e", "")
    assert shown > 10  # it was there, as text


def test_an_answer_of_the_api_is_no_page(hostile: tuple[Path, History, str]) -> None:
    path, _, event = hostile
    for where in ("/v1/runs", "/v1/events", f"/v1/events/{event}", "/v1/functions", "/v1/dead"):
        answer = ask(serve(path), "GET", where)
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "onerror" in answer.text


def test_files_come_from_the_package_only(shop: Path) -> None:
    app = serve(shop)
    assert ask(app, "GET", "/static/console.css").headers["content-type"].startswith("text/css")
    for name in ("../server.py", "..%2fserver.py", "server.py", "", "%00", "console.css/.."):
        assert ask(app, "GET", f"/static/{name}").status == 404


# --- Sending and cancelling ------------------------------------------------------------------------------------------


def sending(path: Path, appender: QuietAppender) -> Starlette:
    return serve(path, door=EventDoor(appender, TOPICS.events, 4, SystemClock()))


def send(path: Path, appender: QuietAppender, **fields: str) -> Answer:
    headers = {"origin": "http://localhost:8288", "content-type": "application/x-www-form-urlencoded"}
    return ask(sending(path, appender), "POST", "/send", headers=headers, body=urlencode(fields).encode())


def test_an_event_is_sent_from_the_form(shop: Path) -> None:
    appender = TakingAppender()
    answer = send(shop, appender, name="order/created", data='{"n": 1}', id="o-1", key="user-7")
    assert answer.status == 303
    assert json.loads(appender.sent[0].value or b"") == {"name": "order/created", "data": {"n": 1}, "id": "o-1"}
    assert appender.sent[0].key == b"user-7"
    # The page of the event is there at once, also if the projection has not read it yet.
    shown = page(shop, answer.headers["location"])
    assert "The event is on Kafka." in words(shown)
    assert "data-live" in shown.text


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": "a", "data": "{"}, "The data is not JSON"),
        ({"name": "", "data": "{}"}, "name has 0 characters"),
        ({"name": "a", "data": "[1]"}, "data starts with"),
        ({"name": "inngest/x", "data": "{}"}, "inngest/"),
        ({"name": "a", "data": "[" * 50_000}, "The data is not JSON"),
    ],
)
def test_what_cannot_be_sent_comes_back_with_the_reason(shop: Path, fields: dict[str, str], said: str) -> None:
    appender = TakingAppender()
    answer = send(shop, appender, **fields)
    assert answer.status == 400
    assert said.lower() in words(answer).lower()
    assert fields["data"][:20] in Seen(answer.text).words
    assert not appender.sent


def test_when_kafka_is_away_the_form_says_so(shop: Path) -> None:
    answer = send(shop, TakingAppender(fails_from=0), name="a", data="{}")
    assert answer.status == 503
    assert "Kafka did not take event 1 of 1" in words(answer)


@pytest.mark.parametrize("body", [b"\xff\xfe", b"&" * 100, b"name=%ff", b"x" * (11 << 20), b"name=a&data=%zz"])
def test_odd_forms_break_nothing(shop: Path, body: bytes) -> None:
    headers = {"origin": "http://localhost:8288"}
    answer = ask(sending(shop, TakingAppender()), "POST", "/send", headers=headers, body=body)
    assert answer.status in (400, 413)


def test_an_event_can_be_written_again_without_its_id(tmp_path: Path) -> None:
    history = History()
    event_id = history.event("order/created", {"n": [1, 2]}, NOW_MS, id="o-1", key=b"user-7")
    fill(tmp_path / "a.db", history.records)
    answer = page(tmp_path / "a.db", f"/send?event={event_id}")
    values = {str(found["name"]): found.get("value") for tag, found in Seen(answer.text).tags if tag == "input"}
    assert values == {"name": "order/created", "id": "", "key": "user-7"}
    assert '"n": [' in Seen(answer.text).words


def test_a_run_is_cancelled_from_its_page(tmp_path: Path) -> None:
    history = History()
    run = history.run("f", ["e"], NOW_MS)
    fill(tmp_path / "a.db", history.records)
    asked: list[tuple[str, int, str]] = []

    async def cancel(run_id: str, partition: int, reason: str) -> None:
        asked.append((run_id, partition, reason))

    app = serve(tmp_path / "a.db", cancel_run=cancel)
    assert "Cancel run" in words(ask(app, "GET", f"/runs/{run.run_id}"))
    assert "Cancel run" not in words(page(tmp_path / "a.db", f"/runs/{run.run_id}"))
    answer = ask(app, "POST", f"/runs/{run.run_id}/cancel", headers={"origin": "http://localhost:8288"})
    assert (answer.status, answer.headers["location"]) == (303, f"/runs/{run.run_id}")
    assert asked == [(run.run_id, run.partition, "cancelled from the console")]


# --- Live -------------------------------------------------------------------------------------------------------------


def test_a_page_that_has_not_changed_is_not_sent_again(shop: Path) -> None:
    app = serve(shop)
    first = ask(app, "GET", "/")
    again = ask(app, "GET", "/", headers={"if-none-match": first.headers["etag"]})
    assert (again.status, again.body) == (304, b"")


def test_pages_renew_themselves_while_there_is_something_to_come(shop: Path) -> None:
    live = ask(serve(shop), "GET", "/").text
    assert 'http-equiv="refresh"' in live
    assert "data-live" in live
    ended = ask(serve(shop), "GET", "/v1/runs?status=Completed&limit=1").json()["data"][0]["run_id"]
    assert "data-live" not in page(shop, f"/runs/{ended}").text


def test_how_far_behind_the_console_is_stands_on_every_page(shop: Path) -> None:
    assert "Up to date" in words(page(shop, "/"))
    assert "Projection stopped" in words(page(shop, "/", now_ms=NOW_MS + ALIVE_MS + 1))
    projection = fill(shop, [])
    projection.note_ends({(TOPICS.history, 0): 5_000}, NOW_MS)
    assert re.search(r"\d+ [dhms] .*behind \([\d\s]+ records\)", words(page(shop, "/")))


def test_partitions_that_are_not_well_stand_out(shop: Path) -> None:
    status = ToldStatus(3)
    status.rows[1]["state"], status.rows[2]["owner"], status.rows[2]["state"] = "restoring", None, "unassigned"
    status.rows[0]["lag"] = 4_000
    status.reason = "partition 1 is being restored"
    shown = page(shop, "/partitions", status=status)
    for expected in ("Not ready", "partition 1 is being restored", "restoring", "nobody", "4 000"):
        assert expected in words(shown).replace("\u202f", " "), expected


def test_sampled_events_are_said_to_be_so(tmp_path: Path) -> None:
    history = History(1)
    projection = fill(tmp_path / "a.db", [])
    projection.event_stride = 10
    for number in range(100):
        history.event("a", {"n": number}, NOW_MS)
    projection.apply(history.records)
    assert "Only 10 of the last hour's 100 events are shown here." in words(page(tmp_path / "a.db", "/events"))


# --- Words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ms", "expected"),
    [
        *((0, "0 ms"), (0.4, "<1 ms"), (1, "1 ms"), (999, "999 ms"), (1_000, "1 s"), (1_240, "1.24 s")),
        *((12_345, "12.3 s"), (60_000, "1 m"), (61_000, "1 m 1 s"), (3_600_000, "1 h"), (5_400_000, "1 h 30 m")),
        *((86_400_000, "1 d"), (180_000_000, "2 d 2 h"), (-5, "0 ms")),
    ],
)
def test_durations_are_short(ms: float, expected: str) -> None:
    assert duration_text(ms) == expected


def test_numbers_shares_and_sizes() -> None:
    assert [count_text(n) for n in (0, 999, 1_834, 1_234_567)] == ["0", "999", "1\u202f834", "1.23 M"]
    assert [share_text(s) for s in (None, 0.0, 0.0001, 0.054, 1.0)] == ["–", "0 %", "<0.1 %", "5.4 %", "100 %"]
    assert [size_text(n) for n in (12, 2_048, 3 << 20)] == ["12 bytes", "2.0 KiB", "3.0 MiB"]
