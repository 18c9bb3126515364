"""Messages that pass from functions to whoever listens, and the topics that they are told under.

The shape is that of the SDK protocol page, section 4.5. A message is written once, however many hear it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from headrace.console.moments import iso

ENVIRONMENT = "00000000-0000-4000-b000-000000000000"  # the only one
RAW_TOPIC = "$stream"  # of what is passed on as it comes, byte for byte
MESSAGE_BYTES_MAX = 512 << 10
STREAM_BYTES_MAX = 1_000 << 10  # of one stream of chunks, or of one passed on as it comes
CHUNK_BYTES = 1_024


class Topic(NamedTuple):
    """What a subscriber may hear: a channel (a run's id, or any name) and a topic within it."""

    channel: str
    name: str
    kind: str = "run"


class Label(NamedTuple):
    """What all messages of one publication say of themselves."""

    channel: str
    topic: str
    run_id: str = ""
    metadata: bytes = b""  # JSON, or nothing


def data_message(label: Label, body: bytes, now_ms: int) -> bytes:
    """Write the message that carries a body: as it stands if it is JSON, else as text."""
    return _labelled("data", label, _as_json(body), now_ms)


def start_message(label: Label, stream_id: str, now_ms: int) -> bytes:
    """Write the message that begins a stream of chunks."""
    return _labelled("datastream-start", label, msgspec.json.encode(stream_id), now_ms)


def end_message(label: Label, stream_id: str, now_ms: int) -> bytes:
    """Write the message that ends a stream of chunks."""
    return _labelled("datastream-end", label, msgspec.json.encode(stream_id), now_ms)


def chunk_message(label: Label, stream_id: str, text: str, now_ms: int) -> bytes:
    """Write a chunk. It names its channel and topic as well: the SDKs drop one that does not."""
    return _labelled("chunk", label, msgspec.json.encode(text), now_ms, stream_id)


def plain_message(kind: str, now_ms: int) -> bytes:
    """Write a message about the connection itself: closing, pong."""
    return _labelled(kind, Label("", ""), b"null", now_ms)


def _labelled(kind: str, label: Label, data: bytes, now_ms: int, stream_id: str = "") -> bytes:
    message: dict[str, Any] = {"kind": kind, "data": msgspec.Raw(data), "created_at": iso(now_ms)}
    message.update({"env_id": ENVIRONMENT, "channel": label.channel, "topic": label.topic})
    if label.run_id:
        message["run_id"] = label.run_id
    if stream_id:
        message["stream_id"] = stream_id
    if label.metadata:
        message["metadata"] = msgspec.Raw(label.metadata)
    return msgspec.json.encode(message)


def _as_json(body: bytes) -> bytes:
    try:
        msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return msgspec.json.encode(body.decode("utf-8", "replace"))
    return body
