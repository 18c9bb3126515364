"""Run user code in this process: steps, replay from what is recorded, eviction, failures as data.

In:    runs to start, results of steps whose commit is honoured, runs to stop (`InProcess`, called by the worker).
Out:   commands to the partition's machine (`seams.Owner.submit`): reports of steps and of function bodies.
Rules: code sees a result only after its commit is honoured, decoded from the record even the first time. Recorded
       results are handed out in the order in which they were recorded. Nothing is submitted for a run that was stopped
       or whose owner was dropped.

How the parts fit: `in_process.py` holds a `LiveRun` for each run whose code is alive; `step_calls.py` is what happens
when code asks for a step; `order.py` hands out results when several branches wait; `rest.py` tells whether code can do
anything by itself; `threads.py` runs plain `def` functions on threads, over the same step calls.
"""

from headrace.execution.context import Context
from headrace.execution.in_process import InProcess
from headrace.execution.seams import Owner, Settings

__all__ = ["Context", "InProcess", "Owner", "Settings"]
