"""Waits, by their rules. Goal: what came after the step asked, and in time, is never missed; one decision each."""

from __future__ import annotations

import msgspec
import pytest

from headrace.functions.correlation import partition_of_digest, signal_digest
from headrace.records.commands import SignalAsked, Wait, WaitAsked
from headrace.records.definitions import CancelOn, Concurrency, Definition, EventTrigger
from headrace.records.rows import StepState
from headrace.records.waits import SendSignal
from tests.routing.cluster import Cluster

DAY_MS = 86_400_000
FLOW = Definition("shop-flow", "shop", "flow", [EventTrigger("start")])
BY_ORDER = Wait("paid", match="data.order")


def begun(cluster: Cluster, data: object = None, *, partition: int = 0) -> str:
    """Start a run and return its id."""
    before = set(cluster.runs())
    cluster.publish("start", {"order": 1} if data is None else data, partition=partition)
    while cluster.read(partition):
        pass
    (run_id,) = set(cluster.runs()) - before
    return run_id


def ask(
    cluster: Cluster, run_id: str, *waits: Wait, step: str = "w", timeout_ms: int = 60_000, since: bool = False
) -> None:
    home = cluster.home_of(run_id)
    assert home is not None
    cluster.apply(home, WaitAsked(run_id, step.encode(), list(waits) or [BY_ORDER], timeout_ms, since))


def is_pending(cluster: Cluster, run_id: str, step: str = "w") -> bool:
    row = cluster.step(run_id, step)
    assert row is not None
    return row.state == StepState.PENDING


def warm(cluster: Cluster, *waits: Wait) -> None:
    """Let every partition know the shapes, and some time pass, so that nothing has to be looked back for."""
    run_id = begun(cluster, {"order": "nobody's"})
    ask(cluster, run_id, *waits, step="warm", timeout_ms=1_000)
    cluster.drain()
    cluster.advance(10_000)
    cluster.drain()
    assert not cluster.jobs[0]


def serials(cluster: Cluster, run_id: str, step: str = "w") -> object:
    output = cluster.output(run_id, step)
    return output if output is None else output["event"]["data"].get("serial")  # type: ignore[index]


@pytest.mark.parametrize("known", [False, True], ids=["new shape", "known shape"])
@pytest.mark.parametrize("partition", [0, 1, 2])
def test_an_event_with_the_same_value_resolves_the_wait(known: bool, partition: int) -> None:
    cluster = Cluster(FLOW)
    if known:
        warm(cluster, BY_ORDER)
    run_id = begun(cluster)
    ask(cluster, run_id)
    cluster.drain()
    cluster.publish("paid", {"order": 2, "serial": 1}, partition=partition)
    cluster.drain()
    assert is_pending(cluster, run_id)
    cluster.publish("paid", {"order": 1.0, "serial": 2}, partition=partition)
    cluster.drain()
    output = cluster.output(run_id, "w")
    assert output["index"] == 0  # type: ignore[index]
    assert output["event"]["name"] == "paid"  # type: ignore[index]
    assert output["event"]["data"] == {"order": 1.0, "serial": 2}  # type: ignore[index]
    assert cluster.left()["waiters"] == 0


@pytest.mark.parametrize("known", [False, True], ids=["new shape", "known shape"])
@pytest.mark.parametrize("partition", [0, 1, 2])
def test_an_event_that_came_while_the_asking_was_on_its_way_counts(known: bool, partition: int) -> None:
    cluster = Cluster(FLOW)
    if known:
        warm(cluster, BY_ORDER)
    run_id = begun(cluster)
    ask(cluster, run_id)
    cluster.publish("paid", {"order": 1, "serial": 7}, partition=partition)
    while cluster.read(partition):  # before anybody has heard of the wait
        pass
    cluster.drain()
    assert serials(cluster, run_id) == 7


def test_an_event_from_before_the_asking_does_not_count_but_for_skew() -> None:
    cluster = Cluster(FLOW)
    run_id = begun(cluster)
    cluster.publish("paid", {"order": 1, "serial": 1})
    cluster.advance(5_001)
    ask(cluster, run_id)
    cluster.drain()
    assert is_pending(cluster, run_id)
    other = begun(cluster, {"order": 2})
    cluster.publish("paid", {"order": 2, "serial": 2})
    cluster.advance(4_999)
    ask(cluster, other)
    cluster.drain()
    assert serials(cluster, other) == 2


def test_an_old_event_that_its_partition_reads_late_does_not_count() -> None:
    cluster = Cluster(FLOW)
    warm(cluster, BY_ORDER)
    run_id = begun(cluster)
    cluster.publish("paid", {"order": 1, "serial": 1}, partition=1)  # not read for a while
    cluster.now_ms += 20_000
    ask(cluster, run_id)
    cluster.drain()
    assert is_pending(cluster, run_id)


def test_what_started_the_run_resolves_none_of_its_waits() -> None:
    cluster = Cluster(FLOW)
    run_id = begun(cluster)
    ask(cluster, run_id, Wait("start", match="data.order"))
    ask(cluster, run_id, Wait("start", match="data.order"), step="since", since=True)
    cluster.drain()
    assert is_pending(cluster, run_id)
    assert is_pending(cluster, run_id, "since")
    cluster.publish("start", {"order": 1, "serial": 5})
    cluster.drain()
    (resolved,) = [step for step in ("w", "since") if not is_pending(cluster, run_id, step)]
    assert serials(cluster, run_id, resolved) == 5


@pytest.mark.parametrize("known", [False, True], ids=["new shape", "known shape"])
def test_since_the_run_reaches_back_to_what_started_it(known: bool) -> None:
    cluster = Cluster(FLOW)
    if known:
        warm(cluster, BY_ORDER)
    cluster.publish("paid", {"order": 1, "serial": 1}, partition=2)
    cluster.advance(1)
    run_id = begun(cluster)
    cluster.publish("paid", {"order": 1, "serial": 2}, partition=1)
    cluster.publish("paid", {"order": 1, "serial": 3}, partition=2)
    cluster.drain()
    cluster.advance(DAY_MS)
    cluster.drain()
    ask(cluster, run_id, step="plain")
    ask(cluster, run_id, since=True)
    cluster.drain()
    assert serials(cluster, run_id) == 2
    assert is_pending(cluster, run_id, "plain")
    ask(cluster, run_id, step="second", since=True)
    cluster.drain()
    assert serials(cluster, run_id, "second") == 3, "what has resolved one wait resolves no other"


def test_since_the_run_beyond_the_retention_is_an_error_of_the_step() -> None:
    cluster = Cluster(FLOW)
    run_id = begun(cluster)
    cluster.advance(8 * DAY_MS)
    cluster.gone_ms = cluster.now_ms - 7 * DAY_MS
    ask(cluster, run_id)
    ask(cluster, run_id, step="since", since=True)
    cluster.drain()
    row = cluster.step(run_id, "since")
    assert row is not None
    assert row.state == StepState.FAILED
    assert row.failure is not None
    assert row.failure.name == "EventsExpired"
    assert not row.failure.retriable
    assert is_pending(cluster, run_id), "one that asks for no more than what is there goes on"


@pytest.mark.parametrize("known", [False, True], ids=["new shape", "known shape"])
def test_nothing_in_time_is_none(known: bool) -> None:
    cluster = Cluster(FLOW)
    if known:
        warm(cluster, BY_ORDER)
    run_id = begun(cluster)
    ask(cluster, run_id, timeout_ms=60_000)
    cluster.drain()
    cluster.advance(59_999)
    assert is_pending(cluster, run_id)
    cluster.advance(1)
    cluster.drain()
    assert cluster.output(run_id, "w") is None
    assert cluster.left()["waiters"] == 0


def test_a_time_out_waits_for_the_look_back() -> None:
    cluster = Cluster(FLOW)
    run_id = begun(cluster)
    ask(cluster, run_id, timeout_ms=1_000)
    cluster.publish("paid", {"order": 1, "serial": 4}, partition=1)
    while cluster.read(1):
        pass
    # Everything but the look-back arrives, and the time is over.
    moved = True
    while moved:
        moved = any([cluster.tell(n) for n in range(3)] + [cluster.deliver(*link) for link in list(cluster.links)])
    cluster.now_ms += 2_000
    cluster.fire()
    for link in list(cluster.links):
        while cluster.deliver(*link):
            pass
    assert is_pending(cluster, run_id)
    cluster.drain()
    assert serials(cluster, run_id) == 4


def test_the_earliest_of_several_wins() -> None:
    cluster = Cluster(FLOW)
    run_id = begun(cluster)
    cluster.advance(100)
    ask(cluster, run_id)
    for serial, partition in ((1, 2), (2, 0), (3, 1)):
        cluster.publish("paid", {"order": 1, "serial": serial}, partition=partition)
        cluster.now_ms += 1
    for partition in (0, 1, 2):
        while cluster.read(partition):
            pass
    cluster.drain()
    assert serials(cluster, run_id) == 1


def test_of_several_waits_the_first_wins_and_the_others_are_withdrawn() -> None:
    cluster = Cluster(FLOW)
    run_id = begun(cluster)
    ask(cluster, run_id, BY_ORDER, Wait("refused", match="data.order"), Wait("tick"))
    cluster.drain()
    assert cluster.left() == {"waits": 1, "waiters": 3, "undecided": 0}
    cluster.publish("refused", {"order": 1, "serial": 9})
    cluster.drain()
    assert cluster.output(run_id, "w")["index"] == 1  # type: ignore[index]
    assert cluster.left()["waiters"] == 0
    assert [record.kind for record in cluster.history if record.step_id == "w"] == ["StepPlanned", "StepEnded"]


def test_several_waits_time_out_once_all_have() -> None:
    cluster = Cluster(FLOW)
    run_id = begun(cluster)
    ask(cluster, run_id, BY_ORDER, Wait("tick"), timeout_ms=5_000)
    cluster.drain()
    cluster.advance(5_000)
    cluster.drain()
    assert cluster.output(run_id, "w") is None
    assert cluster.left()["waiters"] == 0


def test_one_event_resolves_one_of_two_waits_of_a_run_and_both_of_two_runs() -> None:
    cluster = Cluster(FLOW)
    one, other = begun(cluster), begun(cluster, partition=1)
    ask(cluster, one, step="a")
    ask(cluster, one, Wait("paid"), step="b")  # decided elsewhere: only the home can tell that it is the same event
    ask(cluster, other, step="a")
    cluster.drain()
    cluster.publish("paid", {"order": 1, "serial": 1}, partition=2)
    cluster.drain()
    assert serials(cluster, other, "a") == 1
    pending = [step for step in "ab" if is_pending(cluster, one, step)]
    assert len(pending) == 1
    cluster.publish("paid", {"order": 1, "serial": 2}, partition=2)
    cluster.drain()
    assert {serials(cluster, one, "a"), serials(cluster, one, "b")} == {1, 2}


@pytest.mark.parametrize(
    ("wait", "data", "matched"),
    [
        (Wait("paid", match="data.order"), {}, False),
        (Wait("paid", match="data.order"), {"order": None}, False),
        (Wait("paid", match="data.order"), {"order": "1"}, False),
        (Wait("paid", match="data.order"), {"order": True}, False),
        (Wait("paid", expression="event.data.order == async.data.id"), {"id": 1}, True),
        (Wait("paid", expression="async.data.id == event.data.order && async.data.total > 5"), {"id": 1}, False),
        (
            Wait("paid", expression="async.data.id == event.data.order && async.data.total > 5"),
            {"id": 1, "total": 6},
            True,
        ),
        (Wait("paid", expression="async.data.total > event.data.order"), {"total": 2}, True),
        (Wait("paid", expression="async.data.total > event.data.order"), {"total": 1}, False),
        (Wait("paid"), {}, True),
    ],
)
def test_conditions(wait: Wait, data: dict[str, object], matched: bool) -> None:
    cluster = Cluster(FLOW)
    run_id = begun(cluster)
    ask(cluster, run_id, wait)
    cluster.drain()
    cluster.publish("paid", data, partition=1)
    cluster.drain()
    assert is_pending(cluster, run_id) is not matched


def test_a_run_without_the_value_is_never_matched_and_times_out() -> None:
    cluster = Cluster(FLOW)
    run_id = begun(cluster, {"other": 1})
    ask(cluster, run_id)
    cluster.drain()
    for data in ({}, {"order": None}, {"order": 1}):
        cluster.publish("paid", data)
    cluster.drain()
    assert is_pending(cluster, run_id)
    cluster.advance(60_000)
    cluster.drain()
    assert cluster.output(run_id, "w") is None


def test_an_expression_that_does_not_compile_fails_the_step() -> None:
    cluster = Cluster(FLOW)
    run_id = begun(cluster)
    ask(cluster, run_id, Wait("paid", expression="event.data.order =="))
    row = cluster.step(run_id, "w")
    assert row is not None
    assert row.state == StepState.FAILED
    assert row.failure is not None
    assert row.failure.name == "InvalidExpression"


def test_a_run_that_ends_withdraws_its_waits() -> None:
    stop = Definition(
        "shop-flow", "shop", "flow", [EventTrigger("start")], cancel_on=[CancelOn("stop", match="data.order")]
    )
    cluster = Cluster(stop)
    run_id = begun(cluster)
    ask(cluster, run_id, BY_ORDER, Wait("tick"))
    home = cluster.home_of(run_id)
    assert home is not None
    cluster.apply(home, SignalAsked(run_id, b"s", "go", 0))
    cluster.drain()
    assert cluster.left()["waiters"] == 4
    cluster.publish("stop", {"order": 1})
    cluster.drain()
    assert run_id not in cluster.runs()
    assert cluster.left() == {"waits": 0, "waiters": 0, "undecided": 0}
    (ended,) = [record for record in cluster.history if record.kind == "RunEnded"]
    assert ended.status == "Cancelled"
    assert "stop" in ended.error_message


def test_a_shape_that_nobody_waits_for_is_taken_down_after_a_week_and_comes_back() -> None:
    cluster = Cluster(FLOW)
    run_id = begun(cluster)
    ask(cluster, run_id, timeout_ms=3 * DAY_MS)
    cluster.drain()
    assert all(row.forwarding for _, row in cluster.shape_rows())
    cluster.advance(8 * DAY_MS)
    cluster.drain()
    assert all(row.forwarding for _, row in cluster.shape_rows()), "for some of the time somebody has waited"
    cluster.advance(4 * DAY_MS)
    cluster.drain()
    assert not any(row.forwarding for _, row in cluster.shape_rows())
    assert cluster.remembered() == 0
    ask(cluster, run_id, step="again")
    cluster.publish("paid", {"order": 1, "serial": 8}, partition=1)
    cluster.drain()
    assert serials(cluster, run_id, "again") == 8


def test_a_shape_that_somebody_waits_for_stays() -> None:
    cluster = Cluster(FLOW)
    run_id = begun(cluster)
    ask(cluster, run_id, timeout_ms=0)
    cluster.drain()
    cluster.advance(60 * DAY_MS)
    cluster.publish("paid", {"order": 1, "serial": 8}, partition=1)
    cluster.drain()
    assert serials(cluster, run_id) == 8


def test_somebody_who_asks_while_the_shape_is_taken_down_misses_nothing() -> None:
    cluster = Cluster(FLOW)
    run_id = begun(cluster)
    ask(cluster, run_id, step="first", timeout_ms=1_000)
    cluster.drain()
    words = len(cluster.functions)
    while len(cluster.functions) == words:
        cluster.advance(DAY_MS)
        cluster.drain_commands()
    ask(cluster, run_id)
    cluster.drain_commands()  # the holder has the waiter before it hears that the shape is down
    for number in range(3):
        cluster.tell(number)
    cluster.publish("paid", {"order": 1, "serial": 8}, partition=1)
    while cluster.read(1):  # nobody forwards it
        pass
    cluster.drain()
    assert serials(cluster, run_id) == 8


def test_recent_events_are_forgotten() -> None:
    cluster = Cluster(FLOW)
    warm(cluster, BY_ORDER)
    for number in range(20):
        cluster.publish("paid", {"order": number}, partition=number % 3)
    cluster.drain()
    assert cluster.remembered() == 40
    cluster.advance(10 * 60_000)
    assert cluster.remembered() == 0


def signal(cluster: Cluster, name: str, request: str = "r1") -> str:
    """Send a signal and tell what became of it."""
    target = partition_of_digest(signal_digest(name), len(cluster.all))
    cluster.apply(target, SendSignal(request, name, b'{"ok":true}'))
    cluster.drain()
    (verdict,) = [r for r in cluster.history if r.kind == "EventVerdict" and r.event_ids == [request]]
    return verdict.run_id or verdict.status


def test_a_signal_goes_to_the_run_that_has_waited_longest() -> None:
    cluster = Cluster(FLOW)
    runs = [begun(cluster), begun(cluster, partition=1)]
    for run_id in runs:
        home = cluster.home_of(run_id)
        assert home is not None
        cluster.apply(home, SignalAsked(run_id, b"s", "go", 10_000))
        cluster.advance(1)
    assert signal(cluster, "stop") == "nobody_waits"
    cluster.drain()
    assert signal(cluster, "go", "r2") == runs[0]
    assert cluster.output(runs[0], "s") == {"signal": "go", "data": {"ok": True}}
    assert is_pending(cluster, runs[1], "s")
    cluster.advance(10_000)
    cluster.drain()
    assert cluster.output(runs[1], "s") is None
    assert signal(cluster, "go", "r3") == "nobody_waits"


def waits_for(cluster: Cluster, run_id: str, conflict: str) -> None:
    """Have a run wait for the signal `go`."""
    home = cluster.home_of(run_id)
    assert home is not None
    cluster.apply(home, SignalAsked(run_id, b"s", "go", 10_000, conflict))
    cluster.advance(1)
    cluster.drain()


def test_a_run_that_asks_for_it_fails_where_another_one_waits_for_its_signal() -> None:
    cluster = Cluster(FLOW)
    first, second = begun(cluster), begun(cluster, partition=1)
    waits_for(cluster, first, "fail")
    waits_for(cluster, second, "fail")
    (ended,) = [r for r in cluster.history if r.kind == "RunEnded"]
    assert (ended.run_id, ended.status, ended.code) == (second, "Failed", "signal_conflict")
    assert ended.error_name == "SignalConflict"
    assert first in ended.error_message
    assert signal(cluster, "go") == first
    # The signal is free again: nobody stands in the way of the next one.
    third = begun(cluster, partition=2)
    waits_for(cluster, third, "fail")
    assert signal(cluster, "go", "r2") == third


def test_a_run_may_take_the_place_of_the_one_that_waits_for_its_signal() -> None:
    cluster = Cluster(FLOW)
    first, second = begun(cluster), begun(cluster, partition=1)
    waits_for(cluster, first, "replace")
    waits_for(cluster, second, "replace")
    assert signal(cluster, "go") == second
    assert signal(cluster, "go", "r2") == "nobody_waits"
    assert is_pending(cluster, first, "s")
    cluster.advance(10_000)
    cluster.drain()
    assert cluster.output(first, "s") is None


CANCELLED = Definition(
    "shop-flow",
    "shop",
    "flow",
    [EventTrigger("start")],
    cancel_on=[CancelOn("stop", match="data.order", timeout_ms=1_000)],
)


@pytest.mark.parametrize("partition", [0, 1, 2])
def test_a_cancellation_that_overtakes_its_run(partition: int) -> None:
    cluster = Cluster(CANCELLED)
    cluster.publish("stop", {"order": 1}, partition=partition)
    cluster.now_ms += 1
    cluster.publish("start", {"order": 1}, partition=1)
    cluster.publish("stop", {"order": 1}, partition=partition)
    if partition != 1:
        while cluster.read(partition):  # before there is a run, and before anybody knows of cancellations
            pass
    cluster.drain()
    assert not cluster.runs()


@pytest.mark.parametrize("stopped", [True, False])
def test_a_run_that_was_held_begins_once_it_is_known_that_nothing_has_cancelled_it(stopped: bool) -> None:
    cluster = Cluster(CANCELLED)
    cluster.publish("start", {"order": 1}, partition=1)
    cluster.now_ms += 30_000  # as if a stage had held it, or the log had not been read
    cluster.publish("stop", {"order": 1 if stopped else 2}, partition=2)
    while cluster.read(1):
        pass
    ((run_id, (home, _)),) = cluster.runs().items()
    assert cluster.all[home].effects == [], "its code must not begin"
    cluster.hand_over(home)
    cluster.drain()
    ended = [record.status for record in cluster.history if record.kind == "RunEnded"]
    assert ended == (["Cancelled"] if stopped else [])
    assert cluster.started.count(run_id) == (0 if stopped else 1)


def test_a_run_that_was_held_keeps_its_queue() -> None:
    limited = msgspec.structs.replace(CANCELLED, concurrency=[Concurrency(1)])
    cluster = Cluster(limited)
    for number in range(3):
        cluster.publish("start", {"order": number}, partition=1)
    cluster.now_ms += 30_000
    cluster.publish("stop", {"order": 0}, partition=2)
    cluster.drain()
    first, second = cluster.runs()
    assert cluster.started in ([first], [second])
    one, other = (first, second) if cluster.started == [first] else (second, first)
    cluster.publish("stop", {"order": 1}, partition=0)
    cluster.publish("stop", {"order": 2}, partition=0)
    cluster.drain()
    assert not cluster.runs()
    assert set(cluster.started) <= {one, other}
    assert cluster.left() == {"waits": 0, "waiters": 0, "undecided": 0}


def test_events_before_the_run_and_of_others_and_too_late_cancel_nothing() -> None:
    cluster = Cluster(CANCELLED)
    cluster.publish("stop", {"order": 1})
    cluster.advance(1)
    run_id = begun(cluster)
    cluster.publish("stop", {"order": 2})
    cluster.publish("stop", {})
    cluster.drain()
    cluster.advance(1_001)
    cluster.drain()
    cluster.publish("stop", {"order": 1})
    cluster.drain()
    assert run_id in cluster.runs()


def test_one_look_up_however_many_wait() -> None:
    """What an event costs does not grow with the waiters of other values."""
    cluster = Cluster(FLOW, partitions=1, events_partitions=1)
    warm(cluster, BY_ORDER)
    runs = [begun(cluster, {"order": number}) for number in range(200)]
    for run_id in runs:
        ask(cluster, run_id, timeout_ms=0)
    cluster.drain()
    waiters = cluster.all[0].overlay.waiting.waiters
    looked_at: list[bytes] = []
    get = waiters.get
    waiters.get = lambda key: looked_at.append(key) or get(key)  # type: ignore[method-assign, func-returns-value, assignment]
    cluster.publish("paid", {"order": 7, "serial": 1})
    cluster.drain()
    assert serials(cluster, runs[7]) == 1
    assert len(set(looked_at)) <= 1
