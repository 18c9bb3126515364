"""The loop on virtual time. Goal: asyncio as users know it, the same every time, and not a moment of real waiting."""

from __future__ import annotations

import asyncio
import contextvars
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from headrace.adapters.manual_clock import EPOCH_MS, ManualClock
from headrace.adapters.rendezvous import Rendezvous
from headrace.adapters.virtual_loop import VirtualLoop
from headrace.errors import HeadraceError

DAY_S = 86_400.0


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    with VirtualLoop() as loop:
        yield loop


def test_three_days_pass_at_once_and_timers_fire_at_their_times(loop: VirtualLoop) -> None:
    fired: list[tuple[float, str]] = []

    def note(name: str) -> None:
        fired.append((loop.time(), name))

    loop.call_later(2 * DAY_S, note, "later")
    loop.call_later(1.5, note, "soon")
    loop.call_later(4 * DAY_S, note, "too late")
    started = time.perf_counter()
    loop.advance(3 * DAY_S)
    assert time.perf_counter() - started < 1.0
    assert fired == [(1.5, "soon"), (2 * DAY_S, "later")]
    assert loop.time() == 3 * DAY_S
    loop.advance(DAY_S)
    assert fired[2:] == [(4 * DAY_S, "too late")]


def test_calls_of_one_instant_run_in_the_order_in_which_they_were_scheduled(loop: VirtualLoop) -> None:
    ran: list[int] = []
    for number in range(200):
        loop.call_later(1.0 if number % 2 else 0.5 + 0.5, ran.append, number)
    for number in range(1000, 1100):
        loop.call_soon(ran.append, number)
    loop.advance(2)
    assert ran == [*range(1000, 1100), *range(200)]


def test_what_is_called_in_a_callback_runs_in_a_later_round(loop: VirtualLoop) -> None:
    ran: list[str] = []

    def first() -> None:
        loop.call_soon(ran.append, "third")
        loop.call_later(0, ran.append, "fourth")
        ran.append("first")

    loop.call_soon(first)
    loop.call_soon(ran.append, "second")
    loop.advance(0)
    assert sorted(ran[2:]) == ["fourth", "third"]
    assert ran[:2] == ["first", "second"]
    assert loop.time() == 0.0


def test_what_was_taken_back_does_not_run(loop: VirtualLoop) -> None:
    ran: list[str] = []
    kept = loop.call_later(1, ran.append, "kept")
    calls = [loop.call_later(1, ran.append, "timer"), loop.call_soon(ran.append, "soon")]
    for call in calls:
        call.cancel()
        call.cancel()
    assert [call.cancelled() for call in (kept, *calls)] == [False, True, True]
    assert kept.when() == 1.0
    loop.advance(2)
    kept.cancel()  # too late, and harmless
    assert ran == ["kept"]


def test_timers_taken_back_do_not_pile_up(loop: VirtualLoop) -> None:
    """Method: a time-out for every request, nearly all of them taken back; then look at what the loop still holds."""
    fired: list[int] = []
    for number in range(20_000):
        timer = loop.call_later(3600, fired.append, number)
        if number % 1000:
            timer.cancel()
    assert len(loop._timers) < 500
    loop.advance(3600)
    assert fired == list(range(0, 20_000, 1000))
    assert loop._timers == []


def test_running_until_idle_goes_as_far_as_there_are_timers(loop: VirtualLoop) -> None:
    async def work() -> str:
        await asyncio.sleep(7 * DAY_S)
        return "done"

    task = loop.create_task(work())
    assert not loop.run_until_idle(DAY_S)
    assert loop.time() == 0.0
    assert loop.run_until_idle()
    assert task.result() == "done"
    assert loop.time() == 7 * DAY_S


def test_running_until_a_condition_stops_there(loop: VirtualLoop) -> None:
    ticks: list[float] = []

    def tick() -> None:
        ticks.append(loop.time())
        loop.call_later(1, tick)

    loop.call_later(1, tick)
    assert loop.run_until(lambda: len(ticks) == 5, 100)
    assert loop.time() == 5.0
    assert not loop.run_until(lambda: len(ticks) == 500, 100)
    assert len(ticks) == 105
    assert loop.run_until(lambda: True, 0)


def test_the_tools_of_asyncio_work_on_it(loop: VirtualLoop) -> None:
    async def produce(queue: asyncio.Queue[int], lock: asyncio.Lock) -> None:
        for number in range(5):
            await asyncio.sleep(10)
            async with lock:
                await queue.put(number)

    async def numbers() -> AsyncIterator[int]:
        for number in range(3):
            await asyncio.sleep(1)
            yield number

    async def main() -> list[object]:
        queue: asyncio.Queue[int] = asyncio.Queue()
        started = loop.time()
        async with asyncio.TaskGroup() as group:
            group.create_task(produce(queue, asyncio.Lock()))
            got = [await queue.get() for _ in range(5)]
        seen: list[object] = [got, loop.time() - started]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await asyncio.Event().wait()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 30)
        seen.append([number async for number in numbers()])
        done, waiting = await asyncio.wait(
            [asyncio.ensure_future(asyncio.sleep(5)), asyncio.ensure_future(asyncio.sleep(50))], timeout=20
        )
        seen += [len(done), len(waiting), await asyncio.gather(asyncio.sleep(3, "a"), asyncio.sleep(1, "b"))]
        for task in waiting:
            task.cancel()
        seen.append(loop.time())
        return seen

    assert loop.run_until_complete(main()) == [[0, 1, 2, 3, 4], 50.0, [0, 1, 2], 1, 1, ["a", "b"], 136.0]


def test_a_runner_of_asyncio_takes_it() -> None:
    async def main() -> float:
        await asyncio.to_thread(int)
        await asyncio.sleep(DAY_S)
        return asyncio.get_running_loop().time()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(main()) == DAY_S


def test_context_variables_follow_tasks_and_calls(loop: VirtualLoop) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")
    seen: list[str] = []

    async def child() -> None:
        await asyncio.sleep(1)
        seen.append(variable.get())

    async def parent(name: str) -> None:
        variable.set(name)
        loop.call_later(2, lambda: seen.append(variable.get() + " later"))
        await asyncio.create_task(child())

    loop.create_task(parent("a"))
    loop.create_task(parent("b"))
    loop.advance(3)
    assert seen == ["a", "b", "a later", "b later"]
    assert variable.get() == "none"


def test_an_exception_in_a_callback_comes_out_and_the_loop_goes_on(loop: VirtualLoop) -> None:
    ran: list[str] = []

    def fail() -> None:
        raise ValueError("planted")

    loop.call_soon(fail)
    loop.call_soon(ran.append, "next")
    with pytest.raises(ValueError, match="planted"):
        loop.advance(1)
    assert not loop.is_running()
    loop.advance(1)
    assert ran == ["next"]

    told: list[object] = []
    loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
    loop.call_soon(fail)
    loop.call_soon(ran.append, "last")
    loop.advance(1)
    assert ran == ["next", "last"]
    assert len(told) == 1
    loop.set_exception_handler(None)
    loop.call_soon(fail)
    with pytest.raises(ValueError, match="planted"):
        loop.advance(1)


def test_waiting_for_what_can_never_come_is_an_error(loop: VirtualLoop) -> None:
    with pytest.raises(HeadraceError) as raised:
        loop.run_until_complete(asyncio.wait_for(asyncio.Event().wait(), None))
    assert raised.value.code == "loop_idle"


def test_polling_without_time_is_an_error() -> None:
    async def poll() -> None:
        while True:
            await asyncio.sleep(0)

    with VirtualLoop(rounds_max=1000) as loop:
        loop.create_task(poll())
        with pytest.raises(HeadraceError) as raised:
            loop.advance(1)
    assert raised.value.code == "loop_spinning"


@pytest.mark.parametrize("name", ["create_connection", "create_server", "subprocess_exec", "add_reader"])
def test_there_is_no_network_on_it(loop: VirtualLoop, name: str) -> None:
    with pytest.raises(HeadraceError) as raised:
        getattr(loop, name)(None, "localhost", 80)
    assert raised.value.code == "loop_without_network"
    assert name in raised.value.what


def test_it_opens_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socketpair", refuse)
    monkeypatch.setattr(socket, "socket", refuse)
    with VirtualLoop() as loop:
        loop.run_until_complete(asyncio.sleep(1))


def test_leaving_it_ends_the_tasks_that_are_left() -> None:
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(DAY_S)
        finally:
            await asyncio.sleep(1)
            ended.append("cleaned up")

    with VirtualLoop() as loop:
        task = loop.create_task(work())
        loop.advance(1)
    assert ended == ["cleaned up"]
    assert task.cancelled()
    assert loop.is_closed()
    with pytest.raises(RuntimeError, match="closed"):
        loop.call_soon(print)
    with pytest.raises(RuntimeError, match="closed"):
        loop.call_soon_threadsafe(print)


# --- threads ----------------------------------------------------------------------------------------------------


def test_time_waits_for_a_thread(loop: VirtualLoop) -> None:
    """Method: a thread ends only when the test lets it; a timer must not fire before."""
    gate = threading.Event()
    order: list[str] = []

    async def work() -> None:
        order.append(await loop.run_in_executor(None, lambda: "thread" if gate.wait(30) else "never"))

    loop.create_task(work())
    loop.call_later(0.001, order.append, "timer")
    opener = threading.Timer(0.05, gate.set)
    opener.start()
    loop.advance(3600)
    opener.join()
    assert order == ["thread", "timer"]


def test_it_does_not_burn_the_processor_while_it_waits_for_a_thread(loop: VirtualLoop) -> None:
    gate = threading.Event()
    loop.run_in_executor(None, gate.wait, 30)
    opener = threading.Timer(0.3, gate.set)
    opener.start()
    started = time.thread_time()
    loop.advance(1)
    opener.join()
    assert time.thread_time() - started < 0.15


def test_many_threads_give_their_results_and_take_no_time(loop: VirtualLoop) -> None:
    async def main() -> list[str]:
        return await asyncio.gather(*(asyncio.to_thread(str, number) for number in range(50)))

    assert loop.run_until_complete(main()) == [str(number) for number in range(50)]
    assert loop.time() == 0.0


def test_a_thread_that_fails_and_one_that_nobody_waits_for(loop: VirtualLoop) -> None:
    def fail() -> None:
        raise ValueError("planted")

    async def main() -> None:
        with pytest.raises(ValueError, match="planted"):
            await asyncio.to_thread(fail)

    gate = threading.Event()
    left = loop.run_in_executor(None, gate.wait, 30)
    left.cancel()
    loop.run_until_complete(main())
    loop.advance(10)  # does not wait for the cancelled one
    gate.set()
    assert loop.time() == 10.0


def test_a_thread_that_never_ends_is_an_error() -> None:
    gate = threading.Event()
    with VirtualLoop(patience_s=0.05) as loop:
        future = loop.run_in_executor(None, gate.wait, 30)
        with pytest.raises(HeadraceError) as raised:
            loop.advance(1)
        assert raised.value.code == "thread_stuck"
        gate.set()
        loop.run_until_complete(future)


def test_a_thread_may_wait_for_what_only_time_can_bring(loop: VirtualLoop) -> None:
    """Method: threads meet the loop several times, each answer an hour later; every run gives the same order."""

    def answer_later(meeting: Rendezvous[float]) -> None:
        loop.call_later(3600, lambda: meeting.give(loop.time()))

    def ask(name: str) -> list[float]:
        answers = []
        for _ in range(5):
            meeting: Rendezvous[float] = Rendezvous(loop)
            loop.call_soon_threadsafe(answer_later, meeting)
            answers.append(meeting.wait())
        return answers

    async def main() -> list[list[float]]:
        with ThreadPoolExecutor(3) as threads:
            return await asyncio.gather(*(loop.run_in_executor(threads, ask, name) for name in "abc"))

    assert loop.run_until_complete(main()) == [[3600.0 * hour for hour in range(1, 6)]] * 3


def test_a_thread_is_given_an_error_as_it_is(loop: VirtualLoop) -> None:
    meeting: Rendezvous[None] = Rendezvous(loop)
    loop.call_later(5, lambda: meeting.fail(ValueError("planted")))
    future = loop.run_in_executor(None, meeting.wait)
    with pytest.raises(ValueError, match="planted"):
        loop.run_until_complete(future)
    assert loop.time() == 5.0


def test_what_was_given_before_anybody_waited_is_there(loop: VirtualLoop) -> None:
    meeting: Rendezvous[str] = Rendezvous(loop)
    meeting.give("early")
    loop.call_later(1, lambda: None)
    assert loop.run_until_complete(loop.run_in_executor(None, meeting.wait)) == "early"
    assert loop.time() == 0.0


def test_a_rendezvous_works_on_an_ordinary_loop() -> None:
    async def main() -> str:
        meeting: Rendezvous[str] = Rendezvous(asyncio.get_running_loop())
        asyncio.get_running_loop().call_later(0.01, meeting.give, "given")
        return await asyncio.to_thread(meeting.wait)

    assert asyncio.run(main()) == "given"


# --- clocks -----------------------------------------------------------------------------------------------------


def test_a_clock_shows_virtual_time_in_whole_milliseconds(loop: VirtualLoop) -> None:
    clock = ManualClock(loop.time, zero_ms=5)
    assert (clock.monotonic_ms(), clock.wall_ms()) == (5, EPOCH_MS)
    for _ in range(1000):
        loop.advance(0.001)
    assert (clock.monotonic_ms(), clock.wall_ms()) == (1005, EPOCH_MS + 1000)


def test_a_timer_never_fires_a_millisecond_early_by_the_clock(loop: VirtualLoop) -> None:
    clock = ManualClock(loop.time, zero_ms=123_456_789)
    late: list[int] = []

    def check(due_ms: int) -> Callable[[], None]:
        return lambda: late.append(clock.monotonic_ms() - due_ms)

    for step in range(2000):
        delay_ms = step * 7919 % 100_003
        loop.call_later(delay_ms / 1000, check(clock.monotonic_ms() + delay_ms))
        loop.advance(0.0007 * (step % 3))
    loop.advance(200)
    assert len(late) == 2000
    assert min(late) >= 0


def test_a_wall_clock_jumps_and_the_monotonic_one_does_not(loop: VirtualLoop) -> None:
    clock = ManualClock(loop.time, skew_ms=-2000)
    assert clock.wall_ms() == EPOCH_MS - 2000
    clock.jump(-3_600_000)
    loop.advance(10)
    assert (clock.monotonic_ms(), clock.wall_ms()) == (10_000, EPOCH_MS - 2000 - 3_600_000 + 10_000)


def test_a_clock_runs_fast_then_slow_and_never_back(loop: VirtualLoop) -> None:
    clock = ManualClock(loop.time, rate=1.01)
    loop.advance(100)
    assert clock.monotonic_ms() == 101_000
    clock.run(0.5)
    assert clock.monotonic_ms() == 101_000
    loop.advance(100)
    assert clock.monotonic_ms() == 151_000
    assert clock.wall_ms() == EPOCH_MS + 151_000
