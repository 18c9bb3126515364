"""Gates of functions that SDKs register. Goal: what their users know of them holds exactly."""

from __future__ import annotations

import msgspec
import pytest

from headrace.functions.settings import Pause, pause_key
from headrace.records.commands import Broadcast
from headrace.records.definitions import Batch, Debounce, Definition, RateLimit, Singleton, Throttle
from headrace.records.rows import Start
from tests.admission.cluster import FUNCTION, Cluster, declared, order
from tests.turns import known_event


def sdk(**options: object) -> Definition:
    return declared(kind="sdk", **options)


def pause(cluster: Cluster, paused: bool = True, key: bytes | None = None) -> None:
    value = msgspec.json.encode(Pause(paused))
    for number, part in enumerate(cluster.parts):
        with part.turn(cluster.now_ms):
            cluster.inputs[number].define(Broadcast(pause_key(FUNCTION, key), value))


def priority_of(expression: str, data: str) -> int:
    """Compute the priority of a start, by the stage."""
    from headrace.admission.priority import make_priority

    cluster = Cluster(sdk(priority=expression))
    stage = make_priority(sdk(priority=expression))
    assert stage is not None
    start = Start(FUNCTION, "01", [order(0, data)], cluster.now_ms)
    with cluster.parts[0].turn(cluster.now_ms) as turn:
        assert stage.decide(turn, start)
    return start.priority_ms


@pytest.mark.parametrize(
    ("expression", "data", "priority_ms"),
    [
        ("event.data.vip == true ? 120 : 0", '{"vip":true}', 120_000),
        ("event.data.vip == true ? 120 : -60", "{}", -60_000),
        ("int(event.data.n)", '{"n":7}', 7_000),
        ("int(event.data.n) * 2 + 1", '{"n":7}', 15_000),
        ("120", "{}", 120_000),
        ("99999", "{}", 43_200_000),
        ("-99999", "{}", -43_200_000),
        ("event.data.n", '{"n":7}', 0),  # a number of the data is a double
        ("1.5", "{}", 0),
        ("uint(event.data.n)", '{"n":7}', 0),
        ("'120'", "{}", 0),
        ("event.data.missing", "{}", 0),
        ("1 / 0", "{}", 0),
    ],
)
def test_a_priority_is_an_int(expression: str, data: str, priority_ms: int) -> None:
    assert priority_of(expression, data) == priority_ms


@pytest.mark.parametrize(("limit", "at_once"), [(1, 1), (9, 1), (10, 2), (25, 3)])
def test_a_rate_limit_lets_a_tenth_more_than_one_start_at_once(limit: int, at_once: int) -> None:
    cluster = Cluster(sdk(rate_limit=RateLimit(limit, limit * 1_000)))
    for n in range(limit + 5):
        cluster.send(order(n))
    assert len(cluster.started) == at_once
    cluster.advance(cluster.now_ms + 1_000)
    cluster.send(order(99))
    assert len(cluster.started) == at_once + 1


def test_a_key_that_is_false_is_not_limited() -> None:
    cluster = Cluster(sdk(rate_limit=RateLimit(1, 60_000, "event.data.user")))
    for n, data in enumerate(["{}", '{"user":false}', '{"user":"a"}', '{"user":"a"}']):
        cluster.send(order(n, data))
    assert len(cluster.started) == 3


def test_a_batch_is_gathered_before_it_is_counted() -> None:
    batch = Batch(2, 60_000, expression="event.data.bulk == true")
    cluster = Cluster(sdk(batch=batch, rate_limit=RateLimit(1, 60_000)))
    for n in range(4):
        cluster.send(order(n, '{"bulk":true}'))
    assert [len(run.events) for run in cluster.started] == [2, 2]
    for n in (4, 5):
        cluster.send(order(n))
    assert [len(run.events) for run in cluster.started] == [2, 2, 1]
    assert [verdict.code for verdict in cluster.verdicts("rate_limited")] == ["rate_limited"]


def test_a_batch_of_python_code_is_counted_before_it_is_gathered() -> None:
    cluster = Cluster(declared(batch=Batch(2, 1_000), rate_limit=RateLimit(1, 60_000)))
    for n in range(4):
        cluster.send(order(n))
    cluster.advance(10_000)
    assert [len(run.events) for run in cluster.started] == [1]


def test_what_the_clock_starts_is_no_event_of_a_batch() -> None:
    cluster = Cluster(sdk(batch=Batch(2, 60_000)))
    event = known_event("inngest/scheduled.timer", number=1)
    for number in range(4):
        start = Start(FUNCTION, f"0{number}", [event], cluster.now_ms)
        cluster.apply_all(number, [start])
    assert [run.run_id for run in cluster.started] == ["00", "01", "02", "03"]


def test_a_paused_function_skips_what_comes() -> None:
    cluster = Cluster(sdk())
    pause(cluster)
    cluster.send(order(0))
    assert cluster.started == []
    (verdict,) = cluster.verdicts()
    assert (verdict.status, verdict.code) == ("skipped", "function_paused")
    pause(cluster, paused=False)
    cluster.send(order(1))
    assert [run.events for run in cluster.started] == [[order(1).id]]


def test_what_a_throttle_holds_when_a_function_is_paused_waits() -> None:
    cluster = Cluster(sdk(throttle=Throttle(1, 1_000)))
    for n in range(2):
        cluster.send(order(n))
    pause(cluster)
    cluster.advance(10_000)
    assert len(cluster.started) == 1
    assert cluster.verdicts("skipped") == []
    cluster.send(order(2))
    assert len(cluster.verdicts("skipped")) == 1


def test_a_pause_comes_behind_a_debounce_and_a_singleton() -> None:
    cluster = Cluster(sdk(debounce=Debounce(1_000), singleton=Singleton("cancel")))
    cluster.send(order(0))
    cluster.advance(3_000)
    assert len(cluster.live) == 1
    pause(cluster)
    cluster.send(order(1))
    assert cluster.verdicts("skipped") == []
    cluster.advance(6_000)
    assert cluster.live == {}
    assert [verdict.code for verdict in cluster.verdicts("skipped")] == ["function_paused"]


def test_an_earlier_time_that_comes_late_does_not_replace_what_a_debounce_holds() -> None:
    cluster = Cluster(sdk(debounce=Debounce(1_000)))
    cluster.send(order(0, ts_ms=900))
    cluster.send(order(1, ts_ms=800))
    cluster.send(order(2, ts_ms=900))
    cluster.advance(60_000)
    assert [run.events for run in cluster.started] == [[order(2).id]]
    assert cluster.dropped() == {order(0).id: 1, order(1).id: 1}
