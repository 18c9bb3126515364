"""Observed: functions with middleware, or with parameters that are injected. All others never come here."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from headrace.functions import check_injected

if TYPE_CHECKING:
    from headrace.execution.context import Context
    from headrace.execution.live_run import Call, LiveRun


async def run_observed(live: LiveRun, context: Context, body: Callable[[dict[str, Any]], Awaitable[Any]]) -> Any:
    """Make what is injected, and call the body between the hooks of the middleware."""
    function = live.function
    live.context = context
    middleware = function.middleware
    try:
        for one in middleware:
            await settled(one.before_run(context))
        injected = {}
        for name, kind in function.injected.items():
            check_injected(function)
            injected[name] = await settled(function.shared.providers.make(kind, context))
        output = await body(injected)
    except BaseException as error:
        # Code that is put away because the run rests has not ended.
        if not live.ended and not isinstance(error, asyncio.CancelledError):
            for one in reversed(middleware):
                await settled(one.after_run(context, None, error))
        raise
    for one in reversed(middleware):
        await settled(one.after_run(context, output, None))
    return output


async def attempt_observed(call: Call, perform: Callable[[], Awaitable[Any]]) -> Any:
    """Make one attempt of a step's callable between the hooks of the middleware."""
    live = call.live
    context, middleware = live.context, live.function.middleware
    try:
        for one in middleware:
            await settled(one.before_step(context, call.step_id))
        output = await perform()
    except BaseException as error:
        if not live.ended and not isinstance(error, asyncio.CancelledError):
            for one in reversed(middleware):
                await settled(one.after_step(context, call.step_id, None, error))
        raise
    for one in reversed(middleware):
        await settled(one.after_step(context, call.step_id, output, None))
    return output


async def settled(value: Any) -> Any:
    """Await what a hook or a factory gave, if it is to be awaited."""
    return await value if inspect.isawaitable(value) else value
