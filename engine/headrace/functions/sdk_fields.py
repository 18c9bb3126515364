"""Fields of what SDKs register: keys without regard to case, null as nothing, each value of its kind or refused.

Source: the SDK protocol page, section 2.3. A field that nobody asks for here is ignored, whatever it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from headrace.errors import BadDeclaration, BadRequest
from headrace.expressions import compile_expression

_KINDS = {str: "text", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}
_PART = re.compile(r"(\d*)(?:\.(\d*))?([a-zµμ]+)", re.ASCII)
_NS = {"ns": 1, "us": 1_000, "µs": 1_000, "μs": 1_000, "ms": 1_000_000, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_NS_OF_DAYS = {"d": 24 * _NS["h"], "w": 7 * 24 * _NS["h"]}
_DIGITS_MAX = 18


def refused(what: str, why: str = "", do: str = "", code: str = "registration_invalid") -> BadRequest:
    """Make the error for what an SDK's app has registered."""
    return BadRequest(code, what, why=why, do=do)


def read_object(body: bytes) -> dict[str, Any]:
    """Decode a body to an object with keys in lower case, all the way down, and without nulls; BadRequest."""
    try:
        read = _tidied(msgspec.json.decode(body))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise refused(
            f"Invalid request: {error}", "an app registers with one JSON object", "look at what was sent"
        ) from None
    if not isinstance(read, dict):
        raise refused(f"Invalid request: it is {_kind_of(read)}", "an app registers with one JSON object")
    return read


def _tidied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key.lower(): _tidied(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_tidied(inner) for inner in value if inner is not None]
    return value


def _kind_of(value: object) -> str:
    return _KINDS.get(type(value), "nothing")


def text_of(fields: Mapping[str, Any], name: str, default: str = "") -> str:
    """Give a field that is a text."""
    return str(_of_kind(fields, name, str, default))


def list_of(fields: Mapping[str, Any], name: str) -> list[Any]:
    """Give a field that is a list; an empty one where there is none."""
    found: list[Any] = _of_kind(fields, name, list, [])
    return found


def object_of(fields: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """Give a field that is an object, or None."""
    found: dict[str, Any] | None = _of_kind(fields, name, dict, None)
    return found


def number_of(fields: Mapping[str, Any], name: str) -> int | None:
    """Give a field that is a whole number, or None."""
    value = fields.get(name.lower())
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise refused(f"Invalid request: {name} is {_shown(value)}", "it is a whole number")


def as_object(value: object, what: str) -> dict[str, Any]:
    """Take a value of a list for the object that it should be."""
    if isinstance(value, dict):
        return value
    raise refused(f"Invalid request: {what} is {_shown(value)}", "it is an object")


def _of_kind(fields: Mapping[str, Any], name: str, kind: type, default: Any) -> Any:
    value = fields.get(name.lower(), default)
    if value is default or isinstance(value, kind):
        return value
    raise refused(f"Invalid request: {name} is {_shown(value)}", f"it is {_KINDS[kind]}")


def _shown(value: object) -> str:
    return repr(value)[:60] if isinstance(value, str | int | float) else _kind_of(value)


def read_go_duration_ms(text: str, what: str, *, days: bool = True) -> int:
    """Read a duration as servers written in Go do, in whole milliseconds: "90s", "1h30m", "1.5h"; BadRequest.

    With `days` also d and w ("1d12h"), which the language itself has not.
    """
    units = {**_NS, **_NS_OF_DAYS} if days else _NS
    written = text.strip()
    if written in ("0", "+0", "-0"):
        return 0
    at, total_ns = int(written[:1] in ("+", "-")), 0
    is_read = at < len(written)
    while is_read and at < len(written):
        part = _PART.match(written, at)
        if part is None or part[3] not in units or not (part[1] or part[2]):
            is_read = False
            break
        whole, decimals = part[1] or "0", part[2] or ""
        if len(whole) > _DIGITS_MAX or len(decimals) > _DIGITS_MAX:
            is_read = False
            break
        scale = 10 ** len(decimals)
        total_ns += (int(whole) * scale + int(decimals or 0)) * units[part[3]] // scale
        at = part.end()
    if not is_read or written.startswith("-"):
        known = ", ".join(("ms", "s", "m", "h", "d", "w") if days else ("ms", "s", "m", "h"))
        raise refused(
            f"{what} of {text[:60]!r} is invalid",
            f"a duration is numbers with units: {known}",
            'write "90s" or "1h30m"',
        )
    return total_ns // 1_000_000


def read_expression_text(
    fields: Mapping[str, Any], name: str, what: str, variables: tuple[str, ...] = ("event",)
) -> str:
    """Give a field that is an expression and compiles; "" where there is none, or an empty one."""
    text = text_of(fields, name).strip()
    if text:
        check_expression(text, what, variables)
    return text


def check_expression(text: str, what: str, variables: tuple[str, ...] = ("event",)) -> None:
    """Refuse an expression that does not compile."""
    try:
        compile_expression(text, variables=variables, option=what)
    except BadDeclaration as error:
        raise refused(f"{what} is invalid: {error.what}", error.why, error.do) from None
