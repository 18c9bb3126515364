"""The limits that are in force, read from the honoured log with nothing of the engine: plain JSON, and keys by hand."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.simulation.oracle import Commit, Oracle

DEFINITIONS, BROADCASTS = b"d", b"H"
_FIELD = re.compile(r"event\.data\.(\w+)")
_UNLIKE = re.compile(r"event\.data\.(\w+) != '(\w*)'")
NO_LIMIT = 1 << 60


class Rules:
    """What one partition knows of functions, live limits and pauses: as of its last honoured commit, and before it."""

    def __init__(self, oracle: Oracle) -> None:
        self._rows: dict[bytes, bytes] = {}
        self._rows_before = self._rows
        self._read: dict[bytes, Any] = {b"": {}}
        self._merged: dict[tuple[bytes, bytes], dict[str, Any]] = {}
        self.changed = False  # by the last commit
        oracle.on_commit.append(self._take)

    def _take(self, oracle: Oracle, commit: Commit) -> None:
        found = [(key, raw) for key, raw in commit.rows if key[:1] in (DEFINITIONS, BROADCASTS)]
        self.changed = bool(found)
        self._rows_before = self._rows
        if found:
            self._rows = dict(self._rows)
            for key, raw in found:
                self._rows[key] = raw or b""

    def _json(self, raw: bytes) -> Any:
        if raw not in self._read:
            self._read[raw] = json.loads(raw)
        return self._read[raw]

    def of(self, function_id: str, *, before: bool = False) -> dict[str, Any]:
        """The function's definition with its live limits, or {}."""
        rows = self._rows_before if before else self._rows
        raw = rows.get(DEFINITIONS + function_id.encode(), b"")
        live = rows.get(BROADCASTS + b"~limits/" + function_id.encode(), b"")
        if (raw, live) not in self._merged:
            self._merged[raw, live] = merged(self._json(raw), self._json(live))
        return self._merged[raw, live]

    def paused(self, function_id: str, key: str | None, *, before: bool = False) -> bool:
        """Whether new runs of the function with this concurrency key are held."""
        rows = self._rows_before if before else self._rows
        names = [function_id] if key is None else [function_id, f"{function_id}/{key}"]
        return any(self._json(rows.get(BROADCASTS + b"~pause/" + n.encode(), b"")).get("paused") for n in names)

    def slots(self, function_id: str, limit: str, *, before: bool = False) -> int:
        """How many slots a limit ("scope:key") has for runs of the function."""
        for declared in self.of(function_id, before=before).get("concurrency", ()):
            if f"{declared.get('scope', 'function')}:{declared.get('key', '')}" == limit:
                return int(declared["limit"])
        return NO_LIMIT


def merged(definition: dict[str, Any], live: dict[str, Any]) -> dict[str, Any]:
    """Put the live numbers in the place of the declared ones."""
    found = dict(definition)
    if live.get("concurrency"):
        limits = {(c.get("scope", "function"), c.get("key", "")): c for c in definition.get("concurrency", [])}
        limits.update({(c.get("scope", "function"), c.get("key", "")): c for c in live["concurrency"]})
        found["concurrency"] = list(limits.values())
    for name in ("throttle", "rate_limit"):
        if name in definition and name in live:
            changes = {field: number for field, number in live[name].items() if number > 0 or field == "burst"}
            found[name] = {**definition[name], **changes}
    return found


def key_of(expression: str, data: dict[str, Any]) -> str | None:
    """The key of an event: texts of its data, one or the sum of several. None where all of it is missing."""
    if not expression:
        return ""
    values = [data[name] for name in _FIELD.findall(expression) if name in data]
    return "".join(values) if values else None


def is_gathered(option: dict[str, Any], data: dict[str, Any]) -> bool:
    """Whether a batch's condition takes the event."""
    condition = option.get("expression", "")
    if not condition:
        return True
    found = _UNLIKE.fullmatch(condition)
    assert found is not None, condition
    return bool(data.get(found[1]) != found[2])


def priority_ms(definition: dict[str, Any], data: dict[str, Any]) -> int:
    """By how much a run goes before its time in queues: any finite number, within twelve hours."""
    if not definition.get("priority"):
        return 0
    (field,) = _FIELD.findall(definition["priority"])
    seconds = data.get(field)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return 0
    return round(max(-43_200.0, min(float(seconds), 43_200.0)) * 1000)


def first_key(definition: dict[str, Any], data: dict[str, Any]) -> str | None:
    """The value of the first concurrency key that is declared; None without one. A missing one is "false"."""
    return next(iter(all_keys(definition, data)), None)


def all_keys(definition: dict[str, Any], data: dict[str, Any]) -> list[str]:
    """The values of all concurrency keys; a missing one is "false"."""
    keys = [key_of(limit["key"], data) for limit in definition.get("concurrency", ()) if limit.get("key")]
    return ["false" if key is None else key for key in keys]
