"""What is installed from the archives works. Goal: a stranger's first minutes, in an empty environment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.version import __version__
from tests.packaging.archives import Archives, Environment, create_environment
from tests.packaging.server import Server, serve

pytestmark = pytest.mark.slow

APP = """
from headrace import App, Context

app = App("parcel")


def greeting(name: str) -> str:
    return f"hello, {name}"


@app.function("greet", trigger="parcel/opened")
async def greet(ctx: Context) -> dict:
    return {"said": await ctx.step.run("say", greeting, ctx.event.data["name"])}
"""


@pytest.fixture(scope="module")
def from_wheel(archives: Archives, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Give an environment that holds the wheel with the embedded Kafka, and nothing else."""
    environment = create_environment(tmp_path_factory.mktemp("wheel"))
    environment.install(f"headrace[kafka] @ {archives.wheel.as_uri()}")
    return environment


@pytest.fixture
def server(from_wheel: Environment, tmp_path: Path) -> Iterator[Server]:
    """Run `headrace dev` from the wheel with one small app, on a port of its own."""
    (tmp_path / "parcel.py").write_text(APP)
    with serve(from_wheel, tmp_path, "parcel.py") as running:
        yield running


def test_the_wheel_brings_the_command(from_wheel: Environment) -> None:
    assert __version__ in from_wheel.run("headrace", "--version")
    shown = from_wheel.run("python", "-c", "import headrace; print(headrace.__file__)")
    assert Path(shown.strip()).is_relative_to(from_wheel.folder)


@pytest.mark.kafka
def test_dev_from_the_wheel_runs_a_function_and_stops_without_leaving_anything(server: Server) -> None:
    server.wait_until_ready()
    sent = server.post("/e/test", {"name": "parcel/opened", "data": {"name": "Ada"}})
    assert sent["status"] == 200
    run = server.wait_for_run("parcel-greet", sent["ids"][0])
    assert (run["status"], run["output"]) == ("Completed", {"said": "hello, Ada"})
    server.stop()


def test_the_sdist_can_be_installed(archives: Archives, tmp_path: Path) -> None:
    environment = create_environment(tmp_path)
    environment.install(str(archives.sdist))
    assert __version__ in environment.run("headrace", "--version")
