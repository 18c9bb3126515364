"""Who wants this event? Triggers by name (exact or wildcard) with their expressions; runs that wait for it.

In:    the definitions and shapes that the partition knows; an event; what runs ask to wait for.
Out:   ids of the functions to start, in the order of their ids; events forwarded to where waits are decided; answers.
Rules: pure. A function starts at most once per event, however many of its triggers match. A waiter is decided once:
       Matched, TimedOut or Withdrawn. An event that came after it asked, and reaches it before its time-out is
       committed, is never missed (I12).
"""

from headrace.routing.looking import take_findings
from headrace.routing.recent import forget_recent
from headrace.routing.shapes import SHAPE_KIND, Forwarding, keep_shape, know_shape, look_after_shape, take_shape
from headrace.routing.signals import send_signal
from headrace.routing.triggers import Routes, wildcards
from headrace.routing.waiters import register_waiter, see_event, time_out_waiter, withdraw_waiter

__all__ = [
    "SHAPE_KIND",
    "Forwarding",
    "Routes",
    "forget_recent",
    "keep_shape",
    "know_shape",
    "look_after_shape",
    "register_waiter",
    "see_event",
    "send_signal",
    "take_findings",
    "take_shape",
    "time_out_waiter",
    "wildcards",
    "withdraw_waiter",
]
