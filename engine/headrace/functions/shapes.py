"""Shapes: the classes of options, whose fields may be mistyped like options themselves, and are answered like them."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from headrace.errors import BadDeclaration
from headrace.functions.mistakes import nearest

S = TypeVar("S")

# What people type, and what it may mean: the first one that the class has.
_FIELD_ALIASES: dict[str, tuple[str, ...]] = {
    # how many
    "count": ("limit", "attempts", "max_size"),
    "rate": ("limit",),
    "max": ("limit", "attempts", "max_size"),
    "slots": ("limit",),
    "max_concurrency": ("limit",),
    "concurrency_limit": ("limit",),
    "max_concurrent": ("limit",),
    "max_runs": ("limit",),
    "max_retries": ("attempts",),
    "max_attempts": ("attempts",),
    "maximum_attempts": ("attempts",),
    "times": ("attempts",),
    "retries": ("attempts",),
    "size": ("max_size",),
    "limit": ("max_size", "attempts"),
    "max_length": ("max_size",),
    "batch_size": ("max_size",),
    "max_events": ("max_size",),
    "bytes": ("max_bytes",),
    # how long
    "per": ("period",),
    "interval": ("period", "base", "timeout"),
    "window": ("period",),
    "duration": ("period",),
    "delay": ("period", "base"),
    "wait": ("period",),
    "quiet": ("period",),
    "ttl": ("window", "start"),
    "expires": ("window", "start"),
    "period": ("window", "timeout"),
    "max_wait": ("timeout",),
    "max_delay": ("timeout", "max"),
    "flush_interval": ("timeout",),
    "max_runtime": ("finish",),
    "max_duration": ("finish",),
    "execution": ("finish",),
    "execution_timeout": ("finish",),
    "run_timeout": ("finish",),
    "timeout": ("finish",),
    "end": ("finish",),
    "schedule_timeout": ("start",),
    "start_timeout": ("start",),
    "queue": ("start",),
    "initial": ("base",),
    "initial_interval": ("base",),
    "min": ("base",),
    "maximum_interval": ("max",),
    "max_interval": ("max",),
    "cap": ("max",),
    "strategy": ("type", "mode"),
    "kind": ("type", "mode"),
    "policy": ("mode", "overlap", "backoff"),
    "on_conflict": ("mode",),
    "backoff_coefficient": ("type",),
    "factor": ("type",),
    "randomize": ("jitter",),
    "randomization_factor": ("jitter",),
    # which
    "if": ("if_",),
    "condition": ("if_",),
    "filter": ("if_",),
    "where": ("if_",),
    "when": ("if_",),
    "if_exp": ("if_",),
    "expression": ("if_", "run", "key", "line"),
    "expr": ("if_", "run", "key", "line"),
    "group_by": ("key",),
    "id": ("key",),
    "level": ("scope",),
    "name": ("event",),
    "event": ("name",),
    "event_name": ("event", "name"),
    "seconds": ("run",),
    "value": ("run",),
    # cron
    "cron": ("line",),
    "schedule": ("line",),
    "crontab": ("line",),
    "lines": ("line",),
    "tz": ("timezone",),
    "zone": ("timezone",),
    "time_zone": ("timezone",),
    "overlap_policy": ("overlap",),
    "catchup": ("catch_up",),
    "catchup_window": ("catch_up",),
    "backfill": ("catch_up",),
    "misfire": ("catch_up",),
}


def meant_field(name: str, fields: Iterable[str]) -> str:
    """Find the field that was probably meant, or ""."""
    known = list(fields)
    aliases = {}
    for alias, meant in _FIELD_ALIASES.items():
        found = next((field for field in meant if field in known), "")
        if found and alias not in known:
            aliases[alias] = found
    return nearest(name, known, aliases)


def unknown_field(option: str, name: object, shape: type[Any], where: str) -> BadDeclaration:
    """Describe a field that an option's class does not have."""
    fields = [field.name for field in dataclasses.fields(shape)]
    meant = meant_field(str(name), fields)
    return BadDeclaration(
        "option_unknown",
        f"{option} has no {name!r}",
        why=f"{shape.__name__} takes: {', '.join(fields)}",
        do=f"did you mean {meant!r}?" if meant else "remove it",
        where=where,
    )


def read_fields(shape: type[S], option: str, given: Mapping[Any, Any], where: str) -> dict[str, Any]:
    """Read the keys of a dict that stands for an instance, each the name of a field."""
    fields = {field.name for field in dataclasses.fields(shape)}  # type: ignore[arg-type]
    read: dict[str, Any] = {}
    for key, value in given.items():
        name = "if_" if key == "if" and "if_" in fields else key  # a keyword of Python, but not in a dict
        if name not in fields:
            raise unknown_field(option, key, shape, where)
        read[name] = value
    return read


def option_shape(shape: type[S]) -> type[S]:
    """Have a dataclass answer a call that does not fit it with a BadDeclaration that names the place of the call."""
    make = shape.__init__

    @functools.wraps(make)
    def explain(self: S, *args: Any, **given: Any) -> None:
        try:
            make(self, *args, **given)
        except TypeError as error:
            mistake = error
        else:
            return
        raise _misfit(shape, args, given, mistake)

    shape.__init__ = explain  # type: ignore[method-assign,assignment]
    return shape


def _misfit(shape: type[Any], args: tuple[Any, ...], given: Mapping[str, Any], error: TypeError) -> BadDeclaration:
    where = _place_of_call()
    fields = dataclasses.fields(shape)
    names = [field.name for field in fields]
    for name in given:
        if name not in names:
            return unknown_field(shape.__name__, name, shape, where)
    missing = [
        field.name
        for field in fields[len(args) :]
        if field.name not in given
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    return BadDeclaration(
        "option_invalid",
        f"{shape.__name__} has no {missing[0]!r}" if missing else f"{shape.__name__}(…) cannot be made: {error}",
        why=f"it takes: {', '.join(names)}",
        do=f"write {shape.__name__}({', '.join(f'{name}=…' for name in missing or names)})",
        where=where,
    )


def _place_of_call() -> str:
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    return "" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"
