"""`headrace dev` and `start` as processes on a real Kafka. Goal: stops, starts and edits lose and repeat nothing."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import HTTPError
from uuid import uuid4

import psutil
import pytest
from click.testing import CliRunner
from confluent_kafka import Producer

from headrace.cli.commands import headrace
from tests.cli.served import DEADLINE_S, Served

pytestmark = pytest.mark.kafka

APP = """
import time
from pathlib import Path
from headrace import App, NonRetriableError, Retries

app = App("parcel")
notes = Path(__file__).with_name("notes")

def note(text):
    with notes.open("a") as file:
        file.write(text + "\\n")
    return text

def slow(text):
    note(text + "-begins")
    time.sleep(1)
    return note(text + "-ends")

def stuck():
    note("stuck")
    time.sleep(3600)

def flaky(ctx):
    if ctx.attempt == 0:
        raise ValueError("not yet")
    return ctx.attempt

@app.function("greet", trigger="parcel/opened")
async def greet(ctx):
    return {"said": await ctx.step.run("say", note, "hello, " + ctx.event.data["name"])}

@app.function("rest", trigger="parcel/left")
async def rest(ctx):
    first = await ctx.step.run("first", note, "first")
    await ctx.step.sleep("rest", ctx.event.data["for"])
    second = await ctx.step.run("second", note, "second")
    return [first, second]

@app.function("work", trigger="parcel/weighed")
async def work(ctx):
    await ctx.step.run("slow", slow, "slow")
    await ctx.step.sleep("rest", "1s")
    return await ctx.step.run("after", note, "after")

@app.function("hang", trigger="parcel/lost")
async def hang(ctx):
    await ctx.step.run("stuck", stuck)

@app.function("retry", trigger="parcel/torn", retries=Retries(3, {"base": "1h"}))
async def retry(ctx):
    return await ctx.step.run("flaky", flaky, ctx)
"""

Serve = Callable[..., Served]


@pytest.fixture
def serve(tmp_path: Path, kafka_bootstrap: str) -> Iterator[Serve]:
    """Start processes on topics of this test's own, always the same data directory; nothing outlives the test."""
    (tmp_path / "app.py").write_text(APP)
    prefix = f"t{uuid4().hex[:12]}"
    running: list[Served] = []

    def start(command: str = "dev", *arguments: str, **variables: str) -> Served:
        where = ["--kafka", kafka_bootstrap, "--prefix", prefix, "--data-dir", "data"]
        served = Served(tmp_path, command, "app.py", *where, *arguments, **variables)
        served.prefix = prefix  # type: ignore[attr-defined]
        running.append(served)
        return served

    yield start
    for served in running:
        served.__exit__()


@pytest.fixture
def notes(tmp_path: Path) -> Callable[[], list[str]]:
    """Read what the steps have written down so far."""
    path = tmp_path / "notes"
    return lambda: path.read_text().splitlines() if path.exists() else []


def test_events_by_http_and_by_any_producer_run(serve: Serve, kafka_bootstrap: str) -> None:
    with serve() as served:
        served.until_ready()
        assert "parcel-greet" in served.printed
        run = served.run_of(served.send("parcel/opened", name="Ada"), status="Completed")
        assert run["output"] == {"said": "hello, Ada"}
        producer = Producer({"bootstrap.servers": kafka_bootstrap})
        value = json.dumps({"name": "parcel/opened", "id": "mine", "data": {"name": "Grace"}})
        producer.produce(f"{served.prefix}.events", value, b"a customer")  # type: ignore[attr-defined]
        assert producer.flush(DEADLINE_S) == 0
        event = served.wait(lambda: served.get("/v1/events/mine")["data"], "the event")
        run = served.run_of(event["internal_id"], status="Completed")
        assert run["output"] == {"said": "hello, Grace"}
        assert served.stop() == 0


def test_a_run_goes_on_after_ctrl_c_in_its_sleep(serve: Serve, notes: Callable[[], list[str]]) -> None:
    with serve() as served:
        event_id = served.until_ready().send("parcel/left", **{"for": "3s"})
        served.run_of(event_id, phase="sleeping")
        assert served.stop(signal.SIGINT) == 0
        assert "code=stopped" in served.printed
    assert notes() == ["first"]
    with serve() as served:
        # What is remembered of the time before the restart makes nobody ready.
        served.until_ready()
        assert served.metric("headrace_partitions_running") == 4
        assert served.run_of(event_id, status="Completed")["output"] == ["first", "second"]
        assert served.stop() == 0
    assert notes() == ["first", "second"]


def test_a_run_goes_on_after_a_kill_in_its_sleep(serve: Serve, notes: Callable[[], list[str]]) -> None:
    with serve() as served:
        event_id = served.until_ready().send("parcel/left", **{"for": "2s"})
        served.run_of(event_id, phase="sleeping")
        served.process.kill()
        assert served.ended() == -signal.SIGKILL
    with serve() as served:
        assert served.run_of(event_id, status="Completed")["output"] == ["first", "second"]
    assert notes() == ["first", "second"]


def test_sigterm_lets_a_step_finish_and_be_recorded(serve: Serve, notes: Callable[[], list[str]]) -> None:
    with serve() as served:
        event_id = served.until_ready().send("parcel/weighed")
        served.wait(lambda: notes() == ["slow-begins"], "the step to begin")
        assert served.stop(signal.SIGTERM) == 0
    assert notes() == ["slow-begins", "slow-ends"]
    with serve() as served:
        assert served.run_of(event_id, status="Completed")["output"] == "after"
    assert notes() == ["slow-begins", "slow-ends", "after"]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_signal_stops_at_once(
    serve: Serve, notes: Callable[[], list[str]], number: signal.Signals, status: int
) -> None:
    with serve() as served:
        served.until_ready().send("parcel/lost")
        served.wait(lambda: notes() == ["stuck"], "the step to begin")
        served.process.send_signal(number)
        served.until_printed("code=stopping")
        assert served.stop(number) == status


def test_a_step_that_never_ends_does_not_hold_up_the_end(serve: Serve, notes: Callable[[], list[str]]) -> None:
    with serve() as served:
        served.until_ready().send("parcel/lost")
        served.wait(lambda: notes() == ["stuck"], "the step to begin")
        assert served.stop() == 0


def test_a_reload_keeps_runs_and_a_syntax_error_keeps_the_code(
    serve: Serve, tmp_path: Path, notes: Callable[[], list[str]]
) -> None:
    app = tmp_path / "app.py"
    with serve() as served:
        sleeping = served.until_ready().send("parcel/left", **{"for": "1h"})
        served.run_of(sleeping, phase="sleeping")
        app.write_text(APP + "\ndef broken(:\n")
        served.until_printed(r"where: .*app\.py:\d+")
        assert served.run_of(served.send("parcel/opened", name="Ada"), status="Completed")["output"]["said"]
        changed = APP.replace('"hello, "', '"good day, "').replace('"second", note, "second"', '"second", note, "2nd"')
        app.write_text(
            changed + '\n@app.function("new", trigger="parcel/new")\nasync def new(ctx):\n    return "new"\n'
        )
        served.until_printed("code=reloaded")
        run = served.run_of(served.send("parcel/opened", name="Ada"), status="Completed")
        assert run["output"] == {"said": "good day, Ada"}
        assert served.run_of(served.send("parcel/new"), status="Completed")["output"] == "new"
        assert served.run_of(sleeping, phase="sleeping")
        short = served.send("parcel/left", **{"for": "200ms"})
        assert served.run_of(short, status="Completed")["output"] == ["first", "2nd"]
        assert notes().count("first") == 2
        # A function that is gone from the code is declared no longer; the others stay.
        app.write_text(changed)

        def gone() -> bool:
            declared = {row["id"]: row["declared"] for row in served.get("/v1/functions")["data"]}
            return declared["parcel-greet"] and not declared["parcel-new"]

        served.wait(gone, "the function to be gone")
        assert served.stop() == 0


def test_the_retry_interval_of_dev_stands_for_every_back_off(serve: Serve) -> None:
    with serve("dev", "--retry-interval", "0.05") as served:
        run = served.run_of(served.until_ready().send("parcel/torn"), status="Completed")
        assert run["output"] == 1


def test_a_run_is_cancelled_from_outside(serve: Serve) -> None:
    with serve() as served:
        run = served.run_of(served.until_ready().send("parcel/left", **{"for": "1h"}), phase="sleeping")
        result = CliRunner().invoke(headrace, ["cancel", run["run_id"], "--url", served.url])
        assert result.exit_code == 0, result.output
        served.run_of(run["event_id"], status="Cancelled")


def test_start_runs_several_processes_that_end_together(serve: Serve) -> None:
    with serve("start", "--processes", "2", "--partitions", "4") as served:

        def shared() -> bool:
            rows = served.get("/v1/partitions")["data"]
            return len({row["owner"] for row in rows}) == 2 and all(row["state"] == "running" for row in rows)

        served.wait(shared, "both nodes to own partitions")
        run = served.run_of(served.send("parcel/opened", name="Ada"), status="Completed")
        assert run["output"] == {"said": "hello, Ada"}
        nodes = [p for p in psutil.Process(served.process.pid).children() if "start" in p.cmdline()]
        assert len(nodes) == 2
        nodes[1].kill()
        assert served.ended() == 1
        assert "ended by itself, status 137" in served.printed
        assert psutil.wait_procs(nodes, timeout=DEADLINE_S)[1] == []


def test_a_node_is_ready_once_and_for_all_also_one_that_has_no_partition(serve: Serve) -> None:
    def watched(served: Served) -> list[tuple[bool, int]]:
        """Ask as often as possible for a while from the first answer on: is it ready, and what does it own?"""
        seen: list[tuple[bool, int]] = []

        def look() -> bool:
            try:
                ready = served.get("/ready")["ready"]
            except HTTPError as refused:
                refused.close()
                ready = False
            state = (True, int(served.metric("headrace_partitions_owned"))) if ready else (False, -1)
            if not seen or seen[-1] != state:
                seen.append(state)
                changed[0] = time.monotonic()
            return ready and time.monotonic() - changed[0] > 3

        changed = [time.monotonic()]
        served.wait(look, "a readiness that stays")
        return seen

    with serve("start", "--partitions", "2") as first:
        assert watched(first)[-1] == (True, 2)
        with serve("start", "--data-dir", "second") as second:
            # It joins while the first has everything: owning nothing is no readiness, and one partition is to come.
            assert [state for state in watched(second) if state[0]] == [(True, 1)]
            with serve("start", "--data-dir", "third") as third:
                # Two nodes have one each, and there is no third.
                assert [state for state in watched(third) if state[0]] == [(True, 0)]


def test_two_nodes_of_one_name_cannot_both_live(serve: Serve) -> None:
    with serve("start", "--instance-id", "twin") as first:
        first.until_ready()
        with serve("start", "--instance-id", "twin", "--data-dir", "other") as second:
            second.until_ready()
            assert first.ended() == 1
            assert "[expelled]" in first.printed
            assert second.run_of(second.send("parcel/opened", name="Ada"), status="Completed")
            assert second.stop() == 0


def test_the_api_needs_its_keys_beyond_loopback(serve: Serve) -> None:
    keys = {"HEADRACE_EVENT_KEYS": "front", "HEADRACE_API_KEYS": "back", "HEADRACE_SIGNING_KEY": "signkey-test-00"}
    with serve("start", "--host", "0.0.0.0", **keys) as served:
        served.until_ready()
        with pytest.raises(HTTPError) as refused:
            served.send("parcel/opened", name="Ada")
        refused.value.close()
        assert refused.value.code == 401
        arguments = ["send", "parcel/opened", '{"name": "Ada"}', "--url", served.url]
        sent = CliRunner().invoke(headrace, arguments, env=keys)
        assert sent.exit_code == 0, sent.output
        denied = CliRunner().invoke(headrace, ["runs", "--url", served.url], env={"HEADRACE_API_KEYS": ""})
        assert "[api_key_required]" in denied.output
        listed = CliRunner().invoke(headrace, ["runs", "--url", served.url], env=keys)
        assert listed.exit_code == 0, listed.output
        assert not [key for key in keys.values() if key in served.printed]


def test_another_number_of_partitions_is_refused(serve: Serve) -> None:
    with serve() as served:
        served.until_ready()
        assert len(served.get("/v1/partitions")["data"]) == 4
        served.stop()
    with serve("start", "--partitions", "8") as served:
        assert served.ended() == 1
        assert "[topic_partitions]" in served.printed
        assert "Traceback" not in served.printed


def test_eviction_at_every_boundary_changes_nothing(serve: Serve, notes: Callable[[], list[str]]) -> None:
    with serve("start", HEADRACE_EVICT="always") as served:
        event_id = served.until_ready().send("parcel/left", **{"for": "50ms"})
        assert served.run_of(event_id, status="Completed")["output"] == ["first", "second"]
    assert notes() == ["first", "second"]
