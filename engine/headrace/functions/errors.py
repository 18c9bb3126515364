"""Errors that user code raises and catches around steps."""

from __future__ import annotations

from datetime import datetime, timedelta


class NonRetriableError(Exception):
    """Raise it in a step or a function to fail at once: its remaining retries are not used."""


class RetryAfterError(Exception):
    """Raise it to have the next attempt made `after` this long, whatever the back-off says.

    `after` is a duration string ("30s"), seconds, a timedelta, or a datetime (with a time zone) to wait until.
    """

    def __init__(self, message: str, after: str | int | float | timedelta | datetime) -> None:
        super().__init__(message)
        self.after = after


class StepError(Exception):
    """Raised at an awaited step whose retries are spent; may be caught, and the function goes on.

    Carries `name` (the class name of the original error), `message` and `stack` (its traceback as text); of a step that
    invoked a function, `run_id` is the run that failed.
    """

    def __init__(self, step_id: str, name: str, message: str, stack: str = "", run_id: str = "") -> None:
        child = f" (run {run_id})" if run_id else ""
        super().__init__(f"step {step_id!r} failed: {name}: {message}{child}")
        self.run_id = run_id
        self.step_id = step_id
        self.name = name
        self.message = message
        self.stack = stack


class StepMisuse(Exception):
    """Steps used in a way that cannot work (nested, duplicated in parallel): fails the run, without retries."""

    def __init__(self, code: str, what: str, *, why: str, do: str) -> None:
        super().__init__(f"[{code}] {what}\n  why: {why}\n  do:  {do}")
        self.code = code


class NestedStep(StepMisuse):
    """A step was asked for inside another step's callable."""


class DuplicateStep(StepMisuse):
    """A step id was asked for again while its earlier occurrence is unresolved."""
