"""Realtime over real connections. Goal: who may listen hears what is published, at once, whole and in order; nobody who
is slow, greedy or a stranger gets in the way of that. Protocol: SDK protocol page, section 4.5.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime

import aiohttp
import msgspec
import pytest

from headrace.console.realtime_bus import BusLimits, Frame
from headrace.console.realtime_messages import ENVIRONMENT, MESSAGE_BYTES_MAX, STREAM_BYTES_MAX, Topic
from headrace.console.realtime_streams import StreamTimes
from headrace.intake.access import Access, KeyRing, bearer_forms
from tests.console.realtime_world import TOPICS, World, heard, in_world, next_event, read_until

RUN_ID = "01J5ZP8XK3M9QWERTYASDFGHJK"
PUBLISH = "/v1/realtime/publish?channel=user:7&topic=chat"
STRICT = Access(
    keys_required=True, api_keys=KeyRing(["api-1"]), signing_keys=KeyRing(bearer_forms(["signkey-prod-0a0b"]))
)


# --- publishing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "data"),
    [
        (b'{"text":"h\xc3\xa9llo","n":1.50}', {"text": "héllo", "n": 1.5}),
        (b"[1]", [1]),
        (b"null", None),
        (b'"quoted"', "quoted"),
        (b"plain text", "plain text"),
        (b"", ""),
        (b"\xff", "�"),
        (b"x" * MESSAGE_BYTES_MAX, "x" * MESSAGE_BYTES_MAX),
    ],
)
def test_a_message_is_heard(body: bytes, data: object) -> None:
    async def play(world: World) -> None:
        async with world.socket(await world.token()) as socket:
            status, _ = await world.post(f"{PUBLISH}&run_id={RUN_ID}", body)
            assert status == 200
            message = await heard(socket)
            moment = message.pop("created_at")
            assert datetime.fromisoformat(moment).tzinfo is not None
            assert message == {
                "kind": "data",
                "channel": "user:7",
                "topic": "chat",
                "data": data,
                "run_id": RUN_ID,
                "env_id": ENVIRONMENT,
            }

    in_world(play)


def test_messages_reach_those_who_listen_for_them() -> None:
    async def play(world: World) -> None:
        other = await world.token([{"channel": "user:8", "name": "chat"}, {"channel": "user:7", "name": "state"}])
        async with (
            world.socket(await world.token()) as one,
            world.socket(await world.token()) as two,
            world.socket(other) as three,
        ):
            for number in range(50):
                await world.post(PUBLISH, {"n": number})
            await world.post("/v1/realtime/publish?channel=user:7&topic=state", {"n": "state"})
            await world.post("/v1/realtime/publish?channel=user:9&topic=chat", {"n": "nobody"})
            await world.post("/v1/realtime/publish?channel=user:8&topic=chat", {"n": "last"})
            for socket in (one, two):
                assert [(await heard(socket))["data"]["n"] for _ in range(50)] == list(range(50))
            assert [(await heard(three))["data"]["n"] for _ in range(2)] == ["state", "last"]

    in_world(play)


def test_one_message_may_have_several_topics() -> None:
    async def play(world: World) -> None:
        topics = [{"channel": "c", "name": name} for name in ("a", "b", "d")]
        async with world.socket(await world.token(topics)) as socket:
            status, _ = await world.post("/v1/realtime/publish?channel=c&topic=a&topic=b&topic=a", {"x": 1})
            assert status == 200
            await world.post("/v1/realtime/publish?channel=c&topic=d", {})
            assert [(await heard(socket))["topic"] for _ in range(3)] == ["a", "b", "d"]

    in_world(play)


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/v1/realtime/publish?topic=chat", b"{}", "channel_required"),
        ("/v1/realtime/publish?channel=&topic=chat", b"{}", "channel_required"),
        ("/v1/realtime/publish?channel=c", b"{}", "topic_required"),
        (PUBLISH, b"x" * (MESSAGE_BYTES_MAX + 1), "message_too_large"),
        (PUBLISH + "&metadata={", b"{}", "metadata_invalid"),
        ("/v1/realtime/publish/tee", b"{}", "channel_required"),
        ("/v1/realtime/token", b"{}", "topics_invalid"),
        ("/v1/realtime/token", b"", "topics_invalid"),
        ("/v1/realtime/token", b"[]", "topics_invalid"),
        ("/v1/realtime/token", b'["chat"]', "topics_invalid"),
        ("/v1/realtime/token", b'[{"channel":1,"name":"a"}]', "topics_invalid"),
    ],
)
def test_nonsense_is_refused(path: str, body: bytes, code: str) -> None:
    async def play(world: World) -> None:
        status, answer = await world.post(path, body)
        told = msgspec.json.decode(answer)
        assert (status, told["status"], told["code"]) == (400, 400, code)
        assert told["error"]

    in_world(play)


def test_a_stream_comes_in_chunks() -> None:
    parts = [b"one ", "zw\u00f6lf".encode()[:3], "zw\u00f6lf".encode()[3:], b"x" * 2_500]

    async def play(world: World) -> None:
        async with world.socket(await world.token()) as socket:
            asked = asyncio.Queue[bytes | None]()

            async def body() -> AsyncIterator[bytes]:
                while (content := await asked.get()) is not None:
                    yield content

            publishing = asyncio.create_task(
                world.post(f"{PUBLISH}&metadata={{}}", body(), content_type="text/stream; charset=utf-8")
            )
            await asked.put(parts[0])  # aiohttp sends nothing before
            start = await heard(socket)
            assert (start["kind"], start["metadata"]) == ("datastream-start", {})
            stream_id = start["data"]
            assert stream_id
            text = ""
            for part in parts:
                if part != parts[0]:
                    await asked.put(part)
                while len(text.encode()) < sum(map(len, parts[: parts.index(part) + 1])) - (part == parts[1]):
                    chunk = await heard(socket)
                    assert (chunk["kind"], chunk["stream_id"]) == ("chunk", stream_id)
                    assert (chunk["channel"], chunk["topic"]) == ("user:7", "chat")  # the SDK drops others
                    assert len(chunk["data"]) <= 1_024
                    text += chunk["data"]
            await asked.put(None)
            end = await heard(socket)
            assert (end["kind"], end["data"]) == ("datastream-end", stream_id)
            assert text == b"".join(parts).decode()
            assert (await publishing)[0] == 200

    in_world(play)


def test_a_stream_that_is_cut_off_has_an_end() -> None:
    async def play(world: World) -> None:
        async with world.socket(await world.token()) as socket:

            async def body() -> AsyncIterator[bytes]:
                yield b"first"
                await asyncio.Event().wait()

            publishing = asyncio.create_task(world.post(PUBLISH, body(), content_type="text/stream"))
            assert [(await heard(socket))["kind"] for _ in range(2)] == ["datastream-start", "chunk"]
            publishing.cancel()
            assert (await heard(socket))["kind"] == "datastream-end"
            await asyncio.gather(publishing, return_exceptions=True)

    in_world(play)


@pytest.mark.parametrize(
    ("path", "content_type"),
    [(PUBLISH, "text/stream"), ("/v1/realtime/publish/tee?channel=c", "application/octet-stream")],
)
def test_a_stream_has_a_limit(path: str, content_type: str) -> None:
    async def play(world: World) -> None:
        status, answer = await world.post(path, b"x" * (STREAM_BYTES_MAX + 1), content_type=content_type)
        assert (status, msgspec.json.decode(answer)["code"]) == (413, "stream_too_large")
        status, _ = await world.post(path, b"x" * STREAM_BYTES_MAX, content_type=content_type)
        assert status == 200

    in_world(play)


# --- listening ------------------------------------------------------------------------------------------------------


def test_events_are_heard_as_server_sent_events() -> None:
    async def play(world: World) -> None:
        async with world.events(await world.token()) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert answer.headers["cache-control"] == "no-cache"
            assert answer.headers["access-control-allow-origin"] == "*"
            await world.post(PUBLISH, {"n": 1})
            await world.post(PUBLISH, b"two\nlines")
            messages = [await next_event(answer) for _ in range(2)]
            assert [(message["kind"], message["data"]) for message in messages] == [
                ("data", {"n": 1}),
                ("data", "two\nlines"),
            ]
        await world.until(lambda: world.bus.subscribers == 0)

    in_world(play)


def test_bytes_are_passed_on_as_they_come() -> None:
    async def play(world: World) -> None:
        token = await world.token([{"channel": RUN_ID, "name": "$stream", "kind": "run"}])
        async with world.events(token) as answer, world.socket(token) as socket:
            asked = asyncio.Queue[bytes | None]()

            async def body() -> AsyncIterator[bytes]:
                while (content := await asked.get()) is not None:
                    yield content

            teeing = asyncio.create_task(world.post(f"/v1/realtime/publish/tee?channel={RUN_ID}", body()))
            await asked.put(b"event: inngest.stream\ndata: 1\n\n")
            assert await read_until(answer, b"1\n\n") == b"event: inngest.stream\ndata: 1\n\n"
            assert await socket.receive_str() == "event: inngest.stream\ndata: 1\n\n"
            await asked.put(b"event: inngest.response\nda")
            assert await read_until(answer, b"da") == b"event: inngest.response\nda"
            await asked.put(b"ta: 2\n\n")
            assert await read_until(answer, b"2\n\n") == b"ta: 2\n\n"
            await asked.put(None)
            assert (await teeing)[0] == 200

    in_world(play)


def test_a_connection_is_kept_alive_between_events_only() -> None:
    times = StreamTimes(keep_alive_s=0.01)

    async def play(world: World) -> None:
        token = await world.token([{"channel": "r", "name": "$stream"}])
        async with world.events(token) as answer:
            assert (await read_until(answer, b":\n\n")).startswith(b":\n\n")
            await world.post("/v1/realtime/publish/tee?channel=r", b"data: begun")
            read = await read_until(answer, b"data: begun")
            # While the event is not over nothing comes in between, however long that takes.
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await answer.content.readexactly(1)
            await world.post("/v1/realtime/publish/tee?channel=r", b"\n\n")
            read = await read_until(answer, b"\n\n:\n\n")
            assert read.startswith(b"\n\n")

    in_world(play, times=times)


def test_a_stream_of_events_ends_after_its_time() -> None:
    async def play(world: World) -> None:
        async with world.events(await world.token()) as answer:
            read = await asyncio.wait_for(answer.read(), 10)
            assert msgspec.json.decode(read.strip().removeprefix(b"data: "))["kind"] == "closing"
        assert world.bus.subscribers == 0

    in_world(play, times=StreamTimes(session_s=0.05))


def test_a_socket_takes_more_topics_and_fewer() -> None:
    async def play(world: World) -> None:
        more = await world.token([{"channel": "more", "name": "t", "kind": "run"}])
        async with world.socket(await world.token()) as socket:

            async def settled() -> None:  # what was sent before is done once this is answered
                await socket.send_json({"kind": "ping"})
                while (await heard(socket))["kind"] != "pong":
                    pass

            await world.post("/v1/realtime/publish?channel=more&topic=t", b"0")
            await socket.send_json({"kind": "sub", "data": more})
            await settled()
            await world.post("/v1/realtime/publish?channel=more&topic=t", b"1")
            await world.post(PUBLISH, b"2")
            assert [(await heard(socket))["data"] for _ in range(2)] == [1, 2]
            await socket.send_json({"kind": "unsub", "data": TOPICS})
            await settled()
            await world.post(PUBLISH, b"3")
            await world.post("/v1/realtime/publish?channel=more&topic=t", b"4")
            assert (await heard(socket))["data"] == 4

    in_world(play)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no json",
        "[1]",
        '{"kind":"sub"}',
        '{"kind":"sub","data":7}',
        '{"kind":"sub","data":"no.to.ken"}',
        '{"kind":"unsub","data":7}',
        '{"kind":"unsub","data":[7]}',
        '{"kind":"unsub","data":[{"channel":"never","name":"heard"}]}',
        '{"kind":"what"}',
        '{"kind":"ping","data":"' + "x" * 70_000 + '"}',
    ],
)
def test_a_socket_passes_over_what_it_does_not_understand(text: str) -> None:
    async def play(world: World) -> None:
        async with world.socket(await world.token()) as socket:
            await socket.send_str(text)
            await socket.send_bytes(b"bytes")
            await socket.send_json({"kind": "ping"})
            assert (await heard(socket))["kind"] == "pong"
            await world.post(PUBLISH, b"1")
            assert (await heard(socket))["data"] == 1

    in_world(play)


def test_a_socket_that_says_too_much_is_closed() -> None:
    async def play(world: World) -> None:
        async with world.socket(await world.token()) as socket:
            await socket.send_str("x" * ((1 << 20) + 1))
            assert (await socket.receive(timeout=10)).data == aiohttp.WSCloseCode.MESSAGE_TOO_BIG
        await world.until(lambda: world.bus.subscribers == 0)

    in_world(play)


def test_who_has_left_is_forgotten() -> None:
    async def play(world: World) -> None:
        async with world.socket(await world.token()), world.events(await world.token()):
            assert world.bus.subscribers == 2
        await world.until(lambda: world.bus.subscribers == 0)
        await world.post(PUBLISH, b"1")
        assert world.bus.waiting_bytes == 0

    in_world(play)


def test_when_the_node_stops_everybody_is_told() -> None:
    async def play(world: World) -> None:
        token = await world.token()
        async with world.socket(token) as socket, world.events(token) as answer:
            world.realtime.close()
            assert (await heard(socket))["kind"] == "closing"
            assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
            assert b'"closing"' in await asyncio.wait_for(answer.read(), 10)
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with world.client.ws_connect(f"{world.url}/v1/realtime/connect", params={"token": token}):
                pass
        assert refused.value.status == 503

    in_world(play)


# --- slow ones ------------------------------------------------------------------------------------------------------


def test_who_does_not_keep_up_holds_up_nobody() -> None:
    # More than what a connection's buffers hold, so that the server cannot write on.
    message = b"x" * 400_000
    limits = BusLimits(queue_bytes=1 << 20)

    async def play(world: World) -> None:
        token = await world.token()
        async with world.socket(token) as quick:
            slow_reader, slow_writer = await asyncio.open_connection(*world.url.removeprefix("http://").split(":"))
            slow_writer.write(f"GET /v1/realtime/sse?token={token} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
            await world.until(lambda: world.bus.subscribers == 2)
            heard_so_far = 0
            while world.bus.subscribers == 2:
                assert heard_so_far < 500, "the slow one was never let go"
                status, _ = await world.post(PUBLISH, message)
                assert status == 200
                assert len((await heard(quick))["data"]) == len(message)
                heard_so_far += 1
            await world.post(PUBLISH, b"1")
            assert (await heard(quick))["data"] == 1
            assert world.bus.waiting_bytes == 0
            slow_writer.close()
            del slow_reader

    in_world(play, limits=limits, times=StreamTimes(goodbye_s=0.05))


def test_a_slow_one_that_reads_on_learns_why_it_ends() -> None:
    limits = BusLimits(queue_frames=3)

    async def play(world: World) -> None:
        async with world.socket(await world.token()) as socket:
            for number in range(5):  # all at once, before the connection gets to write
                world.bus.publish(Topic("user:7", "chat"), Frame(str(number).encode()))
            message = await heard(socket)
            assert message["kind"] == "closing"
            closed = await socket.receive()
            assert closed.type is aiohttp.WSMsgType.CLOSE
            assert closed.data == 1013

    in_world(play, limits=limits)


def test_there_are_only_so_many_subscribers_and_topics() -> None:
    async def play(world: World) -> None:
        token = await world.token([{"channel": "c", "name": str(number)} for number in range(4)])
        async with world.socket(token) as socket, world.events(token):
            async with world.client.get(f"{world.url}/v1/realtime/sse", params={"token": token}) as answer:
                assert answer.status == 503
                assert (await answer.json())["code"] == "subscribers_too_many"
            for number in (3, 0):
                await world.post(f"/v1/realtime/publish?channel=c&topic={number}", b"1")
            assert (await heard(socket))["topic"] == "0"

    in_world(play, limits=BusLimits(subscribers=2, topics=3))


# --- keys and tokens ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "where", ["/v1/realtime/publish?channel=user:7&topic=chat", "/v1/realtime/publish/tee?channel=c"]
)
def test_publishing_takes_a_key_or_a_publishers_token(where: str) -> None:
    async def play(world: World) -> None:
        publisher = world.publisher()
        listener = world.tokens.for_subscriber([])
        old = world.publisher(expiry_s=-1)
        hashed = bearer_forms(["signkey-prod-0a0b"])
        statuses = {
            key: (await world.post(where, b"{}", key=key))[0]
            for key in ("", "wrong", "undefined", listener, old, publisher, "api-1", *hashed)
        }
        refused = {"", "wrong", "undefined", listener, old}
        assert {key for key, status in statuses.items() if status == 401} == refused
        assert {status for key, status in statuses.items() if key not in refused} == {200}

    in_world(play, access=STRICT)


def test_a_listeners_token_publishes_nothing_even_without_keys() -> None:
    async def play(world: World) -> None:
        status, body = await world.post(PUBLISH, b"{}", key=world.tokens.for_subscriber([]))
        assert (status, msgspec.json.decode(body)["error"]) == (401, "Not authenticated for publishing")
        assert (await world.post(PUBLISH, b"{}", key="undefined"))[0] == 200

    in_world(play)


def test_a_key_that_is_shown_has_to_be_right_except_in_dev() -> None:
    keys = KeyRing(bearer_forms(["signkey-prod-0a0b"]))

    async def play(world: World) -> None:
        assert [(await world.post(PUBLISH, b"{}", key=key))[0] for key in ("", "wrong", "0a0b")] == [200, 401, 200]

    async def play_dev(world: World) -> None:
        assert [(await world.post(PUBLISH, b"{}", key=key))[0] for key in ("", "wrong", "0a0b")] == [200, 200, 200]

    in_world(play, access=Access(strict=True, signing_keys=keys))
    in_world(play_dev, access=Access(signing_keys=keys))


def test_making_tokens_takes_a_key() -> None:
    async def play(world: World) -> None:
        for key in ("", "wrong", world.publisher(), world.tokens.for_subscriber([])):
            assert (await world.post("/v1/realtime/token", TOPICS, key=key))[0] == 401
        for key in ("api-1", *bearer_forms(["signkey-prod-0a0b"])):
            status, body = await world.post("/v1/realtime/token", TOPICS, key=key)
            assert status == 201
            grant = world.tokens.read(msgspec.json.decode(body)["jwt"])
            assert grant is not None
            assert not grant.publish
            assert [(topic.channel, topic.name, topic.kind) for topic in grant.topics] == [("user:7", "chat", "run")]

    in_world(play, access=STRICT)


@pytest.mark.parametrize("access", [Access(), STRICT])
@pytest.mark.parametrize("token", ["", "no.to.ken", "old", "api-1"])
def test_listening_takes_a_token_always(access: Access, token: str) -> None:
    async def play(world: World) -> None:
        shown = world.tokens.for_subscriber([], expiry_s=-1) if token == "old" else token
        for query, headers in (({"token": shown}, {}), ({}, {"authorization": f"Bearer {shown}"})):
            async with world.client.get(f"{world.url}/v1/realtime/sse", params=query, headers=headers) as answer:
                assert answer.status == 401
                assert answer.headers["content-type"] == "application/json"
            url = f"{world.url}/v1/realtime/connect"
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                async with world.client.ws_connect(url, params=query, headers=headers):
                    pass
            assert refused.value.status == 401

    in_world(play, access=access)


def test_a_token_may_come_as_a_bearers() -> None:
    async def play(world: World) -> None:
        headers = {"authorization": f"Bearer {world.tokens.for_subscriber([])}"}
        async with world.client.get(f"{world.url}/v1/realtime/sse", headers=headers) as answer:
            assert answer.status == 200
        async with world.client.ws_connect(f"{world.url}/v1/realtime/connect", headers=headers) as socket:
            await socket.send_json({"kind": "ping"})
            assert (await heard(socket))["kind"] == "pong"

    in_world(play, access=STRICT)
