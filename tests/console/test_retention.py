"""Retention. Goal: what is too old or too much goes, oldest first; what lives stays."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

from headrace.console.projection import Projection
from headrace.console.retention import Retention, RetentionLimits
from headrace.records.history import Kind
from tests.console.archives import open_for_writing
from tests.console.histories import EVENTS_TOPIC_ID, NOW_MS, TOPICS, History

DAY_MS = 86_400_000
KEEP_ALL = RetentionLimits(1 << 50, 1 << 40, 1 << 50, 1 << 40, 1 << 50, 1 << 40, 1 << 50)


def archive_of(path: Path, history: History) -> sqlite3.Connection:
    archive = open_for_writing(path / "a.db")
    records = sorted(history.records, key=lambda record: (record.topic, record.partition, record.offset))
    Projection(archive, TOPICS, EVENTS_TOPIC_ID).apply(records)
    return archive


def tidy(archive: sqlite3.Connection, limits: RetentionLimits, now_ms: int = NOW_MS) -> int:
    """Step until there is nothing to do; returns how many steps did something."""
    retention = Retention(archive, limits)
    for steps in range(1_000):
        if not retention.step(now_ms):
            return steps
    raise AssertionError("it never ends")


def run_ids(archive: sqlite3.Connection) -> list[str]:
    return [run_id for (run_id,) in archive.execute("SELECT run_id FROM runs ORDER BY run_id")]


def runs_of_days(days: int) -> tuple[History, list[str]]:
    """One run a day that ended the same day, oldest first; the last is of today."""
    history = History(2)
    ids = []
    for day in reversed(range(days)):
        at_ms = NOW_MS - day * DAY_MS - 3_600_000
        event = history.event("a", {}, at_ms)
        ids.append(history.run("f", [event], at_ms).complete(at_ms + 5).run_id)
    return history, ids


def test_with_room_and_time_nothing_goes(tmp_path: Path) -> None:
    history, ids = runs_of_days(5)
    archive = archive_of(tmp_path, history)
    assert tidy(archive, KEEP_ALL) == 0
    assert run_ids(archive) == ids


def test_runs_that_ended_too_long_ago_go_with_all_their_rows(tmp_path: Path) -> None:
    history, ids = runs_of_days(10)
    archive = archive_of(tmp_path, history)
    tidy(archive, RetentionLimits())
    assert run_ids(archive) == ids[3:]
    for table in ("run_records", "run_causes"):
        left = [run_id for (run_id,) in archive.execute(f"SELECT DISTINCT run_id FROM {table} ORDER BY run_id")]
        assert left == ids[3:]
    (events,) = archive.execute("SELECT count(*) FROM events").fetchone()
    assert events == 7


def test_the_oldest_go_when_there_are_too_many(tmp_path: Path) -> None:
    history, ids = runs_of_days(6)
    archive = archive_of(tmp_path, history)
    tidy(archive, RetentionLimits(runs_max=4, events_max=2))
    assert run_ids(archive) == ids[2:]
    (events,) = archive.execute("SELECT count(*) FROM events").fetchone()
    assert events == 2


def test_a_run_that_lives_stays_and_one_that_was_lost_goes(tmp_path: Path) -> None:
    history = History(1)
    long_ago_ms = NOW_MS - 30 * DAY_MS
    sleeper = history.run("f", ["e"], long_ago_ms).sleep("month", long_ago_ms, NOW_MS + DAY_MS, over=False)
    lost = history.run("f", ["e"], long_ago_ms + 1)
    young = history.run("f", ["e"], NOW_MS - DAY_MS)
    archive = archive_of(tmp_path, history)
    tidy(archive, RetentionLimits())
    assert run_ids(archive) == [sleeper.run_id, young.run_id]
    assert lost.run_id not in run_ids(archive)


def test_ended_runs_make_room_for_those_that_live(tmp_path: Path) -> None:
    history = History(1)
    live = [history.run("f", ["e"], NOW_MS - 100 + n).run_id for n in range(3)]
    for number in range(5):
        history.run("f", ["e"], NOW_MS - 50 + number).complete(NOW_MS)
    archive = archive_of(tmp_path, history)
    tidy(archive, RetentionLimits(runs_max=4))
    assert set(live) <= set(run_ids(archive))
    assert len(run_ids(archive)) == 4


def test_when_live_runs_alone_are_far_too_many_the_oldest_of_them_go(tmp_path: Path) -> None:
    history = History(1)
    ids = [history.run("f", ["e"], NOW_MS - 1_000 + n).run_id for n in range(50)]
    archive = archive_of(tmp_path, history)
    tidy(archive, RetentionLimits(runs_max=10))
    left = run_ids(archive)
    assert left == sorted(ids)[-len(left) :]
    assert len(left) <= 20


def test_large_archives_shrink_to_their_size(tmp_path: Path) -> None:
    history = History(1)
    for number in range(300):
        event = history.event("a", {"x": "y" * 10_000}, NOW_MS - 1_000 + number)
        history.run("f", [event], NOW_MS - 1_000 + number).complete(NOW_MS, "z" * 10_000)
    archive = archive_of(tmp_path, history)
    (pages,) = archive.execute("PRAGMA page_count").fetchone()
    tidy(archive, RetentionLimits(size_bytes_max=2 << 20))
    (after,) = archive.execute("PRAGMA page_count").fetchone()
    (free,) = archive.execute("PRAGMA freelist_count").fetchone()
    assert pages * 4_096 > 6 << 20
    assert (after - free) * 4_096 <= 2 << 20


def test_a_step_is_small(tmp_path: Path) -> None:
    history = History(1)
    for number in range(1_700):
        history.run("f", ["e"], NOW_MS - 9 * DAY_MS + number).complete(NOW_MS - 9 * DAY_MS + number)
    archive = archive_of(tmp_path, history)
    retention = Retention(archive, RetentionLimits())
    sizes = []
    while deleted := retention.step(NOW_MS):
        sizes.append(deleted)
    assert len(sizes) >= 4
    assert max(sizes) < 600
    assert run_ids(archive) == []


def test_counts_samplings_verdicts_and_dead_letters_go_too(tmp_path: Path) -> None:
    history, _ = runs_of_days(10)
    for day in (40, 3):
        history.verdict("e", "f", NOW_MS - day * DAY_MS, status="duplicate")
        history.add(TOPICS.dead, 0, NOW_MS - day * DAY_MS, b"x")
    archive = archive_of(tmp_path, history)
    archive.execute("INSERT INTO samplings VALUES(?, 1, 1)", (NOW_MS - 9 * DAY_MS,))
    tidy(archive, RetentionLimits())
    left = {
        table: archive.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        for table in ("verdicts", "dead_letters", "samplings", "function_counts")
    }
    assert left == {"verdicts": 1, "dead_letters": 1, "samplings": 0, "function_counts": 7}


def test_what_is_kept_beside_a_run_goes_with_it_and_what_belongs_to_none_by_its_age(tmp_path: Path) -> None:
    history, ids = runs_of_days(3)
    for run in history.runs:
        run.add(Kind.RunMetadata, NOW_MS - 2 * DAY_MS, code=run.run_id, op="run", output="[]")
    for days in (0, 2):
        history.life(Kind.RunMetadata, 0, NOW_MS - days * DAY_MS, f"none-{days}", "", code="x", output="[]")
    archive = archive_of(tmp_path, history)
    tidy(archive, replace(KEEP_ALL, runs_age_ms=DAY_MS + DAY_MS // 2))
    noted = {run_id for (run_id,) in archive.execute("SELECT run_id FROM run_metadata")}
    assert run_ids(archive) == ids[1:]
    assert noted == {*ids[1:], "none-0"}
