"""The projection. Goal: every record shows once, whatever is cut, repeated, reordered or interrupted."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from headrace.adapters.seams import Record
from headrace.console import archive as archives
from headrace.console.archive import adopt_topics, prepare_archive
from headrace.console.event_queries import event_names, find_event, list_dead_letters, verdicts_of
from headrace.console.function_queries import list_functions
from headrace.console.lag_queries import read_lag
from headrace.console.projection import Projection
from headrace.console.run_queries import RunFilter, find_run, list_runs, read_run_records
from headrace.records.history import Kind
from headrace.records.ids import entropy, position_entropy, ulid_tail, ulid_time
from tests.console.archives import fill, open_for_reading, open_for_writing
from tests.console.histories import EVENTS_TOPIC_ID, NOW_MS, TOPICS, History
from tests.console.shop import shop_history

_TABLES = {
    "runs": "run_id, function_id, partition, status, phase, due_ms, queued_ms, started_ms, ended_ms, attempt, event_id,"
    " event_count, output, output_bytes, error_name, error_message, error_more, code, explanation,"
    " action",
    "run_causes": "event_id, run_id",
    "run_metadata": "*",
    "events": "event_id, name, given_id, ts_ms, received_ms, record_key, topic_partition, topic_offset, body",
    "verdicts": "*",
    "dead_letters": "at_ms, code, reason, topic, topic_partition, topic_offset, record_key, body, body_bytes",
    "functions": "*",
    "function_counts": "*",
    "positions": "topic, partition, next_offset",
}


def everything(path: Path) -> dict[str, Any]:
    """Read what an archive shows; the order of rows and how records lie in bodies are no part of it."""
    reading = open_for_reading(path)
    tables: dict[str, Any] = {
        table: sorted(map(repr, map(tuple, reading.execute(f"SELECT {columns} FROM {table}"))))
        for table, columns in _TABLES.items()
    }
    run_ids = [run_id for (run_id,) in reading.execute("SELECT run_id FROM runs ORDER BY run_id")]
    tables["records"] = {run_id: read_run_records(reading, run_id) for run_id in run_ids}
    reading.close()
    return tables


def in_log_order(records: list[Record]) -> list[Record]:
    return sorted(records, key=lambda record: (record.topic, record.partition, record.offset))


def test_what_was_sent_and_started_is_found_again(tmp_path: Path) -> None:
    history = History()
    event_id = history.event("order/created", {"n": 1}, NOW_MS, id="o-1")
    run = history.run("shop-order", [event_id], NOW_MS + 2)
    run.step("load", NOW_MS + 3, NOW_MS + 9, {"n": 1}).complete(NOW_MS + 20, {"ok": True})
    fill(tmp_path / "a.db", history.records)
    reading = open_for_reading(tmp_path / "a.db")
    found = find_run(reading, run.run_id)
    assert found is not None
    assert (found.row.status, found.row.output, found.event_ids) == ("Completed", '{"ok":true}', [event_id])
    assert found.event_name == "order/created"
    by_given_id = find_event(reading, "o-1")
    assert by_given_id is not None
    assert by_given_id.event_id == event_id
    assert [f.row.run_id for f in list_runs(reading, RunFilter(event_id="o-1"), "")] == [run.run_id]
    assert [record.kind for record in read_run_records(reading, run.run_id)] == [
        "RunScheduled",
        "StepEnded",
        "RunEnded",
    ]


@pytest.mark.parametrize("seed", range(5))
def test_how_records_are_cut_into_batches_makes_no_difference(tmp_path: Path, seed: int) -> None:
    records = in_log_order(shop_history(NOW_MS, runs=60, seed=seed).records)
    fill(tmp_path / "whole.db", records)
    chance = random.Random(seed)
    projection = Projection(open_for_writing(tmp_path / "cut.db"), TOPICS, EVENTS_TOPIC_ID)
    # The partitions are mixed, too; within each the order stays.
    queues = list(_by_partition(records).values())
    while queues:
        batch: list[Record] = []
        for _ in range(chance.randrange(1, 6)):
            queue = chance.choice(queues)
            cut = chance.randrange(1, 30)
            batch += queue[:cut]
            del queue[:cut]
            queues = [queue for queue in queues if queue]
            if not queues:
                break
        projection.apply(batch)
    assert everything(tmp_path / "cut.db") == everything(tmp_path / "whole.db")


def _by_partition(records: list[Record]) -> dict[tuple[str, int], list[Record]]:
    found: dict[tuple[str, int], list[Record]] = {}
    for record in records:
        found.setdefault((record.topic, record.partition), []).append(record)
    return found


def test_records_that_are_delivered_again_change_nothing(tmp_path: Path) -> None:
    records = in_log_order(shop_history(NOW_MS, runs=40).records)
    projection = fill(tmp_path / "a.db", records)
    before = everything(tmp_path / "a.db")
    projection.apply(records)
    projection.apply(records[-50:])
    assert everything(tmp_path / "a.db") == before


@pytest.mark.parametrize("split", [False, True])
def test_what_the_engine_sent_twice_counts_once(tmp_path: Path, split: bool) -> None:
    """An outbox that goes back sends records again, at new offsets, perhaps before those that were lost."""
    history = shop_history(NOW_MS, runs=40)
    fill(tmp_path / "once.db", history.records)
    lives = [record for record in history.records if record.topic == TOPICS.history]
    again: list[Record] = []
    chance = random.Random(5)
    for partition, queue in _by_partition(lives).items():
        out: list[Record] = []
        for record in queue[1:]:
            if chance.random() < 0.1:
                later = out[-chance.randrange(1, 6) :]
                out += [later[-1], *later] if later else []
            out.append(record)
        again += [r._replace(offset=n) for n, r in enumerate([*queue[:1], *out])]
        assert partition
    others = [record for record in history.records if record.topic != TOPICS.history]
    projection = Projection(open_for_writing(tmp_path / "twice.db"), TOPICS, EVENTS_TOPIC_ID)
    records = in_log_order([*others, *again])
    for begin in range(0, len(records), 7 if split else len(records)):
        projection.apply(records[begin : begin + (7 if split else len(records))])
    once, twice = everything(tmp_path / "once.db"), everything(tmp_path / "twice.db")
    del once["positions"], twice["positions"]
    assert twice == once


def test_a_lost_record_that_comes_late_finds_its_place(tmp_path: Path) -> None:
    """1 3 2 3: a later record was in the log although an earlier one had failed."""
    history = History(1)
    run = history.run("f", ["e"], NOW_MS)
    run.step("a", NOW_MS + 1, NOW_MS + 2, 1).step("b", NOW_MS + 3, NOW_MS + 4, 2).complete(NOW_MS + 5)
    one, two, three, four = history.records
    order = [one, three, two, three, four, two]
    projection = Projection(open_for_writing(tmp_path / "a.db"), TOPICS, EVENTS_TOPIC_ID)
    for offset, record in enumerate(order):
        projection.apply([record._replace(offset=offset)])
    reading = open_for_reading(tmp_path / "a.db")
    assert [r.step_id for r in read_run_records(reading, run.run_id)] == ["", "a", "b", ""]
    found = find_run(reading, run.run_id)
    assert found is not None
    assert found.row.status == "Completed"


def test_a_beginning_that_comes_after_the_end_is_no_new_run(tmp_path: Path) -> None:
    history = History(1)
    run = history.run("f", ["e"], NOW_MS).complete(NOW_MS + 5)
    begin, end = history.records
    projection = Projection(open_for_writing(tmp_path / "a.db"), TOPICS, EVENTS_TOPIC_ID)
    projection.apply([end._replace(offset=0)])
    projection.apply([begin._replace(offset=1)])
    reading = open_for_reading(tmp_path / "a.db")
    found = find_run(reading, run.run_id)
    assert found is not None
    assert (found.row.status, found.event_ids) == ("Completed", ["e"])
    counts = list_functions(reading, NOW_MS)[0].counts
    assert (counts.scheduled, counts.completed) == (1, 1)


def test_a_run_that_is_one_record_counts_once_however_often_it_comes(tmp_path: Path) -> None:
    history = History(1)
    ended = history.life(
        Kind.RunEnded, 0, NOW_MS, "r", "f", event_ids=["e"], status="Failed", started_ms=NOW_MS - 40, error_name="E"
    )
    projection = fill(tmp_path / "a.db", history.records)
    projection.apply([ended._replace(offset=1), ended._replace(offset=2)])
    reading = open_for_reading(tmp_path / "a.db")
    found = find_run(reading, "r")
    assert found is not None
    assert (found.row.status, found.row.queued_ms, found.row.started_ms) == ("Failed", NOW_MS - 40, NOW_MS - 40)
    assert list_functions(reading, NOW_MS)[0].counts == (1, 0, 1, 0)
    assert len(read_run_records(reading, "r")) == 1


def test_a_run_that_is_made_twice_with_other_seqs_stops_nothing(tmp_path: Path) -> None:
    history = History(1)
    run = history.run("f", ["e"], NOW_MS)
    projection = fill(tmp_path / "a.db", history.records)
    run.add(Kind.RunScheduled, NOW_MS + 9, event_ids=["e"], phase="executing")
    run.complete(NOW_MS + 10)
    projection.apply(history.records)
    reading = open_for_reading(tmp_path / "a.db")
    assert len(list(list_runs(reading, RunFilter(), ""))) == 1


class _Interrupted(sqlite3.Connection):
    """A connection that fails at its n-th statement; to the projection it is a disk that is full."""

    countdown = 1 << 60

    def _count(self) -> None:
        self.countdown -= 1
        if self.countdown == 0:
            raise sqlite3.OperationalError("database or disk is full")

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        if not str(arguments[0]).startswith("ROLLBACK"):
            self._count()
        return super().execute(*arguments)

    def executemany(self, *arguments: Any) -> sqlite3.Cursor:
        self._count()
        return super().executemany(*arguments)


def test_a_write_that_fails_anywhere_leaves_all_as_it_was(tmp_path: Path) -> None:
    records = in_log_order(shop_history(NOW_MS, runs=12).records)
    half = len(records) // 2
    fill(tmp_path / "whole.db", records)
    expected = everything(tmp_path / "whole.db")
    failures = 0
    for n in range(1, 200):
        path = tmp_path / f"{n}.db"
        prepare_archive(path)
        connection = sqlite3.connect(path, isolation_level=None, factory=_Interrupted)
        projection = Projection(connection, TOPICS, EVENTS_TOPIC_ID)
        projection.apply(records[:half])
        before = everything(path)
        connection.countdown = n
        try:
            projection.apply(records[half:])
        except sqlite3.OperationalError:
            failures += 1
            assert everything(path) == before
            connection.countdown = 1 << 60
            projection.apply(records[half:])  # the same object goes on
        else:
            assert everything(path) == expected
            break
        assert everything(path) == expected
        connection.close()
        path.unlink()
    assert failures > 8


def test_a_new_process_goes_on_where_the_old_one_stopped(tmp_path: Path) -> None:
    records = in_log_order(shop_history(NOW_MS, runs=40).records)
    for begin in range(0, len(records), 61):
        archive = open_for_writing(tmp_path / "a.db")
        projection = Projection(archive, TOPICS, EVENTS_TOPIC_ID)
        # It is given more than is new, as after a crash between a transaction and what is read next.
        projection.apply(records[max(0, begin - 40) : begin + 61])
        archive.close()
    fill(tmp_path / "whole.db", records)
    assert everything(tmp_path / "a.db") == everything(tmp_path / "whole.db")


def test_records_without_sense_are_counted_and_passed(tmp_path: Path) -> None:
    history = History(1)
    history.add(TOPICS.history, 0, NOW_MS, b"\xc3\x01nonsense")
    history.add(TOPICS.history, 0, NOW_MS, None)
    history.add(TOPICS.events, 0, NOW_MS, b"nonsense")
    history.add(TOPICS.events, 0, NOW_MS, None)
    history.add(TOPICS.functions, 0, NOW_MS, b"{}", key=b"odd")
    history.add(TOPICS.dead, 0, NOW_MS, None, headers=[("headrace-offset", b"9" * 40), ("headrace-code", None)])
    run = history.run("f", ["e"], NOW_MS)
    fill(tmp_path / "a.db", history.records)
    reading = open_for_reading(tmp_path / "a.db")
    assert find_run(reading, run.run_id) is not None
    assert read_lag(reading, NOW_MS).unreadable == 2
    assert [found.function_id for found in list_functions(reading, NOW_MS)] == ["f", "odd"]
    assert list_dead_letters(reading, 0, 10)[0].offset == -1


def test_an_event_without_an_id_gets_the_engine_s_from_its_position(tmp_path: Path) -> None:
    history = History(1)
    history.add(TOPICS.events, 0, NOW_MS, b'{"name":"a"}')
    history.add(TOPICS.events, 0, NOW_MS, b'{"name":"b"}', headers=[("headrace-id", b"not a ulid")])
    fill(tmp_path / "a.db", history.records)
    seed = entropy(f"{EVENTS_TOPIC_ID}\x000".encode())
    reading = open_for_reading(tmp_path / "a.db")
    for offset, name in enumerate(("a", "b")):
        event = find_event(reading, ulid_time(NOW_MS) + ulid_tail(position_entropy(seed, offset)))
        assert event is not None
        assert event.name == name


def test_an_event_that_was_delivered_twice_stands_there_twice(tmp_path: Path) -> None:
    history = History(1)
    event_id = history.event("a", {}, NOW_MS)
    first = history.records[0]
    history.add(TOPICS.events, 0, NOW_MS + 1, first.value, headers=list(first.headers or ()))
    fill(tmp_path / "a.db", history.records)
    rows = open_for_reading(tmp_path / "a.db").execute("SELECT event_id FROM events").fetchall()
    assert [row[0] for row in rows] == [event_id, event_id]


def test_far_behind_only_a_part_of_the_events_is_kept_and_that_is_said(tmp_path: Path) -> None:
    history = History(1)
    for number in range(100):
        history.event(f"name-{number}", {}, NOW_MS)
    history.run("f", ["e"], NOW_MS)
    projection = Projection(open_for_writing(tmp_path / "a.db"), TOPICS, EVENTS_TOPIC_ID)
    projection.event_stride = 10
    projection.apply(in_log_order(history.records))
    reading = open_for_reading(tmp_path / "a.db")
    lag = read_lag(reading, NOW_MS)
    assert (lag.events_seen, lag.events_kept) == (100, 10)
    assert len(event_names(reading, 1_000)) == 10
    assert len(list(list_runs(reading, RunFilter(), ""))) == 1


def test_a_function_that_is_removed_is_gone(tmp_path: Path) -> None:
    history = History()
    history.function("shop-order")
    projection = fill(tmp_path / "a.db", history.records)
    reading = open_for_reading(tmp_path / "a.db")
    assert [found.function_id for found in list_functions(reading, NOW_MS)] == ["shop-order"]
    history.add(TOPICS.functions, 0, NOW_MS, None, key=b"shop-order")
    projection.apply(history.records)
    assert list_functions(reading, NOW_MS) == []


def test_verdicts_are_found_by_their_event(tmp_path: Path) -> None:
    history = History()
    history.verdict("e", "f", NOW_MS, status="duplicate", code="event_id_repeated", explanation="why", action="do")
    fill(tmp_path / "a.db", history.records)
    (verdict,) = verdicts_of(open_for_reading(tmp_path / "a.db"), "e")
    assert (verdict.function_id, verdict.status, verdict.code) == ("f", "duplicate", "event_id_repeated")


def test_topics_that_were_made_anew_begin_from_nothing(tmp_path: Path) -> None:
    archive = open_for_writing(tmp_path / "a.db")
    assert not adopt_topics(archive, "first")
    history = shop_history(NOW_MS, runs=5)
    Projection(archive, TOPICS, EVENTS_TOPIC_ID).apply(in_log_order(history.records))
    assert not adopt_topics(archive, "first")
    assert archive.execute("SELECT count(*) FROM runs").fetchone()[0] > 0
    assert adopt_topics(archive, "second")
    assert archive.execute("SELECT count(*) FROM runs").fetchone()[0] == 0
    assert Projection(archive, TOPICS, EVENTS_TOPIC_ID).position(TOPICS.events, 0) is None


def test_a_file_of_another_format_is_filled_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    fill(path, shop_history(NOW_MS, runs=5).records)
    archive = open_for_writing(path)
    archive.execute(f"PRAGMA user_version={archives.FORMAT + 1}")
    archive.close()
    archive = open_for_writing(path)
    assert archive.execute("SELECT count(*) FROM runs").fetchone()[0] == 0
    assert archive.execute("PRAGMA user_version").fetchone()[0] == archives.FORMAT


def test_the_file_is_its_owner_s_alone(tmp_path: Path) -> None:
    projection = fill(tmp_path / "a.db", shop_history(NOW_MS, runs=5).records)
    made = sorted(tmp_path.iterdir())
    assert len(made) == 3  # the file, its log and the log's index
    assert {path.stat().st_mode & 0o777 for path in made} == {0o600}
    assert projection.applied


def test_nothing_can_be_written_through_a_reader(tmp_path: Path) -> None:
    prepare_archive(tmp_path / "a.db")
    reading = open_for_reading(tmp_path / "a.db")
    with pytest.raises(sqlite3.OperationalError):
        reading.execute("DELETE FROM runs")


def test_what_is_kept_beside_a_run_and_events_of_no_topic_are_there_once_however_often_they_come(
    tmp_path: Path,
) -> None:
    history = History()
    told = (
        '{"events":[{"internal_id":"01K2ZZZZZZZZZZZZZZZZZZZZZZ","ts":5,"at":7,"event":{"name":"inngest/x","data":{}}}]}'
    )
    for number in range(3):  # the engine sends a record again; the run's event is told by two runs
        run = history.run("f", ["01K2ZZZZZZZZZZZZZZZZZZZZZZ"], NOW_MS + number, more=told)
        run.add(Kind.RunMetadata, NOW_MS + number, code=f"ask-{number}", op="run", output="[]")
        repeated = history.records[-1]
        history.add(TOPICS.history, repeated.partition, NOW_MS, repeated.value)
    history.life(Kind.RunScheduled, 0, NOW_MS, "odd", "f", event_ids=["e"], more="no json")
    fill(tmp_path / "a.db", history.records)
    reading = open_for_reading(tmp_path / "a.db")
    notes = [row["request_id"] for row in reading.execute("SELECT request_id FROM run_metadata ORDER BY request_id")]
    assert notes == ["ask-0", "ask-1", "ask-2"]
    (event,) = reading.execute("SELECT name, ts_ms, received_ms, body FROM events").fetchall()
    assert tuple(event) == ("inngest/x", 5, 7, b'{"name":"inngest/x","data":{}}')
    assert find_run(reading, "odd") is not None
    reading.close()
