"""Reading options: from what people type to plain values, or a mistake in four parts with the place in their file."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, TypeVar

from headrace.errors import BadDeclaration
from headrace.expressions import compile_expression, format_duration, match_expression, parse_duration_ms
from headrace.functions.mistakes import nearest, snake_case
from headrace.functions.shapes import read_fields
from headrace.records.events import NAME_LENGTH_MAX

S = TypeVar("S")
Duration = str | int | float | timedelta

DURATION_MS_MIN = 10
DURATION_MS_MAX = 10 * 366 * 24 * 3_600_000  # ten years
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


def invalid(what: str, why: str, do: str, where: str, code: str = "option_invalid") -> BadDeclaration:
    """Describe an option that cannot work."""
    return BadDeclaration(code, what, why=why, do=do, where=where)


def read_shape(value: object, shape: type[S], option: str, where: str, example: str, short: str = "") -> S:
    """Read an option that is an instance of its class, or a dict of the class's fields.

    With `short`, a text or a number stands for that field alone.
    """
    if isinstance(value, shape):
        return value
    fields = dataclasses.fields(shape)  # type: ignore[arg-type]
    if isinstance(value, Mapping):
        given = read_fields(shape, option, value, where)
        for field in fields:
            if field.name not in given and _is_required(field):
                raise invalid(
                    f"{option} has no {field.name!r}", f"{field.name} says {_meaning(shape)}", f"write {example}", where
                )
        return shape(**given)
    if short and isinstance(value, str | int | float | timedelta) and not isinstance(value, bool):
        return shape(**{short: value})
    raise invalid(
        f"{option} is {value!r} ({type(value).__name__})",
        f"the option is {shape.__name__}(…), or a dict with: {', '.join(field.name for field in fields)}",
        f"write {example}",
        where,
    )


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _meaning(shape: type[Any]) -> str:
    first = (shape.__doc__ or "").strip().splitlines()[0].rstrip(".")
    return f"what it is about: {first[:1].lower()}{first[1:]}"


def read_count(value: object, option: str, where: str, *, least: int = 1, most: int = 1_000_000) -> int:
    """Read a whole number within bounds."""
    if type(value) is int and least <= value <= most:
        return value
    raise invalid(
        f"{option} is {value!r}",
        f"it is a whole number from {least} to {most}",
        f"write {option.rpartition('.')[2]}={min(max(least, 10), most)}",
        where,
    )


def read_duration_ms(
    value: object, option: str, where: str, *, least_ms: int = DURATION_MS_MIN, most_ms: int = DURATION_MS_MAX
) -> int:
    """Read a duration within bounds, in milliseconds."""
    try:
        duration_ms = parse_duration_ms(value, option=option)  # type: ignore[arg-type]
    except BadDeclaration as error:
        raise placed(error, where) from None
    if least_ms <= duration_ms <= most_ms:
        return duration_ms
    short = duration_ms < least_ms
    raise invalid(
        f"{option} is {value!r}",
        f"it is {'at least' if short else 'at most'} {format_duration(least_ms if short else most_ms)}",
        f'write {option.rpartition(".")[2]}="{format_duration(max(least_ms, 1_000) if short else most_ms)}"',
        where,
        "duration_too_short" if short else "duration_too_long",
    )


def read_optional_ms(value: object, option: str, where: str) -> int:
    """Read a duration that may be left out: 0 then."""
    return 0 if value is None else read_duration_ms(value, option, where)


def read_expression(value: object, option: str, where: str, variables: tuple[str, ...] = ("event",)) -> str:
    """Compile an expression; give its text. None is none: ""."""
    if value is None:
        return ""
    if isinstance(value, str) and not value.strip():
        raise invalid(
            f"{option} is {value!r}", "an expression is a text in CEL", f"leave {option} out, or fill it in", where
        )
    try:
        return compile_expression(value, variables=variables, option=option).source  # type: ignore[arg-type]
    except BadDeclaration as error:
        raise placed(error, where) from None


def read_match(value: object, option: str, where: str) -> str:
    """Check a path that two events share; give it. None is none: ""."""
    if value is None:
        return ""
    try:
        match_expression(value, option=option)  # type: ignore[arg-type]
    except BadDeclaration as error:
        raise placed(error, where) from None
    return str(value).strip()


def read_choice(value: object, choices: Iterable[str], option: str, where: str, aliases: dict[str, str] = {}) -> str:  # noqa: B006
    """Read one of several words."""
    known = list(choices)
    if isinstance(value, str) and value in known:
        return value
    by_snake = {snake_case(word): word for word in known}
    meant = nearest(value, by_snake, aliases) if isinstance(value, str) else ""
    meant = by_snake.get(meant, meant)
    raise invalid(
        f"{option} is {value!r}",
        f"there are: {', '.join(known)}",
        f"did you mean {meant!r}?" if meant else f'write {option.rpartition(".")[2]}="{known[0]}"',
        where,
    )


def read_flag(value: object, option: str, where: str) -> bool:
    """Read True or False."""
    if isinstance(value, bool):
        return value
    raise invalid(f"{option} is {value!r}", "it is True or False", f"write {option.rpartition('.')[2]}=True", where)


def read_event_name(value: object, option: str, where: str, why: str) -> str:
    """Read the exact name of an event that is waited for."""
    name = value if isinstance(value, str) else ""
    if not name or len(name) > NAME_LENGTH_MAX or _CONTROL.search(name):
        raise invalid(
            f"{option} is {value!r}",
            f"an event's name is a text of 1 to {NAME_LENGTH_MAX} characters, without control characters",
            f'write {option.rpartition(".")[2]}="order/cancelled"',
            where,
        )
    if "*" in name:
        raise invalid(f"{option} is {value!r}", f"{why}: no wildcards", "name the event; list several for more", where)
    return name


def several(value: object, option: str, most: int, where: str) -> list[Any]:
    """Read an option that is one thing or a list of them."""
    found = list(value) if isinstance(value, list | tuple) else [value]
    if 1 <= len(found) <= most:
        return found
    raise invalid(
        f"{option} has {len(found)} entries", f"it has 1 to {most}", "remove some, or leave the option out", where
    )


def placed(error: BadDeclaration, where: str) -> BadDeclaration:
    """Say where a mistake stands, which the one who found it could not know."""
    return BadDeclaration(error.code, error.what, why=error.why, do=error.do, where=where)
