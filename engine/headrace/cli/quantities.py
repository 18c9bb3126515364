"""What may be given as a number or a moment: checked on the command line, and refused in its words."""

from __future__ import annotations

import math
from typing import Any

import click
from click.types import StringParamType


class WholeNumber(click.IntRange):
    """A whole number between two others, both included; no end where `max` is None."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read it; a usage error for anything else."""
        try:
            number = int(value)
        except (TypeError, ValueError, OverflowError):
            number = None
        low, high = self.min or 0, math.inf if self.max is None else self.max
        if number is None or not low <= number <= high:
            end = f"of {low} or more" if self.max is None else f"from {low} to {self.max}"
            self.fail(f"{str(value)[:60]!r} is no whole number {end}.", param, ctx)
        return number


class Seconds(click.FloatRange):
    """A number of seconds, from `min` to `max`; both are needed."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read it; a usage error for anything else (`nan` and `inf` are numbers to Python, and no time to wait)."""
        try:
            seconds = float(value)
        except (TypeError, ValueError, OverflowError):
            seconds = math.nan
        least, most = self.min or 0.0, self.max or math.inf
        if not least <= seconds <= most:
            self.fail(f"{str(value)[:60]!r} is no number from {least:g} to {most:g}.", param, ctx)
        return seconds


class Moment(StringParamType):
    """A moment of the past, as the node's API reads it; handed on as it was written."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check it; a usage error for what is no moment."""
        from headrace.console.moments import parse_since
        from headrace.errors import BadRequest

        text = str(value)
        try:
            # Now is far enough from 1970 for every "how long ago" that means something.
            parse_since(text, 1 << 62)
        except BadRequest:
            self.fail(
                f"{text[:60]!r} is no moment. Write how long ago (15m, 2h, 7d), a date or moment (2026-01-31,"
                " 2026-01-31T12:00:00+01:00; UTC unless it names its zone), or milliseconds since 1970.",
                param,
                ctx,
            )
        return text


MOMENT = Moment()
