"""Throttle. Goal: never more starts than the limit allows, none lost, none held back for longer than it asks for."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.admission import count_held, look_again, remove_held
from headrace.admission.throttle import LET_GO_MAX
from headrace.records.admission_rows import METERS, QUEUED_STARTS
from headrace.records.definitions import Concurrency, Definition, Throttle, Timeouts, encode_definition
from headrace.records.rows import Reply, Start
from tests.admission.cluster import FUNCTION, Cluster, declared, order


def cluster_of(limit: int, period_ms: int, burst: int = 0, key: str = "", **options: object) -> Cluster:
    return Cluster(declared(throttle=Throttle(limit, period_ms, burst, key), **options))


def redefine(cluster: Cluster, definition: Definition) -> None:
    for number, part in enumerate(cluster.parts):
        with part.turn(cluster.now_ms) as turn:
            turn.state.definitions.put(FUNCTION.encode(), encode_definition(definition))
            cluster.inputs[number].load_definitions()
            look_again(turn, FUNCTION)


def times(cluster: Cluster) -> list[int]:
    return [run.at_ms for run in cluster.started]


def test_limit_and_burst_start_at_once_then_one_each_share_of_the_period() -> None:
    cluster = cluster_of(2, 5_000, burst=1)
    for n in range(6):
        cluster.send(order(n))
    assert len(cluster.started) == 3
    cluster.advance(60_000)
    assert times(cluster) == [1_000, 1_000, 1_000, 3_500, 6_000, 8_500]
    assert [run.events for run in cluster.started] == [[order(n).id] for n in range(6)]
    assert [v.code for v in cluster.verdicts("throttled")] == ["held_throttled"] * 3
    assert cluster.dropped() == {}


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 8),
    st.integers(1, 4_000),
    st.integers(0, 4),
    st.lists(st.one_of(st.just(0), st.integers(0, 900)), min_size=1, max_size=40),
)
def test_each_start_goes_in_the_first_millisecond_that_a_token_bucket_allows(
    limit: int, period_ms: int, burst: int, gaps: list[int]
) -> None:
    cluster = cluster_of(limit, period_ms, burst)
    tokens, at = Fraction(limit + burst), Fraction(1_000)
    expected: list[int] = []
    for n, gap in enumerate(gaps):
        cluster.advance(cluster.now_ms + gap)
        cluster.send(order(n), at=0)
        # the reference: the start takes the next whole token, at its arrival or once the bucket has filled so far
        now = max(Fraction(cluster.now_ms), at)
        tokens = min(Fraction(limit + burst), tokens + (now - at) * Fraction(limit, period_ms))
        at = now
        if tokens < 1:
            at += (1 - tokens) * Fraction(period_ms, limit)
            tokens = Fraction(1)
        tokens -= 1
        expected.append(-(-at.numerator // at.denominator))
    cluster.advance(cluster.now_ms + 50 * period_ms + 1)
    assert times(cluster) == expected
    assert [run.events for run in cluster.started] == [[order(n).id] for n in range(len(gaps))]


def test_each_key_has_a_queue_of_its_own() -> None:
    cluster = cluster_of(1, 1_000, key="event.data.user")
    for n in range(12):
        cluster.send(order(n, f'{{"user":"u{n % 3}"}}'), at=n % 4)
    cluster.advance(60_000)
    assert times(cluster) == [1_000] * 3 + [2_000] * 3 + [3_000] * 3 + [4_000] * 3
    assert cluster.rows(QUEUED_STARTS) == cluster.rows(METERS) == 3 - 3


def test_a_stop_of_hours_is_not_followed_by_more_than_the_limit_at_once() -> None:
    cluster = cluster_of(3, 60_000)
    for n in range(20):
        cluster.send(order(n))
    cluster.now_ms = 5 * 3_600_000
    for _ in range(3):
        cluster.fire_due()
    assert times(cluster)[3:] == [cluster.now_ms] * 3


def test_those_that_come_while_others_wait_stand_behind_them() -> None:
    cluster = cluster_of(1, 1_000)
    cluster.send(order(0))
    cluster.send(order(1))
    cluster.now_ms = 2_000  # the rate has room again, and the timer has not fired yet
    cluster.send(order(2))
    assert len(cluster.started) == 1
    cluster.advance(60_000)
    assert [run.events for run in cluster.started] == [[order(n).id] for n in range(3)]


def test_priority_puts_a_start_before_those_that_came_a_little_earlier() -> None:
    cluster = cluster_of(1, 1_000, priority="event.data.seconds")
    for n, seconds in enumerate((0, 0, -1, 0, 5, 1)):
        cluster.advance(1_000 + n * 10)
        cluster.send(order(n, f'{{"seconds":{seconds}}}'))
    cluster.advance(60_000)
    assert [run.events[0] for run in cluster.started] == [order(n).id for n in (0, 4, 5, 1, 3, 2)]


def test_one_value_with_many_starts_holds_up_another_ones_start_by_one() -> None:
    cluster = cluster_of(1, 1_000, concurrency=[Concurrency(1_000, "event.data.user")])
    for n in range(50):
        cluster.send(order(n, '{"user":"many"}'), at=0)
    cluster.advance(10_500)
    for n, user in ((50, "few"), (51, "few"), (52, "single")):
        cluster.send(order(n, f'{{"user":"{user}"}}'), at=1)
    cluster.advance(15_500)
    assert [run.events[0] for run in cluster.started[10:]] == [order(n).id for n in (50, 52, 10, 51, 11)]
    cluster.advance(200_000)
    ids = [run.events[0] for run in cluster.started]
    assert [i for i in ids if i in {order(n).id for n in range(50)}] == [order(n).id for n in range(50)]
    cluster.advance(2_000_000)
    assert cluster.rows(METERS) == 0


def test_values_share_evenly_whenever_they_came() -> None:
    cluster = cluster_of(1, 1_000, concurrency=[Concurrency(1_000, "event.data.user")])
    for n in range(60):
        cluster.send(order(n, f'{{"user":"u{n % 2}"}}'), at=0)
    cluster.advance(20_900)  # 20 are gone, in turn; the queue is long behind the clock
    for n in range(60, 90):
        cluster.send(order(n, '{"user":"late"}'), at=0)
    cluster.advance(50_900)
    late = {order(n).id for n in range(60, 90)}
    share = [run.events[0] in late for run in cluster.started[20:]]
    assert 9 <= sum(share) <= 11, "a third of thirty"


def test_more_than_one_turn_can_take_go_one_after_the_other() -> None:
    cluster = cluster_of(1, 3_600_000)
    for n in range(LET_GO_MAX * 2):
        cluster.send(order(n), at=0)
    redefine(cluster, declared())
    cluster.advance(cluster.now_ms + 5)
    assert len(cluster.started) == LET_GO_MAX * 2
    assert cluster.rows(QUEUED_STARTS) == 0


def test_a_limit_that_is_raised_lets_those_that_wait_go_at_once() -> None:
    cluster = cluster_of(1, 3_600_000)
    for n in range(10):
        cluster.send(order(n))
    redefine(cluster, declared(throttle=Throttle(10, 1_000)))
    cluster.advance(4_000)
    assert len(cluster.started) == 10
    assert max(times(cluster)) <= 3_000


def test_a_limit_that_is_lowered_holds_for_those_that_wait() -> None:
    cluster = cluster_of(10, 1_000)
    for n in range(20):
        cluster.send(order(n))
    redefine(cluster, declared(throttle=Throttle(1, 10_000)))
    cluster.advance(35_000)
    assert len(cluster.started) in (13, 14)
    gaps = [b - a for a, b in zip(times(cluster)[10:], times(cluster)[11:], strict=False)]
    assert gaps == [10_000] * len(gaps)


def test_the_queue_survives_a_crash_in_its_order() -> None:
    whole, broken = cluster_of(1, 1_000), cluster_of(1, 1_000)
    for n in range(15):
        for cluster in (whole, broken):
            cluster.advance(1_000 + n * 100)
            cluster.send(order(n))
        for number in range(4):
            broken.crash(number)
    for cluster in (whole, broken):
        cluster.advance(60_000)
    assert broken.started == whole.started
    assert [run.events for run in whole.started] == [[order(n).id] for n in range(15)]
    assert broken.everything() == whole.everything()


def test_what_waits_is_counted_and_can_be_taken_away() -> None:
    cluster = cluster_of(1, 1_000)
    for n in range(6):
        cluster.send(order(n, f'{{"n":{n}}}'))
    home = next(part for part in cluster.parts if part.count(QUEUED_STARTS))
    assert count_held(home.overlay, FUNCTION)["throttle"] == 5
    with home.turn(cluster.now_ms) as turn:
        assert remove_held(turn, FUNCTION, lambda e: b'"n":1' in e.json or b'"n":3' in e.json, "cancelled", "so") == 2
    assert count_held(home.overlay, FUNCTION)["throttle"] == 3
    cluster.advance(60_000)
    assert times(cluster) == [1_000, 2_000, 3_000, 4_000]
    assert cluster.dropped() == {order(n).id: 1 for n in (1, 3)}


def test_what_waits_for_longer_than_it_may_is_dropped_and_its_caller_told() -> None:
    cluster = cluster_of(1, 10_000, timeouts=Timeouts(start_ms=12_000))
    for n in range(2):
        cluster.send(order(n))
    home = next(n for n, part in enumerate(cluster.parts) if part.count(QUEUED_STARTS))
    reply = Reply((home + 1) % 4, "01CALLER", b"call")
    cluster.apply_all(home, [Start(FUNCTION, "01CHILD", [order(2)], 1_000, replies=[reply])])
    cluster.advance(60_000)
    assert times(cluster) == [1_000, 11_000]
    (verdict,) = cluster.verdicts("cancelled")
    assert (verdict.code, verdict.at_ms, verdict.event_ids) == ("start_timeout", 13_000, [order(2).id])
    assert [answer.run_id for answer in cluster.answers()] == ["01CALLER"]
    assert cluster.rows(QUEUED_STARTS) == 0
