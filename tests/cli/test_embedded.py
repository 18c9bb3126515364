"""`headrace dev` and `headrace kafka` with a Kafka of their own. Goal: one command is all it takes, every day."""

from __future__ import annotations

import re
import signal
import socket
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from headrace.adapters.embedded_kafka_lock import FileLock
from tests.cli.served import DEADLINE_S, Served, free_port

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

APP = """
from headrace import App

app = App("parcel")

@app.function("rest", trigger="parcel/left")
async def rest(ctx):
    first = await ctx.step.run("first", lambda: ctx.event.data["name"])
    await ctx.step.sleep("rest", "2s")
    return [first, await ctx.step.run("second", lambda: "done")]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder with an app."""
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


def test_a_run_survives_the_end_of_everything_and_nothing_is_left_behind(folder: Path) -> None:
    with Served(folder, "dev", "app.py") as served:
        event_id = served.until_ready().send("parcel/left", name="Ada")
        served.run_of(event_id, phase="sleeping")
        (address,) = re.findall(r"Kafka +(\S+) \(started here\)", served.printed)
        children = psutil.Process(served.process.pid).children(recursive=True)
        assert any("java" in child.name() for child in children)
        assert served.stop() == 0
        assert psutil.wait_procs(children, timeout=DEADLINE_S)[1] == []
    assert (folder / ".headrace").stat().st_mode & 0o777 == 0o700
    with Served(folder, "dev", "app.py") as served:
        assert served.run_of(event_id, status="Completed")["output"] == ["Ada", "done"]
        assert f"{address} (started here)" in served.printed, "producers have written it down"
        assert served.stop() == 0


def test_the_port_of_kafka_may_be_named_and_one_that_is_taken_is_told_at_once(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with Served(folder, "dev", "app.py", "--kafka-port", str(port)) as served:
            assert served.ended() == 1
            assert f"[kafka_port_taken] 127.0.0.1:{port} is in use" in served.printed


def test_when_kafka_dies_the_node_says_so_and_ends(folder: Path) -> None:
    with Served(folder, "dev", "app.py") as served:
        served.until_ready()
        (java,) = [p for p in psutil.Process(served.process.pid).children(recursive=True) if "java" in p.name()]
        java.kill()
        assert served.ended() == 1
        assert "[kafka_died]" in served.printed
        assert "Traceback" not in served.printed


def test_ctrl_c_while_kafka_starts_ends_it_all(folder: Path) -> None:
    with Served(folder, "dev", "app.py") as served:
        served.wait(lambda: (folder / ".headrace" / "kafka" / "kafka.lock").exists(), "Kafka to be started")
        assert served.stop() == 0
        assert "Traceback" not in served.printed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_while_a_folder_is_waited_for_ends_it(folder: Path, number: signal.Signals) -> None:
    (folder / ".headrace" / "kafka").mkdir(parents=True)
    lock = FileLock(folder / ".headrace" / "kafka" / "kafka.lock", wait_s=0)
    lock.name_holder("somebody else")
    with Served(folder, "kafka") as broker:
        broker.until_printed("is in use by somebody else; waiting for it, 20 s")
        assert broker.stop(number) == 0
        assert "Traceback" not in broker.printed
        assert "kafka_folder_in_use" not in broker.printed, "it did not wait any longer"
    lock.close()


def test_a_broker_on_its_own_keeps_what_it_is_given(folder: Path) -> None:
    for times in (1, 2):
        port = free_port()
        with Served(folder, "kafka", port=port) as broker:
            broker.until_printed(f"Kafka listens on 127.0.0.1:{port}")
            settings = {"bootstrap.servers": f"127.0.0.1:{port}", "log_level": 0}
            if times == 1:
                client = AdminClient(settings)
                client.create_topics([NewTopic("parcels", 1, 1)])["parcels"].result(DEADLINE_S)
            producer = Producer(settings)
            producer.produce("parcels", b"one")
            assert producer.flush(DEADLINE_S) == 0
            consumer = Consumer({**settings, "group.id": "g"})
            assert consumer.get_watermark_offsets(TopicPartition("parcels", 0), DEADLINE_S) == (0, times)
            consumer.close()
            assert broker.stop(signal.SIGTERM) == 0
