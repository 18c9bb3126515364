"""Workers of the SDKs that connect. Goal: they need no port, share the work, and one of them may die."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.served import Served
from tests.sdk.play import Engine
from tests.sdk.programs import SDKS, Program, await_that
from tests.sdk.test_faults import finished_once

EVERY_SDK = pytest.mark.parametrize("kind", SDKS)


@contextmanager
def workers(kind: str, name: str, engine: Served, folder: Path) -> Iterator[list[Program]]:
    """Start two workers of one app, and wait until the engine knows both."""
    one = Program(kind, name, engine.url, folder / "one", "connected")
    two = Program(kind, name, engine.url, folder / "two", "connected")
    with one, two:
        for app, worker in ((one, "one"), (two, "two")):
            app.start(WORKER=f"{name}-{worker}")
        await_that(
            lambda: connected(engine, name) == 2,
            lambda: f"two connections\n{one.printed[-2000:]}\n{two.printed[-2000:]}",
        )
        yield [one, two]


def connected(engine: Served, name: str) -> int:
    """Count the connections of an app's workers that take calls."""
    found = engine.get("/v0/connect/envs/00000000-0000-4000-b000-000000000000/conns")["data"]
    return sum(str(row["instance_id"]).startswith(f"{name}-") and row["status"] == 1 for row in found)


@EVERY_SDK
def test_8_4_two_workers_share_the_work_and_one_is_killed(kind: str, engine: Served, tmp_path: Path) -> None:
    rest = Engine(engine.url)
    with workers(kind, f"connected-{kind}", engine, tmp_path) as (one, two):
        ids = rest.send(*[{"name": f"{one.name}/counting", "data": {}} for _ in range(6)])
        # Both are in the middle of a step now.
        await_that(lambda: one.lines("counting", what="in 1") and two.lines("counting", what="in 1"), "steps of both")
        one.kill()
        assert [rest.end_of(event_id)["output"] for event_id in ids] == [15] * 6
        finished_once(one, two)


@pytest.mark.slow
@EVERY_SDK
def test_8_5_a_worker_that_is_asked_to_end_finishes_its_work(kind: str, engine: Served, tmp_path: Path) -> None:
    rest = Engine(engine.url)
    with workers(kind, f"leaving-{kind}", engine, tmp_path) as (one, two):
        ids = rest.send(*[{"name": f"{one.name}/counting", "data": {}} for _ in range(4)])
        await_that(lambda: one.lines("counting", what="in 1"), "a step of the one that leaves")
        assert one.stop() == 0
        assert [rest.end_of(event_id)["output"] for event_id in ids] == [15] * 4
        begun = [line["what"][3:] for line in one.lines("counting") if line["what"].startswith("in")]
        ended = [line["what"][4:] for line in one.lines("counting") if line["what"].startswith("out")]
        assert sorted(begun) == sorted(ended)
        assert two.lines("counting")
