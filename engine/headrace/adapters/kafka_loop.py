"""How a client's thread speaks to the node's loop: one wake-up per round, and no further ties."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from headrace.adapters.seams import Handle, Loop


class ThreadsafeLoop(Loop, Protocol):
    """A loop that other threads may post to; an asyncio event loop fits as it is."""

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: Any) -> Handle: ...


def post(loop: ThreadsafeLoop, callback: Callable[..., object], *args: Any) -> bool:
    """Run the callback on the loop, from another thread; false when the loop has been closed."""
    try:
        loop.call_soon_threadsafe(callback, *args)
    except RuntimeError:
        # A loop that is gone has nobody to tell: the process is ending.
        return False
    return True
