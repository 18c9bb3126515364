"""Messages from functions to whoever listens, as they happen: `/v1/realtime/…` (SDK protocol page, section 4.5).

Functions and apps publish with the signing key; browsers listen with a token that names what they may hear. Nothing is
stored: a message reaches those who listen on this node at that moment.
"""

from __future__ import annotations

import asyncio
import codecs
import uuid
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from headrace.adapters.seams import Clock
from headrace.console.answers import json_answer, refusal
from headrace.console.realtime_bus import Frame, RealtimeBus, Subscriber
from headrace.console.realtime_messages import (
    CHUNK_BYTES,
    MESSAGE_BYTES_MAX,
    RAW_TOPIC,
    STREAM_BYTES_MAX,
    Label,
    Topic,
    chunk_message,
    data_message,
    end_message,
    plain_message,
    start_message,
)
from headrace.console.realtime_streams import EventStream, SocketStream, StreamTimes
from headrace.console.realtime_tokens import Grant, RealtimeTokens, read_topics
from headrace.console.rest import answered
from headrace.errors import BadRequest
from headrace.intake.access import Access
from headrace.intake.body import read_body
from headrace.records.ids import is_ulid

_TOKEN_BODY_BYTES_MAX = 256 << 10
_HEARD_CHARS_MAX = 64 << 10
_SILENCE_S = 300.0  # after which a stream that is published is given up


class Realtime:
    """The endpoints. `access` says whose keys may publish and make tokens."""

    def __init__(
        self, bus: RealtimeBus, tokens: RealtimeTokens, access: Access, clock: Clock, times: StreamTimes | None = None
    ) -> None:
        self._bus = bus
        self._tokens = tokens
        self._access = access
        self._clock = clock
        self._times = times or StreamTimes()

    def routes(self) -> list[BaseRoute]:
        """List the routes. They check keys and tokens of their own."""
        return [
            Route("/v1/realtime/publish", answered(self.publish), methods=["POST"]),
            Route("/v1/realtime/publish/tee", answered(self.pass_on), methods=["POST"]),
            Route("/v1/realtime/token", answered(self.make_token), methods=["POST"]),
            Route("/v1/realtime/sse", answered(self.stream_events), methods=["GET"]),
            WebSocketRoute("/v1/realtime/connect", self.connect),
        ]

    def close(self) -> None:
        """Let all subscribers go, so that the server can stop."""
        self._bus.end()

    async def publish(self, request: Request) -> Response:
        """Answer `POST /v1/realtime/publish?channel=&topic=[&run_id=]`: a message, or a stream of chunks."""
        self._check_publisher(request)
        labels = _labels(request)
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() == "text/stream":
            await self._publish_stream(request, labels)
        else:
            body = await _read_message(request)
            for label in labels:
                self._tell(label, data_message(label, body, self._clock.wall_ms()))
        return json_answer(200, {"status": 200})

    async def pass_on(self, request: Request) -> Response:
        """Answer `POST /v1/realtime/publish/tee?channel=`: the listeners get the body byte for byte."""
        self._check_publisher(request)
        topic = Topic(_required(request, "channel"), RAW_TOPIC)
        async for content in _chunks(request):
            self._bus.publish(topic, Frame(content, raw=True))
        return json_answer(200, {"status": 200})

    async def make_token(self, request: Request) -> Response:
        """Answer `POST /v1/realtime/token`, body `[{"channel", "name", "kind"}]`, with a subscriber's token."""
        self._check_key(request)
        body = await read_body(request, _TOKEN_BODY_BYTES_MAX)
        try:
            topics = read_topics(msgspec.json.decode(body))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            topics = None
        if not topics:
            raise BadRequest(
                "topics_invalid",
                "Invalid request: must provide a list of topics",
                why="a token says what its bearer may hear",
                do='send [{"channel": "user:7", "name": "messages", "kind": "run"}]',
            )
        return json_answer(201, {"jwt": self._tokens.for_subscriber(topics)})

    async def stream_events(self, request: Request) -> Response:
        """Answer `GET /v1/realtime/sse?token=` with server-sent events."""
        grant = self._grant(request)
        if grant is None:
            raise _unauthenticated()
        subscriber = self._bus.open(grant.topics)
        if subscriber is None:
            raise _crowded()
        return EventStream(subscriber, self._bus, self._clock, self._times)

    async def connect(self, socket: WebSocket) -> None:
        """Serve `GET /v1/realtime/connect?token=`, a WebSocket with JSON in text frames."""
        grant = self._grant(socket)
        subscriber = None if grant is None else self._bus.open(grant.topics)
        if subscriber is None:
            await _deny(socket, _unauthenticated() if grant is None else _crowded())
            return
        await SocketStream(socket, subscriber, self._bus, self._clock, self._times, self._hear).serve()

    async def _publish_stream(self, request: Request, labels: list[Label]) -> None:
        stream_id = uuid.uuid4().hex[:16]
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        for label in labels:
            self._tell(label, start_message(label, stream_id, self._clock.wall_ms()))
        try:
            async for content in _chunks(request):
                for begin in range(0, len(content), CHUNK_BYTES):
                    # A character may come in two parts.
                    self._tell_chunk(labels, stream_id, decoder.decode(content[begin : begin + CHUNK_BYTES]))
            self._tell_chunk(labels, stream_id, decoder.decode(b"", True))
        finally:
            for label in labels:
                self._tell(label, end_message(label, stream_id, self._clock.wall_ms()))

    def _tell_chunk(self, labels: list[Label], stream_id: str, text: str) -> None:
        if text:
            for label in labels:
                self._tell(label, chunk_message(label, stream_id, text, self._clock.wall_ms()))

    def _tell(self, label: Label, message: bytes) -> None:
        self._bus.publish(Topic(label.channel, label.topic), Frame(message))

    def _hear(self, subscriber: Subscriber, text: str) -> None:
        """Do what a subscriber asks for; what cannot be understood is passed over, as the protocol has it."""
        try:
            asked = msgspec.json.decode(text) if len(text) <= _HEARD_CHARS_MAX else None
        except (msgspec.MsgspecError, RecursionError):
            return
        if not isinstance(asked, dict):
            return
        kind, told = asked.get("kind"), asked.get("data")
        if kind == "sub" and isinstance(told, str):
            grant = self._tokens.read(told)
            if grant is not None:
                self._bus.subscribe(subscriber, grant.topics)
        elif kind == "unsub":
            self._bus.unsubscribe(subscriber, read_topics(told) or [])
        elif kind == "ping":
            subscriber.put(Frame(plain_message("pong", self._clock.wall_ms())))

    def _grant(self, request: Request | WebSocket) -> Grant | None:
        bearer = _bearer(request)
        return self._tokens.read(bearer or request.query_params.get("token", ""))

    def _check_publisher(self, request: Request) -> None:
        grant = self._tokens.read(_bearer(request))
        if grant is None:
            self._check_key(request)
        elif not grant.publish:
            raise BadRequest(
                "not_authenticated",
                "Not authenticated for publishing",
                status=401,
                why="the token is one for listening",
                do="publish with the signing key",
            )

    def _check_key(self, request: Request) -> None:
        access = self._access
        if access.bearer_needed(request.headers) and not access.bearer_holds(request.headers.get("authorization", "")):
            raise _unauthenticated()


def _bearer(request: Request | WebSocket) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _labels(request: Request) -> list[Label]:
    channel = _required(request, "channel")
    topics = [topic for topic in dict.fromkeys(request.query_params.getlist("topic")) if topic]
    if not topics:
        _required(request, "topic")
    run_id = request.query_params.get("run_id", "")
    metadata = request.query_params.get("metadata", "").encode()
    if metadata:
        try:
            msgspec.json.decode(metadata)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise BadRequest("metadata_invalid", "the metadata is not JSON", do="leave it out, or send JSON") from None
    return [Label(channel, topic, run_id if is_ulid(run_id) else "", metadata) for topic in topics]


def _required(request: Request, name: str) -> str:
    value = request.query_params.get(name, "")
    if not value:
        raise BadRequest(
            f"{name}_required",
            f"{name} query parameter required",
            why="a message is heard by those who listen for its channel and topic",
            do=f"add ?{name}= to the URL",
        )
    return value


async def _read_message(request: Request) -> bytes:
    try:
        return await read_body(request, MESSAGE_BYTES_MAX)
    except BadRequest as error:
        if error.status != 413:
            raise
        raise BadRequest(
            "message_too_large",
            f"the message is larger than {MESSAGE_BYTES_MAX} bytes",
            why="it waits in memory for everybody who listens",
            do="publish where it can be found, or in parts",
        ) from None


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    """Give a body as it comes, up to the limit of streams. One that is cut off ends there."""
    size = 0
    stream = request.stream()
    try:
        while True:
            async with asyncio.timeout(_SILENCE_S):
                content: Any = await anext(stream, None)
            if content is None:
                return
            size += len(content)
            if size > STREAM_BYTES_MAX:
                raise BadRequest(
                    "stream_too_large",
                    f"the stream is larger than {STREAM_BYTES_MAX} bytes",
                    status=413,
                    why="a stream is limited as messages are",
                    do="publish it in several streams",
                )
            if content:
                yield content
    except (ClientDisconnect, TimeoutError):
        return


def _unauthenticated() -> BadRequest:
    return BadRequest(
        "not_authenticated",
        "Not authenticated",
        status=401,
        why="to listen takes a token that has not ended, to publish a signing key or a publisher's token",
        do="make a token: POST /v1/realtime/token",
    )


def _crowded() -> BadRequest:
    return BadRequest(
        "subscribers_too_many",
        "too many listen already, or this node is about to stop",
        status=503,
        why="each of them has a queue in memory",
        do="connect again a little later",
    )


async def _deny(socket: WebSocket, error: BadRequest) -> None:
    if "websocket.http.response" in socket.scope.get("extensions", {}):
        await socket.send_denial_response(refusal(error))
    else:
        await socket.close(1008, error.code)
