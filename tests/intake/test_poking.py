"""Poking and discovery. Goal: apps are asked as the protocol says, failures are noted once, quiet apps cost nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

import msgspec
import pytest

from headrace.adapters.http_client import HttpAnswer, NoAnswer, NotReached
from headrace.errors import BadRequest
from headrace.intake.discovery import PATHS, PORTS, Discovery
from headrace.intake.poking import NOT_REGISTERED, Poker, PokingRules, error_of
from headrace.intake.registrations import RegistrationRules, Registrations
from headrace.records.sdk_apps import SdkApp
from tests.intake.topic import URL, Topic, function, payload

SECOND = "http://localhost:3001/api/inngest"


class World:
    """Apps at their addresses, and a node that asks them. An app that is up registers what it has when it is asked."""

    def __init__(self, *urls: str, discovery: Discovery | None = None, **rules: object) -> None:
        self.topic = Topic()
        self.door = self.topic.registrations(RegistrationRules(dev=True))
        self.apps: dict[str, Callable[[Registrations], HttpAnswer]] = {}
        self.bodies: dict[str, bytes] = {}  # what an app registers, by its address
        self.asked: list[tuple[str, str]] = []
        self.sent: list[tuple[Mapping[str, str], bytes | None]] = []
        self.urls = urls
        self.rules = rules
        self.discovery = discovery
        self.poker = self.restart()

    def restart(self) -> Poker:
        """Begin anew, with what stands on the topic."""
        self.door = self.topic.registrations(RegistrationRules(dev=True))
        self.poker = Poker(
            self.door,
            lambda: dict(self.topic.known),
            self,
            PokingRules(self.urls, **self.rules),  # type: ignore[arg-type]
            self.topic.tell,
            self.discovery,
        )
        return self.poker

    def round(self) -> list[str]:
        """Ask once; the addresses that were asked."""
        self.asked.clear()
        asyncio.run(self.poker.round())
        return [url for method, url in self.asked if method == "PUT"]

    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        *,
        timeout_s: float,
        bytes_max: int,
        follow: bool = True,
    ) -> HttpAnswer:
        """Answer as the app at the address does."""
        self.asked.append((method, url))
        self.sent.append((headers, body))
        if url in self.bodies:
            status = 200
            try:
                await self.door.take(self.bodies[url])
            except BadRequest as error:
                status = error.status
            return HttpAnswer(status, {"x-inngest-sdk": "js:v4"}, b'{"message":"no","modified":false}')
        if url in self.apps:
            return self.apps[url](self.door)
        raise NotReached(f"{url}: refused")

    @property
    def errors(self) -> dict[str, str]:
        """Give what is wrong with each app, by its name or address."""
        from headrace.intake.app_records import apps_of

        return {name: app.error for name, app in apps_of(self.topic.known).items() if not app.removed}


def answering(status: int, body: bytes = b"{}") -> Callable[[Registrations], HttpAnswer]:
    return lambda _: HttpAnswer(status, {}, body)


def test_an_app_is_asked_with_its_address_and_the_kind_of_server() -> None:
    world = World("127.0.0.1:3000/api/inngest", sign=lambda body: f"t=1&s={len(body)}")
    world.bodies[URL] = payload(function())
    assert world.round() == [URL]
    headers, body = world.sent[0]
    assert msgspec.json.decode(body or b"") == {"url": URL}
    assert headers == {
        "content-type": "application/json",
        "x-inngest-server-kind": "dev",
        "x-inngest-signature": f"t=1&s={len(body or b'')}",
    }
    assert world.errors == {"shop": ""}


def test_an_app_that_changes_is_noticed_and_one_that_does_not_writes_nothing() -> None:
    world = World(URL)
    world.bodies[URL] = payload(function())
    for _ in range(3):
        assert world.round() == [URL]
    assert len(world.topic.written) == 1
    world.bodies[URL] = payload(function(), function("shop-more"))
    world.round()
    assert b"shop-more" in world.topic.known


def test_an_address_where_nobody_is_is_noted_once_and_settled_when_somebody_is() -> None:
    world = World(URL, SECOND)
    world.bodies[SECOND] = payload(function("b-f", SECOND), url=SECOND, app="b")
    for _ in range(3):
        world.round()
    assert world.errors == {URL: "unreachable", "b": ""}
    assert sorted(code for code, _ in world.topic.told) == ["app_error", "app_synced"]
    assert len(world.topic.written) == 2
    world.bodies[URL] = payload(function())
    world.round()
    assert world.errors == {"shop": "", "b": ""}


def test_an_app_that_goes_away_keeps_its_functions_and_comes_back() -> None:
    world = World(URL)
    world.bodies[URL] = payload(function())
    world.round()
    body = world.bodies.pop(URL)
    for _ in range(3):
        world.round()
    assert world.errors == {"shop": "unreachable"}
    assert b"shop-charge" in world.topic.known
    assert len(world.topic.written) == 2
    world.bodies[URL] = body
    world.round()
    assert world.errors == {"shop": ""}


def test_without_polling_apps_are_asked_until_they_have_registered_and_when_something_is_wrong() -> None:
    world = World(URL, poll=False)
    assert world.round() == [URL]
    assert world.round() == [URL]
    world.bodies[URL] = payload(function())
    assert world.round() == [URL]
    assert world.round() == []
    asyncio.run(world.door.note_error("shop", URL, "something"))
    assert world.round() == [URL]
    assert world.errors == {"shop": ""}
    assert world.round() == []
    world.restart()
    assert world.round() == [URL]  # its code may have changed while nothing ran here


def test_apps_of_the_cluster_are_asked_without_being_named_but_not_those_that_connect() -> None:
    world = World()
    asyncio.run(world.door.take(payload(function())))
    connect = payload(function("w-f"), app="w", deployType="connect", url="ws://connect?app_name=w")
    asyncio.run(world.door.take(connect))
    world.bodies[URL] = payload(function())
    assert world.round() == [URL]


def test_what_was_refused_is_told_in_the_words_of_the_refusal() -> None:
    world = World(URL)
    world.bodies[URL] = payload(function(name=""))
    for _ in range(3):
        world.round()
    assert world.errors == {URL: "A function name is required"}
    assert len(world.topic.written) == 1
    world.bodies[URL] = payload(function())
    world.round()
    world.bodies[URL] = payload(function(name=""))
    for _ in range(3):
        world.round()
    assert world.errors == {"shop": "A function name is required"}


def test_an_app_that_registers_elsewhere_is_noted() -> None:
    world = World(URL)
    world.apps[URL] = answering(200)
    world.round()
    assert world.errors == {}
    world.round()
    assert world.errors == {URL: NOT_REGISTERED}


def test_an_app_that_registers_under_another_address_is_there() -> None:
    world = World(URL)
    body = payload(function(), url="https://shop.example/api/inngest")
    world.bodies[URL] = body
    world.bodies["https://shop.example/api/inngest"] = body
    for _ in range(3):
        world.round()
    assert world.errors == {"shop": ""}


def test_addresses_of_an_earlier_start_are_forgotten() -> None:
    world = World(URL, SECOND, forget=True)
    world.round()
    assert set(world.errors) == {URL, SECOND}
    world.urls = (SECOND,)
    world.restart()
    world.round()
    assert set(world.errors) == {SECOND}


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, b"anything", ""),
        (401, b"", "unauthorized"),
        (403, b"", "forbidden"),
        (404, b"", "url_not_found"),
        (500, b"", "internal_server_error"),
        (503, b"", "internal_server_error"),
        (400, b'{"message":"Your signing key is invalid"}', "invalid_signing_key"),
        (400, b'{"message":"At least one function is invalid"}', "invalid_function"),
        (400, b'{"message":"something else"}', "something else"),
        (400, b'{"code":"server_kind_mismatch"}', "server_kind_mismatch"),
        (400, b"no json", "http_400"),
        (418, b"[]", "http_418"),
    ],
)
def test_what_an_app_answers_is_named(status: int, body: bytes, error: str) -> None:
    assert error_of(HttpAnswer(status, {}, body)) == error


def test_an_address_that_may_not_be_asked_is_told() -> None:
    world = World(URL)

    def refused(_: Registrations) -> HttpAnswer:
        raise BadRequest("target_private", "'localhost' is this very machine", status=403)

    world.apps[URL] = refused
    world.round()
    assert world.errors == {URL: "'localhost' is this very machine"}


def test_an_app_that_does_not_answer_is_unreachable() -> None:
    world = World(URL)

    def slow(_: Registrations) -> HttpAnswer:
        raise NoAnswer("Timeout", "it did not answer within 10 s")

    world.apps[URL] = slow
    world.round()
    assert world.errors == {URL: "unreachable"}


class Machine:
    """Ports that somebody listens on, and apps of SDKs behind some of them."""

    def __init__(self) -> None:
        self.open: list[int] = []
        self.sdks: set[str] = set()
        self.asked: list[str] = []
        self.looked = 0

    def open_ports(self, ports: Sequence[int]) -> list[int]:
        """Tell which ports are open."""
        self.looked += 1
        return [port for port in ports if port in self.open]

    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        *,
        timeout_s: float,
        bytes_max: int,
        follow: bool = True,
    ) -> HttpAnswer:
        """Answer what is there."""
        assert method == "GET"
        self.asked.append(url)
        if url in self.sdks:
            return HttpAnswer(200, {"x-inngest-sdk": "inngest-js:v4.18.1"}, b"{}")
        return HttpAnswer(404, {}, b"")


def test_nothing_is_asked_where_nobody_listens() -> None:
    machine = Machine()
    discovery = Discovery(machine, machine.open_ports)
    assert asyncio.run(discovery.find()) == []
    assert (machine.looked, machine.asked) == (1, [])


def test_an_app_is_found_by_its_header_at_the_usual_paths() -> None:
    machine = Machine()
    machine.open = [3000, 5000, 9999]
    machine.sdks = {"http://localhost:5000/x/inngest"}
    assert asyncio.run(Discovery(machine, machine.open_ports).find()) == ["http://localhost:5000/x/inngest"]
    assert machine.asked == [f"http://localhost:{port}{path}" for port in (3000, 5000) for path in PATHS]


def test_more_ports_are_looked_at_and_ones_own_are_not() -> None:
    machine = Machine()
    machine.open = [8080, 4567]
    discovery = Discovery(machine, machine.open_ports, more_ports=[4567, 8080], without=[8080])
    asyncio.run(discovery.find())
    assert {url.split("/")[2] for url in machine.asked} == {"localhost:4567"}
    assert 8080 in PORTS


def test_what_is_no_app_is_asked_less_and_less() -> None:
    machine = Machine()
    machine.open = [8000]
    discovery = Discovery(machine, machine.open_ports)
    for _ in range(60):
        asyncio.run(discovery.find())
    assert len(machine.asked) == (12 + 8) * len(PATHS)


def test_an_app_that_is_found_is_asked_and_then_nothing_is_looked_for() -> None:
    machine = Machine()
    machine.open = [3000]
    machine.sdks = {URL}
    world = World(discovery=Discovery(machine, machine.open_ports))
    world.bodies[URL] = payload(function())
    world.round()
    assert world.errors == {"shop": ""}
    assert ("app_found", f"an app answers at {URL}") in world.topic.told
    world.round()
    assert machine.looked == 1


def test_placeholders_are_apps_without_a_name() -> None:
    world = World(URL)
    world.round()
    assert world.topic.app(URL) == SdkApp("", URL, error="unreachable")
