"""The jars of the embedded Kafka, pinned: which, how large, and with which SHA-256.

The pins are in `embedded_kafka_jars.toml`. To move to another version of Kafka, run

    python -m headrace.adapters.embedded_kafka_pins 4.3.1 > embedded_kafka_jars.toml

which resolves every artefact anew, hashes what it received, and writes the file to standard output. Read the difference
before committing it: from then on these very bytes run on other people's machines.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

from headrace.errors import NotReady

_PINS = "embedded_kafka_jars.toml"
# Kafka logs through SLF4J 1.7. Its own artefacts do not depend on the bridge to Log4j; only its tarball adds it.
_LOG_BRIDGE = "org.apache.logging.log4j:log4j-slf4j-impl"


@dataclass(frozen=True, slots=True)
class Jar:
    """One artefact: `coordinate` is group:artifact:version."""

    coordinate: str
    size_bytes: int
    sha256: str

    @property
    def file_name(self) -> str:
        """Name the file as Maven repositories do, which is unique among the pins (a test sees to it)."""
        _, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"


@cache
def kafka_version() -> str:
    """Say which version of Apache Kafka is pinned."""
    return str(_pins()["version"])


def kafka_coordinate() -> str:
    """Name the artefact whose pins make up the broker's classpath."""
    return f"org.apache.kafka:kafka_2.13:{kafka_version()}"


def tools_coordinate() -> str:
    """Name the artefact that holds Kafka's command-line tools (`org.apache.kafka.tools.ConsoleProducer`, …)."""
    return f"org.apache.kafka:kafka-tools:{kafka_version()}"


def pinned_jars(coordinates: Iterable[str]) -> list[Jar]:
    """List what must be on the classpath for these pinned artefacts, in order, each jar once."""
    jars: dict[str, Jar] = {}
    for coordinate in coordinates:
        artefacts = _pins()["artefacts"]
        if coordinate not in artefacts:
            raise NotReady(
                "artefact_not_pinned",
                f"{coordinate} is not among the pinned artefacts ({', '.join(sorted(artefacts))})",
                why="only bytes whose checksum ships with Headrace are run",
                do="ask for one of these, or add its pins with `python -m headrace.adapters.embedded_kafka_pins`",
            )
        for jar in _jars(artefacts[coordinate]):
            jars.setdefault(jar.coordinate, jar)
    return list(jars.values())


def _jars(artefact: dict[str, list[str]]) -> Iterator[Jar]:
    yield from pinned_jars(artefact.get("on_top_of", []))
    for line in artefact["jars"]:
        digest, size, coordinate = line.split()
        yield Jar(coordinate, int(size), digest)


@cache
def _pins() -> dict[str, dict[str, dict[str, list[str]]]]:
    return tomllib.loads(files(__package__).joinpath(_PINS).read_text("utf-8"))


def write_pins(version: str) -> str:
    """Resolve and hash the artefacts of one version of Kafka; the text for `embedded_kafka_jars.toml`."""
    from jgo.maven import MavenContext

    kafka = f"org.apache.kafka:kafka_2.13:{version}"
    tools = f"org.apache.kafka:kafka-tools:{version}"
    with TemporaryDirectory() as folder:
        maven = MavenContext(repo_cache=Path(folder))

        def resolve(coordinate: str) -> list[str]:
            wanted = maven.create_dependency(coordinate)
            wanted.scope = "compile"
            inputs, transitive = maven.resolver.resolve([wanted])
            found = [*inputs, *(each for each in transitive if each.scope in {"compile", "runtime"})]
            return [f"{each.groupId}:{each.artifactId}:{each.version}" for each in found]

        def pin(coordinate: str) -> str:
            content = maven.create_dependency(coordinate).artifact.resolve().read_bytes()
            return f'    "{sha256(content).hexdigest()} {len(content):>8} {coordinate}",'

        broker = resolve(kafka)
        log4j = next(each.rpartition(":")[2] for each in broker if ":log4j-core:" in each)
        broker.append(f"{_LOG_BRIDGE}:{log4j}")
        lines = [f'version = "{version}"', "", f'[artefacts."{kafka}"]', "jars = [", *map(pin, broker), "]", ""]
        # What else the tools' artefact depends on (Jetty, Jersey) serves Kafka Connect, which is not run here.
        lines += [f'[artefacts."{tools}"]', f'on_top_of = ["{kafka}"]', "jars = [", pin(tools), "]"]
    return "\n".join(["# Written by embedded_kafka_pins.py: SHA-256, size in bytes, coordinate.", *lines, ""])


if __name__ == "__main__":
    sys.stdout.write(write_pins(sys.argv[1]))
