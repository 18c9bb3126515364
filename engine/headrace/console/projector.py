"""The process of the projection: `python -m headrace.console.projector`, started by a node.

It takes the lowest priority, ends with the node however that ends, and may be killed at any moment: its transactions
hold its positions. Kafka's further settings come from the environment, as everywhere.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from headrace.adapters.kafka_lane import ReaderLimits
from headrace.adapters.kafka_partitions import KafkaPartitions
from headrace.adapters.kafka_reader import KafkaReader
from headrace.adapters.kafka_settings import KafkaSettings
from headrace.adapters.system_clock import SystemClock
from headrace.console.archive import WriterLock, adopt_topics, open_for_writing
from headrace.console.feed import Feed, Source
from headrace.console.low_priority import die_with_parent, yield_to_others
from headrace.console.projection import Projection
from headrace.console.retention import Retention, RetentionLimits
from headrace.errors import HeadraceError, NotReady
from headrace.worker.layout import Topics

logger = logging.getLogger("headrace.console")

_LOCK_EVERY_S = 0.1
_LOCK_PATIENCE_S = 10.0
_HOUR_MS = 3_600_000


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    limits = RetentionLimits()
    parser = argparse.ArgumentParser(prog="python -m headrace.console.projector", description=__doc__)
    parser.add_argument("--kafka", required=True, metavar="HOST:PORT")
    parser.add_argument("--prefix", default="headrace")
    parser.add_argument("--db", required=True, type=Path, metavar="FILE")
    parser.add_argument(
        "--topics", required=True, type=json.loads, metavar="JSON", help='{"headrace.events": ["topic id", 16], …}'
    )
    parser.add_argument("--parent", type=int, default=0, metavar="PID", help="end with this process")
    parser.add_argument("--runs-hours", type=float, default=limits.runs_age_ms / _HOUR_MS)
    parser.add_argument("--runs-max", type=int, default=limits.runs_max)
    parser.add_argument("--events-hours", type=float, default=limits.events_age_ms / _HOUR_MS)
    parser.add_argument("--events-max", type=int, default=limits.events_max)
    parser.add_argument("--size-bytes-max", type=int, default=limits.size_bytes_max)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until told to stop; returns the exit status."""
    chosen = parse(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(message)s")
    yield_to_others()
    if chosen.parent:
        die_with_parent(chosen.parent)
    os.umask(0o077)
    # Rows come and go in batches and make no circles: looking for some after every few hundred costs a fifth.
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)
    try:
        asyncio.run(_run(chosen))
    except HeadraceError as error:
        logger.error("%s", error)
        return 1
    return 0


async def _run(chosen: argparse.Namespace) -> None:
    topics = Topics(chosen.prefix)
    lock = await _take_lock(chosen.db)
    archive = open_for_writing(chosen.db)
    # In this order: a run's function and event are there when it is.
    names = (topics.functions, topics.events, topics.history, topics.dead)
    identity = json.dumps([[name, *chosen.topics[name]] for name in names])
    if adopt_topics(archive, identity):
        logger.warning("the topics were made anew: the console's database starts from nothing")
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    problems: list[BaseException] = []

    def end(problem: BaseException | None = None) -> None:
        if problem is not None:
            problems.append(problem)
        ended.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    settings = KafkaSettings.load(chosen.kafka)
    reader = KafkaReader(settings, loop, name="console-reader", limits=ReaderLimits(round_records=2_000))
    feed = Feed(
        Projection(archive, topics, chosen.topics[topics.events][0]),
        Retention(archive, retention_limits(chosen)),
        [Source(name, chosen.topics[name][1]) for name in names],
        topics.events,
        reader=reader,
        partitions=KafkaPartitions(settings, loop),
        loop=loop,
        clock=SystemClock(),
        on_error=end,
    )
    feed.start()
    try:
        await ended.wait()
        if problems:
            raise problems[0]
    finally:
        feed.close()
        reader.close()
        archive.close()
        lock.close()


def retention_limits(chosen: argparse.Namespace) -> RetentionLimits:
    """Read how much is kept from the command line."""
    return RetentionLimits(
        runs_age_ms=int(chosen.runs_hours * _HOUR_MS),
        runs_max=chosen.runs_max,
        events_age_ms=int(chosen.events_hours * _HOUR_MS),
        events_max=chosen.events_max,
        size_bytes_max=chosen.size_bytes_max,
    )


async def _take_lock(path: Path) -> WriterLock:
    lock = WriterLock(path)
    deadline = asyncio.get_running_loop().time() + _LOCK_PATIENCE_S
    while not lock.take():
        if asyncio.get_running_loop().time() > deadline:
            raise NotReady(
                "archive_in_use",
                f"another process writes to the console's database {path}",
                why="one process writes to it, or records would be counted twice",
                do="stop that process, or give this node a data directory of its own",
            )
        await asyncio.sleep(_LOCK_EVERY_S)
    return lock


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    # Everything is closed. Threads that still wait for a Kafka that is away would hold up the end, ten seconds each.
    os._exit(status)
