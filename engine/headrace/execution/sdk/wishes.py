"""Wishes: what an app wants of the engine, read from its ops: to sleep, to wait, to have a function invoked.

Source: the SDK protocol page, sections 3.3 and 4.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from headrace.errors import BadDeclaration, BadRequest
from headrace.execution.sdk.answer import Op
from headrace.expressions import compile_expression, parse_duration_ms, parse_when_ms
from headrace.records.commands import (
    AnyCommand,
    DeferAsked,
    DeferDropped,
    InvokeAsked,
    SignalAsked,
    SleepAsked,
    Wait,
    WaitAsked,
)
from headrace.records.event_sessions import merged_meta
from headrace.records.waits import CONFLICTS

DAY_MS = 86_400_000
WAIT_MS_MAX = 366 * DAY_MS
INVOKE_TIMEOUT_MS = 365 * DAY_MS
_MOMENT_LENGTH_MIN = 10  # a shorter text is a duration
_DECODE_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Refused(Exception):
    """The app wants what cannot be: the run fails, and trying again would not help."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name
        self.message = message


def options_of(op: Op) -> dict[str, Any]:
    """Decode the options of an op; none are no options."""
    raw = bytes(op.opts)
    if raw in (b"null", b""):
        return {}
    value = msgspec.json.decode(raw)
    return value if isinstance(value, dict) else {}


def sleep_wish(op: Op, run_id: str, step: bytes, now_ms: int) -> AnyCommand:
    """Read a sleep: a duration or a moment, in `opts.duration` or in the op's name."""
    text = str(options_of(op).get("duration") or op.name or "").strip()
    due_ms = _moment(text, now_ms, "sleep")
    if due_ms - now_ms > WAIT_MS_MAX:
        raise Refused("InngestErrTimeoutTooLong", f"a sleep of {text!r} is longer than {WAIT_MS_MAX // DAY_MS} days")
    return SleepAsked(run_id, step, max(due_ms, 1), 0)


def wait_wish(op: Op, run_id: str, step: bytes, now_ms: int) -> AnyCommand:
    """Read a wait for an event, whose name stands in `opts.event` or is the op's."""
    opts = options_of(op)
    event = opts.get("event") or op.name or ""
    expression = opts.get("if") or ""
    if not isinstance(event, str) or not event or not isinstance(expression, str):
        raise Refused("InvalidWait", f"a wait for the event {event!r} where {expression!r} cannot be")
    if expression:
        try:
            compile_expression(expression, variables=("event", "async"), option="if")
        except BadDeclaration as error:
            raise Refused("InvalidExpression", f"{error.what}: {error.why}; {error.do}") from None
    return WaitAsked(run_id, step, [Wait(event, "", expression)], _timeout_ms(opts, now_ms, 1))


def signal_wish(op: Op, run_id: str, step: bytes, now_ms: int) -> AnyCommand:
    """Read a wait for a signal."""
    opts = options_of(op)
    signal = opts.get("signal") or op.name or ""
    if not isinstance(signal, str) or not signal:
        raise Refused("InvalidSignal", f"a signal named {signal!r} cannot be waited for")
    conflict = opts.get("conflict")
    return SignalAsked(run_id, step, signal, _timeout_ms(opts, now_ms, 1), conflict if conflict in CONFLICTS else "")


def invoke_wish(op: Op, run_id: str, step: bytes, now_ms: int) -> AnyCommand:
    """Read what function is to be invoked, with which data."""
    try:
        opts = _DECODE_OBJECT(bytes(op.opts))
        payload = _DECODE_OBJECT(bytes(opts.get("payload", b"{}")))
        function_id = msgspec.json.decode(opts.get("function_id", msgspec.Raw(b'""')), type=str)
        timeout = msgspec.json.decode(opts.get("timeout", msgspec.Raw(b"null")))
    except msgspec.MsgspecError as error:
        raise Refused("InvalidInvoke", f"the options of an invoke cannot be read: {error}") from None
    timeout_ms = _timeout_ms({"timeout": timeout}, now_ms, INVOKE_TIMEOUT_MS)
    try:
        meta = merged_meta(bytes(payload.get("meta", b"null")))
    except BadRequest as error:
        raise Refused("InvalidInvoke", f"the meta of an invoke cannot be read: {error.what}") from None
    return InvokeAsked(run_id, step, function_id, bytes(payload.get("data", b"null")), timeout_ms, meta)


def defer_wish(op: Op, run_id: str, step: bytes, now_ms: int) -> AnyCommand:
    """Read what function is to be run after the run; what cannot be read is refused there, and fails nothing."""
    try:
        opts = _DECODE_OBJECT(bytes(op.opts))
        function_id = msgspec.json.decode(opts.get("fn_slug", b'""'), type=str)
        meta = merged_meta(bytes(opts.get("meta", b"null")))
    except (msgspec.MsgspecError, BadRequest):
        return DeferAsked(run_id, step, "", b"null", b"null")
    return DeferAsked(run_id, step, function_id, bytes(opts.get("input", b"null")), meta)


def drop_wish(op: Op, run_id: str, step: bytes, now_ms: int) -> AnyCommand:
    """Take back a function that was to be run after the run."""
    return DeferDropped(run_id, step)


def _timeout_ms(opts: dict[str, Any], now_ms: int, default_ms: int) -> int:
    """Read a time-out: at least 1 ms, because 0 would mean none; an empty one has passed already."""
    text = opts.get("timeout")
    if text is None or text == "":
        return default_ms
    timeout_ms = _moment(str(text).strip(), now_ms, "timeout") - now_ms
    if timeout_ms > WAIT_MS_MAX:
        raise Refused("InngestErrTimeoutTooLong", f"a time-out of {text!r} is longer than {WAIT_MS_MAX // DAY_MS} days")
    return max(timeout_ms, 1)


def _moment(text: str, now_ms: int, what: str) -> int:
    if not text:
        return now_ms
    try:
        if len(text) >= _MOMENT_LENGTH_MIN:
            try:
                return parse_when_ms(text if _has_zone(text) else text + "Z")
            except BadDeclaration:
                pass  # a long duration
        return now_ms + math.ceil(parse_duration_ms(text))
    except BadDeclaration as error:
        raise Refused(
            "InvalidDuration", f"the {what} {text!r} is neither a duration nor a moment: {error.why}"
        ) from None


def _has_zone(text: str) -> bool:
    return text[-1:] in "Zz" or "+" in text[10:] or "-" in text[10:]
