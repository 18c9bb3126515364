"""Rate limit and its arithmetic. Goal: never more than GCRA allows, never less, and every drop has its verdict."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.admission.gcra import Rate
from headrace.records.admission_rows import ADMISSION_EXPIRY, METERS, Meter
from headrace.records.definitions import RateLimit
from headrace.records.rows import Reply, Start
from tests.admission.cluster import FUNCTION, Cluster, declared, order

LIMITS = st.tuples(st.integers(1, 50), st.integers(1, 5_000))


def passes(rate: Rate, arrivals: list[int]) -> list[bool]:
    meter: Meter | None = None
    passed = []
    for at_ms in arrivals:
        tat = rate.tat(meter, at_ms)
        free = rate.free_ms(tat) <= at_ms
        if free:
            meter = Meter(tat + rate.interval, rate.limit)
        passed.append(free)
    return passed


def token_bucket(limit: int, period_ms: int, room: int, arrivals: list[int]) -> list[bool]:
    """The plain reference: a bucket of tokens that fills evenly, in exact fractions."""
    tokens, last_ms = Fraction(room), 0
    passed = []
    for at_ms in arrivals:
        tokens = min(Fraction(room), tokens + Fraction((at_ms - last_ms) * limit, period_ms))
        last_ms = at_ms
        passed.append(tokens >= 1)
        if tokens >= 1:
            tokens -= 1
    return passed


@settings(deadline=None)
@given(LIMITS, st.integers(1, 60), st.lists(st.integers(0, 400), max_size=80))
def test_it_lets_pass_exactly_what_a_token_bucket_does(limit: tuple[int, int], room: int, gaps: list[int]) -> None:
    arrivals = [sum(gaps[: i + 1]) for i in range(len(gaps))]
    assert passes(Rate(*limit, room), arrivals) == token_bucket(*limit, room, arrivals)


@settings(deadline=None)
@given(LIMITS, st.integers(1, 20), st.integers(0, 10_000))
def test_the_time_that_it_names_is_the_first_at_which_the_next_one_passes(
    limit: tuple[int, int], room: int, now_ms: int
) -> None:
    rate = Rate(*limit, room)
    tat = rate.tat(None, now_ms)
    for _ in range(room):
        assert rate.free_ms(tat) <= now_ms
        tat += rate.interval
    free_ms = rate.free_ms(tat)
    assert free_ms > now_ms
    meter = Meter(tat, rate.limit)
    assert rate.free_ms(rate.tat(meter, free_ms)) <= free_ms
    assert rate.free_ms(rate.tat(meter, free_ms - 1)) > free_ms - 1
    idle_ms = rate.idle_ms(tat)
    assert rate.tat(meter, idle_ms) == rate.tat(None, idle_ms)


@settings(deadline=None)
@given(LIMITS, LIMITS, st.lists(st.integers(0, 50), min_size=1, max_size=40))
def test_after_a_change_of_the_limit_the_new_one_holds(
    before: tuple[int, int], after: tuple[int, int], gaps: list[int]
) -> None:
    old, new = Rate(*before, before[0]), Rate(*after, after[0])
    meter, now_ms = None, 0
    for gap in gaps:
        now_ms += gap
        tat = old.tat(meter, now_ms)
        if old.free_ms(tat) <= now_ms:
            meter = Meter(tat + old.interval, old.limit)
    passed = 0
    while new.free_ms(new.tat(meter, now_ms)) <= now_ms:
        meter = Meter(new.tat(meter, now_ms) + new.interval, new.limit)
        passed += 1
    assert passed <= after[0]
    # and nobody waits for longer than the new limit makes anybody wait
    assert new.free_ms(new.tat(meter, now_ms)) <= now_ms + -(-new.period_ms // new.limit)


def test_as_many_as_the_limit_at_once_then_one_each_share_of_the_period() -> None:
    cluster = Cluster(declared(rate_limit=RateLimit(5, 60_000)))
    for number in range(8):
        cluster.send(order(number))
    assert len(cluster.started) == 5
    for at_ms, number in ((12_999, 10), (13_000, 11), (13_000, 12), (25_000, 13)):
        cluster.advance(at_ms)
        cluster.send(order(number))
    assert [run.at_ms for run in cluster.started[5:]] == [13_000, 25_000]
    assert len(cluster.verdicts("rate_limited")) == 5
    verdict = cluster.verdicts("rate_limited")[0]
    assert verdict.function_id == FUNCTION
    assert verdict.explanation.startswith("the limit of 5 in 1m was used up: the next one could start 12s later")
    assert verdict.action


def test_functions_of_sdks_let_a_tenth_of_the_limit_and_one_start_at_once() -> None:
    cluster = Cluster(declared(rate_limit=RateLimit(25, 60_000), kind="http"))
    for number in range(9):
        cluster.send(order(number))
    assert len(cluster.started) == 3


def test_each_key_has_a_limit_of_its_own_wherever_its_events_arrive() -> None:
    cluster = Cluster(declared(rate_limit=RateLimit(1, 60_000, "event.data.user")))
    for number in range(40):
        cluster.send(order(number, f'{{"user":"u{number % 4}"}}'), at=number % 4)
    assert len(cluster.started) == 4
    assert len(cluster.verdicts("rate_limited")) == 36
    assert "for the key 'u" in cluster.verdicts()[0].explanation


@pytest.mark.parametrize("data", ['{"user":false}', "{}"])
def test_a_key_that_is_false_or_missing_is_not_limited(data: str) -> None:
    cluster = Cluster(declared(rate_limit=RateLimit(1, 60_000, "event.data.user")))
    for number in range(3):
        cluster.send(order(number, data))
    assert len(cluster.started) == 3
    cluster.send(order(10, '{"user":"false"}'))
    cluster.send(order(11, '{"user":"false"}'))
    assert len(cluster.started) == 4, "a text is a key like any other"


def test_an_event_whose_record_key_is_the_key_costs_no_hop() -> None:
    cluster = Cluster(declared(rate_limit=RateLimit(100, 60_000, "event.data.user")))
    for number in range(20):
        cluster.send(order(number, f'{{"user":"u{number}"}}', key=f"u{number}"))
    assert cluster.hops == 0
    assert len(cluster.started) == 20


def test_meters_are_forgotten_once_they_say_nothing() -> None:
    cluster = Cluster(declared(rate_limit=RateLimit(2, 600_000, "event.data.user")))
    for number in range(50):
        cluster.send(order(number, f'{{"user":"u{number}"}}'))
    assert cluster.rows(METERS) == 50
    cluster.advance(200_000)
    cluster.send(order(100, '{"user":"u7"}'))  # its meter says something for longer now
    cluster.advance(420_000)
    assert cluster.rows(METERS) == 1
    cluster.advance(2_000_000)
    assert cluster.rows(METERS) == cluster.rows(ADMISSION_EXPIRY) == 0
    assert all(part.overlay.timers.next_due_ms() is None for part in cluster.parts)


def test_one_who_invoked_what_is_dropped_is_told_so() -> None:
    cluster = Cluster(declared(rate_limit=RateLimit(1, 60_000)))
    home = next(p for p, part in enumerate(cluster.parts) if not cluster.started and part)
    cluster.send(order(0))
    caller = (cluster.started[0].partition + 1) % 4
    start = Start(FUNCTION, "01CHILD", [order(1)], cluster.now_ms, replies=[Reply(caller, "01CALLER", b"call")])
    cluster.apply_all(home, [start])
    (answer,) = cluster.answers()
    assert (answer.run_id, answer.step, answer.child_run_id) == ("01CALLER", b"call", "01CHILD")
    assert answer.failure is not None
    assert "the limit of 1 in 1m" in answer.failure.message
