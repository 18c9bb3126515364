"""The embedded Kafka: keeps data, dies with whoever started it, says what is in the way."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import RESOURCE_BROKER, AdminClient, ConfigResource, NewTopic

from headrace.adapters.embedded_kafka import EmbeddedKafka
from headrace.adapters.embedded_kafka_archive import ClassArchive
from headrace.adapters.embedded_kafka_artifacts import cache_folder, find_java, resolve_classpath
from headrace.adapters.embedded_kafka_folder import BrokerFolder
from headrace.adapters.embedded_kafka_pins import tools_coordinate
from headrace.adapters.embedded_kafka_process import free_port
from headrace.adapters.embedded_kafka_settings import SCRATCH, java_environment, java_options
from headrace.errors import NotReady

_QUIET = {"log_level": 0}  # brokers go away here on purpose; librdkafka would tell standard error

# Starts a broker from a thread that ends, forks (the fork inherits the pipe to the broker's supervisor), and waits.
_PARENT = """
import os, signal, sys, threading
from pathlib import Path
from headrace.adapters.embedded_kafka import EmbeddedKafka

kafka = EmbeddedKafka(Path(sys.argv[1]))
starter = threading.Thread(target=kafka.start)
starter.start()
starter.join()
fork = os.fork()
if fork:
    print(kafka.pid, fork, kafka.bootstrap, flush=True)
signal.pause()
"""


def create_topic(bootstrap: str, name: str, **config: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap, **_QUIET})
    for created in admin.create_topics([NewTopic(name, 1, 1, config=config)]).values():
        created.result(10)


def produce(bootstrap: str, topic: str, value: bytes) -> None:
    """Write one record and wait until the broker has it."""
    errors: list[object] = []
    producer = Producer({"bootstrap.servers": bootstrap, "message.max.bytes": 8 << 20, "acks": "all", **_QUIET})
    producer.produce(topic, value, on_delivery=lambda error, _: errors.append(error))
    assert producer.flush(10) == 0
    assert errors == [None]


def read(bootstrap: str, topic: str, count: int) -> list[bytes | None]:
    settings = {"bootstrap.servers": bootstrap, "group.id": "unused", "fetch.message.max.bytes": 8 << 20, **_QUIET}
    consumer = Consumer(settings)
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        return [record.value() for record in consumer.consume(count, 10)]
    finally:
        consumer.close()


def wait_for(condition: Callable[[], bool], *, within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s} s"
        time.sleep(0.01)


def gone(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def test_a_restart_and_a_kill_keep_what_was_written_and_the_port(tmp_path: Path) -> None:
    """Each start takes seconds, so this tells all of one folder's story: a wish, a restart beside a thief, a kill."""
    folder = tmp_path / "new" / "kafka"
    wished = free_port()
    with EmbeddedKafka(folder, first_port=wished) as kafka:
        kafka.start()  # runs already: nothing happens
        assert kafka.bootstrap == f"127.0.0.1:{wished}"
        create_topic(kafka.bootstrap, "kept")
        produce(kafka.bootstrap, "kept", b"before the stop")
    assert not kafka.running
    kafka = EmbeddedKafka(folder, first_port=free_port())
    with socket.create_server(("127.0.0.1", wished)):
        kafka.start()
    with kafka:
        address = kafka.bootstrap
        assert address != f"127.0.0.1:{wished}", "a port that is taken is replaced"
        produce(address, "kept", b"before the kill")
        kafka.kill()
        assert kafka.pid is None
        kafka.start()
        assert kafka.bootstrap == address, "clients know no other address"
        assert read(address, "kept", 2) == [b"before the stop", b"before the kill"]


def test_a_folder_keeps_its_port(tmp_path: Path) -> None:
    folder = BrokerFolder(tmp_path, wait_s=0)
    (tmp_path / "port").write_text("40123")
    assert folder.kept_port() == 40_123
    for nonsense in ("", "port", "0", "65536", "-1"):
        (tmp_path / "port").write_text(nonsense)
        assert folder.kept_port() is None
    folder.lock.close()


def test_it_dies_with_a_killed_parent_and_the_next_one_waits_for_that(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", _PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    told = parent.stdout.readline().split()
    java, fork, address = int(told[0]), int(told[1]), told[2]
    try:
        supervisor = psutil.Process(java).parent()
        assert supervisor is not None
        # Frozen, so that the old broker lives on for a while after its parent: the new start must wait for its death.
        supervisor.suspend()
        parent.kill()
        parent.wait()
        assert not gone(java)
        waiting = EmbeddedKafka(tmp_path, handover_timeout_s=0.3)
        with pytest.raises(NotReady, match=f"in use by Kafka \\(process {java}\\).*started by process {parent.pid}"):
            waiting.start()
        supervisor.resume()
        with EmbeddedKafka(tmp_path, first_port=free_port()) as kafka:
            assert gone(java)
            assert kafka.bootstrap == address, "the folder's port is kept over restarts of everything"
            assert kafka.pid not in (None, java)
            if sys.platform.startswith("linux"):
                assert_it_dies_with_its_supervisor(kafka)
    finally:
        os.kill(fork, signal.SIGKILL)
        parent.stdout.close()


def assert_it_dies_with_its_supervisor(kafka: EmbeddedKafka) -> None:
    java = psutil.Process(kafka.pid)
    kafka.raise_if_dead()
    java.parent().kill()
    wait_for(lambda: gone(java.pid), within_s=5)
    assert not kafka.running
    with pytest.raises(NotReady, match="kafka_died") as caught:
        kafka.raise_if_dead()
    assert str(kafka.log_path) in caught.value.do


def test_its_files_are_for_its_owner_only(kafka_broker: EmbeddedKafka) -> None:
    create_topic(kafka_broker.bootstrap, "private")
    produce(kafka_broker.bootstrap, "private", b"secret")
    folder = kafka_broker.data_dir
    paths = [folder, *folder.rglob("*")]
    assert folder / "topics" / "private-0" in paths
    open_paths = [path for path in paths if stat.S_IMODE(path.lstat().st_mode) & 0o077]
    assert not open_paths


def test_a_second_broker_on_the_folder_is_told_who_holds_it(kafka_broker: EmbeddedKafka) -> None:
    told: list[str] = []
    second = EmbeddedKafka(kafka_broker.data_dir, handover_timeout_s=0.1, told=told.append)
    with pytest.raises(NotReady, match="kafka_folder_in_use") as caught:
        second.start()
    (waiting,) = told
    assert f"is in use by Kafka (process {kafka_broker.pid})" in waiting
    assert f"process {kafka_broker.pid}" in caught.value.what
    assert f"started by process {os.getpid()}" in caught.value.what
    assert caught.value.why
    assert "--data-dir" in caught.value.do


def test_a_named_port_that_is_in_use_is_an_error_at_once(tmp_path: Path) -> None:
    began = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(NotReady, match=f"127.0.0.1:{port} is in use") as caught:
            EmbeddedKafka(tmp_path, port).start()
    assert time.monotonic() - began < 5, "only a folder is waited for"
    assert caught.value.why
    assert caught.value.do


def test_an_address_is_known_only_after_the_start(tmp_path: Path) -> None:
    kafka = EmbeddedKafka(tmp_path)
    with pytest.raises(NotReady, match="kafka_not_started"):
        _ = kafka.bootstrap
    assert EmbeddedKafka(tmp_path, 9092).bootstrap == "127.0.0.1:9092"
    assert kafka.pid is None
    kafka.stop()
    kafka.kill()
    kafka.raise_if_dead()


def test_an_early_death_is_told_with_the_end_of_the_log(tmp_path: Path) -> None:
    kafka = EmbeddedKafka(tmp_path, settings={"num.io.threads": "many"})
    with pytest.raises(NotReady, match="kafka_died") as caught:
        kafka.start()
    assert "num.io.threads" in caught.value.why
    assert "many" in caught.value.why
    assert str(kafka.log_path) in caught.value.do
    assert not kafka.running


def test_a_java_that_does_not_start_is_told_with_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(NotReady, match="kafka_not_formatted") as caught:
        EmbeddedKafka(tmp_path, java=["-XX:NoSuchOption"]).start()
    assert "NoSuchOption" in caught.value.why


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(NotReady, match="kafka_folder_unusable") as caught:
        EmbeddedKafka(tmp_path / "file" / "kafka").start()
    assert str(tmp_path / "file" / "kafka") in caught.value.what


def test_settings_are_in_force(broker: str) -> None:
    admin = AdminClient({"bootstrap.servers": broker})
    asked = ConfigResource(RESOURCE_BROKER, "1")
    told = admin.describe_configs([asked])[asked].result(10)
    assert told["auto.create.topics.enable"].value == "false"
    assert told["group.initial.rebalance.delay.ms"].value == "0"
    assert int(told["group.min.session.timeout.ms"].value) <= 1_000
    assert told["offsets.topic.replication.factor"].value == "1"


def test_a_record_of_seven_mebibytes_passes(broker: str) -> None:
    create_topic(broker, "large", **{"max.message.bytes": str(8 << 20)})
    large = os.urandom(7 << 20)
    produce(broker, "large", large)
    assert read(broker, "large", 1) == [large]


def test_a_group_may_have_a_session_of_one_second(broker: str) -> None:
    create_topic(broker, "grouped")
    consumer = Consumer(
        {
            "bootstrap.servers": broker,
            "group.id": "quick",
            "session.timeout.ms": 1_000,
            "heartbeat.interval.ms": 200,
            "auto.offset.reset": "earliest",
        }
    )
    try:
        consumer.subscribe(["grouped"])
        produce(broker, "grouped", b"found")
        record = consumer.poll(20)
        assert record is not None
        assert record.error() is None
        assert record.value() == b"found"
    finally:
        consumer.close()


def test_kafkas_own_console_producer_writes_to_it(broker: str) -> None:
    create_topic(broker, "typed")
    java = find_java()
    classpath = os.pathsep.join(map(str, resolve_classpath([tools_coordinate()])))
    main = ["org.apache.kafka.tools.ConsoleProducer", "--bootstrap-server", broker, "--topic", "typed"]
    subprocess.run(
        [str(java.executable), "-cp", classpath, *main],
        input=b"typed by hand\n",
        env=java_environment(),
        check=True,
        timeout=30,
        capture_output=True,
    )
    assert read(broker, "typed", 1) == [b"typed by hand"]


@pytest.mark.alone
def test_an_idle_broker_stays_quiet(kafka_broker: EmbeddedKafka) -> None:
    assert kafka_broker.pid is not None
    java = psutil.Process(kafka_broker.pid)
    # Measured at 1.6 % of a core; a loop that spins would take all of one. First it ends what other tests have left it.
    shares: list[float] = []
    while not shares or (shares[-1] >= 30 and len(shares) < 10):
        shares.append(java.cpu_percent(interval=2.0))
    assert shares[-1] < 30, shares
    assert java.memory_info().rss < 600e6


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    """A broker's folder with a short list of loaded classes."""
    (tmp_path / SCRATCH).mkdir()
    (tmp_path / "logs").mkdir()
    (tmp_path / SCRATCH / "classes.list").write_text("java/lang/Object id: 0\njava/util/Half")
    return tmp_path


def test_the_archive_of_classes_is_made_once_and_then_used(classes: Path, tmp_path: Path) -> None:
    java = find_java()
    options, classpath = java_options(java.release), resolve_classpath()[:1]
    archive = ClassArchive(tmp_path / "archives", java.executable, options, classpath)
    assert "DumpLoadedClassList" in archive.options()[0]
    assert archive.make(classes)
    assert stat.S_IMODE(archive.path.stat().st_mode) == 0o600
    assert [path.name for path in archive.path.parent.glob("kafka-*")] == [archive.path.name]
    # `-Xshare:on` refuses to start if the archive does not fit.
    fits = [str(java.executable), "-Xshare:on", *archive.options()[1:], *options]
    subprocess.run([*fits, "-cp", str(classpath[0]), "-version"], check=True, cwd=tmp_path, capture_output=True)
    assert archive.drop()
    assert not archive.drop()


def test_giving_up_the_archive_leaves_nothing_half_done(classes: Path, tmp_path: Path) -> None:
    java = find_java()
    options, classpath = java_options(java.release), resolve_classpath()[:1]
    archive = ClassArchive(tmp_path / "archives", java.executable, options, classpath, delay_s=0)
    archive.make_in_background(classes)
    wait_for((tmp_path / "archives").exists, within_s=5)
    archive.stop()
    assert not list(tmp_path.rglob("*.unfinished"))
    assert not list(tmp_path.rglob("*.snapshot"))


def test_an_archive_that_cannot_be_made_leaves_nothing(classes: Path, tmp_path: Path) -> None:
    java = find_java()
    archive = ClassArchive(tmp_path / "archives", java.executable, ["-XX:NoSuchOption"], resolve_classpath()[:1])
    assert not archive.make(classes)
    assert not list(archive.path.parent.glob("kafka-*"))


def test_starts_touch_neither_jgo_nor_the_network(broker: str) -> None:
    assert broker  # the jars are in the cache by now
    looked = (
        "import sys\n"
        "from headrace.adapters.embedded_kafka_artifacts import resolve_classpath\n"
        "assert len(resolve_classpath()) > 40\n"
        "assert not {'jgo', 'requests', 'rich', 'socket'} & set(sys.modules), sorted(sys.modules)\n"
    )
    environment = {**os.environ, "HEADRACE_CACHE_DIR": str(cache_folder())}
    subprocess.run([sys.executable, "-c", looked], check=True, env=environment)
