"""Taking: from what an app answered to what is reported to the machine, asked of it, and called next.

Source: the SDK protocol page, sections 3.3, 3.4 and 3.7.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from headrace.execution.sdk.answer import OPS_MAX, Failed, Op, Ops, Returned, step_failure
from headrace.execution.sdk.memo import AS_SENT
from headrace.execution.sdk.names import hash_of, hash_text, name_of
from headrace.execution.sdk.ops import DEFERS, KINDS, LAZY, QUIET, Kind, races, told_first
from headrace.execution.sdk.wishes import Refused, options_of
from headrace.records.commands import NoteMetadata
from headrace.records.invoked import deferred_name
from headrace.records.rows import Failure, StepOp, is_waiting, split_step_name

if TYPE_CHECKING:
    from headrace.execution.sdk.app_run import AppRun

_FUNCTION_ITSELF = hash_text("complete")  # the id of what says how the function ended
_CHECKPOINTED = DEFERS | {Kind.RUN}
_NAME_BYTES_MAX = 300
_Known = tuple[Op, Kind, bytes]


class _Metadata(msgspec.Struct):
    kind: str
    scope: str = "step"
    op: str = "merge"
    values: dict[str, msgspec.Raw] = {}


def take_answer(run: AppRun, called: bytes, used: int, started_ms: int, outcome: Ops | Returned | Failed) -> None:
    """Take what a call came to. `called` is the step it was for, b"" for the whole function."""
    if isinstance(outcome, Failed):
        run.call_failed(called, used, outcome.failure)
    elif isinstance(outcome, Returned):
        run.end(outcome.output)
    else:
        _take_ops(run, called, used, started_ms, outcome)


def take_checkpoint(run: AppRun, ops: list[Op]) -> list[asyncio.Future[None]]:
    """Take steps that the app has made and goes on behind; what is given is done once each is recorded."""
    started_ms = run.owned.owner.time_ms()
    futures: list[asyncio.Future[None]] = []
    for op in ops:
        kind = KINDS.get(op.op.lower())
        if kind is None or kind not in _CHECKPOINTED:
            continue
        name = _name(op, kind)
        if run.has_ended(name) and kind is not Kind.DROP:
            continue
        future = run.checkpoints.get(name)
        if future is None:
            future = run.checkpoints[name] = run.home.loop.create_future()
            if kind is not Kind.RUN:
                _take_defer(run, op, kind, name)
                futures.append(future)
                continue
            run.quiet.add(name)
            if name not in run.asked:
                _note_metadata(run, op, name)
                run.report_step(name, StepOp.RUN, run.attempt_of(name), started_ms, bytes(op.data), None, _mark(op))
        futures.append(future)
    return futures


def _take_ops(run: AppRun, called: bytes, used: int, started_ms: int, outcome: Ops) -> None:
    ops = outcome.ops
    unknown = next((op.op for op in ops if op.op.lower() not in KINDS), None)
    if unknown is not None:
        message = f"the app asks for {unknown!r}, which this version of Headrace does not know"
        run.call_failed(called, used, Failure("UnknownOpcode", message))
        return
    if len(ops) > OPS_MAX:
        message = f"the app answered with {len(ops)} ops; {OPS_MAX} are allowed"
        run.fail(Failure("InngestErrFunctionOverflowed", message, retriable=False))
        return
    known: list[_Known] = []
    for op in ops:
        kind = KINDS[op.op.lower()]
        known.append((op, kind, _name(op, kind)))
    _form_group(run, known)
    if called and called not in {name for _, _, name in known}:
        run.again = True  # it was called for one step, and says nothing of it
    for op, kind, name in sorted(known, key=told_first):
        if run.ended:
            return
        if kind is Kind.COMPLETE:
            run.end(bytes(op.data))
        elif kind is Kind.DISCOVER:
            run.again = True
        elif kind in DEFERS:
            if kind is Kind.DROP or not run.has_ended(name):
                _take_defer(run, op, kind, name)
        elif kind in (Kind.ERROR, Kind.FAILED) and op.id == _FUNCTION_ITSELF:
            retriable = kind is Kind.ERROR and not outcome.no_retry
            run.call_failed(called, used, step_failure(op.error, retriable, outcome.retry_after_ms))
        elif kind is not Kind.NONE and not run.has_ended(name) and name not in run.asked:
            _note_metadata(run, op, name)
            _take_op(run, op, kind, name, used, outcome, started_ms)
    if not called and run.again:
        run.again = False
        run.discover()


def _form_group(run: AppRun, known: list[_Known]) -> None:
    kinds = {kind for _, kind, _ in known}
    counted = [(op, name) for op, kind, name in known if kind not in LAZY]
    if len(counted) < 2 or Kind.COMPLETE in kinds or kinds <= QUIET | {Kind.RUN}:
        return
    run.group = {name for _, name in counted if not run.has_ended(name)}
    run.racing |= {name for op, name in counted if races(op)}
    run.plan_only = True


def _take_op(run: AppRun, op: Op, kind: Kind, name: bytes, used: int, outcome: Ops, started_ms: int) -> None:
    attempt = run.attempt_of(name)
    if kind is Kind.PLANNED:
        run.planned.add(name)
        row = run.memo.get(name)
        if row is None or not is_waiting(row):
            run.calls.begin(name, attempt)
    elif kind is Kind.RUN:
        run.report_step(name, StepOp.RUN, attempt, started_ms, bytes(op.data), None, _mark(op))
    elif kind in (Kind.ERROR, Kind.FAILED):
        retriable = kind is Kind.ERROR and not outcome.no_retry and used < run.definition.retries
        failure = step_failure(op.error, retriable, outcome.retry_after_ms)
        run.report_step(name, StepOp.RUN, attempt, started_ms, None, failure)
    elif kind is Kind.GATEWAY:
        row = run.memo.get(name)
        if row is None or not is_waiting(row):
            run.calls.begin_request(name, op, attempt)
    elif name not in run.memo:  # one that is planned already ends when it ends
        assert kind.wish is not None
        try:
            run.submit(name, kind.wish(op, run.run_id, name, run.owned.owner.time_ms()))
        except Refused as refused:
            run.fail(Failure(refused.name, refused.message, retriable=False))


def _take_defer(run: AppRun, op: Op, kind: Kind, name: bytes) -> None:
    if len(name) > _NAME_BYTES_MAX:
        return  # no SDK's
    assert kind.wish is not None
    run.submit(name, kind.wish(op, run.run_id, name, run.owned.owner.time_ms()))


def _note_metadata(run: AppRun, op: Op, name: bytes) -> None:
    """Keep what an op says for people beside its step, or beside the run where it says so."""
    if bytes(op.metadata) in (b"null", b"[]"):
        return
    try:
        entries = msgspec.json.decode(bytes(op.metadata), type=list[_Metadata])
    except msgspec.MsgspecError:
        return  # nothing depends on it
    step_id, occurrence = split_step_name(name)
    attempt = run.attempt_of(name)
    for scope in sorted({entry.scope for entry in entries}):
        updates = [{"kind": e.kind, "op": e.op, "values": e.values} for e in entries if e.scope == scope]
        note_id = f"{run.run_id}-{hash_of(name)}-{attempt}-{scope}"
        beside = ("run", "", 0, -1) if scope == "run" else ("step", step_id, occurrence, attempt)
        told = msgspec.json.encode(updates).decode()
        run.owned.owner.submit(NoteMetadata(note_id, run.run_id, told, *beside))


def _mark(op: Op) -> bytes:
    """Mark a result: that of the op "Step" is the memo itself, any other becomes the memo's data."""
    return AS_SENT if op.op.lower() == "step" else b"j"


def _name(op: Op, kind: Kind) -> bytes:
    if kind in DEFERS:
        return deferred_name(str(options_of(op).get("target_hashed_id")) if kind is Kind.DROP else op.id or "")
    userland = op.userland
    hashed = op.id or ""
    return name_of(hashed) if userland is None else name_of(hashed, userland.id or "", userland.index or 0)
