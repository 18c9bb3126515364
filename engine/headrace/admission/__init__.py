"""May it start now? One file per stage; a stage sees a function and an event and passes it, holds it or drops it.

In:    an event and the functions that want it.
Out:   the functions that may start; verdicts for those that may not.
Rules: pure; each stage's state lives in the partition where it decides.
"""

from headrace.admission.event_id import EVENT_ID_WINDOW_MS, first_starts, forget_event_ids
from headrace.admission.plan import Plan, plan_of

__all__ = ["EVENT_ID_WINDOW_MS", "Plan", "first_starts", "forget_event_ids", "plan_of"]
