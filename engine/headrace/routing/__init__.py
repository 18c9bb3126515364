"""Who wants this event? Triggers by name (exact or wildcard) with their expressions.

In:    the definitions that the partition knows; an event.
Out:   ids of the functions to start, in the order of their ids.
Rules: pure. A function starts at most once per event, however many of its triggers match.
"""

from headrace.routing.triggers import Routes, wildcards

__all__ = ["Routes", "wildcards"]
