"""What a request wants to be kept beside a run, checked. Source: the SDK protocol page, section 6.1, and its server."""

from __future__ import annotations

import math

import msgspec

from headrace.errors import BadRequest
from headrace.records.commands import NoteMetadata

KIND_MAX = 128
UPDATES_BYTES_MAX = 64 << 10
UPDATES_MAX = 100
SCORE = "inngest.score"
_SCORE_NAME_BYTES_MAX = 128
_OPS = ("merge", "set", "delete", "add")
_OWN_PREFIX = "inngest."
_OWN_KINDS = frozenset(
    f"inngest.{name}" for name in ("ai", "http", "http.timing", "response_headers", "warnings", "experiment", "score")
)
_HEADRACE_PREFIX = "headrace."


class _Target(msgspec.Struct, frozen=True):
    step_id: str | None = None
    step_index: int | None = None
    step_attempt: int | None = None
    span_id: str | None = None


class _Update(msgspec.Struct):
    kind: str
    values: dict[str, msgspec.Raw] = {}
    op: str = "merge"


class _Asked(msgspec.Struct):
    target: _Target = _Target()
    metadata: list[_Update] = []


class _Score(msgspec.Struct, forbid_unknown_fields=True):
    value: bool | float


def read_note(body: bytes, run_id: str, request_id: str) -> NoteMetadata:
    """Read a request's body. Errors: BadRequest for what the protocol does not allow, 413 for too much."""
    try:
        asked = msgspec.json.decode(body, type=_Asked)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _refused(f"the body cannot be read: {error}") from None
    target = asked.target
    if target.step_id is None:
        for name in ("step_index", "step_attempt", "span_id"):
            if getattr(target, name) is not None:
                raise _refused(f"target.step_id must be defined if target.{name} is defined")
    if len(asked.metadata) > UPDATES_MAX:
        raise _refused(f"there are {len(asked.metadata)} updates; {UPDATES_MAX} are allowed")
    for update in asked.metadata:
        _check(update)
    updates = msgspec.json.encode(asked.metadata)
    if len(updates) > UPDATES_BYTES_MAX:
        raise BadRequest(
            "metadata_too_large",
            f"the metadata has {len(updates)} bytes; {UPDATES_BYTES_MAX} are allowed",
            status=413,
            why="it is kept with the run's history, and shown whole",
            do="keep large data elsewhere and note a reference to it",
        )
    if target.step_id is None:
        return NoteMetadata(request_id, run_id, updates.decode())
    of_span = target.step_attempt is not None and target.span_id is not None
    return NoteMetadata(
        request_id,
        run_id,
        updates.decode(),
        "extended_trace" if of_span else "step",
        target.step_id,
        max(target.step_index or 0, 0),
        -1 if target.step_attempt is None else max(target.step_attempt, -1),
    )


def _check(update: _Update) -> None:
    if not 0 < len(update.kind) <= KIND_MAX:
        raise _refused(f"a kind has 1 to {KIND_MAX} characters")
    reserved = update.kind.startswith(_OWN_PREFIX) and update.kind not in _OWN_KINDS
    if reserved or update.kind.startswith(_HEADRACE_PREFIX):
        raise _refused(f"the kind {update.kind!r} is reserved")
    if update.op not in _OPS:
        raise _refused(f"the op {update.op[:60]!r} is none of {', '.join(_OPS)}")
    if update.kind == SCORE:
        for name, value in update.values.items():
            _check_score(name, value)


def _check_score(name: str, value: msgspec.Raw) -> None:
    if len(name.encode("utf-8", "replace")) > _SCORE_NAME_BYTES_MAX or any(c < " " or c in "\x7f'" for c in name):
        raise _refused(f"the score's name {name[:60]!r} is longer than 128 bytes, or has control characters or quotes")
    try:
        score = msgspec.json.decode(value, type=_Score).value
    except (msgspec.MsgspecError, RecursionError):
        score = math.nan
    if not isinstance(score, bool) and not math.isfinite(score):
        raise _refused(f'the score {name!r} is not {{"value": …}} with a finite number, true or false')


def _refused(what: str) -> BadRequest:
    return BadRequest(
        "metadata_invalid",
        f"Invalid metadata: {what}",
        why="metadata is a list of updates with kind, op and values, for a run or one of its steps",
        do='send {"target": {"step_id": "load"}, "metadata": [{"kind": "userland.cost", "op": "merge", "values": {}}]}',
    )
