"""Section 5: who may do what. Goal: each refusal has the status and the body that the SDKs know, and the engine signs
what it asks of apps."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.served import Served
from tests.sdk.play import Engine
from tests.sdk.programs import ask, await_that
from tests.sdk.wire.fake_app import FakeApp, fake_app
from tests.sdk.wire.scripts import Call, Reply, Script, done, failed
from tests.sdk.wire.test_events import post
from tests.sdk.wire.test_rest import refused

pytestmark = pytest.mark.slow
HEX = "b0" * 32
KEY = f"signkey-prod-{HEX}"
HASHED = hashlib.sha256(bytes.fromhex(HEX)).hexdigest()
OLD_HEX = "0d" * 32
EVENT_KEY = "an-event-key"
# What JCS writes in its own way: the order of keys, numbers, text that is not ASCII.
DATA = {"b": 1.0, "a": 1e21, "é": '\u2028 ☃️ " \\ /', "10": 0.1, "9": [True, None, -0.0]}
JCS = '{"10":0.1,"9":[true,null,0],"a":1e+21,"b":1,"é":"\u2028 ☃️ \\" \\\\ /"}'


def signature(call: Call, key: str) -> bool:
    """Check the signature of a call as SDKs do: over the bytes that came."""
    seconds, given = re.fullmatch(r"t=(\d+)&s=([0-9a-f]{64})", call.headers["x-inngest-signature"]).groups()  # type: ignore[union-attr]
    return hmac.new(key.encode(), call.raw + seconds.encode(), hashlib.sha256).hexdigest() == given


@pytest.fixture(scope="module")
def app() -> Iterator[FakeApp]:
    """Give an app that wants to be signed to."""
    with fake_app("guarded") as running:
        yield running


@pytest.fixture(scope="module")
def guarded(kafka_bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Give a server that asks for keys."""
    arguments = ["start", "--kafka", kafka_bootstrap, "--prefix", f"sdk-{uuid.uuid4().hex[:8]}"]
    keys = {
        "HEADRACE_ALLOW_PRIVATE_APPS": "1",
        "HEADRACE_EVENT_KEYS": EVENT_KEY,
        "HEADRACE_SIGNING_KEY": KEY,
        "HEADRACE_SIGNING_KEY_FALLBACK": f"signkey-prod-{OLD_HEX}",
    }
    with Served(tmp_path_factory.mktemp("guarded"), *arguments, **keys) as served:
        yield served.until_ready()


def register(engine: Served, app: FakeApp, bearer: str | None) -> tuple[int, dict[str, Any]]:
    """Register the app, signed in by a key."""

    def answer(call: Call) -> Reply:
        return done("signed") if signature(call, HEX) else failed("not signed", 401)

    headers = {} if bearer is None else {"authorization": f"Bearer {bearer}"}
    return post(engine, app.registration({"only": Script((answer,), each=True)}), "/fn/register", **headers)


@pytest.mark.parametrize("bearer", [HASHED, f"signkey-prod-{HASHED}", KEY, HEX])
def test_5_a_key_may_come_raw_or_hashed_with_or_without_prefix(guarded: Served, app: FakeApp, bearer: str) -> None:
    assert register(guarded, app, bearer)[0] == 200


def test_5_the_key_before_is_good_as_well(guarded: Served, app: FakeApp) -> None:
    assert register(guarded, app, hashlib.sha256(bytes.fromhex(OLD_HEX)).hexdigest())[0] == 200


@pytest.mark.parametrize("bearer", [None, "", "undefined", "signkey-prod-" + "ff" * 32, HASHED[:-1]])
def test_5_a_key_that_is_wrong_or_missing_registers_nothing(guarded: Served, app: FakeApp, bearer: str | None) -> None:
    status, answer = register(guarded, app, bearer)
    assert (status, answer["status"]) == (401, 401)
    assert answer["error"]


@pytest.mark.parametrize(
    "path", ["/v0/runs/01JAAAAAAAAAAAAAAAAAAAAAAA/actions", "/v0/runs/01JAAAAAAAAAAAAAAAAAAAAAAA/batch"]
)
def test_5_the_state_of_runs_is_guarded(guarded: Served, path: str) -> None:
    status, answer = refused(f"{guarded.url}{path}")
    assert (status, answer["status"]) == (401, 401)


@pytest.mark.parametrize("key", ["another-key", "NO_EVENT_KEY_SET", KEY])
def test_1_1_an_event_key_that_is_unknown(guarded: Served, key: str) -> None:
    status, answer = post(guarded, {"name": "wire/any"}, f"/e/{key}")
    assert (status, answer["status"], answer["error"]) == (401, 401, "Event key not found")


def test_1_1_an_event_key_that_is_missing(guarded: Served) -> None:
    status, answer = post(guarded, {"name": "wire/any"}, "/e/")
    assert status == 401, answer


def test_2_6_a_server_of_production_has_no_dev_page(guarded: Served) -> None:
    assert refused(f"{guarded.url}/dev")[0] == 404


def test_5_what_the_engine_asks_is_signed_over_its_canonical_bytes(guarded: Served, app: FakeApp) -> None:
    assert register(guarded, app, HASHED)[0] == 200
    event = {"name": "guarded/only", "data": DATA}
    (event_id,) = ask(f"{guarded.url}/e/{EVENT_KEY}", [event])["ids"]
    run = Engine(guarded.url).end_of(event_id)
    assert run["output"] == "signed"
    call = await_that(lambda: app.calls("guarded-only"), "the call")[-1]
    assert JCS in call.raw.decode()
    assert json.loads(call.raw)["event"]["data"]["a"] == 1e21
