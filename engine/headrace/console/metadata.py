"""What others keep beside a run: metadata of its code, scores. Source: the SDK protocol page, section 6.1.

Each note is one row with its updates; what stands there now is put together when it is asked for, in the notes' order.
An update says what becomes of the values of its kind: merge, set, delete or add.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from headrace.console.model_prices import estimated_cost
from headrace.records.history import Lifecycle

AI = "inngest.ai"  # the kind of calls of language models
ORIGIN = "headrace.origin"  # the kind that says which run another one repeats: {"run_id": …}


class Update(msgspec.Struct):
    """One change of the values of a kind."""

    kind: str
    op: str = "merge"
    values: dict[str, msgspec.Raw] = {}


class _ModelCall(msgspec.Struct):
    request_model: str | None = None
    response_model: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0


_UPDATES = msgspec.json.Decoder(list[Update])


class Note(NamedTuple):
    """Updates that were noted together, beside a run or one of its steps."""

    request_id: str
    scope: str
    step_id: str
    occurrence: int
    attempt: int
    at_ms: int
    updates: str


class Kept(NamedTuple):
    """What is kept under one kind."""

    scope: str
    kind: str
    values: dict[str, msgspec.Raw]
    updated_ms: int


def metadata_row(life: Lifecycle) -> tuple[Any, ...]:
    """Make the row of a note."""
    return (
        life.partition,
        life.seq,
        life.run_id,
        life.code,
        life.op or "run",
        life.step_id,
        life.occurrence,
        life.attempt,
        life.at_ms,
        life.output,
    )


def notes_of(archive: sqlite3.Connection, run_id: str) -> list[Note]:
    """Give what was noted beside a run and its steps, in order."""
    rows = archive.execute(
        "SELECT request_id, scope, step_id, occurrence, attempt, at_ms, updates FROM run_metadata WHERE run_id = ?"
        " ORDER BY at_ms, partition, seq",
        (run_id,),
    )
    return [Note(*row) for row in rows]


def is_noted(archive: sqlite3.Connection, run_id: str, request_id: str) -> bool:
    """Tell whether a note is here."""
    found = archive.execute("SELECT 1 FROM run_metadata WHERE run_id = ? AND request_id = ?", (run_id, request_id))
    return found.fetchone() is not None


def put_together(notes: Iterable[Note]) -> list[Kept]:
    """Give what is kept now: one entry for each scope and kind, those of the engine's own left out."""
    kept: dict[tuple[str, str], Kept] = {}
    for note in notes:
        try:
            updates = _UPDATES.decode(note.updates)
        except (msgspec.MsgspecError, RecursionError):
            continue
        for update in updates:
            place = (note.scope, update.kind)
            before = kept[place].values if place in kept else {}
            kept[place] = Kept(note.scope, update.kind, _changed(before, update), note.at_ms)
    return [_with_cost(entry) for (_, kind), entry in kept.items() if kind != ORIGIN]


def origin_of(notes: Iterable[Note]) -> str | None:
    """Tell which run this one repeats."""
    for note in notes:
        if ORIGIN in note.updates:
            for update in _UPDATES.decode(note.updates):
                if update.kind == ORIGIN and "run_id" in update.values:
                    return msgspec.json.decode(update.values["run_id"], type=str)
    return None


def _with_cost(kept: Kept) -> Kept:
    """Add what a call of a model has cost about, where nobody has said it."""
    if kept.kind != AI or bytes(kept.values.get("estimated_cost", b"null")) != b"null":
        return kept
    try:
        told = msgspec.json.decode(msgspec.json.encode(kept.values), type=_ModelCall)
    except msgspec.MsgspecError:
        return kept
    cost = estimated_cost(told.response_model or told.request_model or "", told.input_tokens, told.output_tokens)
    if cost is None:
        return kept
    return kept._replace(values={**kept.values, "estimated_cost": msgspec.Raw(msgspec.json.encode(cost))})


def _changed(values: dict[str, msgspec.Raw], update: Update) -> dict[str, msgspec.Raw]:
    if update.op == "set":
        return dict(update.values)
    if update.op == "delete":
        return {name: value for name, value in values.items() if name not in update.values}
    if update.op == "add":
        return {**values, **{name: _sum(values.get(name), value) for name, value in update.values.items()}}
    return {**values, **update.values}


def _sum(before: msgspec.Raw | None, value: msgspec.Raw) -> msgspec.Raw:
    if before is None:
        return value
    try:
        one, other = (msgspec.json.decode(raw, type=int | float) for raw in (before, value))
    except msgspec.MsgspecError:
        return value
    return msgspec.Raw(msgspec.json.encode(one + other))
