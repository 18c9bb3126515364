"""Cron: functions that start by the clock. The lines of a function live on the partition of its id.

A line has a row: when it fires next, which run it started last, and fires that wait for that one to end. The run
answers its line when it ends, wherever it lives, or when a stage drops it.
"""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from hashlib import blake2b

import msgspec

from headrace.errors import BadDeclaration
from headrace.functions.cron import parse_cron
from headrace.records.commands import CancelRun
from headrace.records.definitions import CronTrigger
from headrace.records.history import Kind
from headrace.records.ids import derive_ulid, entropy, partition_of
from headrace.records.rows import (
    CronLineRow,
    KnownEvent,
    Reply,
    Start,
    Timer,
    TimerKind,
    cron_line_key,
    timer_key,
)
from headrace.runs.start import run_id_of
from headrace.state import Turn

FIRED = "inngest/scheduled.timer"
LATE_MS = 5 * 60_000  # a fire that is late by more was missed, as while no node ran
WAITING_MAX = 1_000  # fires of a line that wait; of those that were missed, the last ones
CANCEL_AGAIN_MS = 10_000


def plan_crons(turn: Turn, function_id: str) -> None:
    """Plan the lines of a function anew after its definition has changed; those that stay keep their next fire."""
    if partition_of(function_id.encode(), turn.partitions) != turn.partition:
        return
    definition = turn.definition(function_id)
    crons = [] if definition is None else definition.crons
    wanted = {cron_line_key(function_id, cron.line, cron.timezone): cron for cron in crons}
    for key, row in turn.state.cron_lines.scan(function_id.encode() + b"\0"):
        if key not in wanted:
            turn.state.timers.delete(timer_key(row.fire_ms, TimerKind.CRON, function_id, key))
            turn.state.cron_lines.delete(key)
    for key, cron in wanted.items():
        known = turn.state.cron_lines.get(key)
        try:
            due_ms = next(parse_cron(cron.line, cron.timezone).after(turn.now_ms)) if known is None else known.due_ms
        except (BadDeclaration, StopIteration) as error:
            why = error.what if isinstance(error, BadDeclaration) else f"{cron.line!r} never fires again"
            _tell(turn, function_id, "", "cron_invalid", "cron_invalid", why)
            continue
        fire_ms = due_ms + _jitter_ms(key, due_ms, cron.jitter_ms)
        if known is None:
            _set(turn, function_id, key, CronLineRow(due_ms, fire_ms))
        elif known.fire_ms != fire_ms:
            turn.state.timers.delete(timer_key(known.fire_ms, TimerKind.CRON, function_id, key))
            known.fire_ms = fire_ms
            _set(turn, function_id, key, known)


def cron_fires(turn: Turn, timer: Timer, due_ms: int) -> None:
    """Start the runs that are due, by the line's rules for overlaps and for what was missed; plan the next fire."""
    function_id, key = timer.run_id, timer.step
    row = turn.state.cron_lines.get(key)
    if row is None or row.fire_ms != due_ms:
        return
    cron = _cron_of(turn, function_id, key)
    if cron is None:
        turn.state.cron_lines.delete(key)
        return
    try:
        line = parse_cron(cron.line, cron.timezone)
    except BadDeclaration as error:  # planned by a node that knew the zone, say
        _tell(turn, function_id, "", "cron_invalid", "cron_invalid", error.what)
        row.fire_ms = turn.now_ms + LATE_MS
        _set(turn, function_id, key, row)
        return
    passed: deque[int] = deque([row.due_ms], WAITING_MAX)
    count = 1
    for next_ms in line.after(row.due_ms):
        fire_ms = next_ms + _jitter_ms(key, next_ms, cron.jitter_ms)
        if fire_ms > turn.now_ms:
            row.due_ms, row.fire_ms = next_ms, fire_ms
            _set(turn, function_id, key, row)
            break
        passed.append(next_ms)
        count += 1
    late = [ms for ms in passed if ms + _jitter_ms(key, ms, cron.jitter_ms) >= turn.now_ms - LATE_MS]
    missed = list(passed)[: len(passed) - len(late)]
    made_up = missed if cron.catch_up == "all" else missed[-1:] if cron.catch_up == "last" and not late else []
    left = count - len(late) - len(made_up)
    if left:
        what = f"{left} fire{'' if left == 1 else 's'} of the cron line {cron.line!r} up to {_rfc3339(turn.now_ms)}"
        why = f"{what} were missed: nothing ran here then, and catch_up is {cron.catch_up!r}"
        _tell(turn, function_id, "", "missed", "cron_missed", why)
    for ms in made_up:
        _fire(turn, function_id, key, cron, row, ms, overlap="queue")
    for ms in late:
        _fire(turn, function_id, key, cron, row, ms, overlap="queue" if made_up else cron.overlap)


def line_free(turn: Turn, key: bytes, run_id: str) -> None:
    """Take note that a run which a line started has ended, and start what waited for that."""
    row = turn.state.cron_lines.get(key)
    if row is None or row.running != run_id:
        return
    row.running = ""
    turn.state.cron_lines.put(key, row)
    function_id = key.split(b"\0", 1)[0].decode()
    cron = _cron_of(turn, function_id, key)
    if row.waiting and cron is not None:
        due_ms = row.waiting.pop(0)
        _start(turn, function_id, key, cron, row, due_ms)


def cancel_again(turn: Turn, timer: Timer, due_ms: int) -> None:
    """Cancel the run that a fire waits for once more: it may have been held by a stage when it was cancelled first."""
    row = turn.state.cron_lines.get(timer.step)
    if row is not None and row.cancel_ms == due_ms:
        row.cancel_ms = 0
        turn.state.cron_lines.put(timer.step, row)
        if row.running and row.waiting:
            _cancel(turn, timer.run_id, timer.step, row)


def _fire(
    turn: Turn, function_id: str, key: bytes, cron: CronTrigger, row: CronLineRow, due_ms: int, *, overlap: str
) -> None:
    if not row.running or overlap == "all":
        _start(turn, function_id, key, cron, row, due_ms)
        return
    event_id = _event_id(key, due_ms)
    running = f"run {row.running}, which the line started before, has not ended"
    if overlap == "skip":
        _tell(turn, function_id, event_id, "skipped", "cron_overlap", f"{running}, and overlap is 'skip'")
        return
    if overlap == "cancel-running":
        for earlier_ms in row.waiting:
            why = f"{running}, and a later fire takes the place of this one"
            _tell(turn, function_id, _event_id(key, earlier_ms), "skipped", "cron_overlap", why)
        row.waiting = [due_ms]
        _cancel(turn, function_id, key, row)
    elif len(row.waiting) < WAITING_MAX:
        row.waiting.append(due_ms)
    else:
        why = f"{running}, and {WAITING_MAX} fires wait for it already"
        _tell(turn, function_id, event_id, "skipped", "cron_queue_full", why)
    turn.state.cron_lines.put(key, row)


def _cancel(turn: Turn, function_id: str, key: bytes, row: CronLineRow) -> None:
    # Where its stages have taken it is not known here, and one that holds it may let it go at any time.
    for partition in range(turn.partitions):
        turn.command(partition, CancelRun(row.running, "its cron line fires again, and overlap is 'cancel-running'"))
    if not row.cancel_ms:
        row.cancel_ms = turn.now_ms + CANCEL_AGAIN_MS
        again = Timer(TimerKind.CRON_CANCEL, function_id, key)
        turn.state.timers.put(timer_key(row.cancel_ms, TimerKind.CRON_CANCEL, function_id, key), again)
    turn.state.cron_lines.put(key, row)


def _start(turn: Turn, function_id: str, key: bytes, cron: CronTrigger, row: CronLineRow, due_ms: int) -> None:
    run_id = run_id_of(entropy(b"cron\0%s\0%d" % (key, due_ms)), function_id, due_ms)
    row.running = run_id
    turn.state.cron_lines.put(key, row)
    fire_ms = due_ms + _jitter_ms(key, due_ms, cron.jitter_ms)
    data = {
        "cron": f"TZ={cron.timezone} {cron.line}" if cron.timezone else cron.line,
        "scheduledAt": _rfc3339(due_ms),
        "fireAt": _rfc3339(fire_ms),
    }
    json = msgspec.json.encode({"name": FIRED, "data": data})
    definition = turn.definition(function_id)
    ts_ms = fire_ms if definition is not None and definition.kind == "sdk" else due_ms
    event = KnownEvent(_event_id(key, due_ms), FIRED, json, ts_ms, turn.now_ms, _rfc3339(due_ms))
    start = Start(function_id, run_id, [event], turn.now_ms, replies=[Reply(turn.partition, "", key)])
    turn.command(turn.partition, start)


def _set(turn: Turn, function_id: str, key: bytes, row: CronLineRow) -> None:
    turn.state.cron_lines.put(key, row)
    timer = Timer(TimerKind.CRON, function_id, key)
    turn.state.timers.put(timer_key(row.fire_ms, TimerKind.CRON, function_id, key), timer)


def _cron_of(turn: Turn, function_id: str, key: bytes) -> CronTrigger | None:
    definition = turn.definition(function_id)
    if definition is None:
        return None
    return next((c for c in definition.crons if cron_line_key(function_id, c.line, c.timezone) == key), None)


def _event_id(key: bytes, due_ms: int) -> str:
    return derive_ulid(due_ms, b"cron event\0%s\0%d" % (key, due_ms))


def _jitter_ms(key: bytes, due_ms: int, jitter_ms: int) -> int:
    """Draw the delay of a fire from a hash: the same for it everywhere, another for the next one."""
    if jitter_ms <= 0:
        return 0
    return int.from_bytes(blake2b(b"%s\0%d" % (key, due_ms), digest_size=8).digest()) % (jitter_ms + 1)


def _rfc3339(ms: int) -> str:
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds" if ms % 1000 else "seconds").replace("+00:00", "Z")


def _tell(turn: Turn, function_id: str, event_id: str, status: str, code: str, why: str) -> None:
    event_ids = [event_id] if event_id else []
    turn.history(Kind.EventVerdict, "", function_id, event_ids=event_ids, status=status, code=code, explanation=why)
