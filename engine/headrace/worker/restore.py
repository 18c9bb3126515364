"""Restore: bring a partition's store to the end of its changelog, from the local rows or from a snapshot.

    bounds ─► local store fits? ─yes─► check its last record ─► follow the tail
                    │no                        │differs
                    └────► find the newest complete snapshot ◄┘ ─► load it ─► follow the tail

A log that was trimmed while it was being read (out of range) starts the restore again, a bounded number of times.

The end of a log, as the broker tells it, may stand behind offsets that hold no record for anybody (the marks of a
stranger's transaction). So reading up to there may end in silence. On the changelog that does no harm: what decides is
one's own claim, which is a record. On the snapshots it is taken for the end if what was found will do.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ParamSpec
from zlib import crc32

from headrace.adapters.seams import Handle, Loop, Partitions, Reader, ReadFailure, Reading, Record, Store, Stores
from headrace.errors import HeadraceError, LogUnavailable, StateCorrupted
from headrace.records.changelog import Bookmark
from headrace.worker.follow import Follower, bookmark_of
from headrace.worker.layout import Topics
from headrace.worker.snapshots import SnapshotIndex, SnapshotLoader

STARTS_MAX = 5
P = ParamSpec("P")
SILENCE_S = 2.0


@dataclass
class Progress:
    """How far a restore is, in records of what it reads now; for people."""

    what: str = ""
    first: int = 0
    position: int = 0
    end: int = 0


class Restore:
    """Restores one partition; afterwards `follow_to` goes on along the same log."""

    def __init__(
        self,
        partition: int,
        topics: Topics,
        topic_id: str,
        stores: Stores,
        reader: Reader,
        partitions: Partitions,
        loop: Loop,
        done: Callable[[], None],
        failed: Callable[[HeadraceError], None],
    ) -> None:
        self._partition = partition
        self._topics = topics
        self._topic_id = topic_id
        self._stores = stores
        self._reader = reader
        self._partitions = partitions
        self._loop = loop
        self._done = done
        self._failed = failed
        self._reading: Reading | None = None
        self._silence: Handle | None = None
        self._starts = 0
        self._closed = False
        self._bounds = (0, 0)
        self._until = 0
        self._reached: Callable[[], None] = done
        self.progress = Progress()
        self.store: Store | None = None
        self.follower: Follower | None = None

    # --- choosing where to begin --------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin; `done` is called when the store stands at what is now the end of the changelog."""
        self._starts += 1
        if self._starts > STARTS_MAX:
            self._fail(
                LogUnavailable(
                    "restore_overtaken",
                    f"partition {self._partition} could not be restored: its log was trimmed {STARTS_MAX} times",
                    why="snapshots are written faster than they can be read",
                    do="look at the load of this partition and at the disk of this node",
                )
            )
            return
        self._partitions.bounds(self._topics.changelog, self._partition, self._guarded(self._bounded))

    def _guarded(self, callback: Callable[P, None]) -> Callable[P, None]:
        """Have whatever goes wrong in a callback end the restore with a word, instead of leaving it to hang."""

        def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
            try:
                callback(*args, **kwargs)
            except HeadraceError as error:
                self._fail(error)
            except Exception as error:
                what = f"partition {self._partition} cannot be restored: {type(error).__name__}: {error}"
                trace = "".join(traceback.format_exception(error))
                self._fail(StateCorrupted("restore_broken", what, do=f"report this with the traceback\n{trace}"))

        return guarded

    def _bounded(self, bounds: tuple[int, int] | None, error: str | None) -> None:
        if self._closed:
            return
        if bounds is None:
            self._fail(LogUnavailable("changelog_unreachable", f"partition {self._partition}: {error}"))
            return
        self._bounds = bounds
        start, end = bounds
        if self.store is None:
            try:
                self.store = self._open()
            except HeadraceError as problem:  # somebody else has it open, the disk is full
                self._fail(problem)
                return
        bookmark = bookmark_of(self.store)
        if bookmark is None or bookmark.position < start:
            self._restart_from_snapshot()
        elif bookmark.topic_id != self._topic_id or bookmark.position > end:
            self._fail(self._lost(f"this node's store stands at {bookmark.position} of topic {bookmark.topic_id}"))
        elif bookmark.position == start:  # nothing is left of the log to compare with: trimmed exactly to here
            self._follow()
        else:
            self._read(bookmark.position - 1, lambda records: self._compare(bookmark, records))

    def _open(self) -> Store:
        try:
            return self._stores.open(self._partition)
        except StateCorrupted:
            self._stores.wipe(self._partition)
            return self._stores.open(self._partition)

    def _compare(self, bookmark: Bookmark, records: list[Record]) -> None:
        first = records[0]
        self._close_reading()
        if first.offset == bookmark.position - 1 and crc32(first.value or b"") == bookmark.crc:
            self._follow()
        else:
            self._fail(self._lost(f"what it holds at {bookmark.position - 1} is not what this node's store ends with"))

    def _restart_from_snapshot(self) -> None:
        if self.store is not None:
            self.store.close()
        self._stores.wipe(self._partition)
        self.store = self._stores.open(self._partition)
        self._partitions.bounds(self._topics.snapshots, self._partition, self._guarded(self._snapshots_bounded))

    def _snapshots_bounded(self, bounds: tuple[int, int] | None, error: str | None) -> None:
        if self._closed:
            return
        if bounds is None:
            self._fail(LogUnavailable("snapshots_unreachable", f"partition {self._partition}: {error}"))
            return
        start, end = bounds
        index = SnapshotIndex()
        if start == end:
            self._load_best(index)
            return
        self.progress = Progress("looking for a snapshot", start, start, end)

        def look(records: list[Record]) -> None:
            for record in records:
                index.take(record)
                self.progress.position = record.offset + 1
            if self.progress.position >= end:
                self._close_reading()
                self._load_best(index)

        def silent() -> None:
            best = index.best()
            log_start = self._bounds[0]
            self._close_reading()
            if log_start == 0 if best is None else best[1].position >= log_start:
                self._load_best(index)
            else:
                what = f"partition {self._partition}: nothing comes behind {self.progress.position} of {end}"
                self._fail(LogUnavailable("snapshots_silent", what))

        self._read(start, look, self._topics.snapshots)
        self._when_silent(silent)

    def _bounded_again(self, index: SnapshotIndex, bounds: tuple[int, int] | None, error: str | None) -> None:
        if self._closed:
            return
        if bounds is None:
            self._fail(LogUnavailable("changelog_unreachable", f"partition {self._partition}: {error}"))
            return
        self._bounds = bounds
        self._load_best(index, looked_again=True)

    def _load_best(self, index: SnapshotIndex, *, looked_again: bool = False) -> None:
        best = index.best()
        log_start, log_end = self._bounds
        if best is None:
            if log_start > 0:
                self._fail(self._lost("there is no complete snapshot"))
            else:
                self._follow()
            return
        uuid, bookmark, begin, end = best
        if bookmark.topic_id == self._topic_id and bookmark.position > log_end and not looked_again:
            # Written since the bounds were read, by an owner that has not let go yet?
            again = self._guarded(partial(self._bounded_again, index))
            self._partitions.bounds(self._topics.changelog, self._partition, again)
            return
        if bookmark.topic_id != self._topic_id or bookmark.position > log_end:
            self._fail(self._lost(f"the newest snapshot stands at {bookmark.position} of topic {bookmark.topic_id}"))
            return
        if bookmark.position < log_start:
            self._fail(self._lost(f"the newest snapshot reaches up to {bookmark.position}"))
            return
        assert self.store is not None
        loader = SnapshotLoader(self.store, uuid, bookmark)
        self.progress = Progress("loading a snapshot", begin, begin, end + 1)

        def load(records: list[Record]) -> None:
            for record in records:
                self.progress.position = record.offset + 1
                if loader.take(record):
                    self._close_reading()
                    self._follow()
                    return

        self._read(begin, load, self._topics.snapshots)

    def _lost(self, found: str) -> StateCorrupted:
        start, end = self._bounds
        return StateCorrupted(
            "state_incomplete",
            f"partition {self._partition}: the changelog holds offsets {start} to {end} of topic {self._topic_id}, "
            f"and {found}",
            why="records that the state is made of were deleted, or the topic was made anew",
            do="check retention.ms and retention.bytes of the changelog and snapshots topics (both -1), and whether "
            "somebody deleted records or the topic; a mirror that renumbers offsets cannot be used. If this node was "
            "meant to work on another Kafka than before, give it another --data-dir",
        )

    # --- following the changelog --------------------------------------------------------------------------------

    @property
    def log_bytes(self) -> int:
        """About how many bytes of changelog there are: what was followed, and an estimate of what the store held."""
        follower = self.follower
        if follower is None or not follower.records:
            return 0
        return follower.bytes // follower.records * (follower.position - self._bounds[0])

    def _follow(self) -> None:
        assert self.store is not None
        self.follower = Follower(self.store, self._topic_id)
        self.follow_to(self._bounds[1], self._done)
        if self._reading is not None:
            self._when_silent(self._arrive)

    def follow_to(self, offset: int, reached: Callable[[], None]) -> None:
        """Follow the changelog until everything below `offset` is applied, then call."""
        follower = self.follower
        assert follower is not None
        self._until = offset
        self._reached = reached
        self.progress = Progress("following the changelog", follower.position, follower.position, offset)
        if follower.position >= offset:
            self._arrive()
        elif self._reading is None:
            self._read(follower.position, self._apply)

    def _apply(self, records: list[Record]) -> None:
        follower = self.follower
        assert follower is not None
        try:
            for record in records:
                if record.offset >= self._until:
                    break  # whatever stands behind one's own claim is not one's own affair
                follower.take(record)
        except HeadraceError as error:
            self._fail(error)
            return
        self.progress.position = follower.position
        if follower.position >= self._until or records[-1].offset >= self._until:
            self._arrive()

    def _arrive(self) -> None:
        self._close_reading()
        assert self.follower is not None
        self.follower.flush()
        self._reached()

    # --- reading ------------------------------------------------------------------------------------------------

    def _when_silent(self, silent: Callable[[], None]) -> None:
        """Call once nothing has come for a while, unless the reading ends before."""
        reading, position = self._reading, self.progress.position

        def look() -> None:
            if self._reading is not reading:
                return
            if self.progress.position == position:
                silent()
            else:
                self._when_silent(silent)

        self._silence = self._loop.call_later(SILENCE_S, self._guarded(look))

    def _read(self, offset: int, on_records: Callable[[list[Record]], None], topic: str = "") -> None:
        self._close_reading()
        self._reading = self._reader.read(
            topic or self._topics.changelog,
            self._partition,
            offset,
            self._guarded(on_records),
            self._guarded(self._read_failed),
        )

    def _read_failed(self, failure: ReadFailure, text: str) -> None:
        self._reading = None
        if failure is ReadFailure.OUT_OF_RANGE:
            if self.follower is not None:
                self.follower.flush()
            self.start()
            return
        self._fail(LogUnavailable("changelog_unreadable", f"partition {self._partition}: {text}"))

    def _close_reading(self) -> None:
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None
        if self._reading is not None:
            self._reading.close()
            self._reading = None

    def _fail(self, error: HeadraceError) -> None:
        self._close_reading()
        self._failed(error)

    def close(self) -> None:
        """Stop reading, whatever is still to come; the store stays open."""
        self._closed = True
        self._close_reading()
