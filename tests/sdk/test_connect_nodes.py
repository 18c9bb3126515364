"""Workers that connect, and nodes that come and go. Goal: whoever owns a run reaches the worker, wherever that is."""

from __future__ import annotations

import os
import signal
import uuid
from pathlib import Path

import pytest

from tests.cli.served import Served, free_port
from tests.sdk.conftest import dev
from tests.sdk.play import Engine
from tests.sdk.programs import SDKS, Program, ask, await_that
from tests.sdk.test_connect import connected
from tests.sdk.test_faults import finished_once
from tests.sdk.test_signing import EVENT_KEY, KEY, SignedEngine


@pytest.mark.slow
@pytest.mark.parametrize("kind", SDKS)
def test_8_4_runs_wait_for_a_worker_and_go_on_when_one_comes(kind: str, engine: Served, tmp_path: Path) -> None:
    rest = Engine(engine.url)
    name = f"awaited-{kind}"
    with Program(kind, name, engine.url, tmp_path, "connected") as app:
        app.start(WORKER=f"{name}-one")
        await_that(lambda: connected(engine, name) == 1, lambda: f"a connection\n{app.printed[-2000:]}")
        app.kill()
        await_that(lambda: connected(engine, name) == 0, "the end of the connection")
        event_id = rest.send({"name": f"{name}/counting", "data": {}})[0]
        run_id = rest.run_of(event_id)["run_id"]
        await_that(lambda: rest.run(run_id)["status"] in ("Scheduled", "Running"), "the run to be there")
        assert not app.lines("counting")
        app.start(WORKER=f"{name}-one")
        run = rest.end_of(event_id)
        assert (run["status"], run["output"]) == ("Completed", 15)
        finished_once(app)


@pytest.mark.slow
@pytest.mark.parametrize("kind", SDKS)
def test_8_5_a_worker_comes_back_to_a_node_that_was_killed(kind: str, kafka_bootstrap: str, tmp_path: Path) -> None:
    port, arguments = free_port(), dev(kafka_bootstrap)
    url = f"http://127.0.0.1:{port}"
    rest = Engine(url)
    name = f"returning-{kind}"
    with Program(kind, name, url, tmp_path, "connected") as app:
        with Served(tmp_path, *arguments, port=port) as first:
            first.until_ready()
            app.start(WORKER=f"{name}-one")
            await_that(lambda: connected(first, name) == 1, lambda: f"a connection\n{app.printed[-2000:]}")
            ids = rest.send(*[{"name": f"{name}/counting", "data": {}} for _ in range(3)])
            await_that(lambda: len(app.lines("counting", what="in 2")) == 3, "the third step of each")
            os.killpg(first.process.pid, signal.SIGKILL)
            first.process.wait()
        with Served(tmp_path, *arguments, port=port) as second:
            second.until_ready()
            # SDKs try again after up to half a minute, once they have tried for a while.
            assert [rest.end_of(event_id, within_s=150)["output"] for event_id in ids] == [15, 15, 15]


@pytest.mark.slow
def test_8_4_every_node_reaches_a_worker_that_is_connected_to_one(kafka_bootstrap: str, tmp_path: Path) -> None:
    port, name = free_port(), "reached"
    url = f"http://127.0.0.1:{port}"
    prefix = f"sdk-{uuid.uuid4().hex[:8]}"
    arguments = ["start", "--kafka", kafka_bootstrap, "--prefix", prefix, "--partitions", "4", "--processes", "3"]
    keys = {"HEADRACE_EVENT_KEYS": EVENT_KEY, "HEADRACE_SIGNING_KEY": KEY}
    app = Program("python", name, url, tmp_path, "connected_signed")
    with app, Served(tmp_path, *arguments, port=port, **keys) as engine:
        engine.until_ready()
        app.start(
            INNGEST_DEV="0",
            INNGEST_BASE_URL=url,
            INNGEST_EVENT_KEY=EVENT_KEY,
            INNGEST_SIGNING_KEY=KEY,
            WORKER=f"{name}-one",
        )
        conns = f"{url}/v0/connect/envs/any/conns"
        await_that(
            lambda: ask(conns, authorization=f"Bearer {KEY}")["data"],
            lambda: f"a connection\n{app.printed[-2000:]}",
        )
        rest = SignedEngine(url)
        events: list[dict[str, object]] = [{"name": f"{name}/parts", "data": {"n": n}} for n in range(16)]
        ids = rest.send(*events)
        runs = [rest.end_of(event_id) for event_id in ids]
        assert [run["output"] for run in runs] == [["a", "b"]] * 16
        owners = {row["partition"]: row["owner"] for row in ask(f"{url}/v1/partitions")["data"]}
        assert len({owners[run["partition"]] for run in runs}) > 1
