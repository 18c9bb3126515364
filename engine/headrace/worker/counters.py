"""Counters of one node: what its machines did, over all partitions, since the process started. For metrics."""

from __future__ import annotations

from headrace.records.history import Kind


class Counters:
    """Plain integers that only grow; a machine adds to them as it goes."""

    __slots__ = (
        "changelog_bytes",
        "commits",
        "dead_letters",
        "events",
        "fences",
        "gaps",
        "history",
        "repeats",
        "resends",
        "runs_started",
        "snapshots",
        "timers_fired",
    )

    def __init__(self) -> None:
        self.events = 0  # records of the events topic that were applied
        self.runs_started = 0
        self.history = [0] * len(Kind)  # lifecycle records by kind
        self.commits = 0
        self.changelog_bytes = 0
        self.timers_fired = 0
        self.dead_letters = 0
        self.repeats = 0  # records that had been applied before
        self.gaps = 0  # records from another partition that came before one that is missing
        self.resends = 0  # times that an outbox went back
        self.fences = 0  # claims lost
        self.snapshots = 0

    def rows(self) -> dict[str, int]:
        """Name every counter, as `/metrics` shows it."""
        rows = {name: getattr(self, name) for name in self.__slots__ if name != "history"}
        rows["runs_ended"] = self.history[Kind.RunEnded]
        rows["steps_ended"] = self.history[Kind.StepEnded]
        rows["step_attempts_failed"] = self.history[Kind.StepAttemptFailed]
        rows["run_attempts_failed"] = self.history[Kind.RunAttemptFailed]
        return rows
