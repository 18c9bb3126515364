"""`POST /e/{key}`. Goal: what is answered as taken is on the log and placed by its key; the rest is not."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from headrace.adapters.system_clock import SystemClock
from headrace.errors import BadRequest
from headrace.intake.access import Access, KeyRing
from headrace.intake.http import EventDoor, IntakeLimits
from headrace.intake.refusals import Refusals
from headrace.records.events import EVENT_BYTES_MAX
from headrace.records.ids import is_ulid, partition_of
from tests.console.asgi import Answer, ask, call
from tests.intake.appenders import QuietAppender, TakingAppender
from tests.intake.topic import FixedClock

SEED = "1755850000000," + base64.b64encode(bytes(range(10))).decode()


def door(appender: QuietAppender, **more: Any) -> EventDoor:
    return EventDoor(appender, "headrace.events", 4, SystemClock(), **more)


def app_of(door: EventDoor) -> Starlette:
    return Starlette(routes=[Route("/e/{key:path}", door.receive, methods=["POST"])])


def post(
    appender: QuietAppender, body: Any, *, path: str = "/e/any-key", headers: dict[str, str] | None = None, **more: Any
) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return ask(app_of(door(appender, **more)), "POST", path, body=raw, headers=headers)


def header(appender: QuietAppender, index: int, name: str) -> bytes | None:
    return dict(appender.sent[index].headers or ()).get(name)


def test_one_event_is_on_the_log_as_it_was_sent() -> None:
    appender = TakingAppender()
    sent = b'{ "name": "order/created", "data": {"n": 1.50} }'
    answer = post(appender, sent)
    assert answer.status == 200
    (event_id,) = answer.json()["ids"]
    assert answer.json() == {"ids": [event_id], "status": 200}
    assert is_ulid(event_id)
    assert appender.sent[0].value == sent
    assert appender.sent[0].key is None
    assert header(appender, 0, "headrace-id") == event_id.encode()


def test_sessions_that_an_sdk_took_over_are_put_with_those_of_the_sender() -> None:
    appender = TakingAppender()
    meta = {"sessions": {"user": 7}, "propagated_sessions": {"user": "1", "org": "acme"}}
    assert post(appender, {"name": "order/created", "meta": meta}).status == 200
    value = appender.sent[0].value
    assert value is not None
    assert json.loads(value)["meta"] == {"sessions": {"user": "7", "org": "acme"}}
    answer = post(appender, {"name": "order/created", "meta": {"sessions": {"user": True}}})
    assert (answer.status, answer.json()["ids"]) == (400, [])


def test_data_that_an_app_does_not_want_is_refused_with_the_ids_of_what_was_taken_before_it() -> None:
    def check(name: str, data: Any) -> None:
        if name == "order/created" and "orderId" not in data:
            raise BadRequest("event_data_invalid", "orderId is missing", why="it is required", do="send it")

    appender = TakingAppender()
    fine = {"name": "order/created", "data": {"orderId": "7"}}
    answer = post(appender, [fine, {"name": "order/created", "data": {"total": 1}}], check=check)
    assert (answer.status, answer.json()["code"]) == (400, "event_data_invalid")
    assert answer.json()["error"] == "event 2: orderId is missing"
    assert answer.json()["ids"] == [(value or b"").decode() for out in appender.sent for _, value in out.headers or []]
    assert len(appender.sent) == 1
    assert post(appender, [fine, {"name": "other"}], check=check).status == 200
    assert len(appender.sent) == 3


def test_an_array_is_answered_in_its_order() -> None:
    appender = TakingAppender()
    answer = post(appender, [{"name": "a", "data": {"n": n}} for n in range(10)])
    ids = answer.json()["ids"]
    assert len(set(ids)) == 10
    assert [header(appender, n, "headrace-id") for n in range(10)] == [event_id.encode() for event_id in ids]
    assert [json.loads(out.value or b"")["data"]["n"] for out in appender.sent] == list(range(10))


def test_the_id_is_the_key_and_the_key_decides_the_partition() -> None:
    appender = TakingAppender()
    post(appender, [{"name": "a", "id": "o-1"}, {"name": "a", "id": "o-2"}])
    assert [out.key for out in appender.sent] == [b"o-1", b"o-2"]
    assert [out.partition for out in appender.sent] == [partition_of(b"o-1", 4), partition_of(b"o-2", 4)]


def test_the_header_beats_the_id_as_the_key() -> None:
    appender = TakingAppender()
    post(appender, {"name": "a", "id": "o-1"}, headers={"x-headrace-key": "user-7"})
    assert appender.sent[0].key == b"user-7"
    assert appender.sent[0].partition == partition_of(b"user-7", 4)


def test_events_without_a_key_are_spread() -> None:
    appender = TakingAppender()
    post(appender, [{"name": "a"}] * 8)
    assert sorted(out.partition for out in appender.sent) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_a_seed_gives_the_same_ids_each_time() -> None:
    first, second = TakingAppender(), TakingAppender()
    body = [{"name": "a"}, {"name": "b", "id": "own"}]
    one = post(first, body, headers={"x-inngest-event-id-seed": SEED})
    two = post(second, body, headers={"x-inngest-event-id-seed": SEED})
    assert one.json() == two.json()
    assert [(out.key, out.value, out.partition) for out in first.sent] == [
        (out.key, out.value, out.partition) for out in second.sent
    ]


def test_the_ids_of_a_seed_are_those_of_the_protocol() -> None:
    appender = TakingAppender()
    ids = post(appender, [{"name": "a"}, {"name": "a"}], headers={"x-inngest-event-id-seed": SEED}).json()["ids"]
    # Entropy 00 01 … 09, the number of the event (from 1) added to its last four bytes.
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

    def ulid(time_ms: int, entropy: bytes) -> str:
        n = time_ms << 80 | int.from_bytes(entropy, "big")
        return "".join(alphabet[n >> 5 * (25 - place) & 31] for place in range(26))

    assert ids == [
        ulid(1755850000000, bytes([0, 1, 2, 3, 4, 5, 6, 7, 8, 10])),
        ulid(1755850000000, bytes([0, 1, 2, 3, 4, 5, 6, 7, 8, 11])),
    ]


def test_an_event_that_may_be_sent_again_is_known_by_its_internal_id() -> None:
    appender = TakingAppender()
    body = b'[{"name":"a","data":{}}, {"name":"b","id":null}, {"name":"c","id":""}, {"name":"d","id":"own"}]'
    ids = post(appender, body, headers={"x-inngest-event-id-seed": SEED}).json()["ids"]
    values = [json.loads(out.value or b"") for out in appender.sent]
    assert [value["id"] for value in values] == [*ids[:3], "own"]
    assert [value["name"] for value in values] == ["a", "b", "c", "d"]
    assert appender.sent[0].key == ids[0].encode()


@pytest.mark.parametrize(
    "seed", ["", "x", "12", "12,", "12,AAAA", "-1,AAECAwQFBgcICQ==", "9" * 30 + ",AAECAwQFBgcICQ==", "12,****"]
)
def test_a_malformed_seed_is_ignored(seed: str) -> None:
    appender = TakingAppender()
    answer = post(appender, {"name": "a"}, headers={"x-inngest-event-id-seed": seed})
    assert answer.status == 200
    assert "id" not in json.loads(appender.sent[0].value or b"")


@pytest.mark.parametrize("key", ["_inngest", "\\u005finngest", "_\\u0069nngest"])
def test_routing_of_the_engine_is_taken_out_of_the_data(key: str) -> None:
    appender = TakingAppender()
    body = f'{{"name":"a","data":{{"x":1,"{key}":{{"fn_id":"f"}}}},"v":"2"}}'.encode()
    assert post(appender, body).status == 200
    assert json.loads(appender.sent[0].value or b"") == {"name": "a", "data": {"x": 1}, "v": "2"}


def test_the_word_elsewhere_is_left_alone() -> None:
    appender = TakingAppender()
    body = b'{"name":"a","data":{"x":{"_inngest":1},"y":"_inngest"}}'
    post(appender, body)
    assert appender.sent[0].value == body


def test_trace_headers_travel_with_the_event() -> None:
    appender = TakingAppender()
    post(appender, {"name": "a"}, headers={"traceparent": "00-abc-def-01", "tracestate": "x" * 1000})
    assert header(appender, 0, "traceparent") == b"00-abc-def-01"
    assert header(appender, 0, "tracestate") is None


@pytest.mark.parametrize("body", [b"", b"  \n", b"[]", b" [ ] "])
def test_an_empty_request_is_tolerated(body: bytes) -> None:
    appender = TakingAppender()
    answer = post(appender, body)
    assert answer.status == 200
    assert answer.json()["ids"] == ([""] if not body.strip() else [])
    assert not appender.sent


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "event_not_json"),
        (b"nonsense", "event_not_json"),
        (b'"text"', "event_not_json"),
        (b"[1]", "event_not_json"),
        (b"[{]", "body_not_json"),
        (b'{"name":"a"} {"name":"b"}', "event_not_json"),
        (b'{"data":{}}', "event_not_json"),
        (b'{"name":""}', "event_name_invalid"),
        (b'{"name":"' + b"n" * 513 + b'"}', "event_name_invalid"),
        (b'{"name":"Inngest/function.failed"}', "event_name_reserved"),
        (b'{"name":"a","data":[]}', "event_data_invalid"),
        (b'{"name":"a","data":"x"}', "event_data_invalid"),
        (b'{"name":"a","ts":5}', "event_ts_invalid"),
        (b'{"name":"a","data":{"x":"\xff"}}', "event_not_utf8"),
        (b"[" * 100_000, "body_not_json"),
        (b'{"name":"a","data":' + b'{"a":' * 100_000, "event_not_json"),
        (b'{"name":"a","data":{"\\ud800":1}}', "event_not_json"),
        (b'{"name":"a","data":{"f":1e999}}', "event_not_json"),
        (b'[{"name":""},{"name":"a"}]', "event_name_invalid"),
    ],
)
def test_a_bad_request_is_refused_whole_and_says_why(body: bytes, code: str) -> None:
    appender = TakingAppender()
    answer = post(appender, body)
    assert answer.status == 400
    refused = answer.json()
    assert (refused["ids"], refused["status"], refused["code"]) == ([], 400, code)
    assert refused["error"]
    assert not appender.sent


def test_more_events_than_allowed_are_refused() -> None:
    appender = TakingAppender()
    assert post(appender, b"[" + b",".join([b'{"name":"a"}'] * 5001) + b"]").json()["code"] == "too_many_events"
    assert post(appender, b"[" + b",".join([b'{"name":"a"}'] * 5000) + b"]").status == 200
    assert len(appender.sent) == 5000


def test_an_event_may_have_three_mebibytes_and_no_more() -> None:
    appender = TakingAppender()
    frame = b'{"name":"a","data":{"x":""}}'
    fits = frame.replace(b'""', b'"' + b"x" * (EVENT_BYTES_MAX - len(frame)) + b'"')
    assert len(fits) == EVENT_BYTES_MAX
    assert post(appender, fits).status == 200
    assert post(appender, fits.replace(b"xx", b"xxx", 1)).json()["code"] == "event_too_large"
    # Where an id has to be put in, it is the event with its id that must fit.
    seeded = post(appender, fits, headers={"x-inngest-event-id-seed": SEED})
    assert seeded.json()["code"] == "event_too_large"


def test_a_body_over_the_limit_is_refused_before_it_is_read() -> None:
    appender = TakingAppender()
    answer = post(appender, b"x" * 10, headers={"content-length": "99999999999"})
    assert (answer.status, answer.json()["code"]) == (413, "body_too_large")


def test_a_body_that_hides_its_length_is_cut_at_the_limit() -> None:
    app = app_of(door(TakingAppender(), limits=IntakeLimits(body_bytes=10_000)))
    answer = ask(app, "POST", "/e/k", body=[b"x" * 1000] * 1000)
    assert (answer.status, answer.json()["code"]) == (413, "body_too_large")


def test_a_compressed_body_is_refused() -> None:
    answer = post(TakingAppender(), b"x", headers={"content-encoding": "gzip"})
    assert (answer.status, answer.json()["code"]) == (415, "body_compressed")


def test_a_failed_append_is_no_success() -> None:
    answer = post(TakingAppender(fails_from=0), {"name": "a"})
    assert (answer.status, answer.json()["code"]) == (503, "kafka_unavailable")
    assert answer.json()["ids"] == []
    assert answer.headers["retry-after"] == "1"


def test_a_silent_kafka_is_no_success_and_a_late_report_harmless() -> None:
    appender = QuietAppender()

    async def play() -> Answer:
        app = app_of(door(appender, limits=IntakeLimits(append_ms=20)))
        answer = await call(app, "POST", "/e/k", body=b'{"name":"a"}')
        appender.batches[0](None)
        await asyncio.sleep(0)
        return answer

    answer = asyncio.run(play())
    assert (answer.status, answer.json()["code"]) == (503, "kafka_unavailable")


def test_nothing_is_answered_before_the_report() -> None:
    appender = QuietAppender()

    async def play() -> Answer:
        asked = asyncio.ensure_future(call(app_of(door(appender)), "POST", "/e/k", body=b'{"name":"a"}'))
        while not appender.batches:
            await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        assert not asked.done()
        appender.batches[0](None)
        return await asked

    assert asyncio.run(play()).status == 200


def test_too_much_in_flight_is_turned_away_until_it_is_less() -> None:
    appender = QuietAppender()

    async def play() -> list[int]:
        app = app_of(door(appender, limits=IntakeLimits(pending_bytes=20)))
        first = asyncio.ensure_future(call(app, "POST", "/e/k", body=b'{"name":"a"}'))
        while not appender.batches:
            await asyncio.sleep(0)
        second = await call(app, "POST", "/e/k", body=b'{"name":"b"}')
        assert second.json()["code"] == "intake_busy"
        appender.batches[0](None)
        one = await first
        third = asyncio.ensure_future(call(app, "POST", "/e/k", body=b'{"name":"c"}'))
        while len(appender.batches) < 2:
            await asyncio.sleep(0)
        appender.batches[1](None)
        return [one.status, second.status, (await third).status]

    assert asyncio.run(play()) == [200, 503, 200]


BEYOND = Access(keys_required=True, event_keys=KeyRing(["first", "second"]))


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [
        ("/e/first", 200, None),
        ("/e/second", 200, None),
        ("/e/third", 401, "Event key not found"),
        ("/e/", 401, "Event key is required"),
        ("/e/firs", 401, "Event key not found"),
        ("/e/%ED%A0%80", 401, "Event key not found"),
    ],
)
def test_beyond_loopback_a_key_is_needed(path: str, status: int, error: str | None) -> None:
    answer = post(TakingAppender(), {"name": "a"}, path=path, access=BEYOND)
    assert answer.status == status
    assert answer.json().get("error") == error


def test_what_is_refused_is_told_to_the_operator_once_in_a_while() -> None:
    told: list[tuple[str, str]] = []
    clock = FixedClock()
    refusals = Refusals(lambda code, said: told.append((code, said)), clock)
    door = EventDoor(TakingAppender(), "headrace.events", 4, clock, access=BEYOND, refusals=refusals)
    app = app_of(door)

    def send(path: str, body: bytes) -> None:
        ask(app, "POST", path, body=body)

    for _ in range(3):
        send("/e/third", b'{"name":"a"}')
    send("/e/first", b'{"name":""}')
    assert [code for code, _ in told] == ["event_key_unknown", "event_name_invalid"]
    assert told[0][1] == "events were refused: Event key not found"
    clock.now_ms += 10_000
    send("/e/third", b'{"name":"a"}')
    assert told[-1][1] == "events were refused: Event key not found (and 2 more like it since)"


def test_without_any_key_configured_nothing_is_taken_beyond_loopback() -> None:
    appender = TakingAppender()
    answer = post(appender, {"name": "a"}, access=Access(keys_required=True))
    assert (answer.status, answer.json()["code"]) == (503, "event_keys_missing")
    assert not appender.sent


def test_a_request_through_a_proxy_needs_a_key_on_loopback_too() -> None:
    access = Access(event_keys=KeyRing(["first"]))
    for host, status in (("localhost:8288", 200), ("[::1]:8288", 200), ("headrace.example.com", 401)):
        assert (
            post(TakingAppender(), {"name": "a"}, path="/e/x", access=access, headers={"host": host}).status == status
        )
