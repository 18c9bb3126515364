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
    from headrace.functions.errors import DuplicateStep, NestedStep, NonRetriableError, RetryAfterError, StepError
    from headrace.functions.event import Event
    from headrace.functions.retries import Backoff, Retries
    from headrace.functions.triggers import OnEvent

__all__ = [
    "App",
    "Backoff",
    "Context",
    "DuplicateStep",
    "Event",
    "NestedStep",
    "NonRetriableError",
    "OnEvent",
    "Retries",
    "RetryAfterError",
    "StepError",
    "__version__",
]

_HOMES = {
    "App": "headrace.app",
    "Backoff": "headrace.functions.retries",
    "Context": "headrace.execution.context",
    "DuplicateStep": "headrace.functions.errors",
    "Event": "headrace.functions.event",
    "NestedStep": "headrace.functions.errors",
    "NonRetriableError": "headrace.functions.errors",
    "OnEvent": "headrace.functions.triggers",
    "Retries": "headrace.functions.retries",
    "RetryAfterError": "headrace.functions.errors",
    "StepError": "headrace.functions.errors",
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
