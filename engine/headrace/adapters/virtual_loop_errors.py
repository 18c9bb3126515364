"""What can go wrong on virtual time and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headrace.errors import HeadraceError


def refuse(name: str) -> Callable[..., Any]:
    """Make a method that says what a loop on virtual time cannot do."""

    def refused(self: object, *args: Any, **options: Any) -> Any:
        raise HeadraceError(
            "loop_without_network",
            f"{name} was called on a loop that runs on virtual time",
            why="It has no sockets, pipes or processes: nothing real could keep pace with it.",
            do="Replace what talks to the network in this test, or do it on a thread: asyncio.to_thread(...).",
        )

    refused.__name__ = name
    return refused


def spinning(now: float, rounds: int) -> HeadraceError:
    """Say that something polls instead of waiting."""
    return HeadraceError(
        "loop_spinning",
        f"callbacks ran {rounds} rounds at the virtual time {now:.3f} s without an end",
        why="Virtual time passes only when nothing can run, and something polls, as `while ...: await sleep(0)` does.",
        do="Wait with a time, asyncio.sleep(0.01), or better for an event or a future.",
    )


def stuck(threads: int, patience_s: float) -> HeadraceError:
    """Say that a thread does not come back."""
    return HeadraceError(
        "thread_stuck",
        f"{threads} function(s) on threads did not end within {patience_s:g} s of real time",
        why="Virtual time waits for threads; this one hangs, or waits itself for the loop without saying so.",
        do="Let it end sooner, give the loop more patience_s, or let it wait with headrace.adapters.rendezvous.",
    )


def nothing_to_come() -> HeadraceError:
    """Say that everything waits for ever."""
    return HeadraceError(
        "loop_idle",
        "what is awaited can never come: nothing is scheduled, no timer is set and no thread is at work",
        why="On virtual time only callbacks, timers and run_in_executor move anything.",
        do="Look for a future that nobody resolves, or an event that nobody sets.",
    )
