"""Clicks as fast as Kafka takes them, and then some more while the node is killed."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

from confluent_kafka import Producer

if TYPE_CHECKING:
    from examples.stage import Stage

SHORT: dict[str, str] = {}
CLICKS = 50_000  # of about 200 bytes


def play(stage: Stage) -> None:
    """Produce, wait for the rows; produce again, kill the node in the middle, and count."""
    began = time.monotonic()
    produce(stage, 0, CLICKS)
    stage.wait(lambda: count(stage) >= CLICKS, "the first clicks are in SQLite")
    took = time.monotonic() - began
    stage.check(f"{CLICKS:,} clicks were produced and stored: {CLICKS / took:,.0f} a second", count(stage) == CLICKS)
    produce(stage, CLICKS, 2 * CLICKS)
    stage.wait(lambda: count(stage) > CLICKS * 5 // 4, "a part of the other ones is in SQLite")
    stage.kill()
    before = count(stage)
    stage.start()
    stage.wait(lambda: count(stage) >= 2 * CLICKS, "the rest is in SQLite")
    stage.await_runs("clicks-store-clicks", count(stage, "batches"))
    stage.check(f"the node was killed with {2 * CLICKS - before:,} clicks still to come", before < 2 * CLICKS)
    different = count(stage, "(SELECT DISTINCT user FROM clicks)")
    stage.check("each click is there once", (count(stage), different) == (2 * CLICKS, 2 * CLICKS))


def produce(stage: Stage, first: int, end: int) -> None:
    """Write clicks to the topic, as any producer can."""
    settings = {"bootstrap.servers": stage.bootstrap, "linger.ms": 20, "partitioner": "murmur2_random"}
    producer = Producer({**settings, "queue.buffering.max.messages": CLICKS})
    for number in range(first, end):
        data = {"page": f"/tea/{number % 100}", "user": f"user-{number}", "referrer": "https://example.com/" + "x" * 80}
        producer.produce(f"{stage.prefix}.events", json.dumps({"name": "page/clicked", "data": data}))
    producer.flush(30)


def count(stage: Stage, table: str = "clicks") -> int:
    """Count the rows of a table."""
    path = stage.folder / ".headrace" / "clicks.db"
    if not path.exists():
        return 0
    with closing(sqlite3.connect(path, timeout=30)) as database:
        try:
            (rows,) = database.execute(f"SELECT count(*) FROM {table}").fetchone()
        except sqlite3.OperationalError:  # nobody has made it yet
            return 0
    return int(rows)
