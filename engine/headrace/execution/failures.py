"""Failures: from exceptions of user code to data, and whether trying again may help."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from headrace.adapters.seams import Clock
from headrace.errors import BadDeclaration, BadRecord, BadRequest
from headrace.execution.values import Unserialisable
from headrace.expressions import parse_duration_ms, parse_when_ms
from headrace.functions.errors import NonRetriableError, RetryAfterError, StepError, StepMisuse
from headrace.records.rows import Failure

MESSAGE_CHARS_MAX = 8_192
STACK_CHARS_MAX = 16_384

_OURS = str(Path(__file__).parent)
_FINAL = (NonRetriableError, StepError, StepMisuse, Unserialisable, BadDeclaration, BadRecord, BadRequest)


def failure_of(error: BaseException, clock: Clock) -> Failure:
    """Describe an exception that user code raised."""
    error = _unwrapped(error)
    retriable = True
    retry_after_ms = -1
    for leaf in _leaves(error):
        if isinstance(leaf, _FINAL):
            retriable = False
        elif isinstance(leaf, RetryAfterError):
            retry_after_ms = max(retry_after_ms, _wait_ms(leaf, clock))
    return Failure(
        type(error).__name__,
        _clean(_message(error), MESSAGE_CHARS_MAX),
        stack_of(error),
        retriable,
        retry_after_ms if retriable else -1,
    )


def stack_of(error: BaseException) -> str:
    """Write the traceback without the engine's own frames; of a long one, the end."""
    try:
        described = traceback.TracebackException.from_exception(error, limit=-64)
        _leave_ours_out(described, set())
        text = "".join(described.format())
    except Exception as broken:  # the user's class may fail while it is being described
        text = f"{type(error).__name__} (its traceback cannot be written: {broken!r})"
    return _clean(text if len(text) <= STACK_CHARS_MAX else "…" + text[-STACK_CHARS_MAX + 1 :], STACK_CHARS_MAX)


def _leave_ours_out(described: traceback.TracebackException | None, seen: set[int]) -> None:
    if described is None or id(described) in seen:
        return
    seen.add(id(described))
    theirs = [frame for frame in described.stack if not frame.filename.startswith(_OURS)]
    described.stack = traceback.StackSummary.from_list(theirs)
    _leave_ours_out(described.__cause__, seen)
    _leave_ours_out(described.__context__, seen)
    for inner in getattr(described, "exceptions", None) or ():
        _leave_ours_out(inner, seen)


def _unwrapped(error: BaseException) -> BaseException:
    # A group with one member (a TaskGroup with one failing branch) says less than its member.
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:
        return f"(its message cannot be written: {type(broken).__name__})"


def _clean(text: str, chars_max: int) -> str:
    text = text if len(text) <= chars_max else text[: chars_max - 1] + "…"
    return text.encode("utf-8", "backslashreplace").decode()


def _wait_ms(error: RetryAfterError, clock: Clock) -> int:
    after = error.after
    try:
        if isinstance(after, datetime):
            return max(0, parse_when_ms(after, option="after") - clock.wall_ms())
        return parse_duration_ms(after, option="after")
    except BadDeclaration:
        return -1  # the function's own back-off decides
