"""`POST /invoke/{slug}`, `GET /dev`. Goal: SDKs and their tools get the answers that they know."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from starlette.applications import Starlette

from headrace.intake.dev_answers import DevAnswers
from headrace.intake.invocations import Invocations
from headrace.intake.refusals import Refusals
from headrace.records.commands import Travelling
from headrace.records.definitions import CronTrigger, Definition, EventTrigger
from headrace.records.ids import is_ulid, partition_of
from headrace.records.rows import Start
from tests.console.asgi import Answer, ask
from tests.intake.topic import NOW_MS, URL, FixedClock, Topic, function, payload

SEED = "1700000000000,AAECAwQFBgcICQ=="


class Door:
    """The endpoint, and what it has ordered."""

    def __init__(self) -> None:
        self.given: list[tuple[int | None, Travelling]] = []
        self.told: list[tuple[str, str]] = []
        clock = FixedClock()
        refusals = Refusals(lambda code, said: self.told.append((code, said)), clock)
        self.app = Starlette(routes=Invocations(self.give, lambda: {"shop-f"}, 8, clock, refusals).routes())

    async def give(self, partition: int | None, command: Travelling) -> None:
        self.given.append((partition, command))

    def invoke(self, slug: str, body: Any, **headers: str) -> Answer:
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return ask(self.app, "POST", f"/invoke/{slug}", body=content, headers=given)


def test_a_run_is_started_with_an_event_of_ones_own() -> None:
    door = Door()
    asked = {"data": {"n": 1, "_inngest": "mine"}, "user": {"id": 7}, "id": "evt", "ts": 1_600_000_000_000, "v": "2"}
    told = door.invoke("shop-f", asked).json()
    ((partition, start),) = door.given
    assert isinstance(start, Start)
    (event,) = start.events
    assert told == {"id": event.id, "status": 200}
    assert is_ulid(event.id)
    assert partition == partition_of(start.run_id.encode(), 8)
    assert (start.function_id, event.name, event.given_id) == ("shop-f", "inngest/function.invoked", "evt")
    assert (event.ts_ms, event.at_ms) == (1_600_000_000_000, NOW_MS)
    assert msgspec.json.decode(event.json) == {
        "name": "inngest/function.invoked",
        "data": {"n": 1, "_inngest": {"fn_id": "shop-f"}},
        "user": {"id": 7},
        "v": "2",
    }


def test_a_request_that_is_sent_again_starts_nothing_again() -> None:
    door = Door()
    first = door.invoke("shop-f", {"data": {}}, x_inngest_event_id_seed=SEED).json()
    assert door.invoke("shop-f", {"data": {}}, x_inngest_event_id_seed=SEED).json() == first
    assert len(door.given) == 1
    door.invoke("shop-f", {})
    door.invoke("shop-f", b"")
    assert len({start.run_id for _, start in door.given if isinstance(start, Start)}) == 3


def test_an_unknown_function_is_told_to_the_operator_alone() -> None:
    door = Door()
    answer = door.invoke("shop-g", {})
    assert (answer.status, answer.json()["status"]) == (200, 200)
    assert door.given == []
    assert door.told == [("invoked_function_unknown", "there is no function 'shop-g' to invoke")]


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"data":1}', b'{"ts":"now"}'])
def test_what_is_no_event_is_refused(body: bytes) -> None:
    door = Door()
    told = door.invoke("shop-f", body)
    assert (told.status, told.json()["error"]) == (400, "Unable to read post data request")
    assert door.given == []


def dev_app(dev: bool = True) -> tuple[Starlette, Topic]:
    topic = Topic(Definition("py-f", "py", "f", [EventTrigger("b")]))
    topic_door = topic.registrations()
    asyncio.run(
        topic_door.take(payload(function(triggers=[{"event": "a", "expression": "true"}, {"cron": "0 9 * * 1"}])))
    )
    answers = DevAnswers(lambda: dict(topic.known), dev=dev, start_options={"urls": [URL]})
    return Starlette(routes=answers.routes()), topic


def test_a_dev_server_says_what_it_has() -> None:
    app, _ = dev_app()
    told = ask(app, "GET", "/dev").json()
    assert told["version"]
    assert (told["authed"], told["startOpts"], told["isSingleNodeService"]) == (False, {"urls": [URL]}, False)
    python, charge = sorted(told["functions"], key=lambda one: one["id"])
    assert (python["id"], python["steps"]) == ("py-f", [])
    assert (charge["id"], charge["name"]) == ("shop-charge", "shop-charge")
    assert charge["triggers"] == [{"event": "a", "expression": "true"}, {"cron": "0 9 * * 1"}]
    (step,) = charge["steps"]
    assert (step["id"], step["name"], step["uri"]) == ("step", "step", f"{URL}?fnId=shop-charge&stepId=step")
    assert told["handlers"] == [{"appName": "shop", "url": URL, "sdk": "js:v4.18.1", "framework": "express"}]


def test_a_page_of_another_site_learns_no_more_than_that_it_is_one() -> None:
    app, _ = dev_app()
    told = ask(app, "GET", "/dev", headers={"origin": "https://elsewhere.example"}).json()
    assert (told["functions"], told["handlers"], told["startOpts"]) == ([], [], {})
    own = ask(app, "GET", "/dev", headers={"origin": "http://localhost:8288"}).json()
    assert len(own["functions"]) == 2


def test_in_production_there_is_no_dev_server() -> None:
    app, _ = dev_app(dev=False)
    assert ask(app, "GET", "/dev").status == 404


def test_traces_and_telemetry_are_taken_and_thrown_away() -> None:
    app, _ = dev_app()
    for path in ("/dev/traces", "/v0/telemetry"):
        assert ask(app, "POST", path, body=b"\x0a\x00").status == 200


def test_a_cron_line_with_a_zone_is_shown_with_it() -> None:
    definition = Definition("py-c", "py", "c", [], crons=[CronTrigger("0 9 * * *", "Asia/Tokyo")])
    topic = Topic(definition)
    answers = DevAnswers(lambda: dict(topic.known), dev=True)
    told = ask(Starlette(routes=answers.routes()), "GET", "/dev").json()
    assert told["functions"][0]["triggers"] == [{"cron": "TZ=Asia/Tokyo 0 9 * * *"}]
