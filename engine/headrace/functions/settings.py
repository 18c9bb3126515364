"""Settings: what an operator changes while everything runs, as broadcasts (records/broadcasts.py).

    ~limits/<function id>        {"concurrency": [{"limit": 5, "key": …, "scope": …}], "throttle": {"limit": 100}, …}
    ~pause/<function id>         {"paused": true}
    ~pause/<function id>/<key>   the same for the runs of one key

A setting that is over is written as such, not removed: what is removed from a compacted topic is forgotten after a
day, and a partition that nobody owned for so long would keep it for ever.
"""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.errors import BadRecord
from headrace.records.broadcasts import broadcast_key
from headrace.records.definitions import Concurrency, Definition

LIMITS = "limits"
PAUSE = "pause"


class LiveRate(msgspec.Struct, frozen=True, omit_defaults=True):
    """Numbers of a throttle or a rate limit; 0: as it is declared."""

    limit: int = 0
    period_ms: int = 0
    burst: int = -1  # of a throttle; -1: as it is declared


class LiveLimits(msgspec.Struct, frozen=True, omit_defaults=True):
    """What stands in for the numbers that a function declares. A concurrency limit that it has not is added."""

    concurrency: list[Concurrency] = []
    throttle: LiveRate | None = None
    rate_limit: LiveRate | None = None


class Pause(msgspec.Struct, frozen=True):
    """Whether it is in force."""

    paused: bool


_LIMITS = msgspec.json.Decoder(LiveLimits)
_PAUSE = msgspec.json.Decoder(Pause)


def limits_key(function_id: str) -> bytes:
    """Make the record key of a function's live limits."""
    return broadcast_key(LIMITS, function_id)


def pause_name(function_id: str, key: bytes | None = None) -> str:
    """Name the pause of a function, or of one of its keys."""
    return function_id if key is None else f"{function_id}/{key.decode('utf-8', 'replace')}"


def pause_key(function_id: str, key: bytes | None = None) -> bytes:
    """Make the record key of a pause."""
    return broadcast_key(PAUSE, pause_name(function_id, key))


def read_limits(value: bytes) -> LiveLimits:
    """Read live limits; `BadRecord` for anything else."""
    try:
        return _LIMITS.decode(value)
    except msgspec.MsgspecError as error:
        raise _unreadable(error) from None


def is_paused(value: bytes) -> bool:
    """Read a pause; `BadRecord` for anything else."""
    try:
        return _PAUSE.decode(value).paused
    except msgspec.MsgspecError as error:
        raise _unreadable(error) from None


def _unreadable(error: Exception) -> BadRecord:
    return BadRecord(
        "setting_unreadable",
        f"a setting on the functions topic cannot be read: {error}",
        why="it was written by a newer version, or not by Headrace",
        do="upgrade this node, or set it anew",
    )


def with_limits(definition: Definition, live: LiveLimits) -> Definition:
    """Give the definition as it is with the live limits in force."""
    changed: dict[str, Any] = {}
    if live.concurrency:
        limits = {(c.scope, c.key): c for c in definition.concurrency}
        limits.update({(c.scope, c.key): c for c in live.concurrency})
        changed["concurrency"] = list(limits.values())
    if live.throttle is not None and definition.throttle is not None:
        changed["throttle"] = _with_rate(definition.throttle, live.throttle)
    if live.rate_limit is not None and definition.rate_limit is not None:
        changed["rate_limit"] = _with_rate(definition.rate_limit, live.rate_limit)
    return msgspec.structs.replace(definition, **changed) if changed else definition


def _with_rate(declared: Any, live: LiveRate) -> Any:
    changed: dict[str, Any] = {}
    if live.limit > 0:
        changed["limit"] = live.limit
    if live.period_ms > 0:
        changed["period_ms"] = live.period_ms
    if live.burst >= 0 and hasattr(declared, "burst"):
        changed["burst"] = live.burst
    return msgspec.structs.replace(declared, **changed)
