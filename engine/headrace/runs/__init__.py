"""What happens next in a run? One file per command.

In:    the turn (state, time) and a command about one run.
Out:   changed rows, lifecycle records, and what to start, resolve or stop once the commit is honoured.
Rules: pure. A command about a run that has ended, or about a step or attempt that is not outstanding, is nothing.
       Once recorded, a step's result never changes (I10) and the step never runs again (I11).
"""

from headrace.runs.announce import announce_runs
from headrace.runs.cancel import cancel_run
from headrace.runs.code import note_code
from headrace.runs.publish import publish_events
from headrace.runs.run_report import take_run_report
from headrace.runs.sleep import plan_sleep
from headrace.runs.start import new_start, run_id_of, start_run
from headrace.runs.step_report import take_step_report
from headrace.runs.suspend import suspend_run
from headrace.runs.wake import wake_run, wake_step

__all__ = [
    "announce_runs",
    "cancel_run",
    "new_start",
    "note_code",
    "plan_sleep",
    "publish_events",
    "run_id_of",
    "start_run",
    "suspend_run",
    "take_run_report",
    "take_step_report",
    "wake_run",
    "wake_step",
]
