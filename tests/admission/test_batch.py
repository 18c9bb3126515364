"""Batch. Goal: each event is in one batch and written once; batches fire by size, bytes or time, and are repeatable."""

from __future__ import annotations

import pytest

from headrace.admission import count_held, remove_held
from headrace.admission.batch import BYTES_MAX, EVENTS_MAX, BatchStage
from headrace.admission.gathering import CHUNK_BYTES_MAX
from headrace.records.admission_rows import BUFFERS, CHUNKS
from headrace.records.definitions import Batch, Concurrency, Definition, EventTrigger
from headrace.records.rows import KnownEvent, Reply, Start, Timer, TimerKind
from tests.admission.cluster import FUNCTION, Cluster, declared, order
from tests.turns import known_event


def cluster_of(max_size: int = 3, timeout_ms: int = 1_000, **options: object) -> Cluster:
    return Cluster(declared(batch=Batch(max_size, timeout_ms, **options)))  # type: ignore[arg-type]


def timers(cluster: Cluster) -> list[Timer]:
    return [row for part in cluster.parts for _, row in part.overlay.timers.scan(b"")]


def test_it_fires_by_size_at_once_and_by_time_from_the_first_event_on() -> None:
    cluster = cluster_of()
    events = [order(n) for n in range(5)]
    for at_ms, event in zip((1_000, 1_200, 1_400, 1_600, 1_800), events, strict=True):
        cluster.advance(at_ms)
        cluster.send(event)
    cluster.advance(60_000)
    assert cluster.batches == [[e.id for e in events[:3]], [e.id for e in events[3:]]]
    assert [run.at_ms for run in cluster.started] == [1_400, 2_600]


def test_a_batch_that_fired_by_size_leaves_no_timer_that_does_anything() -> None:
    cluster = cluster_of(timeout_ms=10_000)
    for n in range(3):
        cluster.send(order(n))
    assert len(cluster.started) == 1
    cluster.advance(6_000)
    cluster.send(order(3))  # begins anew, five seconds before the old one's time was over
    cluster.advance(11_500)
    assert len(cluster.started) == 1
    cluster.advance(15_999)
    assert len(cluster.started) == 1
    cluster.advance(16_000)
    assert len(cluster.started) == 2
    assert cluster.rows(BUFFERS) == cluster.rows(CHUNKS) == 0
    assert timers(cluster) == []


def test_an_empty_buffer_is_forgotten_with_its_timer() -> None:
    cluster = cluster_of()
    for n in range(3):
        cluster.send(order(n))
    cluster.advance(2_000)
    assert cluster.rows(BUFFERS) == cluster.rows(CHUNKS) == 0
    assert timers(cluster) == []


def test_many_batches_in_one_window_share_one_timer() -> None:
    cluster = cluster_of(timeout_ms=600_000)
    for n in range(300):
        cluster.send(order(n), at=0)
    assert len(cluster.started) == 100
    assert [t.kind for t in timers(cluster)] == [TimerKind.BATCH]


def test_ten_milliseconds_are_the_shortest_time() -> None:
    cluster = cluster_of(timeout_ms=1)
    cluster.send(order(0))
    cluster.advance(1_009)
    assert cluster.started == []
    cluster.advance(1_010)
    assert len(cluster.started) == 1


def test_bytes_never_exceed_the_maximum_unless_one_event_does() -> None:
    cluster = cluster_of(max_size=100, max_bytes=1_000)
    sizes = (400, 400, 150, 400, 3_000, 10)
    events = [order(n, '{"pad":"%s"}' % ("x" * size)) for n, size in enumerate(sizes)]
    for event in events:
        cluster.send(event)
    cluster.advance(60_000)
    ids = [e.id for e in events]
    assert cluster.batches == [ids[:2], ids[2:4], [ids[4]], [ids[5]]]


@pytest.mark.parametrize("travels", [False, True])
def test_the_engine_has_a_bound_of_its_own_for_bytes(travels: bool) -> None:
    option = Batch(EVENTS_MAX, 60_000)
    definition = declared(batch=option, concurrency=[Concurrency(1)] if travels else [])
    cluster = Cluster(definition)
    event = order(0, '{"pad":"%s"}' % ("x" * (1 << 20)))
    for n in range(13):
        cluster.send(KnownEvent(order(n).id, event.name, event.json, 1_000, 1_000), at=0)
    assert cluster.batches
    assert {len(batch) for batch in cluster.batches} == {BYTES_MAX // len(event.json)}


def test_the_run_is_that_of_the_first_events_start() -> None:
    alone = Cluster(declared())
    alone.send(order(0))
    cluster = cluster_of()
    for n in range(3):
        cluster.send(order(n))
    assert cluster.started[0].run_id == alone.started[0].run_id


def test_each_key_has_a_buffer_of_its_own_wherever_its_events_arrive() -> None:
    cluster = cluster_of(max_size=4, key="event.data.user")
    for n in range(16):
        cluster.send(order(n, f'{{"user":"u{n % 4}"}}'), at=n // 4)
    expected = [[order(n).id for n in range(16) if n % 4 == user] for user in range(4)]
    assert sorted(cluster.batches) == sorted(expected)


def test_events_for_which_if_is_not_true_start_alone_where_they_are() -> None:
    cluster = cluster_of(key="event.data.user", expression="event.data.small == true")
    for n in range(3):
        cluster.send(order(n, '{"user":"a","small":%s}' % ("true" if n else "1/0" if n > 1 else "false")), at=n)
    cluster.send(order(3), at=3)
    assert [run.events for run in cluster.started] == [[order(0).id], [order(3).id]]
    assert [run.partition for run in cluster.started] == [0, 3]
    cluster.advance(5_000)
    assert cluster.batches[2] == [order(1).id, order(2).id]


def test_partitioned_buffers_gather_where_the_event_is_without_a_hop() -> None:
    cluster = cluster_of(max_size=5, key="event.data.user", partitioned=True)
    for n in range(20):
        cluster.send(order(n, f'{{"user":"u{n}"}}'), at=n % 4)
    assert cluster.hops == 0
    assert [run.partition for run in cluster.started] == [0, 1, 2, 3]
    assert sorted(cluster.batches) == sorted([order(n).id for n in range(p, 20, 4)] for p in range(4))


def test_ten_thousand_events_make_one_batch_in_their_order_and_no_more_than_that() -> None:
    cluster = cluster_of(max_size=50_000, timeout_ms=60_000)
    events: list[object] = [order(n) for n in range(EVENTS_MAX + 5)]
    for begin in range(0, len(events), 700):
        cluster.apply_all(3, events[begin : begin + 700])
    assert [len(batch) for batch in cluster.batches] == [EVENTS_MAX]
    assert cluster.batches[0] == [e.id for e in events[:EVENTS_MAX]]  # type: ignore[attr-defined]


def test_an_event_is_written_once_however_long_the_buffer_is() -> None:
    cluster = cluster_of(max_size=10_000, timeout_ms=60_000, partitioned=True)
    part = cluster.parts[0]
    for turn in range(30):
        before = set(part.everything())
        cluster.apply_all(0, [order(100 * turn + n) for n in range(20)])
        # the position of nothing else moves: the buffer, one chunk, and the timer of the first turn
        assert part.rows_written <= (3 if turn == 0 else 2)
        assert len(set(part.everything()) - before) <= 3
    assert cluster.rows(CHUNKS) == 30
    assert count_held(part.overlay, FUNCTION)["batch"] == 600


def test_chunks_have_a_size_that_a_log_can_take() -> None:
    cluster = cluster_of(max_size=10_000, timeout_ms=60_000, partitioned=True)
    pad = '{"pad":"%s"}' % ("x" * 1_000)
    cluster.apply_all(0, [order(n, pad) for n in range(1_000)])
    sizes = [len(raw) for key, raw in cluster.parts[0].everything().items() if key.startswith(CHUNKS)]
    assert len(sizes) > 3
    assert max(sizes) < CHUNK_BYTES_MAX * 1.2


def test_a_crash_in_the_middle_loses_no_event_and_doubles_none() -> None:
    whole, broken = cluster_of(max_size=7), cluster_of(max_size=7)
    for n in range(40):
        for cluster in (whole, broken):
            cluster.advance(1_000 + n * 30)
            cluster.send(order(n), at=n % 4)
        for number in range(4):
            broken.crash(number)
    for cluster in (whole, broken):
        cluster.advance(60_000)
    assert broken.batches == whole.batches
    assert sorted(id for batch in whole.batches for id in batch) == sorted(order(n).id for n in range(40))
    assert broken.everything() == whole.everything()


def test_every_one_who_invoked_it_is_answered_by_the_run() -> None:
    cluster = cluster_of()
    replies = [Reply(1, f"01CALLER{n}", b"call") for n in range(3)]
    for n, reply in enumerate(replies):
        cluster.apply_all(0, [Start(FUNCTION, f"01CHILD{n}", [order(n)], 1_000, replies=[reply])])
    (run,) = cluster.started
    assert run.run_id == "01CHILD0"
    row = cluster.parts[run.partition].overlay.runs.get(run.run_id.encode())
    assert row is not None
    assert row.replies == replies


def test_events_are_taken_out_of_a_buffer_with_a_verdict_and_an_answer() -> None:
    cluster = cluster_of(max_size=100, partitioned=True)
    asked = Start(FUNCTION, "01CHILD", [order(2, '{"o":"b"}')], 1_000, replies=[Reply(2, "01CALLER", b"call")])
    kept = Start(FUNCTION, "01KEPT", [order(3, '{"o":"a"}')], 1_000, replies=[Reply(3, "01OTHER", b"call")])
    cluster.apply_all(0, [order(0, '{"o":"a"}'), order(1, '{"o":"b"}'), asked, kept])
    cluster.apply_all(0, [order(4, '{"o":"b"}')])
    with cluster.parts[0].turn(1_100) as turn:
        assert remove_held(turn, FUNCTION, lambda e: b'"b"' in e.json, "cancel_on", "order/cancelled came") == 3
    assert cluster.dropped() == {order(n).id: 1 for n in (1, 2, 4)}
    (answer,) = cluster.answers()
    assert answer.run_id == "01CALLER"
    assert answer.failure is not None
    assert "order/cancelled came" in answer.failure.message
    assert count_held(cluster.parts[0].overlay, FUNCTION)["batch"] == 2
    cluster.advance(60_000)
    assert cluster.batches == [[order(0).id, order(3).id]]
    row = cluster.parts[0].overlay.runs.get(cluster.started[0].run_id.encode())
    assert row is not None
    assert [reply.run_id for reply in row.replies] == ["01OTHER"]


def test_a_buffer_that_has_lost_all_its_events_fires_nothing() -> None:
    cluster = cluster_of(partitioned=True)
    cluster.apply_all(0, [order(0), order(1)])
    with cluster.parts[0].turn(1_100) as turn:
        assert remove_held(turn, FUNCTION, lambda e: True, "cancel_on", "order/cancelled came") == 2
    cluster.advance(60_000)
    assert cluster.started == []
    assert cluster.rows(BUFFERS) == cluster.rows(CHUNKS) == 0


def test_a_broken_condition_of_another_version_stops_nothing() -> None:
    stage = BatchStage(declared(), Batch(3, 1_000, expression="event.data.x ==", key="event.("))
    start = Start(FUNCTION, "01X", [order(0)], 1_000)
    with Cluster(declared()).parts[0].turn(1_000) as turn:
        assert stage.place(turn, start) is None
        assert stage.decide(turn, start) is True


def test_a_batch_that_is_started_again_is_not_gathered_once_more() -> None:
    cluster = cluster_of()
    cluster.apply_all(0, [Start(FUNCTION, "01AGAIN", [order(0), order(1)], 1_000)])
    assert cluster.batches == [[order(0).id, order(1).id]]


@pytest.mark.parametrize("option", [Batch(7, 900, key="event.data.user"), Batch(5, 400, partitioned=True)])
def test_events_come_to_the_same_batches_with_and_without_a_start_of_their_own(option: Batch) -> None:
    quick = Cluster(declared(batch=option))
    full = Cluster(declared(batch=option, priority="0"))  # a stage before the batch, so each event has a start
    for n in range(120):
        for cluster in (quick, full):
            cluster.advance(1_000 + n * 40)
            cluster.send(order(n, f'{{"user":"u{n % 3}"}}'), at=n % 2)
    for cluster in (quick, full):
        cluster.advance(60_000)
    assert quick.started == full.started
    assert sorted(event for batch in quick.batches for event in batch) == sorted(order(n).id for n in range(120))


def test_the_runs_of_a_batch_with_a_lifecycle_event_are_quiet() -> None:
    cluster = Cluster(
        Definition(
            FUNCTION, "shop", "f", [EventTrigger("order/created"), EventTrigger("inngest/*")], batch=Batch(2, 50)
        )
    )
    cluster.send(order(0))
    cluster.send(known_event("inngest/function.failed", number=1))
    cluster.send(order(2))
    cluster.send(order(3))
    runs = [cluster.parts[run.partition].overlay.runs.get(run.run_id.encode()) for run in cluster.started]
    assert [run is not None and run.quiet for run in runs] == [True, False]
