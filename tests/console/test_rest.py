"""The REST API. Goal: names and envelope of the protocol, ours beside them; lists that can be walked to their end."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from headrace.console.archive import prepare_archive
from headrace.console.archive_reader import ArchiveReader
from headrace.errors import BadRequest
from headrace.records.definitions import EventTrigger
from headrace.records.history import Kind
from tests.console.archives import ToldStatus, fill, serve
from tests.console.asgi import Answer, ask
from tests.console.histories import NOW_MS, TOPICS, History
from tests.console.shop import shop_history

ISO_NOW = "2025-11-21T08:00:00.000Z"


@pytest.fixture
def history() -> History:
    return History()


def get(path: Path, where: str, **more: Any) -> Answer:
    return ask(serve(path, **more), "GET", where)


def rows(path: Path, where: str, **more: Any) -> list[dict[str, Any]]:
    answer = get(path, where, **more)
    assert answer.status == 200, answer.body
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


def walk(path: Path, where: str, limit: int) -> list[dict[str, Any]]:
    """Go through a whole list, page by page."""
    app = serve(path)
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        answer = ask(app, "GET", f"{where}{'&' if '?' in where else '?'}limit={limit}&cursor={cursor}").json()
        assert len(answer["data"]) <= limit
        found += answer["data"]
        cursor = answer["cursor"]
        if cursor is None:
            return found


def test_a_completed_run_in_full(tmp_path: Path, history: History) -> None:
    event_id = history.event("order/created", {"n": 1}, NOW_MS - 60)
    run = history.run("shop-order", [event_id], NOW_MS - 50, phase="queued", started_ms=0)
    run.add(Kind.RunPhase, NOW_MS - 48, phase="executing")
    run.step("load", NOW_MS - 47, NOW_MS - 40, {"n": 1})
    run.fail_attempt("charge", 0, NOW_MS - 39, NOW_MS - 38, NOW_MS - 30)
    run.step("charge", NOW_MS - 30, NOW_MS - 20, "paid", attempt=1)
    run.complete(NOW_MS, {"ok": True})
    path = tmp_path / "a.db"
    fill(path, history.records)
    (row,) = rows(path, "/v1/runs")
    assert row == {
        "run_id": run.run_id,
        "function_id": "shop-order",
        "function_version": 1,
        "environment_id": "00000000-0000-4000-b000-000000000000",
        "status": "Completed",
        "phase": None,
        "event_id": event_id,
        "event_ids": [event_id],
        "event_name": "order/created",
        "queued_at": "2025-11-21T07:59:59.950Z",
        "run_started_at": "2025-11-21T07:59:59.952Z",
        "ended_at": ISO_NOW,
        "due_at": None,
        "attempt": 0,
        "output": {"ok": True},
        "error": None,
        "code": None,
        "explanation": None,
        "action": None,
        "partition": run.partition,
    }
    answer = get(path, f"/v1/runs/{run.run_id}").json()
    assert answer["metadata"]["fetched_at"] == ISO_NOW
    shown = answer["data"]
    assert {name: shown[name] for name in row} == row
    load, charge = shown["steps"]
    assert load == {
        "id": "load",
        "name": "load",
        "occurrence": 0,
        "op": "run",
        "status": "Completed",
        "phase": None,
        "attempts": 1,
        "attempt_log": [
            {
                "attempt": 0,
                "started_at": "2025-11-21T07:59:59.953Z",
                "ended_at": "2025-11-21T07:59:59.960Z",
                "error": None,
                "next_at": None,
            }
        ],
        "output": {"n": 1},
        "error": None,
        "started_at": "2025-11-21T07:59:59.953Z",
        "ended_at": "2025-11-21T07:59:59.960Z",
        "due_at": None,
    }
    assert (charge["attempts"], charge["status"], charge["output"]) == (2, "Completed", "paid")
    assert charge["attempt_log"][0]["error"]["name"] == "ConnectionError"
    assert [stretch["phase"] for stretch in shown["phases"]] == ["queued", "executing", "backing_off", "executing"]


def test_live_runs_say_what_they_wait_for(tmp_path: Path, history: History) -> None:
    queued = history.run("f", ["e"], NOW_MS - 9, phase="queued", started_ms=0)
    asleep = history.run("f", ["e"], NOW_MS - 8).sleep("nap", NOW_MS - 7, NOW_MS + 60_000, over=False)
    failing = history.run("f", ["e"], NOW_MS - 7).fail_attempt("s", 1, NOW_MS - 6, NOW_MS - 5, NOW_MS + 500)
    again = history.run("f", ["e"], NOW_MS - 6).fail_attempt("s", 0, NOW_MS - 6, NOW_MS - 5, NOW_MS - 1)
    lost = history.run("f", ["e"], NOW_MS - 5)
    lost.add(Kind.RunPhase, NOW_MS - 4, phase="no_code", code="function_not_loaded", explanation="why", action="do")
    path = tmp_path / "a.db"
    fill(path, history.records)
    found = {row["run_id"]: row for row in rows(path, "/v1/runs")}
    told = {run_id: (row["status"], row["phase"]) for run_id, row in found.items()}
    assert told == {
        queued.run_id: ("Scheduled", "queued"),
        asleep.run_id: ("Running", "sleeping"),
        failing.run_id: ("Running", "backing_off"),
        again.run_id: ("Running", "executing"),  # its back-off is over, and no record says so
        lost.run_id: ("Running", "no_code"),
    }
    assert found[asleep.run_id]["due_at"] == "2025-11-21T08:01:00.000Z"
    assert found[failing.run_id]["error"]["message"] == "the payment provider did not answer"
    assert found[failing.run_id]["explanation"].startswith("attempt 2 failed (ConnectionError: the payment")
    assert found[again.run_id]["error"] is None
    assert [found[lost.run_id][name] for name in ("code", "explanation", "action")] == [
        "function_not_loaded",
        "why",
        "do",
    ]


def test_a_failed_run_has_its_error_as_its_output(tmp_path: Path, history: History) -> None:
    run = history.run("f", ["e"], NOW_MS - 9).fail(NOW_MS, "CardError", "declined")
    cancelled = history.run("f", ["e"], NOW_MS - 9).cancel(NOW_MS)
    fill(tmp_path / "a.db", history.records)
    assert get(tmp_path / "a.db", f"/v1/runs/{cancelled.run_id}").json()["data"]["output"] is None
    row = get(tmp_path / "a.db", f"/v1/runs/{run.run_id}").json()["data"]
    assert (row["status"], row["output"]) == ("Failed", row["error"])
    assert (row["error"]["name"], row["error"]["message"]) == ("CardError", "declined")
    assert "Traceback" in row["error"]["stack"]


@pytest.mark.parametrize("limit", [1, 7, 50, 1000])
@pytest.mark.parametrize("filters", ["", "?status=Failed", "?function=shop-process-order", "?status=Running,Scheduled"])
def test_runs_can_be_walked_newest_first(tmp_path: Path, limit: int, filters: str) -> None:
    fill(tmp_path / "a.db", shop_history(NOW_MS, runs=60).records)
    walked = walk(tmp_path / "a.db", f"/v1/runs{filters}", limit)
    ids = [row["run_id"] for row in walked]
    assert ids == sorted(set(ids), reverse=True)
    everything = rows(tmp_path / "a.db", "/v1/runs?limit=1000")
    name, _, wanted = filters.removeprefix("?").partition("=")
    field = {"status": "status", "function": "function_id"}.get(name, "status")
    expected = [row["run_id"] for row in everything if not name or row[field] in wanted.split(",")]
    assert ids == expected
    assert ids


def test_a_cursor_holds_while_new_runs_come(tmp_path: Path, history: History) -> None:
    for number in range(6):
        history.run("f", ["e"], NOW_MS - 100 + number)
    projection = fill(tmp_path / "a.db", history.records)
    app = serve(tmp_path / "a.db")
    first = ask(app, "GET", "/v1/runs?limit=3").json()
    history.run("f", ["e"], NOW_MS)
    projection.apply([record for record in history.records if record.topic == TOPICS.history])
    second = ask(app, "GET", f"/v1/runs?limit=3&cursor={first['cursor']}").json()
    ids = [row["run_id"] for row in first["data"] + second["data"]]
    assert len(set(ids)) == 6


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        ("10s", 1),
        ("1m", 2),
        ("2h", 3),
        ("7d", 4),
        ("2025-11-21T07:59:00Z", 2),
        ("2025-11-21T08:59:00%2B01:00", 2),
        (str(NOW_MS - 3_600_000), 3),
        ("0", 4),
    ],
)
def test_since_is_a_time_or_how_long_ago(tmp_path: Path, history: History, since: str, expected: int) -> None:
    for ago_ms in (86_400_000, 1_800_000, 30_000, 5_000):
        event = history.event("a", {}, NOW_MS - ago_ms)
        history.run("f", [event], NOW_MS - ago_ms)
    fill(tmp_path / "a.db", history.records)
    assert len(rows(tmp_path / "a.db", f"/v1/runs?since={since}")) == expected
    assert len(rows(tmp_path / "a.db", f"/v1/events?since={since}")) == expected


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=1001", "limit=-1", "limit=x", "limit=1e3", "limit=" + "9" * 400, "limit=%D9%A3"),
        *("cursor=x", "cursor=" + "0" * 25, "cursor='%20OR%201=1--", "cursor=" + "Z" * 26),
        *("status=Odd", "status=Completed,Odd", "since=yesterday", "since=-5m", "since=5", "since=" + "9" * 30),
        *("since=NaN", "since=1e5", "since=99999d", "since=%00", "function=" + "f," * 60, "event_id=" + "x" * 2000),
    ],
)
def test_a_parameter_without_sense_is_refused_with_the_reason(tmp_path: Path, query: str) -> None:
    prepare_archive(tmp_path / "a.db")
    answer = get(tmp_path / "a.db", f"/v1/runs?{query}")
    if query == "since=5":  # five milliseconds behind 1970
        assert answer.status == 200
        return
    assert answer.status == 400, answer.body
    refused = answer.json()
    assert (refused["status"], refused["code"]) == (400, "parameter_invalid")
    assert refused["error"]
    assert refused["explanation"]
    assert refused["action"]


@pytest.mark.parametrize(
    ("where", "name", "meant"),
    [
        ("/v1/runs?func=zzz", "func", "did you mean function?"),
        ("/v1/runs?status=Failed&sinse=1h", "sinse", "did you mean since?"),
        ("/v1/runs?eventId=x", "eventId", "did you mean event_id?"),
        ("/v1/runs?zzzzzz=1", "zzzzzz", "leave it out"),
        ("/v1/events?names=a", "names", "did you mean name?"),
        ("/v1/events/x/runs?status=Failed", "status", "leave it out"),
        ("/v1/dead?limits=1", "limits", "did you mean limit?"),
    ],
)
def test_a_parameter_that_is_none_is_refused_with_the_nearest(
    tmp_path: Path, where: str, name: str, meant: str
) -> None:
    prepare_archive(tmp_path / "a.db")
    answer = get(tmp_path / "a.db", where)
    assert (answer.status, answer.json()["code"]) == (400, "parameter_unknown")
    assert repr(name) in answer.json()["error"]
    assert "limit" in answer.json()["explanation"]
    assert answer.json()["action"] == meant


@pytest.mark.parametrize(
    ("method", "where", "status", "code", "allow"),
    [
        ("POST", "/x/e/cli", 404, "not_found", None),
        ("GET", "/v2/runs", 404, "not_found", None),
        ("GET", "/static/none.css", 404, "not_found", None),
        ("POST", "/v1/runs/01X", 405, "method_not_allowed", "DELETE, GET, HEAD"),
        ("DELETE", "/health", 405, "method_not_allowed", "GET, HEAD"),
    ],
)
def test_a_request_that_nobody_takes_is_told_why_and_what_to_do(
    tmp_path: Path, method: str, where: str, status: int, code: str, allow: str | None
) -> None:
    prepare_archive(tmp_path / "a.db")
    answer = ask(serve(tmp_path / "a.db"), method, where)
    assert (answer.status, answer.json()["code"], answer.headers.get("allow")) == (status, code, allow)
    assert answer.json()["explanation"]
    assert answer.json()["action"]
    if allow:
        assert allow in answer.json()["explanation"]


def test_of_events_with_one_id_the_one_with_runs_is_shown_with_the_others_beside_it(
    tmp_path: Path, history: History
) -> None:
    ids = [history.event("order/created", {"n": n}, NOW_MS - 60 + n, id="dup1") for n in range(3)]
    run = history.run("shop-order", [ids[1]], NOW_MS - 50).complete(NOW_MS, 1)
    alone = [history.event("order/paid", {"n": n}, NOW_MS - 40 + n, id="dup2") for n in range(2)]
    path = tmp_path / "a.db"
    fill(path, history.records)
    shown = get(path, "/v1/events/dup1").json()["data"]
    assert (shown["internal_id"], [row["run_id"] for row in shown["runs"]]) == (ids[1], [run.run_id])
    assert [other["internal_id"] for other in shown["same_id"]] == [ids[0], ids[2]]
    assert shown["same_id"][0]["received_at"] == "2025-11-21T07:59:59.940Z"
    # By its internal id each is shown as it is; without runs it is the newest.
    assert get(path, f"/v1/events/{ids[2]}").json()["data"]["runs"] == []
    assert get(path, "/v1/events/dup2").json()["data"]["internal_id"] == alone[1]
    assert ask(serve(path), "GET", "/events/dup1").text.count(run.run_id) > 0


@pytest.mark.parametrize("cursor", ["x", "0" * 26 + ".x", "0" * 26 + "." + "9" * 40, "." * 3, "0" * 26 + ".-1"])
def test_a_cursor_of_events_without_sense_is_refused(tmp_path: Path, cursor: str) -> None:
    prepare_archive(tmp_path / "a.db")
    assert get(tmp_path / "a.db", f"/v1/events?cursor={cursor}").status == 400


@pytest.mark.parametrize("where", ["/v1/runs/x", "/v1/runs/01K00000000000000000000000", "/v1/events/x", "/v1/none"])
def test_what_is_not_there_is_404_in_the_protocol_s_form(tmp_path: Path, where: str) -> None:
    prepare_archive(tmp_path / "a.db")
    answer = get(tmp_path / "a.db", where)
    assert answer.status == 404
    assert answer.json()["status"] == 404
    assert answer.json()["error"]


def test_an_answer_says_how_far_behind_it_may_be(tmp_path: Path, history: History) -> None:
    history.event("a", {}, NOW_MS - 8_000, partition=0)
    projection = fill(tmp_path / "a.db", history.records)
    projection.note_ends({(TOPICS.events, 0): 40}, NOW_MS - 1_000)
    answer = get(tmp_path / "a.db", "/v1/runs").json()
    assert answer["metadata"]["projection"] == {"running": True, "records_behind": 39, "seconds_behind": 8.0}
    missing = get(tmp_path / "a.db", "/v1/runs/01K00000000000000000000000").json()
    assert "39 records behind" in missing["explanation"]
    later = get(tmp_path / "a.db", "/v1/runs/01K00000000000000000000000", now_ms=NOW_MS + 60_000).json()
    assert "not running" in later["explanation"]


def test_an_answer_says_when_events_were_sampled(tmp_path: Path, history: History) -> None:
    projection = fill(tmp_path / "a.db", history.records)
    projection.event_stride = 5
    for number in range(20):
        history.event("a", {"n": number}, NOW_MS, partition=0)
    projection.apply(history.records)
    answer = get(tmp_path / "a.db", "/v1/events").json()
    assert answer["metadata"]["projection"]["events_sampled"] == {"seen": 20, "kept": 4, "within": "1h"}
    assert "4 of 20" in get(tmp_path / "a.db", "/v1/events/none").json()["explanation"]


def test_events_their_runs_and_their_verdicts(tmp_path: Path, history: History) -> None:
    event_id = history.event("order/created", {"n": 1}, NOW_MS - 60, id="o-1", key=b"\xffuser")
    run = history.run("shop-order", [event_id], NOW_MS - 50).complete(NOW_MS, 1)
    history.verdict(event_id, "shop-other", NOW_MS - 50, status="duplicate", code="event_id_repeated")
    path = tmp_path / "a.db"
    fill(path, history.records)
    for asked in (event_id, "o-1"):
        shown = get(path, f"/v1/events/{asked}").json()["data"]
        assert shown["internal_id"] == event_id
        assert shown["runs"] == [{"run_id": run.run_id, "function_id": "shop-order", "status": "Completed"}]
        assert shown["verdicts"][0]["code"] == "event_id_repeated"
        assert [row["run_id"] for row in rows(path, f"/v1/events/{asked}/runs")] == [run.run_id]
        assert [row["run_id"] for row in rows(path, f"/v1/runs?event_id={asked}")] == [run.run_id]
    (row,) = rows(path, "/v1/events")
    assert row == {
        "internal_id": event_id,
        "id": "o-1",
        "name": "order/created",
        "data": {"n": 1},
        "user": {},
        "v": None,
        "ts": NOW_MS - 60,
        "received_at": "2025-11-21T07:59:59.940Z",
        "account_id": "00000000-0000-4000-a000-000000000000",
        "environment_id": "00000000-0000-4000-b000-000000000000",
        "source": "kafka",
        "source_id": None,
        "key": "\\xffuser",
        "partition": row["partition"],
        "offset": 0,
    }
    assert rows(path, "/v1/events/unknown/runs") == []


def test_events_are_found_by_name_and_by_the_beginning_of_it(tmp_path: Path, history: History) -> None:
    for name in ("order/created", "order/paid", "orders", "user/created"):
        history.event(name, {}, NOW_MS)
    fill(tmp_path / "a.db", history.records)
    names = lambda query: sorted(row["name"] for row in rows(tmp_path / "a.db", f"/v1/events?{query}"))  # noqa: E731
    assert names("name=order/created") == ["order/created"]
    assert names("name=order/*") == ["order/created", "order/paid"]
    assert names("name=*") == ["order/created", "order/paid", "orders", "user/created"]
    assert names("name=order") == []
    assert names("name=%25") == []


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
def test_events_of_one_id_are_walked_one_by_one(tmp_path: Path, history: History, limit: int) -> None:
    for number in range(3):
        history.event("a", {"n": number}, NOW_MS, partition=0)
    for record in list(history.records):
        history.add(TOPICS.events, 0, NOW_MS, record.value, headers=list(record.headers or ()))
    fill(tmp_path / "a.db", history.records)
    walked = walk(tmp_path / "a.db", "/v1/events", limit)
    assert sorted(row["offset"] for row in walked) == [0, 1, 2, 3, 4, 5]


def test_functions_with_their_last_day(tmp_path: Path, history: History) -> None:
    history.function("shop-order", EventTrigger("order/*", "event.data.n > 1"), retries=2)
    for number in range(4):
        run = history.run("shop-order", ["e"], NOW_MS - 1_000 + number)
        if number < 2:
            run.complete(NOW_MS - 500)
        elif number == 2:
            run.fail(NOW_MS - 400)
    history.run("shop-order", ["e"], NOW_MS - 3 * 86_400_000).fail(NOW_MS - 2 * 86_400_000)
    history.run("shop-gone", ["e"], NOW_MS - 900).complete(NOW_MS - 300)
    fill(tmp_path / "a.db", history.records)
    gone, order = rows(tmp_path / "a.db", "/v1/functions")
    assert (gone["id"], gone["declared"]) == ("shop-gone", False)
    assert (order["id"], order["app"], order["declared"], order["retries"]) == ("shop-order", "shop", True, 2)
    assert order["triggers"] == [{"event": "order/*", "expression": "event.data.n > 1"}]
    assert order["backoff"] == {"type": "exponential", "base_ms": 1000, "max_ms": 3600000, "jitter": 0.1}
    assert order["live"] == 1
    assert order["last_24_hours"] == {
        "scheduled": 4,
        "completed": 2,
        "failed": 1,
        "cancelled": 0,
        "failure_rate": pytest.approx(1 / 3),
    }


def test_dead_letters_can_be_walked(tmp_path: Path) -> None:
    history = shop_history(NOW_MS, runs=1)
    for number in range(7):
        history.add(TOPICS.dead, 0, NOW_MS, b"%d" % number)
    fill(tmp_path / "a.db", history.records)
    assert len(walk(tmp_path / "a.db", "/v1/dead", 3)) == 8


def test_the_node_s_own_word_on_partitions_readiness_and_health(tmp_path: Path) -> None:
    prepare_archive(tmp_path / "a.db")
    status = ToldStatus(2)
    app = serve(tmp_path / "a.db", status=status)
    assert ask(app, "GET", "/v1/partitions").json() == {
        "data": [
            {"partition": 0, "owner": "node-0", "state": "running", "lag": 0},
            {"partition": 1, "owner": "node-1", "state": "running", "lag": 0},
        ]
    }
    assert ask(app, "GET", "/health").status == 200
    assert ask(app, "GET", "/ready").status == 200
    status.reason = "partition 1 is being restored"
    answer = ask(app, "GET", "/ready")
    assert (answer.status, answer.json()["reason"]) == (503, "partition 1 is being restored")
    assert ask(app, "GET", "/health").status == 200


class Cancels:
    """Takes cancel commands."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int, str]] = []

    async def __call__(self, run_id: str, partition: int, reason: str) -> None:
        """Take one."""
        self.asked.append((run_id, partition, reason))


def test_a_live_run_is_cancelled_by_a_command_to_its_partition(tmp_path: Path, history: History) -> None:
    live = history.run("f", ["e"], NOW_MS - 9)
    done = history.run("f", ["e"], NOW_MS - 8).complete(NOW_MS)
    cancelled = history.run("f", ["e"], NOW_MS - 7).cancel(NOW_MS)
    fill(tmp_path / "a.db", history.records)
    cancels = Cancels()
    app = serve(tmp_path / "a.db", cancel_run=cancels)
    answer = ask(app, "DELETE", f"/v1/runs/{live.run_id}")
    assert (answer.status, answer.body) == (200, b"")
    assert cancels.asked == [(live.run_id, live.partition, "cancelled through the API")]
    assert ask(app, "DELETE", f"/v1/runs/{cancelled.run_id}").status == 200
    refused = ask(app, "DELETE", f"/v1/runs/{done.run_id}")
    assert (refused.status, refused.json()["code"]) == (409, "run_ended")
    assert refused.json()["explanation"]
    assert refused.json()["action"]
    assert ask(app, "DELETE", "/v1/runs/unknown").status == 404
    assert len(cancels.asked) == 1
    alone = ask(serve(tmp_path / "a.db"), "DELETE", f"/v1/runs/{live.run_id}")
    assert (alone.status, alone.json()["code"]) == (501, "cancel_unavailable")


def test_large_rows_make_short_pages_and_nothing_is_lost(tmp_path: Path, history: History) -> None:
    for number in range(8):
        event = history.event("a", {"x": "y" * 3_000_000, "n": number}, NOW_MS - 90 + number)
        history.run("f", [event], NOW_MS - 90 + number).complete(NOW_MS, "z" * 3_000_000)
    fill(tmp_path / "a.db", history.records)
    for where in ("/v1/events", "/v1/runs"):
        answer = get(tmp_path / "a.db", f"{where}?limit=1000")
        assert len(answer.body) < 12_000_000
        assert answer.json()["cursor"] is not None
        walked = walk(tmp_path / "a.db", where, 1_000)
        assert len(walked) == 8
    assert {len(row["output"]) for row in walked} == {3_000_000}


@pytest.mark.parametrize(
    "output",
    ['{"a":' * 20_000 + "1" + "}" * 20_000, "1e999", "NaN", "not json", '"\\ud800"', "[" * 100_000, '"\x00"'],
)
def test_an_output_that_is_odd_is_shown_all_the_same(tmp_path: Path, history: History, output: str) -> None:
    run = history.run("f", ["e"], NOW_MS)
    run.add(Kind.RunEnded, NOW_MS + 1, status="Completed", output=output)
    fill(tmp_path / "a.db", history.records)
    for where in (f"/v1/runs/{run.run_id}", "/v1/runs"):
        answer = get(tmp_path / "a.db", where)
        assert answer.status == 200
        data = answer.json()["data"]
        assert (data[0] if isinstance(data, list) else data)["output"] == output


def test_a_run_of_a_batch_is_found_by_each_of_its_events(tmp_path: Path, history: History) -> None:
    event_ids = [history.event("a", {"n": n}, NOW_MS - 9 + n) for n in range(3)]
    run = history.run("f", event_ids, NOW_MS)
    fill(tmp_path / "a.db", history.records)
    (row,) = rows(tmp_path / "a.db", "/v1/runs")
    assert row["event_ids"] == sorted(event_ids)
    for event_id in event_ids:
        assert [row["run_id"] for row in rows(tmp_path / "a.db", f"/v1/events/{event_id}/runs")] == [run.run_id]


def test_a_query_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    import asyncio

    prepare_archive(tmp_path / "a.db")
    reader = ArchiveReader(tmp_path / "a.db", query_ms_max=50)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"

    def query(archive: sqlite3.Connection) -> object:
        return archive.execute(endless).fetchone()

    with pytest.raises(BadRequest) as refused:
        asyncio.run(reader.ask(query))
    assert (refused.value.code, refused.value.status) == ("query_too_slow", 503)
    assert asyncio.run(reader.ask(lambda archive: archive.execute("SELECT 1").fetchone()[0])) == 1
    reader.close()


def test_without_a_file_the_answer_says_so(tmp_path: Path) -> None:
    answer = get(tmp_path / "none.db", "/v1/runs")
    assert (answer.status, answer.json()["code"]) == (503, "archive_unusable")


def test_metrics_are_prometheus_s(tmp_path: Path) -> None:
    from prometheus_client import CollectorRegistry, Counter
    from prometheus_client.core import GaugeMetricFamily
    from prometheus_client.parser import text_string_to_metric_families

    fill(tmp_path / "a.db", [])
    registry = CollectorRegistry()
    Counter("headrace_turns", "Turns.", registry=registry).inc(3)
    app = serve(
        tmp_path / "a.db",
        registry=registry,
        measure=lambda: [GaugeMetricFamily("headrace_partition_lag", "Lag.", value=7)],
    )
    answer = ask(app, "GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    samples = {
        sample.name: sample.value for family in text_string_to_metric_families(answer.text) for sample in family.samples
    }
    assert samples["headrace_turns_total"] == 3
    assert samples["headrace_partition_lag"] == 7
    assert samples["headrace_console_running"] == 1
    assert samples["headrace_console_records_behind"] == 0
