"""When a running partition writes a snapshot, and what is trimmed afterwards."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from headrace.adapters.seams import Handle, Partitions
from headrace.records.changelog import Bookmark
from headrace.worker.machine import Machine
from headrace.worker.snapshots import SnapshotWriter
from headrace.worker.surroundings import Surroundings


class SnapshotSchedule:
    """Watches the changelog of one machine grow: one snapshot for as much log as the state itself is large."""

    def __init__(
        self,
        around: Surroundings,
        partitions: Partitions,
        machine: Machine,
        followed_bytes: int,
        new_uuid: Callable[[], str],
        tell: Callable[[str, str], None],
    ) -> None:
        self._around = around
        self._partitions = partitions
        self._machine = machine
        self._before = followed_bytes  # changelog since the last snapshot that others wrote, read at the restore
        self._mark = 0  # of the machine's own bytes, when the last snapshot was begun
        self._size = 0  # of the last snapshot
        self._new_uuid = new_uuid
        self._tell = tell
        self._writer: SnapshotWriter | None = None
        self._timer: Handle | None = None
        self._look_later()

    def _look_later(self) -> None:
        self._timer = self._around.loop.call_later(self._around.limits.snapshot_check_ms / 1000, self._check)

    def _check(self) -> None:
        self._look_later()
        machine = self._machine
        grown = self._before + machine.commits.bytes - self._mark
        if self._writer is not None or grown <= max(self._around.limits.snapshot_bytes, self._size):
            return
        machine.flush()
        if not machine.alive:
            return
        self._before = 0
        self._mark = machine.commits.bytes
        self._writer = SnapshotWriter(
            machine.overlay.store,
            self._around.outbox,
            self._around.loop,
            (self._around.topics.snapshots, machine.partition),
            self._new_uuid(),
            self._around.limits.snapshot_chunk_bytes,
            self._written,
            self._failed,
        )

    def _written(self, bookmark: Bookmark, begin: int, size: int) -> None:
        self._writer = None
        self._size = size
        self._around.counters.snapshots += 1
        self._machine.snapshot_complete(bookmark.position, begin)

    def _failed(self, reason: str) -> None:
        self._writer = None
        self._tell(
            "snapshot_failed",
            f"partition {self._machine.partition}: {reason}; the next one is tried as the log grows",
        )

    def trim(self, upto: int, begin: int, commands_upto: int) -> None:
        """Delete what a snapshot makes superfluous: the commit that names it is honoured."""
        topics = self._around.topics
        for topic, before in ((topics.changelog, upto), (topics.snapshots, begin), (topics.commands, commands_upto)):
            self._partitions.trim(topic, self._machine.partition, before, partial(self._trimmed, topic))

    def _trimmed(self, topic: str, error: str | None) -> None:
        if error is not None:
            place = f"{topic}[{self._machine.partition}]"
            self._tell("trim_failed", f"{place} could not be trimmed: {error}; the next snapshot tries again")

    def close(self) -> None:
        """Stop watching, and abandon a snapshot that is being written."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writer is not None:
            self._writer.abandon()
            self._writer = None
