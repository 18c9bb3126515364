"""Apps and servers that die under functions of the SDKs. Goal: nothing is lost, and no finished step runs again."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.cli.served import Served, free_port
from tests.sdk.conftest import dev
from tests.sdk.play import Engine
from tests.sdk.programs import SDKS, Program, await_that

EVERY_SDK = pytest.mark.parametrize("kind", SDKS)


@EVERY_SDK
def test_3_4_a_function_is_edited_while_it_sleeps_and_its_app_is_away(
    kind: str, engine: Served, tmp_path: Path
) -> None:
    rest = Engine(engine.url)
    with Program(kind, f"edited-{kind}", engine.url, tmp_path, "short") as app:
        app.start(EDITION="1").register()
        event_id = rest.send({"name": f"{app.name}/edited", "data": {}})[0]
        run_id = rest.run_of(event_id, phase="sleeping")["run_id"]
        app.kill()
        # Nobody is there when the time is up: the run says so, and goes on once somebody is.
        await_that(lambda: rest.run(run_id)["phase"] != "sleeping", "the end of the sleep")
        assert rest.run(run_id)["status"] == "Running"
        app.start(EDITION="2").register()
        run = rest.end_of(event_id)
        assert run["output"] == {"steps": ["a1", "between2", "b2"]}
        assert [line["what"] for line in app.lines("edited")] == ["a1", "between2", "b2"]


@EVERY_SDK
def test_3_4_an_app_is_killed_in_the_middle_of_its_steps(kind: str, engine: Served, tmp_path: Path) -> None:
    rest = Engine(engine.url)
    with Program(kind, f"killed-{kind}", engine.url, tmp_path, "short") as app:
        app.start().register()
        ids = rest.send(*[{"name": f"{app.name}/counting", "data": {}} for _ in range(3)])
        await_that(lambda: len(app.lines("counting", what="in 2")) == 3, "the third step of each")
        app.kill()
        app.start().register()
        assert [rest.end_of(event_id)["output"] for event_id in ids] == [15, 15, 15]
        finished_once(app)


def finished_once(*apps: Program) -> None:
    """Check that no step that was finished, and told the engine, has run again.

    What was under way at the moment of a kill runs again, and may have been finished without anybody knowing: one step
    of each run at most.
    """
    lines = [line for app in apps for line in app.lines("counting")]
    ends = Counter((line["run"], line["what"]) for line in lines if line["what"].startswith("out"))
    again = Counter(run for (run, _), times in ends.items() if times > 1)
    assert all(times <= 1 for times in again.values()), again
    assert all(times <= 2 for times in ends.values()), ends


@pytest.mark.slow
@EVERY_SDK
def test_3_4_the_server_is_killed_in_the_middle_of_steps(kind: str, kafka_bootstrap: str, tmp_path: Path) -> None:
    port, arguments = free_port(), dev(kafka_bootstrap)
    url = f"http://127.0.0.1:{port}"
    rest = Engine(url)
    with Program(kind, f"kept-{kind}", url, tmp_path, "short") as app:
        app.start()
        with Served(tmp_path, *arguments, port=port) as first:
            first.until_ready()
            app.register()
            ids = rest.send(*[{"name": f"{app.name}/counting", "data": {}} for _ in range(3)])
            sleeper = rest.send({"name": f"{app.name}/edited", "data": {}})[0]
            rest.run_of(sleeper, phase="sleeping")
            await_that(lambda: len(app.lines("counting", what="in 2")) == 3, "the third step of each")
            os.killpg(first.process.pid, signal.SIGKILL)
            first.process.wait()
        with Served(tmp_path, *arguments, port=port) as second:
            second.until_ready()
            assert [rest.end_of(event_id)["output"] for event_id in ids] == [15, 15, 15]
            assert rest.end_of(sleeper)["output"] == {"steps": ["a1", "b1"]}
        finished_once(app)
