"""What every request has to pass. Goal: no page elsewhere reads or changes anything, and no stranger without a key."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from headrace.adapters.system_clock import SystemClock
from headrace.console.guard import GuardSettings
from headrace.console.sessions import SESSION_COOKIE
from headrace.intake.access import Access, KeyRing, bearer_forms
from headrace.intake.http import EventDoor
from tests.console.archives import FixedClock, fill, serve
from tests.console.asgi import Answer, ask, call
from tests.console.histories import History
from tests.intake.appenders import TakingAppender

EVENT = b'{"name":"a"}'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    fill(tmp_path / "a.db", History().records)
    return tmp_path / "a.db"


def app_of(path: Path, *, access: Access | None = None, clock: FixedClock | None = None, **settings: Any) -> Starlette:
    access = access or Access()
    door = EventDoor(TakingAppender(), "headrace.events", 4, SystemClock(), access=access)
    guard = GuardSettings(access=access, **settings)
    more = {"clock": clock} if clock is not None else {}
    return serve(path, door=door, settings=guard, **more)


# --- Host ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        *(
            (host, True)
            for host in ("localhost", "localhost:8288", "127.0.0.1:8288", "127.9.8.7", "[::1]:8288", "[::1]")
        ),
        ("0.0.0.0:8288", True),  # a client that was told where the server listens
        *(
            (host, True)
            for host in ("LOCALHOST:1", "app.localhost:8288", "console.example.com", "Console.Example.Com:1")
        ),
        *((host, False) for host in ("evil.example.com", "example.com", "localhost.evil.com", "127.0.0.1.evil.com")),
        *((host, False) for host in ("", ":8288", "[", "[::2]:8288", "localhost@evil.com", "1270.0.0.1")),
    ],
)
@pytest.mark.parametrize("where", ["/", "/v1/runs", "/health", "/static/console.css", "/e/key"])
def test_only_known_names_are_answered_to(path: Path, host: str, allowed: bool, where: str) -> None:
    app = app_of(path, hosts=["console.example.com"], access=Access(api_keys=KeyRing(["k"])))
    method = "POST" if where.startswith("/e/") else "GET"
    answer = ask(app, method, where, headers={"host": host}, body=EVENT if method == "POST" else b"")
    refused = answer.status == 403 and answer.json()["code"] == "host_not_allowed"
    assert refused is not allowed


@pytest.mark.parametrize(
    ("server", "host", "allowed"),
    [
        ("192.0.2.7", "192.0.2.7:8288", True),
        ("192.0.2.7", "192.0.2.8:8288", False),
        ("::ffff:192.0.2.7", "192.0.2.7", True),
        ("2001:db8::7", "[2001:DB8:0::7]:8288", True),
        ("2001:db8::7", "[2001:db8::8]:8288", False),
        ("192.0.2.7", "evil.example.com", False),
        ("", "", False),
    ],
)
def test_the_address_that_a_request_came_to_needs_no_name(path: Path, server: str, host: str, allowed: bool) -> None:
    access = Access(keys_required=True, api_keys=KeyRing(["k"]))
    headers = {"host": host, "authorization": "Bearer k"}
    answer = ask(app_of(path, access=access), "GET", "/v1/runs", headers=headers, server=server)
    assert answer.status == (200 if allowed else 403)
    stranger = ask(app_of(path, access=access), "GET", "/v1/runs", headers={"host": host}, server=server)
    assert stranger.status == (401 if allowed else 403), "a key is needed all the same"


def test_a_proxy_that_checks_may_be_trusted(path: Path) -> None:
    access = Access(keys_required=True, api_keys=KeyRing(["k"]))
    headers = {"host": "any.example.com", "authorization": "Bearer k"}
    assert ask(app_of(path, hosts=["*"], access=access), "GET", "/v1/runs", headers=headers).status == 200


# --- Origin and CORS ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"origin": "http://localhost:8288"}, True),
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "none"}, True),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "same-site"}, False),
        ({"origin": "http://evil.example.com"}, False),
        ({"origin": "http://localhost:3000"}, False),
        ({"origin": "http://localhost"}, False),
        ({"origin": "null"}, False),
        ({"origin": ""}, False),
        ({"origin": "http://["}, False),
        ({"origin": "http://localhost:8288.evil.com"}, False),
    ],
)
@pytest.mark.parametrize(
    ("method", "where"), [("POST", "/send"), ("DELETE", "/v1/runs/x"), ("POST", "/runs/x/cancel"), ("POST", "/e/k")]
)
def test_only_own_pages_and_programs_change_anything(
    path: Path, headers: dict[str, str], allowed: bool, method: str, where: str
) -> None:
    answer = ask(app_of(path), method, where, headers=headers, body=EVENT)
    refused = answer.status == 403 and answer.json()["code"] == "origin_not_allowed"
    assert refused is not allowed


def test_in_dev_an_app_s_own_page_may_send_events(path: Path) -> None:
    app = app_of(path, dev=True)
    asked = {"origin": "http://localhost:3000", "access-control-request-method": "POST"}
    preflight = ask(app, "OPTIONS", "/e/key", headers=asked)
    assert preflight.status == 204
    assert preflight.headers["access-control-allow-origin"] == "*"
    sent = ask(app, "POST", "/e/key", headers={"origin": "http://localhost:3000"}, body=EVENT)
    assert sent.status == 200
    assert sent.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in sent.headers


@pytest.mark.parametrize("where", ["/", "/v1/runs", "/v1/events", "/send", "/metrics", "/login", "/health"])
@pytest.mark.parametrize("dev", [True, False])
def test_nothing_else_can_be_read_from_elsewhere(path: Path, where: str, dev: bool) -> None:
    app = app_of(path, dev=dev)
    for method in ("GET", "OPTIONS"):
        answer = ask(app, method, where, headers={"origin": "http://localhost:3000"})
        assert "access-control-allow-origin" not in answer.headers
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"


def test_outside_dev_events_have_no_cors_either(path: Path) -> None:
    answer = ask(app_of(path), "POST", "/e/key", headers={"origin": "http://localhost:3000"}, body=EVENT)
    assert answer.status == 403
    assert "access-control-allow-origin" not in answer.headers


# --- What every answer carries -------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["/", "/v1/runs", "/nothing", "/static/console.js", "/static/none", "/health"])
def test_every_answer_has_its_policy(path: Path, where: str) -> None:
    answer = ask(app_of(path), "GET", where)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["x-inngest-server-kind"] == "cloud"
    assert ask(app_of(path, dev=True), "GET", where).headers["x-inngest-server-kind"] == "dev"


# --- Keys ---------------------------------------------------------------------------------------------------------

BEYOND = Access(
    keys_required=True,
    event_keys=KeyRing(["event"]),
    api_keys=KeyRing(["api-1", "api-2"]),
    signing_keys=KeyRing(bearer_forms(["signkey-prod-0123abcd"])),
)
PLACES = ["/v1/runs", "/v1/events", "/v1/functions", "/v1/partitions", "/v1/dead", "/metrics", "/", "/events", "/send"]


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "Bearer x", "Bearer api-", "Bearer api-11", "Basic api-1", "api-1", "Bearer \xff"],
)
def test_beyond_loopback_nothing_is_shown_without_a_key(path: Path, where: str, authorization: str) -> None:
    answer = ask(app_of(path, access=BEYOND), "GET", where, headers={"authorization": authorization})
    assert (answer.status, answer.json()["code"]) == (401, "api_key_required")


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize(
    "key",
    [
        "api-1",
        "api-2",
        "0123abcd",
        "signkey-prod-0123abcd",
        "signkey-prod-" + hashlib.sha256(bytes.fromhex("0123abcd")).hexdigest(),
    ],
)
def test_a_key_opens_everything(path: Path, where: str, key: str) -> None:
    headers = {"authorization": f"bearer {key}"}
    assert ask(app_of(path, access=BEYOND), "GET", where, headers=headers).status == 200


def test_hashed_signing_keys_are_what_the_sdks_send() -> None:
    hashed = hashlib.sha256(bytes.fromhex("0123abcd")).hexdigest()
    assert bearer_forms(["signkey-test-0123abcd"]) == [
        "signkey-test-0123abcd",
        "0123abcd",
        hashed,
        f"signkey-test-{hashed}",
    ]
    assert bearer_forms(["plain words"]) == ["plain words"]
    assert bearer_forms(["", "signkey-prod-"]) == []


def test_an_empty_key_is_none(path: Path) -> None:
    access = Access(keys_required=True, api_keys=KeyRing([""]))
    answer = ask(app_of(path, access=access), "GET", "/v1/runs", headers={"authorization": "Bearer "})
    assert answer.status == 401
    assert "no API keys" in answer.json()["error"]


@pytest.mark.parametrize("where", ["/health", "/ready", "/login", "/static/console.css"])
def test_health_and_what_a_login_needs_are_open(path: Path, where: str) -> None:
    assert ask(app_of(path, access=BEYOND), "GET", where).status == 200


@pytest.mark.parametrize(
    "where", ["/health/../v1/runs", "/healthz", "/loginx", "/static", "/e/../v1/runs", "//v1/runs"]
)
def test_what_only_looks_like_an_open_place_is_not(path: Path, where: str) -> None:
    answer = ask(app_of(path, access=BEYOND), "GET", where)
    assert answer.status in (401, 404, 405)
    assert b'"data"' not in answer.body


@pytest.mark.parametrize("header", ["forwarded", "via", "x-forwarded-for", "x-real-ip"])
def test_what_a_proxy_passed_on_needs_a_key_on_loopback_too(path: Path, header: str) -> None:
    app = app_of(path, access=Access(api_keys=KeyRing(["k"]), event_keys=KeyRing(["e"])))
    assert ask(app, "GET", "/v1/runs").status == 200
    assert ask(app, "GET", "/v1/runs", headers={header: "192.0.2.7"}).status == 401
    assert ask(app, "GET", "/v1/runs", headers={header: "192.0.2.7", "authorization": "Bearer k"}).status == 200
    assert ask(app, "POST", "/e/x", headers={header: "192.0.2.7"}, body=EVENT).status == 401


@pytest.mark.parametrize("where", ["/fn/register", "/dev", "/v0/runs/01/batch", "/v1/checkpoint/01/async"])
def test_apps_of_sdks_show_their_signing_key(path: Path, where: str) -> None:
    told: list[tuple[str, str]] = []
    app = app_of(path, access=BEYOND, refused=lambda code, said: told.append((code, said)))
    for authorization in ("", "Bearer undefined", "Bearer signkey-prod-ffff"):
        headers = {"authorization": authorization} if authorization else {}
        answer = ask(app, "POST", where, headers=headers)
        assert (answer.status, answer.json()["error"], answer.json()["status"]) == (401, "Authentication failed", 401)
    assert told[0] == ("key_refused", f"POST {where} came with no key")
    assert told[1:] == [("key_refused", f"POST {where} came with a wrong key")] * 2
    hashed = hashlib.sha256(bytes.fromhex("0123abcd")).hexdigest()
    for key in ("signkey-prod-0123abcd", hashed, f"signkey-prod-{hashed}", f"signkey-branch-{hashed}"):
        assert ask(app, "POST", where, headers={"authorization": f"Bearer {key}"}).status != 401


def test_both_keys_of_a_rotation_hold(path: Path) -> None:
    access = Access(keys_required=True, signing_keys=KeyRing(bearer_forms(["signkey-prod-00", "signkey-prod-11"])))
    app = app_of(path, access=access)
    for key, status in (("signkey-prod-00", 200), ("signkey-prod-11", 200), ("signkey-prod-22", 401)):
        assert ask(app, "GET", "/v1/runs", headers={"authorization": f"Bearer {key}"}).status == status


def test_on_loopback_no_key_is_needed_but_in_production_a_wrong_one_is_refused(path: Path) -> None:
    keys = {"event_keys": KeyRing(["event"]), "signing_keys": KeyRing(bearer_forms(["signkey-prod-00"]))}
    for strict, status in ((True, 401), (False, 200)):
        app = app_of(path, access=Access(strict=strict, **keys))  # type: ignore[arg-type]
        assert ask(app, "GET", "/v1/runs").status == 200
        assert ask(app, "GET", "/v1/runs", headers={"authorization": "Bearer signkey-prod-00"}).status == 200
        assert ask(app, "GET", "/v1/runs", headers={"authorization": "Bearer signkey-prod-11"}).status == status
        assert ask(app, "POST", "/e/event", body=EVENT).status == 200
        assert ask(app, "POST", "/e/NO_EVENT_KEY_SET", body=EVENT).status == status
        assert ask(app, "POST", "/e/", body=EVENT).status == status
        assert ask(app, "GET", "/v0/runs/some/batch").status == (401 if strict else 404)
        assert ask(app, "GET", "/v0/runs/some/batch", headers={"authorization": "Bearer signkey-prod-00"}).status == 404
    app = app_of(path, access=Access(strict=True))
    assert ask(app, "GET", "/v1/runs", headers={"authorization": "Bearer any"}).status == 200


def test_a_page_elsewhere_may_ask_whether_this_is_a_dev_server_and_register_nothing(path: Path) -> None:
    app = app_of(path, dev=True)
    headers = {"origin": "https://elsewhere.example"}
    assert ask(app, "GET", "/dev", headers=headers).headers["access-control-allow-origin"] == "*"
    for where in ("/dev/traces", "/fn/register", "/v1/runs", "/v0/gql"):
        assert "access-control-allow-origin" not in ask(app, "GET", where, headers=headers).headers
    refused = ask(app, "POST", "/fn/register", headers=headers, body=b"{}")
    assert (refused.status, refused.json()["code"]) == (403, "origin_not_allowed")
    assert "access-control-allow-origin" not in ask(app_of(path), "GET", "/dev", headers=headers).headers


def test_events_have_keys_of_their_own(path: Path) -> None:
    app = app_of(path, access=BEYOND)
    assert ask(app, "POST", "/e/event", body=EVENT).status == 200
    assert ask(app, "POST", "/e/api-1", body=EVENT).status == 401
    assert ask(app, "GET", "/v1/runs", headers={"authorization": "Bearer event"}).status == 401


def test_keys_do_not_show_in_what_is_logged() -> None:
    assert "secret" not in repr(Access(event_keys=KeyRing(["secret"]), api_keys=KeyRing(["secret"])))


# --- Sessions of browsers ------------------------------------------------------------------------------------------


def sign_in(app: Starlette, key: str, **more: str) -> Answer:
    headers = {"content-type": "application/x-www-form-urlencoded", **more}
    return ask(app, "POST", "/login", headers=headers, body=f"key={key}".encode())


def cookie_of(answer: Answer) -> str:
    return answer.headers["set-cookie"].partition(";")[0]


def test_a_browser_is_led_to_the_login_and_in(path: Path) -> None:
    clock = FixedClock()
    app = app_of(path, access=BEYOND, clock=clock)
    led = ask(app, "GET", "/", headers={"accept": "text/html"})
    assert (led.status, led.headers["location"]) == (303, "/login")
    answer = sign_in(app, "api-2")
    assert (answer.status, answer.headers["location"]) == (303, "/")
    given = answer.headers["set-cookie"].lower()
    assert "httponly" in given
    assert "samesite=strict" in given
    assert "api-2" not in given
    assert ask(app, "GET", "/", headers={"cookie": cookie_of(answer)}).status == 200
    clock.now_ms += 13 * 3_600_000
    assert ask(app, "GET", "/", headers={"cookie": cookie_of(answer)}).status == 401


@pytest.mark.parametrize("key", ["", "x", "api-", "%ff", "event"])
def test_a_wrong_key_opens_no_session(path: Path, key: str) -> None:
    answer = sign_in(app_of(path, access=BEYOND), key)
    assert "set-cookie" not in answer.headers
    assert answer.status in (400, 401)


def test_a_session_ends_with_its_key_and_cannot_be_made_up(path: Path) -> None:
    cookie = cookie_of(sign_in(app_of(path, access=BEYOND), "api-1"))
    without = Access(keys_required=True, api_keys=KeyRing(["api-2"]))
    assert ask(app_of(path, access=without), "GET", "/", headers={"cookie": cookie}).status == 401
    app = app_of(path, access=BEYOND)
    ends, _, signature = cookie.partition("=")[2].partition(".")
    for forged in (f"{int(ends) + 1}.{signature}", f"{ends}.{'0' * 64}", ends, f"{ends}.", ".", "x.y", f"{ends}.é"):
        answer = ask(app, "GET", "/", headers={"cookie": f"{SESSION_COOKIE}={forged}"})
        assert answer.status == 401, forged


# --- Mounted, and websockets ----------------------------------------------------------------------------------------


def test_mounted_in_another_application_everything_still_holds(path: Path) -> None:
    inner = app_of(path, access=BEYOND)
    app = Starlette(routes=[Mount("/headrace", inner)])
    assert ask(app, "GET", "/headrace/v1/runs").status == 401
    assert ask(app, "GET", "/headrace/health").status == 200
    headers = {"authorization": "Bearer api-1"}
    assert ask(app, "GET", "/headrace/v1/runs", headers=headers).status == 200
    page = ask(app, "GET", "/headrace/", headers=headers).text
    assert 'href="/headrace/static/console.css' in page
    assert 'href="/headrace/events"' in page
    assert 'href="/events"' not in page
    assert ask(app, "POST", "/headrace/e/event", body=EVENT).status == 200
    led = ask(app, "GET", "/headrace/", headers={"accept": "text/html"})
    assert led.headers["location"] == "/headrace/login"


def test_a_websocket_from_a_strange_host_is_closed(path: Path) -> None:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": "/connect", "root_path": "", "query_string": b"", "subprotocols": []}
    asyncio.run(app_of(path)({**scope, "headers": [(b"host", b"evil.example.com")]}, receive, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_many_requests_at_once_are_all_answered(path: Path) -> None:
    app = app_of(path)

    async def play() -> list[int]:
        answers = await asyncio.gather(*(call(app, "GET", where) for where in PLACES * 10))
        return [answer.status for answer in answers]

    assert set(asyncio.run(play())) == {200}
