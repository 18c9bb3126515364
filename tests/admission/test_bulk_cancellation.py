"""Bulk cancellation of what has not become a run yet. Goal: what stages hold goes as well, and is told of."""

from __future__ import annotations

import pytest

from headrace.records.commands import CancelRuns
from headrace.records.definitions import Batch, Debounce, Throttle
from tests.admission.cluster import FUNCTION, Cluster, declared, order

HOLDING = [
    {"debounce": Debounce(60_000)},
    {"debounce": Debounce(60_000, key="event.data.user")},
    {"batch": Batch(100, 60_000)},
    {"batch": Batch(100, 60_000, partitioned=True)},
    {"throttle": Throttle(1, 3_600_000)},
]


def cancel(cluster: Cluster, expression: str = "", before_ms: int = 1 << 60, function_id: str = FUNCTION) -> None:
    """Tell every partition, as the console does."""
    name = f"{function_id} {expression} {before_ms}"
    for number in range(len(cluster.parts)):
        cluster.apply_all(number, [CancelRuns(name, function_id, 0, before_ms, expression)])


@pytest.mark.parametrize("options", HOLDING, ids=str)
def test_what_a_stage_holds_never_starts(options: dict[str, object]) -> None:
    cluster = Cluster(declared(**options))
    events = [order(n, f'{{"user":"{n}"}}', key=f"k{n}") for n in range(6)]
    for event in events:
        cluster.send(event)
    begun = [event_id for run in cluster.started for event_id in run.events]
    dropped_before = set(cluster.dropped())
    cancel(cluster)
    cluster.advance(cluster.now_ms + 10 * 3_600_000)
    cancelled = [event_id for record in cluster.verdicts("cancelled") for event_id in record.event_ids]
    assert sorted([*begun, *cancelled, *dropped_before]) == sorted(event.id for event in events)
    assert cancelled
    assert {record.code for record in cluster.verdicts("cancelled")} == {"cancelled_in_bulk"}
    assert [event_id for run in cluster.started for event_id in run.events] == begun


def test_only_what_is_meant_goes() -> None:
    cluster = Cluster(declared(batch=Batch(100, 60_000)))
    events = [order(n, f'{{"user":"{n}"}}') for n in range(6)]
    for event in events:
        cluster.send(event)
    cancel(cluster, 'event.data.user in ["1", "4"]')
    cancel(cluster, before_ms=events[0].at_ms)
    cancel(cluster, function_id="shop-other")
    cluster.advance(cluster.now_ms + 60_000)
    assert cluster.batches == [[events[n].id for n in (0, 2, 3, 5)]]
