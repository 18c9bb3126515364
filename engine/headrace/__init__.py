"""Durable functions on Kafka: declare them with an `App`, and Headrace runs them.

What users import stands here, and is loaded when it is first used: importing this package costs nothing.
"""

from __future__ import annotations

from headrace.version import __version__

# Type checkers know the name wherever it comes from; importing `typing` would take most of the time there is.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from headrace.app import App
    from headrace.execution.context import Context
    from headrace.functions.cron_trigger import Cron
    from headrace.functions.errors import DuplicateStep, NestedStep, NonRetriableError, RetryAfterError, StepError
    from headrace.functions.event import Event
    from headrace.functions.gathering import Batch, Debounce
    from headrace.functions.limits import Concurrency, RateLimit, Throttle
    from headrace.functions.middleware import Middleware
    from headrace.functions.retries import Backoff, Retries
    from headrace.functions.selection import CancelOn, Idempotency, Priority, Singleton, Timeouts
    from headrace.functions.triggers import OnEvent
    from headrace.functions.waits import Wait

__all__ = [
    "App",
    "Backoff",
    "Batch",
    "CancelOn",
    "Concurrency",
    "Context",
    "Cron",
    "Debounce",
    "DuplicateStep",
    "Event",
    "Idempotency",
    "Middleware",
    "NestedStep",
    "NonRetriableError",
    "OnEvent",
    "Priority",
    "RateLimit",
    "Retries",
    "RetryAfterError",
    "Singleton",
    "StepError",
    "Throttle",
    "Timeouts",
    "Wait",
    "__version__",
]

_HOMES = {
    "App": "headrace.app",
    "Backoff": "headrace.functions.retries",
    "Batch": "headrace.functions.gathering",
    "CancelOn": "headrace.functions.selection",
    "Concurrency": "headrace.functions.limits",
    "Context": "headrace.execution.context",
    "Cron": "headrace.functions.cron_trigger",
    "Debounce": "headrace.functions.gathering",
    "DuplicateStep": "headrace.functions.errors",
    "Event": "headrace.functions.event",
    "Idempotency": "headrace.functions.selection",
    "Middleware": "headrace.functions.middleware",
    "NestedStep": "headrace.functions.errors",
    "NonRetriableError": "headrace.functions.errors",
    "OnEvent": "headrace.functions.triggers",
    "Priority": "headrace.functions.selection",
    "RateLimit": "headrace.functions.limits",
    "Retries": "headrace.functions.retries",
    "RetryAfterError": "headrace.functions.errors",
    "Singleton": "headrace.functions.selection",
    "StepError": "headrace.functions.errors",
    "Throttle": "headrace.functions.limits",
    "Timeouts": "headrace.functions.selection",
    "Wait": "headrace.functions.waits",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'headrace' has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
