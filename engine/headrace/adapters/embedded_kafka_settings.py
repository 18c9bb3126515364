"""What the embedded Kafka is told: the broker's settings, its log, and the options of its Java.

All paths are relative to the data folder, which is the working folder of the process: nothing needs escaping, and the
folder may be moved. Sources: the broker and topic configuration of the Apache Kafka documentation, 4.3; Log4j 2 manual,
properties format; `java` manual of OpenJDK 25.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from headrace.errors import NotReady

CONFIG = Path("kafka.properties")
PORT = Path("port")
LOG_CONFIG = Path("log4j2.properties")
LOG = Path("logs/kafka.log")
# What Java itself says before and beside the log: it could not start, ran out of memory, crashed.
CONSOLE = Path("logs/console.log")
TOPICS = Path("topics")
SCRATCH = Path("tmp")

NODE_ID = 1
_MIB = 1024 * 1024

# One broker that is its own controller, on loopback, for development and tests.
_BROKER = {
    "process.roles": "broker,controller",
    "node.id": NODE_ID,
    "inter.broker.listener.name": "BROKER",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
    # A typing mistake must not become a topic, and a group of one must not wait for others.
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": 0,
    "group.min.session.timeout.ms": 1_000,
    "group.consumer.min.session.timeout.ms": 1_000,
    "group.consumer.min.heartbeat.interval.ms": 100,
    # Topics about topics: one copy, few partitions (each costs files and start-up time).
    "offsets.topic.replication.factor": 1,
    "offsets.topic.num.partitions": 1,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "transaction.state.log.num.partitions": 2,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    "share.coordinator.state.topic.num.partitions": 1,
    # Topics of Headrace allow records of 16 MiB; a broker that allowed less would cap what it fetches for followers.
    "message.max.bytes": 16 * _MIB,
    "replica.fetch.max.bytes": 16 * _MIB,
    # Trimmed logs give their space back within seconds, not within five minutes and one.
    "log.retention.check.interval.ms": 10_000,
    "log.segment.delete.delay.ms": 1_000,
    # An idle broker stays quiet: no empty record in the metadata log twice a second, few threads that look around.
    "metadata.max.idle.interval.ms": 0,
    "num.network.threads": 2,
    "num.io.threads": 4,
    "background.threads": 2,
    "group.coordinator.threads": 1,
    "share.coordinator.threads": 1,
    # 128 MiB by default, taken at the start; compacted topics here are small.
    "log.cleaner.dedupe.buffer.size": 4 * _MIB,
    # Not fenced by its own controller because the machine was busy for a moment.
    "broker.session.timeout.ms": 30_000,
    # Nobody asks over JMX.
    "metric.reporters": "",
}

# After a kill the controller takes the dead broker for alive, and refuses the new one, until the dead one's session
# has ended. The broker knocks again after 0.1, 0.3, 0.7, 1.5, 3.1 … s; a session just under 1.5 s opens on the fourth.
AFTER_A_KILL = {"broker.session.timeout.ms": 1_400, "broker.heartbeat.interval.ms": 400}

_LOG_SETTINGS = f"""\
status = error
appender.file.type = RollingFile
appender.file.name = file
appender.file.fileName = {LOG}
appender.file.filePattern = {LOG}.%i
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{{ISO8601}} %p %m (%c)%n%throwable
appender.file.policies.type = Policies
appender.file.policies.size.type = SizeBasedTriggeringPolicy
appender.file.policies.size.size = 5MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 2
rootLogger = warn, file
"""

# Serial collector, small first heap: 200 MB resident under load instead of 300, with the same throughput. The heap's
# limit leaves room for records of 16 MiB. The compilers are left alone: capping them halves the start but the work too.
_JAVA_OPTIONS = (
    "-Xms64m",
    "-Xmx400m",
    "-XX:+UseSerialGC",
    # Better gone, and seen to be gone, than half alive.
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:ErrorFile=logs/java-crash-%p.log",
    # No file per process in the system's folder for temporary files.
    "-XX:-UsePerfData",
    "-Xlog:disable",
    "-Xlog:all=error:stderr",
    "-Djava.awt.headless=true",
    "-Djava.net.preferIPv4Stack=true",
    # Compression libraries unpack native code there; what a killed process leaves is cleared at the next start.
    f"-Djava.io.tmpdir={SCRATCH}",
    f"-Dlog4j2.configurationFile={LOG_CONFIG}",
    # Kafka's clients and Zstandard use both; Java 24 and newer warn about it on the console.
    "--enable-native-access=ALL-UNNAMED",
)
_UNSAFE_ALLOWED = "--sun-misc-unsafe-memory-access=allow"  # JEP 471, Java 23

# What of the environment reaches the broker: nothing secret, and no JAVA_TOOL_OPTIONS that would change its Java.
_ENVIRONMENT = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH")


def broker_settings(port: int, controller_port: int, overrides: Mapping[str, str | int] | None = None) -> str:
    """Write the properties file for this start; listeners are not stored anywhere else, so ports may change."""
    settings = {
        **_BROKER,
        "listeners": f"BROKER://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"BROKER://127.0.0.1:{port}",
        "controller.quorum.bootstrap.servers": f"127.0.0.1:{controller_port}",
        "log.dirs": TOPICS,
        **(overrides or {}),
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def log_settings() -> str:
    """Write the Log4j configuration: warnings and worse, 15 MB at most."""
    return _LOG_SETTINGS


def java_options(release: int, environ: Mapping[str, str] = os.environ) -> list[str]:
    """List the options that every process of the embedded Kafka runs with, on this feature release of Java.

    Those of KAFKA_OPTS, as with Kafka's own scripts, come last and win.
    """
    return [*_JAVA_OPTIONS, *([_UNSAFE_ALLOWED] if release >= 23 else []), *_further_options(environ)]


def _further_options(environ: Mapping[str, str]) -> list[str]:
    written = environ.get("KAFKA_OPTS", "")
    try:
        return shlex.split(written)
    except ValueError as error:
        raise NotReady(
            "kafka_opts_invalid",
            f"KAFKA_OPTS is {written!r}",
            why=f"it is taken apart as a shell does it: {error}",
            do="close the quotation, or unset it",
        ) from None


def java_environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Pick what a Java process may see of the environment, with fewer arenas of unused memory (glibc)."""
    return {name: environ[name] for name in _ENVIRONMENT if name in environ} | {"MALLOC_ARENA_MAX": "2"}
