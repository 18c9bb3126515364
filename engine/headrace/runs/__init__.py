"""What happens next in a run? One file per command.

In:    the turn (state, time) and a command about one run.
Out:   changed rows, lifecycle records, and what to start, resolve or stop once the commit is honoured.
Rules: pure. A command about a run that has ended, or about a step or attempt that is not outstanding, is nothing.
       Once recorded, a step's result never changes (I10) and the step never runs again (I11).
"""

from headrace.runs.announce import announce_runs
from headrace.runs.answer import take_answer
from headrace.runs.cancel import cancel_run
from headrace.runs.cancel_many import begin_cancellation, chooses, continue_cancellation
from headrace.runs.code import choose_version, note_code
from headrace.runs.cron import cancel_again, cron_fires, plan_crons
from headrace.runs.defer import drop_defer, note_defer
from headrace.runs.invoke import invoke_function
from headrace.runs.keyed_state import apply_state
from headrace.runs.metadata import note_metadata
from headrace.runs.publish import publish_events
from headrace.runs.queue import queue_timed_out, take_granted
from headrace.runs.resume import pause_changed, resume_more, resume_run
from headrace.runs.run_report import take_run_report
from headrace.runs.sleep import plan_sleep
from headrace.runs.start import new_start, run_id_of, start_run
from headrace.runs.step_report import take_step_report
from headrace.runs.suspend import suspend_run
from headrace.runs.timeouts import begin_finish, finish_timed_out
from headrace.runs.wait import ask_signal, ask_wait, take_wait_answer
from headrace.runs.wake import wake_run, wake_step

__all__ = [
    "announce_runs",
    "apply_state",
    "ask_signal",
    "ask_wait",
    "begin_cancellation",
    "begin_finish",
    "cancel_again",
    "cancel_run",
    "choose_version",
    "chooses",
    "continue_cancellation",
    "cron_fires",
    "drop_defer",
    "finish_timed_out",
    "invoke_function",
    "new_start",
    "note_code",
    "note_defer",
    "note_metadata",
    "pause_changed",
    "plan_crons",
    "plan_sleep",
    "publish_events",
    "queue_timed_out",
    "resume_more",
    "resume_run",
    "run_id_of",
    "start_run",
    "suspend_run",
    "take_answer",
    "take_granted",
    "take_run_report",
    "take_step_report",
    "take_wait_answer",
    "wake_run",
    "wake_step",
]
