"""Answers: what an app's answer means. Source: the SDK protocol page, sections 3.2, 3.3 and 3.6."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import msgspec

from headrace.execution.sdk.seams import Answer
from headrace.records.rows import Failure

ANSWER_BYTES_MAX = 8 << 20
OPS_MAX = 1_000
RETRY_AFTER_MS_MIN = 1_000
_SHOWN_MAX = 2_000
_ERROR_FIELDS = ("name", "message", "stack")


class Userland(msgspec.Struct):
    """What the user of an SDK called a step."""

    id: str | None = None
    index: int | None = None


class Op(msgspec.Struct, rename={"display_name": "displayName"}):
    """One thing that the app did, or wants to be done."""

    op: str
    id: str | None = None
    name: str | None = None
    display_name: str | None = None
    opts: msgspec.Raw = msgspec.Raw(b"null")
    data: msgspec.Raw = msgspec.Raw(b"null")
    error: msgspec.Raw = msgspec.Raw(b"null")
    userland: Userland | None = None
    metadata: msgspec.Raw = msgspec.Raw(b"null")  # to be kept beside the run, or the step


class Ops(NamedTuple):
    """The function is not through: steps were made, or are wanted."""

    ops: list[Op]
    no_retry: bool
    retry_after_ms: int  # -1: not said


class Returned(NamedTuple):
    """The function has returned; `output` is JSON."""

    output: bytes


class Failed(NamedTuple):
    """The function itself, or the call, has failed."""

    failure: Failure


class Read(NamedTuple):
    """An answer that was read."""

    outcome: Ops | Returned | Failed
    version: int  # that the app has chosen, or -1


_OPS = msgspec.json.Decoder(list[Op])
_OP = msgspec.json.Decoder(Op)
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


class _Envelope(msgspec.Struct):
    status: int
    body: msgspec.Raw = msgspec.Raw(b"null")
    headers: dict[str, Any] = {}
    error: Any = None


def read_answer(answer: Answer, now_ms: int) -> Read:
    """Tell what an answer means; nothing that an app answers raises."""
    try:
        if answer.status == 201 and "x-inngest-sdk" in answer.headers:
            answer = _unwrapped(answer)
        return Read(_outcome(answer, now_ms), _version(answer.headers))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        message = f"the app's answer (HTTP {answer.status}) cannot be read: {error}"
        return Read(Failed(Failure("InvalidAnswer", message)), _version(answer.headers))


def _version(headers: Mapping[str, str]) -> int:
    text = headers.get("x-inngest-req-version", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 4 else -1


def _unwrapped(answer: Answer) -> Answer:
    envelope = msgspec.json.decode(answer.body.strip(), type=_Envelope)
    body = bytes(envelope.body)
    if body[:1] == b'"':  # JSON within JSON
        body = msgspec.json.decode(body, type=str).encode("utf-8", "replace")
    headers = {**answer.headers, **{name.lower(): str(value) for name, value in envelope.headers.items()}}
    if envelope.error is not None and envelope.status < 400:
        return Answer(500, headers, msgspec.json.encode(envelope.error))
    return Answer(envelope.status, headers, body)


def _outcome(answer: Answer, now_ms: int) -> Ops | Returned | Failed:
    status, headers, body = answer
    is_sdk = "x-inngest-sdk" in headers
    no_retry = headers.get("x-inngest-no-retry", "").lower() == "true"
    retry_after_ms = read_retry_after(headers.get("retry-after", ""), now_ms)
    if len(body) > ANSWER_BYTES_MAX:
        what = f"the app's answer has {len(body)} bytes; {ANSWER_BYTES_MAX} are allowed"
        return Failed(Failure("output_too_large", what, "", not no_retry, retry_after_ms, status=status))
    if not is_sdk:
        return Failed(_not_an_sdk(status, body, retry_after_ms))
    if status == 206:
        return Ops(_read_ops(body), no_retry, retry_after_ms)
    if status == 200 and not no_retry:
        return Returned(_as_json(body))
    return Failed(_failure(status, body, not no_retry, retry_after_ms))


def _read_ops(body: bytes) -> list[Op]:
    start = body.lstrip()[:1]
    if start == b"{":
        return [_OP.decode(body)]
    return _OPS.decode(body)


def _as_json(body: bytes) -> bytes:
    """Give what a function returned as JSON; anything else is taken for text."""
    text = body.strip()
    if not text:
        return b"null"
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
        return text
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return msgspec.json.encode(body.decode("utf-8", "replace"))


def _not_an_sdk(status: int, body: bytes, retry_after_ms: int) -> Failure:
    shown = body[:_SHOWN_MAX].decode("utf-8", "replace").strip()
    if 200 <= status < 300:
        message = f"HTTP {status} came without the header x-inngest-sdk: what answers there is not an Inngest SDK"
        told = f"{message}; it says {shown!r}" if shown else message
        return Failure("NotAnSdk", told, "", True, retry_after_ms, status=status)
    message = f"Your server returned HTTP {status} before the SDK responded."
    more = msgspec.json.encode({"data": shown}) if shown else b""
    return Failure("Server returned a fatal error", message, "", True, retry_after_ms, more=more, status=status)


def _failure(status: int, body: bytes, retriable: bool, retry_after_ms: int) -> Failure:
    text = body.strip()
    fields: dict[str, msgspec.Raw] = {}
    try:
        if text[:1] == b'"':  # some errors are JSON within JSON
            text = msgspec.json.decode(text, type=str).encode("utf-8", "replace")
        fields = _OBJECT.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    if not fields:
        shown = text[:_SHOWN_MAX].decode("utf-8", "replace")
        message = shown or f"the app answered HTTP {status}"
        return Failure("Error", message, "", retriable, retry_after_ms, status=status)
    return failure_of(fields, retriable, retry_after_ms, f"the app answered HTTP {status}", status)


def failure_of(
    fields: Mapping[str, msgspec.Raw],
    retriable: bool,
    retry_after_ms: int,
    message: str = "unknown error",
    status: int = 0,
) -> Failure:
    """Make a failure of an error object; `more` has all of it that is not a text in `name`, `message` or `stack`."""
    given = {name: _text(fields.get(name)) for name in (*_ERROR_FIELDS, "error", "code")}
    more = {name: value for name, value in fields.items() if name not in _ERROR_FIELDS or bytes(value)[:1] != b'"'}
    return Failure(
        given["name"] or given["code"] or "Error",
        given["message"] or given["error"] or message,
        given["stack"],
        retriable,
        retry_after_ms,
        more=msgspec.json.encode(more) if more else b"",
        status=status,
    )


def step_failure(raw: msgspec.Raw, retriable: bool, retry_after_ms: int) -> Failure:
    """Make a failure of what a step says of its error."""
    try:
        fields = _OBJECT.decode(bytes(raw))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        fields = {}
    if bytes(fields.pop("noRetry", b"")) == b"true":
        retriable = False
    return failure_of(fields, retriable, retry_after_ms)


def _text(raw: msgspec.Raw | None) -> str:
    if raw is None:
        return ""
    value = msgspec.json.decode(raw)
    return value if isinstance(value, str) else "" if value is None else msgspec.json.encode(value).decode()


def read_retry_after(text: str, now_ms: int) -> int:
    """Read a Retry-After header as milliseconds from now, a second at least; -1 for none, or one without sense.

    Up to seven characters are seconds, anything longer is a moment.
    """
    text = text.strip()
    if not text:
        return -1
    if len(text) <= 7:
        try:
            return max(int(text) * 1_000, RETRY_AFTER_MS_MIN)
        except ValueError:
            return -1
    for parse in (datetime.fromisoformat, parsedate_to_datetime, _asctime):
        try:
            moment = parse(text)
        except ValueError:
            continue
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(int(moment.timestamp() * 1_000) - now_ms, RETRY_AFTER_MS_MIN)
    return -1


def _asctime(text: str) -> datetime:
    return datetime.strptime(text, "%a %b %d %H:%M:%S %Y").replace(tzinfo=UTC)
