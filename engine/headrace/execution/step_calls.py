"""Step calls: what happens when code asks for a step.

A recorded result is handed over; a planned or outstanding step is waited for; one that nobody knows is done now. Each
attempt of a callable is reported, and its result comes back through `LiveRun.resolve`, after the commit.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import Any

from headrace.execution.callables import Callee
from headrace.execution.current import CURRENT, is_running
from headrace.execution.failures import failure_of
from headrace.execution.live_run import HANDED_OVER, Call, LiveRun
from headrace.execution.observed import attempt_observed
from headrace.execution.values import pack_output
from headrace.functions.errors import StepError, StepMisuse
from headrace.records.commands import AnyCommand, StepReport
from headrace.records.rows import Failure, Step, StepOp, StepState, is_waiting
from headrace.records.values import unpack_value

_PENDING = int(StepState.PENDING)  # plain numbers compare in half the time
_FAILED = int(StepState.FAILED)
_RUN = int(StepOp.RUN)


async def run_step(
    live: LiveRun, step_id: str, callee: Callee, function: Any, args: Any, kwargs: Any, retries: int = -1
) -> Any:
    """Run a callable as a step; give its recorded result, or raise StepError when its retries are spent."""
    name = live.take(step_id)
    live.promised.discard(step_id)
    row = live.memo.get(name)
    if row is not None and row.state != _PENDING and not live.branches and not live.order:
        return _hand_over(live, name, row, step_id, callee)
    call = live.calls[name] = Call(live, name, step_id)
    if row is None or (row.state == _PENDING and row.due_ms == 0 and row.op == _RUN):
        if row is not None:
            call.attempt = row.attempt
        await _attempt(call, callee, function, args, kwargs, retries)
    elif row.state != _PENDING:
        live.in_turn(row, call)
    while True:
        row = await _outcome(call)
        if row.state != _PENDING:
            break
        call.attempt = row.attempt
        await _attempt(call, callee, function, args, kwargs, retries)
    del live.calls[name]
    if live.calls:
        live.check_soon()
    return _hand_over(live, name, row, step_id, callee)


AS_RECORDED = Callee(False, None)


async def ask_step(
    live: LiveRun, step_id: str, command: Callable[[str, bytes], AnyCommand], callee: Callee = AS_RECORDED
) -> Any:
    """Have the machine do a step (a sleep, events to publish, a wait); give its recorded result."""
    name = live.take(step_id)
    live.promised.discard(step_id)
    row = live.memo.get(name)
    if row is not None and row.state != _PENDING and not live.branches and not live.order:
        return _hand_over(live, name, row, step_id, callee)
    call = live.calls[name] = Call(live, name, step_id)
    if row is None or _was_a_call(row):
        if not live.owned.draining:
            live.submit(call, command(live.run_id, name))
    elif row.state != _PENDING:
        live.in_turn(row, call)
    row = await _outcome(call)
    while row.state == _PENDING:  # the back-off of a callable that stood here before the code was changed is over
        live.submit(call, command(live.run_id, name))
        row = await _outcome(call)
    del live.calls[name]
    if live.calls:
        live.check_soon()
    return _hand_over(live, name, row, step_id, callee)


def _was_a_call(row: Step) -> bool:
    """Whether an attempt of a callable is outstanding under an id that now asks for something else."""
    return row.state == _PENDING and row.op == StepOp.RUN and row.due_ms == 0


def _hand_over(live: LiveRun, name: bytes, row: Step, step_id: str, callee: Callee) -> Any:
    live.memo[name] = HANDED_OVER
    at_ms = row.due_ms or row.started_ms
    if at_ms > live.now_ms:
        live.now_ms = at_ms
    if row.state == _FAILED:
        failure = row.failure or Failure("Error", "")
        raise StepError(step_id, failure.name, failure.message, failure.stack, failure.run_id)
    raw = None if row.output is None else unpack_value(row.output)
    return raw if callee.decode is None else callee.decode(raw)


async def _outcome(call: Call) -> Step:
    """Wait for what becomes of a call: its result, or that another attempt is to be made now."""
    live = call.live
    row = live.memo.get(call.name)
    waiter: asyncio.Future[Step] = live.loop.create_future()
    call.waiter = waiter
    if live.branches:
        call.task = asyncio.current_task()
    if row is not None and is_waiting(row):
        live.check_soon()
    try:
        resolved = await waiter
    except asyncio.CancelledError:
        live.let_go(call)
        raise
    if live.ended or live.closing:
        raise asyncio.CancelledError
    call.waiter = None
    return resolved


async def _attempt(call: Call, callee: Callee, function: Any, args: Any, kwargs: Any, retries: int) -> None:
    """Make one attempt of a step's callable, and report it."""
    live = call.live
    if live.owned.draining:  # nothing new begins here any more; the next owner does it
        await _outcome(call)
    home = live.home
    started_ms = live.owned.owner.time_ms()
    output: bytes | None = None
    output_json = ""
    failure: Failure | None = None
    call.task = asyncio.current_task() if live.branches or live.thread is not None else live.main
    call.executing = True
    live.executing += 1
    token = CURRENT.set(call)
    try:
        if home.observes:
            if home.stand_ins is not None:
                callee, function = home.stand_ins(live.function.id, call.name, callee, function)
            result = await attempt_observed(call, partial(_perform, live, callee, function, args, kwargs))
        elif callee.is_async:
            result = await function(*args, **kwargs)
        else:
            result = await _on_thread(live, function, args, kwargs)
        output, output_json = pack_output(result, home.settings)
    except BaseException as error:
        if _is_not_theirs(error, call):
            live.let_go(call)
            raise
        failure = failure_of(error, live.clock)
    finally:
        CURRENT.reset(token)
        call.executing = False
        live.executing -= 1
        if live.closing:
            live.loop.call_soon(live.executed)
    if live.ended:
        raise asyncio.CancelledError
    home.counts.attempts += 1
    report = StepReport(live.run_id, call.name, _RUN, call.attempt, started_ms, output, failure, output_json, retries)
    live.submit(call, report)
    if live.closing:
        raise asyncio.CancelledError


async def _perform(live: LiveRun, callee: Callee, function: Any, args: Any, kwargs: Any) -> Any:
    return await (function(*args, **kwargs) if callee.is_async else _on_thread(live, function, args, kwargs))


def _is_not_theirs(error: BaseException, call: Call) -> bool:
    """Whether an exception is not a failure of the step's callable, but the way in which its code is ended."""
    if call.live.ended or isinstance(error, StepMisuse):
        return True
    if isinstance(error, GeneratorExit):
        return not is_running(call.task)
    # Somebody cancelled the task that the step runs in: a time-out around the step, a TaskGroup, a loser of a race. A
    # CancelledError that comes without that was raised by the callable itself.
    return isinstance(error, asyncio.CancelledError) and call.task is not None and call.task.cancelling() > 0


async def _on_thread(live: LiveRun, function: Any, args: Any, kwargs: Any) -> Any:
    context = copy_context()
    work = partial(context.run, guarded, function, args, kwargs)
    result = await live.loop.run_in_executor(live.home.pool, work)
    if inspect.isawaitable(result):  # a lambda around an async function
        result = await result
    return result


def guarded(function: Any, args: Any, kwargs: Any) -> Any:
    """Call a plain function on a thread; what a future cannot carry becomes a RuntimeError."""
    try:
        return function(*args, **kwargs)
    except (StopIteration, KeyboardInterrupt) as error:
        # A future takes no StopIteration, and whoever waits for it would wait for ever. The operator's Ctrl-C comes to
        # the main thread alone.
        raise RuntimeError(f"{type(error).__name__} was raised") from error
