"""Which worker gets a call. Goal: one that is healthy, has the function and has room; none gets more than it takes."""

from __future__ import annotations

from headrace.execution.connect.session import Session
from headrace.execution.connect.settings import CAPACITY, ConnectSettings
from headrace.execution.connect.workers import Worker, Workers
from tests.execution.connect.workers import app, hello


def worker(instance: str = "one", *, capacity: int | None = None, functions: tuple[str, ...] = ("shop-pay",)) -> Worker:
    """Make a worker that is ready since time 0."""
    session = Session(lambda told: True, ConnectSettings(), 0)
    session.receive(hello(app("shop", functions), instance=instance, capacity=capacity), 0)
    session.registered(0)
    return Worker(session, {"shop": frozenset(functions)})


def all_of(*present: Worker, pick: int = 0) -> Workers:
    workers = Workers(lambda n: pick % n)
    for one in present:
        workers.add(one)
    return workers


def test_8_4_any_worker_with_room_is_chosen() -> None:
    one, two = worker("one"), worker("two")
    for number, expected in ((0, one), (1, two)):
        workers = all_of(one, two, pick=number)
        assert workers.choose(workers.serving("shop", "shop-pay", 0)) is expected


def test_8_4_calls_are_shared_out_by_the_room_that_workers_have() -> None:
    small, large = worker("small", capacity=1), worker("large", capacity=3)
    workers = all_of(small, large, pick=1)
    serving = workers.serving("shop", "shop-pay", 0)
    assert [workers.choose(serving) for _ in range(5)] == [large, small, large, large, None]


def test_8_4_only_workers_that_have_the_function_and_are_healthy_serve_it() -> None:
    old, new = worker("old"), worker("new", functions=("shop-pay", "shop-ship"))
    workers = all_of(old, new)
    assert workers.serving("shop", "shop-pay", 0) == [old, new]
    assert workers.serving("shop", "shop-ship", 0) == [new]
    assert workers.serving("shop", "shop-pay", 20_001) == []
    assert workers.serving("mail", "shop-pay", 0) == []
    workers.remove(new)
    assert workers.serving("shop", "shop-ship", 0) == []


def test_8_4_an_instance_takes_as_many_calls_as_it_says() -> None:
    workers = all_of(worker(capacity=2))
    serving = workers.serving("shop", "shop-pay", 0)
    assert [workers.choose(serving) is not None for _ in range(3)] == [True, True, False]
    workers.release("one")
    assert workers.choose(serving) is serving[0]


def test_8_4_an_instance_that_does_not_say_takes_a_thousand() -> None:
    assert CAPACITY == 1000
    for unsaid in (None, 0):
        workers = all_of(worker(capacity=unsaid))
        serving = workers.serving("shop", "shop-pay", 0)
        chosen = [workers.choose(serving) is not None for _ in range(CAPACITY + 1)]
        assert chosen == [True] * CAPACITY + [False]


def test_connections_of_one_instance_share_its_room() -> None:
    first, second = worker("one", capacity=1), worker("one", capacity=1)
    workers = all_of(first, second)
    serving = workers.serving("shop", "shop-pay", 0)
    assert workers.choose(serving) is first
    assert workers.choose(serving) is None
    workers.remove(first)  # its calls may still be answered
    assert workers.choose(workers.serving("shop", "shop-pay", 0)) is None
    workers.release("one")
    assert workers.choose(workers.serving("shop", "shop-pay", 0)) is second


def test_a_worker_is_let_go_once() -> None:
    one = worker()
    workers = all_of(one)
    workers.choose([one])
    workers.remove(one)
    workers.remove(one)
    assert workers.busy("one") == 1
    workers.release("one")
    assert workers.busy("one") == 0
    assert len(workers) == 0
