"""What a user declares: functions with their options, the events they send; checked before anything starts.

In:    what stands in the user's files: callables, options, events, step ids.
Out:   `Function` with its definition for the log; `BadDeclaration` in four parts with the user's file and line.
Rules: pure. An option that is not known, or not there yet, is refused and never ignored. Step ids and events are
       checked here too, because the same rules hold wherever they are typed.
"""

from headrace.functions.cron_trigger import Cron
from headrace.functions.declare import Function, check_injected, declare_function
from headrace.functions.event import Event, event_json, event_of
from headrace.functions.gathering import Batch, Debounce
from headrace.functions.limits import Concurrency, RateLimit, Throttle
from headrace.functions.middleware import Middleware
from headrace.functions.retries import Backoff, Retries
from headrace.functions.selection import CancelOn, Idempotency, Priority, Singleton, Timeouts
from headrace.functions.triggers import OnEvent

__all__ = [
    "Backoff",
    "Batch",
    "CancelOn",
    "Concurrency",
    "Cron",
    "Debounce",
    "Event",
    "Function",
    "Idempotency",
    "Middleware",
    "OnEvent",
    "Priority",
    "RateLimit",
    "Retries",
    "Singleton",
    "Throttle",
    "Timeouts",
    "check_injected",
    "declare_function",
    "event_json",
    "event_of",
]
