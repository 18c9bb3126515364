"""May it start now? One file per stage; a stage sees a function and an event and passes it, holds it or drops it.

In:    an event and the functions that want it.
Out:   the functions that may start; verdicts for those that may not.
Rules: pure; each stage's state lives in the partition where it decides.
"""

from headrace.admission.batch import make_batch
from headrace.admission.debounce import end_debounce, make_debounce
from headrace.admission.event_id import EVENT_ID_WINDOW_MS, first_starts, forget_event_ids
from headrace.admission.expiry import forget_rows
from headrace.admission.gates import acquire_slot, look_at_gates, release_slot
from headrace.admission.gathering import end_gathering
from headrace.admission.held import cancel_start, count_held, remove_held
from headrace.admission.home import make_home
from headrace.admission.idempotency import make_idempotency
from headrace.admission.pause import make_pause
from headrace.admission.plan import MAKERS, Plan, plan_of
from headrace.admission.priority import make_priority
from headrace.admission.rate_limit import make_rate_limit
from headrace.admission.singleton import make_singleton, release_lock
from headrace.admission.throttle import let_next_go, look_again, make_throttle

MAKERS += [make_priority, make_idempotency, make_rate_limit, make_debounce, make_batch, make_singleton, make_throttle]
MAKERS += [make_pause]

__all__ = [
    "EVENT_ID_WINDOW_MS",
    "Plan",
    "acquire_slot",
    "cancel_start",
    "count_held",
    "end_debounce",
    "end_gathering",
    "first_starts",
    "forget_event_ids",
    "forget_rows",
    "let_next_go",
    "look_again",
    "look_at_gates",
    "make_home",
    "plan_of",
    "release_lock",
    "release_slot",
    "remove_held",
]
