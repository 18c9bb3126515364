"""Calls through workers. Goal: each is answered once, by a worker that has it, or it is said what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import msgspec
import pytest

from headrace.errors import BadRequest, LogUnavailable
from headrace.execution.connect.messages import Kind, Named, Reply, WireError, frame
from headrace.execution.connect.settings import ConnectSettings
from headrace.execution.sdk.seams import Answer, AppUnreachable, CallBroken
from headrace.records.trace_ids import traceparent
from tests.execution.connect.workers import PlayedSocket, World, app, app_call, hello, play, quiet, reply, until

STOPPED = "connect_worker_stopped_responding"


def begin(call: Coroutine[Any, Any, Answer]) -> asyncio.Task[Answer]:
    """Make a call in the background."""
    return asyncio.create_task(call)


async def given(socket: PlayedSocket, count: int = 1) -> None:
    """Wait until a worker has been given some calls."""
    await until(lambda: len(socket.requests()) == count)


def test_8_4_a_call_is_given_acknowledged_answered_and_acknowledged() -> None:
    async def story(world: World) -> None:
        worker = await world.worker()
        calling = begin(world.gateway.call(app_call()))
        await given(worker)
        (request,) = worker.requests()
        assert (request.request_id, request.job_id, request.run_id) == (
            "request-1",
            "job-1",
            "01KAM0000000000000000000RR",
        )
        assert (request.app_name, request.function_slug, request.step_id) == ("shop", "shop-pay", "step")
        assert request.request_payload == b'{"event":{}}'
        assert request.system_trace_ctx == request.user_trace_ctx
        trace = msgspec.json.decode(request.user_trace_ctx, type=dict[str, str])
        assert trace["traceparent"] == traceparent("01KAM0000000000000000000RR")
        assert set(trace) == {"traceparent", "tracestate"}, "without either an SDK takes neither"
        assert len(request.lease_id) == 26
        worker.take("request-1")
        worker.answer(reply("request-1"))
        answer = await calling
        assert (answer.status, answer.body) == (200, b'"done"')
        assert answer.headers["x-inngest-sdk"] == "inngest-py:v0.5.18"
        assert answer.headers["x-inngest-req-version"] == "2"
        assert worker.last(Kind.WORKER_REPLY_ACK, Named).request_id == "request-1"

    play(story)


@pytest.mark.parametrize(
    ("told", "status", "headers"),
    [
        (Reply("request-1", 0, b"[]", False, None, "js:v4", 2), 206, {}),
        (Reply("request-1", 1, b"1", False, None, "js:v4", 1), 200, {}),
        (Reply("request-1", 2, b"{}", False, "30", "js:v4", 2), 500, {"retry-after": "30"}),
        (Reply("request-1", 2, b"{}", True, None, "js:v4", 2), 500, {"x-inngest-no-retry": "true"}),
        (Reply("request-1", 1, b"{}", True, None, "js:v4", 2), 200, {"x-inngest-no-retry": "true"}),
        (Reply("request-1", 7, b"{}", False, None, "js:v4", 2), 500, {}),
    ],
)
def test_8_2_the_status_of_a_reply(told: Reply, status: int, headers: dict[str, str]) -> None:
    async def story(world: World) -> None:
        worker = await world.worker()
        calling = begin(world.gateway.call(app_call()))
        await given(worker)
        worker.answer(told)
        answer = await calling
        always = {
            "content-type": "application/json",
            "x-inngest-sdk": "js:v4",
            "x-inngest-req-version": str(told.request_version),
        }
        assert (answer.status, answer.body, answer.headers) == (status, told.body, {**always, **headers})

    play(story)


def test_an_answer_names_an_sdk_even_where_the_worker_does_not() -> None:
    async def story(world: World) -> None:
        worker = await world.worker()
        calling = begin(world.gateway.call(app_call()))
        await given(worker)
        worker.answer(Reply("request-1", 2, b"{}"))
        answer = await calling
        assert "x-inngest-sdk" in answer.headers
        assert "x-inngest-req-version" not in answer.headers

    play(story)


def test_8_4_without_a_worker_nothing_is_called() -> None:
    async def story(world: World) -> None:
        with pytest.raises(AppUnreachable):
            await world.gateway.call(app_call())
        await world.worker()
        with pytest.raises(AppUnreachable):
            await world.gateway.call(app_call(function_id="shop-ship"))
        with pytest.raises(AppUnreachable):
            await world.gateway.call(app_call(app_name="mail"))

    play(story)


def test_whoever_wants_to_know_is_told_that_a_worker_is_ready() -> None:
    async def story(world: World) -> None:
        told: list[str] = []
        world.gateway.on_ready(told.append)
        manual = world.connect()
        manual.say(hello(app("shop"), app("mail"), manual=True))
        await until(lambda: Kind.GATEWAY_CONNECTION_READY in manual.kinds())
        await quiet()
        assert told == []
        assert world.gateway.ready_apps() == set()
        manual.say(frame(Kind.WORKER_READY))
        await until(lambda: told)
        assert told == ["shop", "mail"]
        assert world.gateway.ready_apps() == {"shop", "mail"}

    play(story)


def test_8_4_a_call_lost_before_its_acknowledgement_goes_to_another_worker() -> None:
    async def story(world: World) -> None:
        first = await world.worker(instance="one")
        calling = begin(world.gateway.call(app_call()))
        await given(first)
        second = await world.worker(instance="two")
        first.break_off()
        await given(second)
        second.answer(reply("request-1"))
        assert (await calling).status == 200

    play(story)


def test_8_4_a_call_lost_before_its_acknowledgement_without_another_worker_never_happened() -> None:
    async def story(world: World) -> None:
        worker = await world.worker()
        calling = begin(world.gateway.call(app_call()))
        await given(worker)
        worker.break_off()
        with pytest.raises(AppUnreachable):
            await calling

    play(story)


def test_8_4_a_worker_that_died_with_a_call_has_broken_it() -> None:
    async def story(world: World) -> None:
        worker = await world.worker()
        calling = begin(world.gateway.call(app_call()))
        await given(worker)
        worker.take("request-1")
        await quiet()
        worker.break_off()
        await until(lambda: not world.gateway.workers)
        await world.pass_time(9_999)
        await quiet()
        assert not calling.done()
        await world.pass_time(1)
        with pytest.raises(CallBroken) as broken:
            await calling
        assert broken.value.name == STOPPED

    play(story)


def test_8_4_a_worker_that_is_back_answers_through_its_new_connection() -> None:
    async def story(world: World) -> None:
        worker = await world.worker(instance="one")
        calling = begin(world.gateway.call(app_call()))
        await given(worker)
        lease = worker.requests()[0].lease_id
        worker.take("request-1")
        await quiet()
        worker.break_off()
        await until(lambda: not world.gateway.workers)
        await world.pass_time(6_000)
        again = await world.worker(instance="one")
        await world.pass_time(30_000)
        assert (await again.extend("request-1", lease)).new_lease_id not in (None, lease)
        again.answer(reply("request-1"))
        assert (await calling).status == 200
        assert again.requests() == []

    play(story)


def test_8_1_a_reply_that_is_flushed_counts_like_any_other() -> None:
    async def story(world: World) -> None:
        worker = await world.worker()
        calling = begin(world.gateway.call(app_call()))
        await given(worker)
        worker.take("request-1")
        await quiet()
        worker.break_off()
        await until(lambda: not world.gateway.workers)
        world.gateway.take_reply(reply("request-1", b"7"))
        assert (await calling).body == b"7"
        assert world.strays == []
        world.gateway.take_reply(reply("request-1", b"8"))  # once more, to nobody here
        assert world.strays == [reply("request-1", b"8")]

    play(story)


def test_a_reply_that_came_to_another_node_goes_no_further() -> None:
    async def story(world: World) -> None:
        worker = await world.worker()
        calling = begin(world.gateway.call(app_call()))
        await given(worker)
        world.gateway.take_passed(reply("request-1", b"7"))
        assert (await calling).body == b"7"
        world.gateway.take_passed(reply("request-2"))
        assert world.strays == []

    play(story)


def test_8_4_a_worker_that_neither_answers_nor_renews_has_broken_its_call() -> None:
    async def story(world: World) -> None:
        worker = await world.worker()
        calling = begin(world.gateway.call(app_call()))
        await given(worker)
        worker.take("request-1")
        for _ in range(12):  # its heart beats
            await world.pass_time(10_000)
            worker.say(frame(Kind.WORKER_HEARTBEAT))
            await quiet()
        assert not calling.done()
        await world.pass_time(5_000)
        with pytest.raises(CallBroken):
            await calling
        worker.answer(reply("request-1"))  # late: acknowledged, and dropped
        await until(lambda: Kind.WORKER_REPLY_ACK in worker.kinds())

    play(story)


def test_8_4_a_lease_is_renewed_as_long_as_the_call_lasts() -> None:
    async def story(world: World) -> None:
        worker = await world.worker()
        calling = begin(world.gateway.call(app_call()))
        await given(worker)
        worker.take("request-1")
        lease = first = worker.requests()[0].lease_id
        for _ in range(20):  # ten minutes
            for _ in range(3):
                await world.pass_time(10_000)
                worker.say(frame(Kind.WORKER_HEARTBEAT))
                await quiet()
            ack = await worker.extend("request-1", lease)
            assert (ack.request_id, ack.account_id, ack.env_id, ack.app_id) == ("request-1", "a", "e", "p")
            assert ack.new_lease_id not in (None, lease)
            lease = ack.new_lease_id or ""
        assert lease != first
        worker.answer(reply("request-1"))
        assert (await calling).status == 200
        assert (await worker.extend("request-1", lease)).new_lease_id is None  # it is over

    play(story)


def test_8_4_a_call_that_is_never_acknowledged_is_given_three_times() -> None:
    async def story(world: World) -> None:
        worker = await world.worker()
        calling = begin(world.gateway.call(app_call()))
        for count in (1, 2, 3):
            await given(worker, count)
            for _ in range(2):  # the second one comes so long after the call that the worker must have read it
                assert len(worker.requests()) == count
                worker.say(frame(Kind.WORKER_HEARTBEAT))
                await quiet()
                await world.pass_time(9_700)
        with pytest.raises(CallBroken) as broken:
            await calling
        assert broken.value.name == STOPPED

    play(story)


def test_8_5_a_worker_that_pauses_ends_what_it_has_and_gets_nothing_more() -> None:
    async def story(world: World) -> None:
        first = await world.worker(instance="one")
        calling = begin(world.gateway.call(app_call(1)))
        await given(first)
        first.take("request-1")
        first.say(frame(Kind.WORKER_PAUSE))
        await quiet()
        with pytest.raises(AppUnreachable):
            await world.gateway.call(app_call(2))
        first.answer(reply("request-1"))
        assert (await calling).status == 200

    play(story)


def test_a_call_that_crosses_a_pause_goes_to_another_worker() -> None:
    async def story(world: World) -> None:
        first = await world.worker(instance="one")
        calling = begin(world.gateway.call(app_call(1)))
        await given(first)
        second = await world.worker(instance="two")
        first.say(frame(Kind.WORKER_PAUSE))
        await quiet()
        await world.pass_time(1_999)
        assert second.requests() == []
        await world.pass_time(1)
        await given(second)
        second.answer(reply("request-1"))
        assert (await calling).status == 200

    play(story)


def test_8_4_at_capacity_calls_wait_in_the_order_in_which_they_came() -> None:
    async def story(world: World) -> None:
        worker = await world.worker(capacity=2)
        calls = [begin(world.gateway.call(app_call(number))) for number in range(6)]
        await given(worker, 2)
        await quiet()
        assert len(worker.requests()) == 2
        for number in range(4):
            worker.answer(reply(f"request-{number}"))
            await given(worker, min(number + 3, 6))
        assert [request.request_id for request in worker.requests()] == [f"request-{n}" for n in range(6)]
        for number in (4, 5):
            worker.answer(reply(f"request-{number}"))
        assert [answer.status for answer in await asyncio.gather(*calls)] == [200] * 6

    play(story)


def test_a_call_that_waits_for_room_may_be_given_up() -> None:
    async def story(world: World) -> None:
        worker = await world.worker(capacity=1)
        first = begin(world.gateway.call(app_call(1)))
        await given(worker)
        second, third = begin(world.gateway.call(app_call(2))), begin(world.gateway.call(app_call(3)))
        await quiet()
        second.cancel()
        await quiet()
        worker.answer(reply("request-1"))
        await given(worker, 2)
        worker.answer(reply("request-3"))
        assert [(await first).status, (await third).status] == [200, 200]
        assert [request.request_id for request in worker.requests()] == ["request-1", "request-3"]

    play(story)


def test_room_that_was_given_to_a_call_that_is_given_up_at_that_moment_is_not_lost() -> None:
    async def story(world: World) -> None:
        worker = await world.worker(capacity=1)
        first = begin(world.gateway.call(app_call(1)))
        await given(worker)
        second = begin(world.gateway.call(app_call(2)))
        await quiet()
        first.cancel()
        await until(first.done)  # which gives its room to the second, that has not run since
        second.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        third = begin(world.gateway.call(app_call(3)))
        await until(lambda: worker.requests()[-1].request_id == "request-3")
        worker.answer(reply("request-3"))
        assert (await third).status == 200

    play(story)


def test_a_call_that_was_given_up_leaves_its_room_to_others() -> None:
    async def story(world: World) -> None:
        worker = await world.worker(capacity=1)
        first = begin(world.gateway.call(app_call(1)))
        await given(worker)
        second = begin(world.gateway.call(app_call(2)))
        first.cancel()
        await given(worker, 2)
        worker.answer(reply("request-1"))  # late
        worker.answer(reply("request-2", b"2"))
        assert (await second).body == b"2"

    play(story)


def test_calls_that_wait_for_room_end_with_the_last_worker() -> None:
    async def story(world: World) -> None:
        worker = await world.worker(capacity=1)
        calls = [begin(world.gateway.call(app_call(number))) for number in range(3)]
        await given(worker)
        worker.break_off()
        ended = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(one) for one in ended] == [AppUnreachable] * 3

    play(story)


def test_calls_that_wait_for_room_are_taken_by_a_worker_that_comes() -> None:
    async def story(world: World) -> None:
        first = await world.worker(instance="one", capacity=1)
        calls = [begin(world.gateway.call(app_call(number))) for number in range(2)]
        await given(first)
        second = await world.worker(instance="two", capacity=1)
        await given(second)
        first.answer(reply("request-0"))
        second.answer(reply("request-1"))
        assert [answer.status for answer in await asyncio.gather(*calls)] == [200, 200]

    play(story)


def test_8_3_each_app_of_a_worker_is_registered_before_it_is_ready() -> None:
    async def story(world: World) -> None:
        await world.worker(app("shop"), app("mail", ("mail-send",)))
        assert [body["appName"] for body in world.registered] == ["shop", "mail"]
        assert [body["deployType"] for body in world.registered] == ["connect", "connect"]

    play(story)


def test_8_3_an_app_that_is_refused_is_told_and_the_connection_closed() -> None:
    async def story(world: World) -> None:
        world.refusal = BadRequest("registration_refused", "A function name is required")
        worker = world.connect()
        worker.say(hello(app()))
        await until(lambda: worker.closed)
        assert worker.closed == (1008, "connect_invalid_function_config")
        told = worker.last(Kind.SYNC_FAILED, WireError)
        assert told == WireError("connect_invalid_function_config", "A function name is required")
        assert world.gateway.workers == []

    play(story)


@pytest.mark.parametrize("problem", [LogUnavailable("x", "Kafka is away"), RuntimeError("a bug")])
def test_8_3_what_goes_wrong_here_closes_the_connection_and_is_not_the_workers_fault(problem: Exception) -> None:
    async def story(world: World) -> None:
        world.refusal = problem
        worker = world.connect()
        worker.say(hello(app()))
        await until(lambda: worker.closed)
        assert worker.closed == (1011, "connect_internal_error")
        assert Kind.SYNC_FAILED not in worker.kinds()

    play(story)


def test_8_3_a_worker_that_is_silent_is_let_go() -> None:
    async def story(world: World) -> None:
        silent, dead = world.connect(), await world.worker()
        await world.pass_time(5_001)
        assert silent.closed == (1008, "connect_worker_hello_timeout")
        await world.pass_time(45_000)
        assert dead.closed == (1008, "CONSECUTIVE_HEARTBEATS_MISSED")
        await until(lambda: not world.gateway.workers)

    play(story)


def test_8_5_a_node_that_stops_lets_workers_end_their_calls() -> None:
    async def story(world: World) -> None:
        busy, idle = await world.worker(instance="busy"), await world.worker(app("mail"), instance="idle")
        calling = begin(world.gateway.call(app_call()))
        await given(busy)
        world.gateway.begin_drain()
        assert idle.kinds()[-1] == Kind.GATEWAY_CLOSING
        assert Kind.GATEWAY_CLOSING not in busy.kinds()
        with pytest.raises(AppUnreachable):
            await world.gateway.call(app_call(2))
        busy.answer(reply("request-1"))
        assert (await calling).status == 200
        assert busy.kinds()[-2:] == [Kind.WORKER_REPLY_ACK, Kind.GATEWAY_CLOSING]
        late = world.connect()
        await until(lambda: late.closed)
        assert late.closed == (1001, "connect_gateway_closing")
        await world.gateway.stop()
        assert [busy.closed, idle.closed] == [(1001, "connect_gateway_closing")] * 2

    play(story)


def test_8_5_calls_that_are_left_when_a_node_stops_are_made_elsewhere() -> None:
    async def story(world: World) -> None:
        worker = await world.worker()
        calling = begin(world.gateway.call(app_call()))
        await given(worker)
        worker.take("request-1")
        await quiet()
        await world.gateway.stop()
        assert worker.kinds()[-1] == Kind.GATEWAY_CLOSING
        with pytest.raises(AppUnreachable):
            await calling

    play(story)


def test_intervals_may_be_others() -> None:
    async def story(world: World) -> None:
        worker = world.connect()
        await until(lambda: worker.sent)
        await world.pass_time(101)
        assert worker.closed is not None

    play(story, ConnectSettings(hello_ms=100))
