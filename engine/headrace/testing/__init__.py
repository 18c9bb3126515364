"""The user's test kit: the real engine on a log, stores and a clock in memory.

In:    an app, or functions; what the test sends; how much time passes; crashes, rebalances, reloads.
Out:   runs and events as the history and the events topic show them.
Rules: nothing here decides anything about a run: the node, its machines and the execution are those that ship, and
       what is shown comes from the records that they write. No broker, no files, no threads but those of plain `def`
       functions; nothing sleeps, time is virtual.

How the parts fit: a `World` is a cluster in memory; each `Member` of it is a process with the engine's own `Node` on
adapters in memory; `TestApp` is what `app.test()` gives, a world with one
member.
"""

from headrace.testing.kit import TestApp
from headrace.testing.member import Member
from headrace.testing.views import RunView, StepView
from headrace.testing.world import World

__all__ = ["Member", "RunView", "StepView", "TestApp", "World"]
