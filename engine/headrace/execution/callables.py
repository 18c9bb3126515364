"""What a step's callable is: async or not, and what its results are turned into when they are handed over.

The type comes from the return annotation of today's code, never from a record. JSON data that is annotated as JSON
data (dict, list[str], int | None …) is handed over as it was recorded, whatever the annotation says in detail.
"""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
import msgspec.inspect

from headrace.execution.values import BINARY

Decode = Callable[[Any], Any]


class Callee:
    """How to call a step's callable, and how to decode what is recorded of it."""

    __slots__ = ("decode", "is_async")

    def __init__(self, is_async: bool, decode: Decode | None) -> None:
        self.is_async = is_async
        self.decode = decode


class ResultMismatch(Exception):
    """What is recorded of a step does not fit the return annotation of its callable."""


_ASYNC = Callee(True, None)
_SYNC = Callee(False, None)
_KNOWN: WeakKeyDictionary[Any, Callee] = WeakKeyDictionary()


def callee_of(function: Any) -> Callee:
    """Look at a callable, once."""
    if type(function) is types.FunctionType:
        if "return" not in _annotations(function):
            return _ASYNC if function.__code__.co_flags & inspect.CO_COROUTINE else _SYNC
        return _remembered(function)
    if isinstance(function, functools.partial):
        return callee_of(function.func)
    if isinstance(function, types.MethodType):
        return callee_of(function.__func__)
    if not callable(function):
        raise TypeError(f"a step's callable is {function!r}; pass the function itself, and its arguments behind it")
    if not isinstance(function, type) and not inspect.isroutine(function):
        method = getattr(type(function), "__call__", None)  # noqa: B004 - the method itself is wanted
        if isinstance(method, types.FunctionType):
            return callee_of(method)
    return _SYNC


def _annotations(function: Any) -> dict[str, Any]:
    try:
        return function.__annotations__  # type: ignore[no-any-return]
    except NameError:  # evaluated lazily from Python 3.14 on
        return {}


def _remembered(function: Any) -> Callee:
    callee = _KNOWN.get(function)
    if callee is None:
        callee = Callee(inspect.iscoroutinefunction(function), decoder_of(_returned_type(function)))
        _KNOWN[function] = callee
    return callee


def _returned_type(function: Any) -> Any:
    holder = types.SimpleNamespace(__annotations__={"return": function.__annotations__["return"]})
    names = dict(function.__globals__)
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        try:
            names[name] = cell.cell_contents
        except ValueError:  # not bound yet
            continue
    try:
        hint = typing.get_type_hints(holder, names, include_extras=True)["return"]
    except Exception:  # an annotation may be any expression, and fail in any way; then there is no type
        return Any
    if typing.get_origin(hint) in (Awaitable, Coroutine):
        return typing.get_args(hint)[-1]
    return hint


_PLAIN = frozenset({Any, None, type(None), bool, int, float, str, bytes, dict, list, object})


def _is_plain(hint: Any) -> bool:
    try:
        if hint in _PLAIN:
            return True
    except TypeError:
        return False
    if typing.get_origin(hint) in (dict, list, typing.Union, types.UnionType):
        return all(map(_is_plain, typing.get_args(hint)))
    return False


def decoder_of(hint: Any) -> Decode | None:
    """Make what turns recorded data into values of a type; None where they are the same."""
    if _is_plain(hint):
        return None
    try:
        msgspec.json.Decoder(hint, dec_hook=_build)
        by_itself = not isinstance(msgspec.inspect.type_info(hint), msgspec.inspect.CustomType)
    except TypeError:  # a type that msgspec does not take: unions of models, protocols …
        by_itself = False
    if not by_itself:
        return _pydantic_decoder(hint)
    return _checked(lambda raw: msgspec.convert(raw, hint, builtin_types=BINARY, dec_hook=_build), hint)


def _build(kind: type, raw: Any) -> Any:
    if isinstance(raw, kind):
        return raw
    validate = getattr(kind, "model_validate", None)
    if validate is not None:
        return _validated(validate, raw)
    adapted = _pydantic_decoder(kind)
    return raw if adapted is None else adapted(raw)


def _validated(validate: Callable[..., Any], raw: Any) -> Any:
    try:
        return validate(raw, strict=False, by_alias=True, by_name=True)
    except TypeError:  # pydantic before 2.11 has no by_name
        return validate(raw, strict=False)


@functools.lru_cache(maxsize=1024)
def _pydantic_decoder(hint: Any) -> Decode | None:
    import pydantic

    try:
        adapter: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(hint)
    except pydantic.PydanticUserError:  # no type that anybody can put together: hand over what is recorded
        return None
    return _checked(lambda raw: _validated(adapter.validate_python, raw), hint)


def _checked(convert: Decode, hint: Any) -> Decode:
    def decode(raw: Any) -> Any:
        try:
            return convert(raw)
        except (ValueError, TypeError) as error:
            raise ResultMismatch(
                f"what is recorded of the step cannot be read as {hint!r}: {error}. Records are not changed: "
                "make the return annotation fit them, or give the step a new id"
            ) from error

    return decode
