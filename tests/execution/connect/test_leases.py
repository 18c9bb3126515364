"""To whom a call belongs. Goal: it is one worker's while that is alive, and never nobody's for longer than said."""

from __future__ import annotations

from itertools import count

from headrace.execution.connect.leases import Fate, HeldCall
from headrace.execution.connect.settings import ConnectSettings
from headrace.records.ids import is_ulid, ulid_ms
from tests.execution.connect.workers import WALL_MS, app_call

LEASE_MS, GRACE_MS = 120_000, 5_000


def held(now_ms: int = 0) -> HeldCall:
    """Give a call to the instance "one"."""
    numbers = count(1)
    return HeldCall(app_call(), "one", ConnectSettings(), lambda: f"{next(numbers):016d}", now_ms, WALL_MS + now_ms)


def taken() -> HeldCall:
    call = held()
    call.take()
    return call


def test_8_4_a_lease_is_a_ulid_that_tells_its_end() -> None:
    lease = held(now_ms=7).lease
    assert is_ulid(lease)
    assert ulid_ms(lease) == WALL_MS + 7 + LEASE_MS


def test_8_4_a_call_that_is_not_renewed_is_broken_after_two_minutes_and_five_seconds() -> None:
    call = taken()
    assert call.fate(LEASE_MS + GRACE_MS - 1) is Fate.WAITS
    assert call.fate(LEASE_MS + GRACE_MS) is Fate.BROKEN


def test_8_4_a_call_that_nobody_acknowledges_is_given_anew_after_as_long() -> None:
    call = held()
    assert call.fate(LEASE_MS + GRACE_MS - 1) is Fate.WAITS
    assert call.fate(LEASE_MS + GRACE_MS) is Fate.ANEW


def test_8_4_each_renewal_lasts_two_minutes_and_gives_a_new_lease() -> None:
    call = taken()
    first = call.lease
    second = call.renew(first, "one", 100_000, WALL_MS + 100_000)
    assert second == call.lease != first
    assert ulid_ms(second) == WALL_MS + 100_000 + LEASE_MS
    assert call.fate(100_000 + LEASE_MS + GRACE_MS - 1) is Fate.WAITS
    assert call.fate(100_000 + LEASE_MS + GRACE_MS) is Fate.BROKEN


def test_8_4_a_renewal_that_is_tried_again_gives_the_present_lease() -> None:
    call = taken()
    first = call.lease
    second = call.renew(first, "one", 30_000, WALL_MS)
    assert call.renew(first, "one", 60_000, WALL_MS) == second
    assert call.fate(30_000 + LEASE_MS + GRACE_MS) is Fate.BROKEN  # it was answered, not renewed
    third = call.renew(call.lease, "one", 60_000, WALL_MS)
    assert third not in (None, first, second)
    assert call.renew(first, "one", 60_000, WALL_MS) is None  # two before


def test_8_4_somebody_elses_lease_is_not_renewed() -> None:
    call = taken()
    assert call.renew("01KAM0000000000000000000ZZ", "one", 0, WALL_MS) is None
    assert call.renew(call.lease, "two", 0, WALL_MS) is None


def test_a_renewal_says_that_the_call_was_taken() -> None:
    call = held()
    call.renew(call.lease, "one", 0, WALL_MS)
    assert call.lose(0) is Fate.WAITS


def test_8_4_a_connection_lost_before_the_acknowledgement_leaves_the_call_to_others() -> None:
    assert held().lose(0) is Fate.ANEW


def test_a_worker_that_lost_its_connection_has_some_seconds_to_be_back() -> None:
    call = taken()
    assert call.lose(1_000) is Fate.WAITS
    assert call.fate(10_999) is Fate.WAITS
    assert call.fate(11_000) is Fate.BROKEN


def test_a_worker_that_is_back_goes_on_with_its_call() -> None:
    call = taken()
    call.lose(1_000)
    call.find(6_000)
    assert call.fate(11_000) is Fate.WAITS
    assert call.renew(call.lease, "one", 30_000, WALL_MS) is not None
    assert call.fate(30_000 + LEASE_MS + GRACE_MS - 1) is Fate.WAITS


def test_another_worker_of_the_same_name_does_not_keep_it_for_long() -> None:
    call = taken()
    call.lose(1_000)
    call.find(6_000)
    assert call.fate(45_999) is Fate.WAITS
    assert call.fate(46_000) is Fate.BROKEN


def test_another_workers_coming_means_nothing_to_calls_of_one_that_is_there() -> None:
    call = taken()
    call.find(1_000)
    assert call.fate(LEASE_MS + GRACE_MS - 1) is Fate.WAITS


def test_what_a_pausing_worker_does_not_acknowledge_soon_is_given_to_others() -> None:
    call = held()
    call.pause(1_000)
    assert call.fate(2_999) is Fate.WAITS
    assert call.fate(3_000) is Fate.ANEW


def test_what_a_pausing_worker_has_taken_it_ends() -> None:
    call = held()
    call.pause(1_000)
    call.take()
    assert call.fate(100_000) is Fate.WAITS


def test_8_4_a_call_that_a_living_worker_never_acknowledged_is_given_anew() -> None:
    call = held()
    call.heartbeat(2_999)
    assert call.fate(2_999) is Fate.WAITS, "it may be on its way"
    call.heartbeat(3_000)
    assert call.fate(3_000) is Fate.ANEW


def test_8_4_a_call_that_was_acknowledged_is_the_workers_whatever_its_heartbeats() -> None:
    call = held()
    call.take()
    call.heartbeat(60_000)
    assert call.fate(60_000) is Fate.WAITS
