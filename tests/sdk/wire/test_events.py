"""Section 1: events come in. Goal: ids, limits and refusals as the SDKs know them."""

from __future__ import annotations

import base64
import json
import time
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request

import pytest

from tests.cli.served import Served
from tests.sdk.programs import ask, open_url
from tests.sdk.wire.played import Played
from tests.sdk.wire.scripts import done, scripted

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def post(engine: Served, body: Any, path: str = "/e/any-key", **headers: str) -> tuple[int, dict[str, Any]]:
    """Post to the server; status and decoded answer, whatever the status."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = Request(f"{engine.url}{path}", content, {"content-type": "application/json", **headers}, method="POST")
    try:
        with open_url(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except HTTPError as refused:
        with refused:
            return refused.code, json.loads(refused.read())


def ulid(milliseconds: int, entropy: bytes) -> str:
    """Write a ULID."""
    number = int.from_bytes(milliseconds.to_bytes(6, "big") + entropy, "big")
    return "".join(CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def test_1_1_one_event_or_a_list_of_them(engine: Served) -> None:
    status, one = post(engine, {"name": "wire/any", "data": {}})
    assert (status, one["status"], len(one["ids"])) == (200, 200, 1)
    status, many = post(engine, [{"name": "wire/any"}, {"name": "wire/any", "data": None}])
    assert (status, len(set(many["ids"]))) == (200, 2)
    assert all(len(event_id) == 26 for event_id in many["ids"])


def test_1_1_an_empty_body_is_tolerated(engine: Served) -> None:
    assert post(engine, b"") == (200, {"ids": [""], "status": 200})


@pytest.mark.parametrize(
    "event",
    [
        {"name": "", "data": {}},
        {"data": {}},
        {"name": "inngest/function.failed", "data": {}},
        {"name": "Inngest/anything", "data": {}},
        {"name": "wire/any", "data": [1]},
        {"name": "wire/any", "data": "text"},
        {"name": "wire/any", "ts": 1},
        {"name": "wire/any", "ts": 5_000_000_000_000},
        {"name": "n" * 513},
    ],
    ids=["empty name", "no name", "reserved", "reserved in capitals", "list", "text", "1970", "2128", "long name"],
)
def test_1_1_what_is_no_event_is_refused(engine: Served, event: dict[str, Any]) -> None:
    status, answer = post(engine, [{"name": "wire/before", "data": {}}, event, {"name": "wire/after", "data": {}}])
    assert (status, answer["status"]) == (400, 400)
    assert answer["error"]
    assert len(answer["ids"]) == 1, "the ids so far"


def test_1_1_too_many_events_are_refused(engine: Served) -> None:
    status, answer = post(engine, [{"name": "wire/any"}] * 5001)
    assert (status, answer["ids"]) == (400, [])


def test_1_1_an_event_over_3_mib_is_refused(engine: Served) -> None:
    assert post(engine, {"name": "wire/any", "data": {"x": "y" * (3 << 20)}})[0] in (400, 413)
    assert post(engine, {"name": "wire/any", "data": {"x": "y" * (2 << 20)}})[0] == 200


def test_1_2_the_same_seed_gives_the_same_ids(engine: Served) -> None:
    now, entropy = int(time.time() * 1000), bytes([1, 2, 3, 4, 5, 6, 255, 255, 255, 250])
    seed = {"x-inngest-event-id-seed": f"{now},{base64.b64encode(entropy).decode()}"}
    events = [{"name": "wire/seeded", "data": {"n": n}} for n in range(2)]
    first, second = post(engine, events, **seed), post(engine, events, **seed)
    assert first == second
    tails = [entropy[:6] + (0xFFFFFFFA + number).to_bytes(4, "big") for number in (1, 2)]
    assert first[1]["ids"] == [ulid(now, tail) for tail in tails]


def test_1_2_a_seed_that_is_nonsense_is_ignored(engine: Served) -> None:
    seed = {"x-inngest-event-id-seed": "yesterday,!!"}
    first, second = (post(engine, {"name": "wire/any"}, **seed)[1]["ids"] for _ in range(2))
    assert first != second


@scripted(done(), events=[{"id": "mine", "data": {"_inngest": {"fn_id": "x"}, "kept": 1}, "user": {"id": 3}, "v": "7"}])
def test_1_1_the_engine_keeps_its_own_key_to_itself(played: Played) -> None:
    played.output()
    event = played.calls[0].body["event"]
    assert (event["data"], event["id"], event["user"], event["v"]) == ({"kept": 1}, "mine", {"id": 3}, "7")


@scripted(done())
def test_1_1_an_event_without_an_id_has_the_one_that_was_answered(played: Played) -> None:
    played.output()
    event = played.calls[0].body["event"]
    assert event["id"] == played.ids[0]
    assert abs(event["ts"] - time.time() * 1000) < 120_000


@scripted(done())
def test_1_1_a_moment_in_the_future_delays_the_start(played: Played) -> None:
    played.output()
    played.app.scripts[played.function].answers = (done(), done())
    moment = int(time.time() * 1000) + 2000
    event_id = played.send({"name": f"wire/{played.name}", "data": {}, "ts": moment})[0]
    played.end_of(event_id)
    assert played.calls[-1].at * 1000 >= moment - 50


def test_6_1_an_event_is_read_back(engine: Served) -> None:
    event = {"name": "wire/read-back", "data": {"n": 1}, "id": "read-back-1", "ts": 1755850000000}
    event_id = post(engine, event)[1]["ids"][0]

    def found() -> dict[str, Any]:
        read: dict[str, Any] = ask(f"{engine.url}/v1/events/{event_id}")["data"]
        return read

    read = engine.wait(found, "the event")
    assert (read["internal_id"], read["id"], read["name"]) == (event_id, "read-back-1", "wire/read-back")
    assert (read["data"], read["ts"]) == ({"n": 1}, 1755850000000)


def test_1_5_invoking_answers_an_id(engine: Served) -> None:
    status, answer = post(engine, {"data": {}}, "/invoke/nobody-at-home")
    assert (status, answer["status"], len(answer["id"])) == (200, 200, 26)
