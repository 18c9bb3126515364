"""One server and one process of each SDK's app for all tests of the room; everything starts at once."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cli.served import Served
from tests.sdk.openings import LATER, openings
from tests.sdk.play import Play
from tests.sdk.programs import SDKS, Program

_ROOM = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs the broker: everything here does."""
    for item in items:
        if _ROOM in item.path.parents:
            item.add_marker(pytest.mark.kafka)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that asks for a `play` with every SDK, unless it names those it is about."""
    if "play" in metafunc.fixturenames:
        metafunc.parametrize("kind", getattr(metafunc.function, "sdks", SDKS))


@pytest.fixture(scope="session")
def engine(kafka_bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Give the session's server: `headrace dev`, with retries after one second."""
    with Served(tmp_path_factory.mktemp("engine"), *dev(kafka_bootstrap)) as served:
        yield served.until_ready()


def dev(bootstrap: str) -> list[str]:
    """Give the arguments of a server that has its own topics on the session's broker."""
    prefix = f"sdk-{uuid.uuid4().hex[:8]}"
    return ["dev", "--no-discovery", "--retry-interval", "1", "--kafka", bootstrap, "--prefix", prefix]


@pytest.fixture(scope="session")
def stage(
    engine: Served, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Play]]:
    """Start the apps of all SDKs that tests ask for, and send the first events of all cases."""
    named = [getattr(item, "callspec", None) for item in request.session.items]
    wanted = {spec.params["kind"] for spec in named if spec is not None and "kind" in spec.params}
    folder = tmp_path_factory.mktemp("apps")
    with ExitStack() as stack:
        apps = [stack.enter_context(Program(kind, f"app-{kind}", engine.url, folder)) for kind in sorted(wanted)]
        plays = {app.kind: Play(engine.url, app.start()) for app in apps}
        for app in apps:
            app.register()
        for play in plays.values():
            play.open(openings(play.kind))
        yield plays


@pytest.fixture(scope="session")
def later(stage: dict[str, Play]) -> None:
    """Send the events of what is a matter of time, once the largest run of the first ones is over."""
    for play in stage.values():
        play.end("large")
    for play in stage.values():
        play.open(LATER)


@pytest.fixture
def play(stage: dict[str, Play], kind: str) -> Play:
    """Give the app of one SDK."""
    return stage[kind]
