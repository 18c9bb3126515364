"""Ownership: the life of a partition at this node, from the group's word to its end.

    REGISTERED ─► RESTORING ─► CLAIMED ─► RUNNING ─► (DRAINING) ─► GONE
                      ▲                      │ fenced
                      └──────────────────────┘            STOPPED: an error that an operator must mend

A claim is an append to the changelog; its offset is the claim number. The machine starts only after everything up to
and including one's own claim was read, without a gap, and found to carry one's own uuid.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial

from headrace.adapters.seams import Handle, Partitions, Reader, ReadFailure, Stores
from headrace.errors import HeadraceError, LogUnavailable, StateCorrupted
from headrace.records.changelog import LOG_RECORD, Claim
from headrace.worker.commits import Commits
from headrace.worker.layout import Topics
from headrace.worker.machine import Machine
from headrace.worker.overlay import Overlay
from headrace.worker.restore import Restore
from headrace.worker.snapshot_schedule import SnapshotSchedule
from headrace.worker.source_trouble import SourceTrouble, events_replaced
from headrace.worker.surroundings import Surroundings

_BACK_OFF_MS = (100, 200, 400, 800, 1_600, 3_200, 5_000)
_SETTLED_S = 5.0
_SETTLE_S = 0.02


class State(Enum):
    """Where a partition is in its life here."""

    REGISTERED = "registered"
    RESTORING = "restoring"
    CLAIMED = "claimed"
    RUNNING = "running"
    DRAINING = "draining"
    STOPPED = "stopped"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Keep:
    """What ownerships of one node share beyond the machine's surroundings."""

    stores: Stores
    partitions: Partitions
    restore_reader: Reader
    changelog_id: str
    events_id: str
    events_partitions: int
    skip_expired: bool
    new_uuid: Callable[[], str]
    jitter: Callable[[], float]  # in [0, 1)
    holds: Callable[[int], bool]
    started: Callable[[Machine], None]  # feed it the definitions before its first turn
    tell: Callable[[str, str], None]  # (code, sentence) for the operator


class Ownership:
    """One partition at this node."""

    def __init__(self, around: Surroundings, keep: Keep, partition: int) -> None:
        self._around = around
        self._keep = keep
        self.partition = partition
        self.state = State.REGISTERED
        self.error: HeadraceError | None = None
        self.machine: Machine | None = None
        self.restore: Restore | None = None
        self.fences = 0
        self._fences_waited = 0
        self._wiped = False  # a damaged store was thrown away
        self.running_since_ms = 0
        self._topics: Topics = around.topics
        self.trouble = SourceTrouble(keep, around.loop, around.topics, lambda: self.machine, self._show)
        self._uuid = ""
        self._attempt = 0
        self._later: Handle | None = None
        self._snapshots: SnapshotSchedule | None = None
        self._let_go: Callable[[], None] | None = None
        self._settled: Handle | None = None
        self._old: Commits | None = None  # of the claim before, until all of it is reported

    # --- restoring and claiming ---------------------------------------------------------------------------------

    def begin(self) -> None:
        """Start on the way to RUNNING."""
        self._later = None
        self.state = State.RESTORING
        store = self.restore.store if self.restore is not None else None
        keep = self._keep
        self.restore = Restore(
            self.partition,
            self._topics,
            keep.changelog_id,
            keep.stores,
            keep.restore_reader,
            keep.partitions,
            self._around.loop,
            self._restored,
            self._failed,
        )
        self.restore.store = store
        self.restore.start()

    def _restored(self) -> None:
        if not self._keep.holds(self.partition):
            return  # the group is about to take it away; a claim now would only disturb the next owner
        follower = self.restore.follower if self.restore is not None else None
        last = follower.last_claim if follower is not None else None
        if self.fences > self._fences_waited and last is not None and last.node != self._around.node:
            self._fences_waited = self.fences
            # Another node's claim fenced us although the group says the partition is ours: the group may be behind.
            self._try_again("another node has claimed the partition")
            return
        self._claim()

    def _claim(self) -> None:
        if self._old is not None and self._old.unreported:
            # Records of the claim before may still land; behind the new claim they would end it at once.
            self._later = self._around.loop.call_later(_SETTLE_S, self._claim_when_settled)
            return
        self._old = None
        self._uuid = self._keep.new_uuid()
        value = LOG_RECORD.encode(Claim(self._around.node, self._uuid))
        self._around.commits.append(
            self._topics.changelog, self.partition, value, partial(self._claim_reported, self._uuid)
        )

    def _claim_when_settled(self) -> None:
        if self.state is State.RESTORING and self._keep.holds(self.partition):
            self._claim()

    def _claim_reported(self, uuid: str, offset: int, error: str | None) -> None:
        if uuid != self._uuid or self.state is not State.RESTORING or self.restore is None:
            return
        if error is not None or offset < 0:
            self._try_again(error or "the claim came back without an offset")
            return
        follower = self.restore.follower
        assert follower is not None
        if follower.position > offset:
            self._failed(
                StateCorrupted(
                    "store_beyond_claim",
                    f"partition {self.partition}: the store stands at {follower.position}, the new claim at {offset}",
                    why="the changelog is shorter than the state that was made from it: it lost records, "
                    "or was made anew",
                    do="restore the topic; or stop all nodes and delete this node's data directory to accept the loss",
                )
            )
            return
        # The moment of the report, not of the asking: the partition's time may be late by the way back, never early.
        self.restore.follow_to(offset + 1, partial(self._claim_read, offset, self._around.clock.monotonic_ms()))

    def _claim_read(self, offset: int, reported_ms: int) -> None:
        assert self.restore is not None
        assert self.restore.follower is not None
        follower = self.restore.follower
        if follower.last_claim is None or follower.last_claim.uuid != self._uuid or follower.claim != offset:
            self._failed(
                StateCorrupted(
                    "claim_not_found",
                    f"partition {self.partition}: offset {offset} does not hold the claim that was written there",
                    why="the changelog was truncated after the claim was acknowledged",
                    do="check min.insync.replicas and unclean.leader.election.enable of the changelog topic",
                )
            )
            return
        self.state = State.CLAIMED
        clock_offset_ms = follower.last_claim_at_ms - reported_ms
        wanted = [(self._topics.commands, self.partition)]
        events = list(range(self.partition, self._keep.events_partitions, self._around.partitions))
        wanted += [(self._topics.events, q) for q in events]
        ends: dict[tuple[str, int], int] = {}

        def bounded(place: tuple[str, int], bounds: tuple[int, int] | None, error: str | None) -> None:
            if self.state is not State.CLAIMED:
                return
            if bounds is None:
                self._try_again(f"the bounds of {place[0]}[{place[1]}] cannot be read: {error}")
                return
            ends[place] = bounds[1]
            if len(ends) == len(wanted):
                self._run(offset, clock_offset_ms, ends, events)

        for place in wanted:
            self._keep.partitions.bounds(*place, partial(bounded, place))

    def _run(self, claim: int, clock_offset_ms: int, ends: dict[tuple[str, int], int], events: list[int]) -> None:
        assert self.restore is not None
        assert self.restore.store is not None
        self.restore.close()
        keep = self._keep
        self.machine = Machine(
            self._around,
            self.partition,
            claim,
            clock_offset_ms,
            (keep.changelog_id, keep.events_id),
            Overlay(self.restore.store),
            self,
        )
        known = self.machine.positions.events_id
        if known not in ("", keep.events_id):
            error = events_replaced(self._topics.events, known, keep.events_id)
            if not keep.skip_expired:
                self.machine.drop()
                self.broken(error)
                return
            keep.tell(error.code, f"{error.what}: it is read from its first record on")
            self.machine.sources.begin_anew(events)
            self.machine.tidy = True  # a commit, also without traffic: the next owner knows it then
        self.machine.positions.events_id = keep.events_id
        self.state = State.RUNNING
        self.running_since_ms = self._around.clock.wall_ms()
        try:
            self.machine.start(ends, events)
        except Exception as error:
            self.machine.drop()
            self.broken(error)
            return
        keep.started(self.machine)
        assert self.restore.follower is not None
        self._snapshots = SnapshotSchedule(
            self._around,
            keep.partitions,
            self.machine,
            self.restore.log_bytes,
            keep.new_uuid,
            keep.tell,
        )
        self._settled = self._around.loop.call_later(_SETTLED_S, self._settle)

    def _settle(self) -> None:
        self._attempt = 0  # it has run for a while: the next trouble is a new one

    def _try_again(self, reason: str) -> None:
        wait_ms = _BACK_OFF_MS[min(self._attempt, len(_BACK_OFF_MS) - 1)] * (1 + self._keep.jitter())
        self._attempt += 1
        if self._attempt > 1:
            self._keep.tell(
                "claim_retried",
                f"partition {self.partition}: attempt {self._attempt} to claim in {wait_ms:.0f} ms: {reason}",
            )
        self.state = State.RESTORING
        self._uuid = ""  # a report of the attempt before does not count
        if self.restore is not None:
            self.restore.close()
        self._later = self._around.loop.call_later(wait_ms / 1000, self._begin_again)

    def _begin_again(self) -> None:
        if self.state is State.RESTORING and self._keep.holds(self.partition):
            self.begin()

    def _failed(self, error: HeadraceError) -> None:
        if isinstance(error, LogUnavailable):
            self._try_again(str(error))
            return
        if error.code == "store_damaged" and self.restore is not None and not self._wiped:
            # A cache of the log that the disk has spoilt: made anew from the log, once.
            self._wiped = True
            self._keep.tell(error.code, str(error))
            self.restore.close()
            if self.restore.store is not None:
                self.restore.store.close()
                self.restore.store = None
            self._keep.stores.wipe(self.partition)
            self._try_again("the local store was damaged and is made anew")
            return
        self.state = State.STOPPED
        self.error = error
        self._keep.tell(error.code, str(error))

    # --- what the machine reports (machine.Watcher) -------------------------------------------------------------

    def fenced(self, reason: str) -> None:
        """The claim is lost: restore what counts, and claim again if the group still says so."""
        self.fences += 1
        self._around.counters.fences += 1
        if self.machine is not None:
            self._old = self.machine.commits
        fruitless = self._old is not None and self._old.honoured == 0
        self.machine = None
        self._close_machine_side()
        self._keep.tell("fenced", f"partition {self.partition}: the claim is lost: {reason}")
        if self.state is State.DRAINING:
            self._gone()
        elif self._keep.holds(self.partition):
            if fruitless:  # a claim under which nothing came to count: the next one may fare the same
                self._try_again(reason)
            else:
                self.begin()
        else:
            self.state = State.REGISTERED  # the group's revocation is on its way

    def tell(self, code: str, sentence: str) -> None:
        self._keep.tell(code, f"partition {self.partition}: {sentence}")

    def broken(self, error: Exception) -> None:
        """The machine cannot go on: show why, and leave the partition stopped until an operator has mended it."""
        self.machine = None
        self._close_machine_side()
        if self.state is State.DRAINING:  # it was leaving anyway: what is honoured stands in the log
            self.tell("drain_broken", str(error))
            self._gone()
            return
        if isinstance(error, HeadraceError):
            self._failed(error)
            return
        trace = "".join(traceback.format_exception(error))
        self._failed(
            StateCorrupted(
                "partition_broken",
                f"partition {self.partition} stopped: {type(error).__name__}: {error}",
                why="an invariant of the engine does not hold; nothing of the turn in which it broke was committed",
                do=f"keep the log and report this with the traceback; a restart tries the same inputs again\n{trace}",
            )
        )

    def stopped_source(self, topic: str, partition: int, failure: ReadFailure, text: str) -> None:
        """A source can't be read on."""
        self.trouble.take(topic, partition, failure, text)

    def _show(self, error: HeadraceError | None) -> None:
        self.error = error

    def snapshot_honoured(self, upto: int, begin: int, commands_upto: int) -> None:
        """The commit that names a snapshot counts: what it makes superfluous may be deleted."""
        if self._snapshots is not None:
            self._snapshots.trim(upto, begin, commands_upto)

    def _close_machine_side(self) -> None:
        self.trouble.forget()
        if self._snapshots is not None:
            self._snapshots.close()
            self._snapshots = None
        if self._settled is not None:
            self._settled.cancel()
            self._settled = None

    # --- leaving ------------------------------------------------------------------------------------------------

    def release(self, let_go: Callable[[], None]) -> None:
        """Hand the partition over in good order, then call."""
        self._let_go = let_go
        if self.state is State.RUNNING and self.machine is not None:
            self.state = State.DRAINING
            self._close_machine_side()
            self.machine.drain(self._gone)
        elif self.state is not State.DRAINING:
            self._gone()

    def lose(self) -> None:
        """Drop the partition: it belongs to another node already."""
        if self.machine is not None:
            self.machine.drop()
        self._gone()

    def _gone(self) -> None:
        if self.state is State.GONE:
            return
        self.state = State.GONE
        self._close_machine_side()
        self.machine = None
        self._uuid = ""
        if self._later is not None:
            self._later.cancel()
        if self.restore is not None:
            self.restore.close()
            if self.restore.store is not None:
                self.restore.store.close()
                self.restore.store = None
        if self._let_go is not None:
            self._let_go()
            self._let_go = None
