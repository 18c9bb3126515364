"""All stages together. Goal: any combination is legal, loses no event, and comes to the same rows after any crashes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.admission import count_held
from headrace.records import admission_rows as tables
from headrace.records.definitions import (
    Batch,
    Concurrency,
    Debounce,
    Idempotency,
    RateLimit,
    Singleton,
    Throttle,
)
from tests.admission.cluster import FUNCTION, Cluster, declared, order

STAGES: dict[str, list[Any]] = {
    "idempotency": [Idempotency("event.data.k0", 4_000), Idempotency("event.data.k1", 400)],
    "rate_limit": [RateLimit(3, 3_000), RateLimit(2, 1_000, "event.data.k1")],
    "debounce": [Debounce(300), Debounce(500, "event.data.k2", 900)],
    "batch": [
        Batch(3, 700),
        Batch(2, 400, "event.data.k0", max_bytes=2_000),
        Batch(4, 600, partitioned=True),
        Batch(3, 500, "event.data.k2", expression="event.data.k1 != 'a'"),
    ],
    "singleton": [Singleton("skip", "event.data.k1"), Singleton("cancel", "event.data.k2"), Singleton("cancel")],
    "throttle": [Throttle(2, 1_000), Throttle(1, 700, 1, "event.data.k0")],
    "concurrency": [
        [Concurrency(2)],
        [Concurrency(1, "event.data.k3")],
        [Concurrency(3, "event.data.k0"), Concurrency(4)],
    ],
    "priority": ["event.data.n"],
}
OPTIONS = st.fixed_dictionaries({}, optional={name: st.sampled_from(some) for name, some in STAGES.items()})
STEPS = st.lists(
    st.tuples(
        st.integers(0, 3),  # where the event arrives
        st.tuples(*[st.sampled_from("abc")] * 4),  # its keys
        st.integers(0, 600),  # what time passes before it
        st.integers(-300, 300),  # how much its own time is off
        st.sampled_from(["", "end", "crash"]),  # what happens besides
    ),
    max_size=20,
)
HOLDING = (tables.DEBOUNCES, tables.BUFFERS, tables.CHUNKS, tables.QUEUED_STARTS, tables.SINGLETONS)
KEPT = (*HOLDING, tables.METERS, tables.REPEATS, tables.ADMISSION_EXPIRY)


def play(cluster: Cluster, steps: list[Any], *, crashes: bool) -> None:
    for n, (at, keys, gap_ms, off_ms, besides) in enumerate(steps):
        cluster.advance(cluster.now_ms + gap_ms)
        data = ",".join(f'"k{i}":"{key}"' for i, key in enumerate(keys))
        cluster.send(order(n, f'{{{data},"n":{n % 5}}}', ts_ms=cluster.now_ms + min(off_ms, 0)), at=at)
        if besides == "end" and cluster.live:
            cluster.end(min(cluster.live))
        if besides == "crash" and crashes:
            cluster.crash(n % 4)
    while True:  # until the world is at rest
        cluster.advance(cluster.now_ms + 20_000)
        if not cluster.live:
            break
        cluster.end(min(cluster.live))


def everything_is_accounted_for(cluster: Cluster, events: int) -> None:
    begun = [event for run in cluster.started for event in run.events]
    dropped = cluster.dropped()
    cancelled = {
        event.id
        for part in cluster.parts
        for record in part.history
        if record.kind == "RunEnded" and record.status == "Cancelled"
        for event in [order(n) for n in range(events)]
        if event.id in record.event_ids
    }
    assert len(begun) == len(set(begun)), "no event starts twice"
    assert set(begun).isdisjoint(dropped), "what was dropped starts nothing"
    assert max(dropped.values(), default=1) == 1, "nothing is dropped twice"
    assert set(begun) | set(dropped) | cancelled == {order(n).id for n in range(events)}, "nothing is lost"
    assert all(sum(count_held(part.overlay, FUNCTION).values()) == 0 for part in cluster.parts)
    assert [cluster.rows(table) for table in HOLDING] == [0] * len(HOLDING)


@settings(max_examples=150, deadline=None)
@given(OPTIONS, STEPS)
def test_no_event_is_lost_or_doubled_and_crashes_change_nothing(options: dict[str, Any], steps: list[Any]) -> None:
    whole, broken = Cluster(declared(**options)), Cluster(declared(**options))
    play(whole, steps, crashes=False)
    play(broken, steps, crashes=True)
    everything_is_accounted_for(whole, len(steps))
    assert broken.started == whole.started
    assert [part.history for part in broken.parts] == [part.history for part in whole.parts]
    assert broken.everything() == whole.everything()
    for cluster in (whole, broken):
        cluster.advance(cluster.now_ms + 600_000)
        assert [cluster.rows(table) for table in KEPT] == [0] * len(KEPT), "nothing is kept for ever"


PAIRS = sorted((a, b) for a in STAGES for b in STAGES if a < b)


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_every_pair_of_stages_comes_to_an_end(first: str, second: str) -> None:
    for one in STAGES[first]:
        for other in STAGES[second]:
            cluster = Cluster(declared(**{first: one, second: other}))
            steps = [(n % 4, ("abc"[n % 3], "ab"[n % 2], "a", "c"), 90, 0, "end" if n % 4 else "") for n in range(12)]
            play(cluster, steps, crashes=False)
            everything_is_accounted_for(cluster, len(steps))
            assert cluster.started
