"""The user's test kit: the real engine on a log, stores and a clock in memory.

In:    an app, or functions; what the test sends; how much time passes; crashes, rebalances, reloads.
Out:   runs and events as the history and the events topic show them.
Rules: nothing here decides anything about a run: the node, its machines and the execution are those that ship, and
       what is shown comes from the records that they write. No broker, no files, no threads but those of plain `def`
       functions; nothing sleeps, time is virtual.

How the parts fit: a `World` is a cluster in memory; each `Member` of it is a process with the engine's own `Node` on
adapters in memory; `TestApp` is what `app.test()` gives, a world with one member.
"""

from __future__ import annotations

# Loaded when they are used: the plugin of pytest lies in this room too, and is imported by every session of pytest.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from headrace.testing.kit import TestApp
    from headrace.testing.member import Member
    from headrace.testing.stubs import Stub
    from headrace.testing.views import RunView, StepView, Verdict
    from headrace.testing.world import World

__all__ = ["Member", "RunView", "StepView", "Stub", "TestApp", "Verdict", "World"]

_HOMES = {
    "Member": "headrace.testing.member",
    "RunView": "headrace.testing.views",
    "StepView": "headrace.testing.views",
    "Stub": "headrace.testing.stubs",
    "TestApp": "headrace.testing.kit",
    "Verdict": "headrace.testing.views",
    "World": "headrace.testing.world",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'headrace.testing' has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(home), name)
    return value
