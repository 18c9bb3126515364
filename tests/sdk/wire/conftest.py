"""One app with the functions of all scripts; they are registered, and started, at once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.served import Served
from tests.sdk.play import Engine
from tests.sdk.programs import ask
from tests.sdk.wire.fake_app import FakeApp, fake_app
from tests.sdk.wire.played import Played
from tests.sdk.wire.scripts import Script


@pytest.fixture(scope="session")
def wire_app() -> Iterator[FakeApp]:
    """Give the app of all scripts."""
    with fake_app("wire") as app:
        yield app


@pytest.fixture(scope="session")
def opened(engine: Served, wire_app: FakeApp, request: pytest.FixtureRequest) -> dict[str, list[str]]:
    """Register all scripts of the session and send their events; the ids of the events."""
    scripts: dict[str, Script] = {}
    for item in request.session.items:
        script = getattr(getattr(item, "function", None), "script", None)
        if script is not None:
            assert scripts.setdefault(item.name, script) is script, f"two tests are called {item.name}"
    answer = ask(f"{engine.url}/fn/register", wire_app.registration(scripts))
    assert answer["ok"], answer
    named = [(name, {"data": {}, **event}) for name, script in scripts.items() for event in script.events]
    ids = Engine(engine.url).send(*[{"name": f"{wire_app.name}/{name}", **event} for name, event in named])
    sent: dict[str, list[str]] = {name: [] for name in scripts}
    for (name, _), event_id in zip(named, ids, strict=True):
        sent[name].append(event_id)
    return sent


@pytest.fixture
def played(engine: Served, wire_app: FakeApp, opened: dict[str, list[str]], request: pytest.FixtureRequest) -> Played:
    """Give the function of this test's script."""
    name = request.node.name
    return Played(engine.url, wire_app, name, opened[name])
