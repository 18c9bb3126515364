"""Apps in production. Goal: who is not signed in gets nowhere, in both directions, and keys can be changed."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from tests.cli.served import Served, free_port
from tests.sdk.play import Engine
from tests.sdk.programs import SDKS, Program, ask, await_that

EVERY_SDK = pytest.mark.parametrize("kind", SDKS)
KEY = "signkey-prod-" + "5a" * 32
OTHER_KEY = "signkey-prod-" + "3c" * 32
EVENT_KEY = "key-of-the-tests"
TEXT = 'ünïcödé ☃️ " \\ \u2028 1e21'


class SignedEngine(Engine):
    """A server that asks for keys: one for events, one for everything else."""

    def send(self, *events: dict[str, object]) -> list[str]:
        """Send events with the key for them; their internal ids."""
        ids: list[str] = ask(f"{self.url}/e/{EVENT_KEY}", list(events))["ids"]
        return ids


@pytest.mark.slow
@EVERY_SDK
@pytest.mark.parametrize("fallback", [False, True], ids=["its key", "the key before"])
def test_5_an_app_and_the_engine_trust_each_other_by_their_key(
    kind: str, fallback: bool, kafka_bootstrap: str, tmp_path: Path
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    app = Program(kind, f"signed-{kind}", url, tmp_path, "signed")
    arguments = ["start", "--kafka", kafka_bootstrap, "--prefix", f"sdk-{uuid.uuid4().hex[:8]}", "-u", app.url]
    keys = {"HEADRACE_SIGNING_KEY": OTHER_KEY, "HEADRACE_SIGNING_KEY_FALLBACK": KEY} if fallback else {}
    engine_keys = {
        "HEADRACE_ALLOW_PRIVATE_APPS": "1",
        "HEADRACE_EVENT_KEYS": EVENT_KEY,
        "HEADRACE_SIGNING_KEY": KEY,
        **keys,
    }
    app_keys = {"INNGEST_SIGNING_KEY": OTHER_KEY, "INNGEST_SIGNING_KEY_FALLBACK": KEY} if fallback else {}
    with app, Served(tmp_path, *arguments, port=port, **engine_keys) as engine:
        app.start(
            INNGEST_DEV="0",
            INNGEST_BASE_URL=url,
            INNGEST_EVENT_KEY=EVENT_KEY,
            **{"INNGEST_SIGNING_KEY": KEY, **app_keys},
        )
        engine.until_ready()
        rest = SignedEngine(url)
        await_that(lambda: engine.get("/v1/functions")["data"], lambda: f"its functions\n{app.printed[-3000:]}")
        event_id = rest.send({"name": f"{app.name}/secret", "data": {"n": 3, "text": TEXT, "é": 1e21}})[0]
        assert rest.end_of(event_id)["output"] == {"half": 1.5, "text": TEXT}
