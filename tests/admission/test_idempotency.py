"""Idempotency. Goal: one start for each value of the key in a window, wherever its events come."""

from __future__ import annotations

from headrace.admission.expiry import LOOKED_AT_MAX
from headrace.records.admission_rows import ADMISSION_EXPIRY, REPEATS
from headrace.records.definitions import Idempotency
from tests.admission.cluster import Cluster, declared, order

HOUR_MS = 3_600_000


def cluster_of(key: str = "event.data.order", window_ms: int = HOUR_MS) -> Cluster:
    return Cluster(declared(idempotency=Idempotency(key, window_ms)))


def test_the_first_of_a_value_starts_and_the_others_are_told_which_run_that_was() -> None:
    cluster = cluster_of()
    for number in range(8):
        cluster.send(order(number, f'{{"order":"o{number % 2}"}}'), at=number % 4)
    assert len(cluster.started) == 2
    verdicts = cluster.verdicts("duplicate")
    assert len(verdicts) == 6
    assert {v.code for v in verdicts} == {"idempotency_key_repeated"}
    runs = {run.run_id for run in cluster.started}
    assert {v.explanation.split()[1] for v in verdicts} == runs
    assert all("for the key 'o" in v.explanation for v in verdicts)


def test_the_window_begins_with_the_first_start_and_is_not_prolonged_by_repeats() -> None:
    cluster = cluster_of()
    for at_ms in (1_000, HOUR_MS // 2, HOUR_MS + 999):
        cluster.advance(at_ms)
        cluster.send(order(at_ms, '{"order":"o"}'))
    assert len(cluster.started) == 1
    cluster.advance(HOUR_MS + 1_000)
    cluster.send(order(7, '{"order":"o"}'))
    assert len(cluster.started) == 2
    cluster.advance(2 * HOUR_MS)
    cluster.send(order(8, '{"order":"o"}'))
    assert len(cluster.started) == 2


def test_events_without_the_value_are_no_repeats_of_one_another() -> None:
    cluster = cluster_of()
    for number in range(3):
        cluster.send(order(number))
    assert len(cluster.started) == 3
    assert cluster.rows(REPEATS) == 0


def test_equal_ids_under_different_record_keys_are_one_by_the_event_id() -> None:
    cluster = cluster_of("event.id")
    for number, key in enumerate(("a", "b", "c", "d")):
        event = order(number, key=key)
        event.given_id = "invoice-7"
        cluster.send(event)
    assert len(cluster.started) == 1


def test_values_are_forgotten_after_their_window_however_many_they_are() -> None:
    cluster = cluster_of(window_ms=60_000)
    for number in range(LOOKED_AT_MAX + 10):
        cluster.send(order(number, f'{{"order":"o{number}"}}'), at=0)
    assert cluster.rows(REPEATS) == LOOKED_AT_MAX + 10
    cluster.advance(60_999)
    assert cluster.rows(REPEATS) == LOOKED_AT_MAX + 10
    cluster.advance(200_000)
    assert cluster.rows(REPEATS) == cluster.rows(ADMISSION_EXPIRY) == 0


def test_a_value_that_was_used_again_is_remembered_from_then_on() -> None:
    cluster = cluster_of(window_ms=90_000)
    cluster.send(order(0, '{"order":"o"}'))
    cluster.advance(91_000)  # over, and not forgotten yet: that goes by the minute
    assert cluster.rows(REPEATS) == 1
    cluster.send(order(1, '{"order":"o"}'))
    assert len(cluster.started) == 2
    cluster.advance(150_000)
    assert cluster.rows(REPEATS) == 1
    cluster.send(order(2, '{"order":"o"}'))
    assert len(cluster.started) == 2
    cluster.advance(300_000)
    assert cluster.rows(REPEATS) == 0
