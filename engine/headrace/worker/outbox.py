"""The outbox: records for other topics, sent once their commit is honoured, in order for each target.

Each row stands in the store until everything it sends is acknowledged; then a later commit deletes it. A new owner
starts with all rows that stand there. When a send fails, the target goes back: that row and everything after it is sent
again, and acknowledgements of sends from before do not count any more (they may be for records that a later failure
overtook). Receivers tell repeats by their seq.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial

from headrace.adapters.seams import Appender, Loop, Outgoing
from headrace.worker.turn import OutboxRow, outgoings

BATCH_RECORDS_MAX = 4_000
RESEND_MS_MAX = 5_000


def _silent(code: str, sentence: str) -> None:
    return None


class _Target:
    """One partition of one topic: what is to go there, and how far that is."""

    __slots__ = ("batches", "delay_ms", "round", "rows", "sent", "told", "waiting")

    def __init__(self, delay_ms: int) -> None:
        self.rows: deque[tuple[bytes, list[Outgoing]]] = deque()  # from the first unacknowledged row on
        self.sent = 0  # how many of them are sent in this round
        self.batches: deque[list[int | bool]] = deque()  # of this round, in order: [rows, acknowledged]
        self.round = 0
        self.delay_ms = delay_ms
        self.waiting = False  # for the time to go back
        self.told = False  # the operator knows that it is stuck


class Outbox:
    """What a partition's owner still has to send."""

    def __init__(
        self,
        appender: Appender,
        loop: Loop,
        resend_ms: int,
        rows_in_flight_max: int = 64,
        tell: Callable[[str, str], None] = _silent,
    ) -> None:
        self._appender = appender
        self._loop = loop
        self._resend_ms = resend_ms
        self._rows_in_flight_max = rows_in_flight_max
        self._targets: dict[tuple[str, int], _Target] = {}
        self._tell = tell
        self._closed = False
        self.done: list[bytes] = []  # keys of rows that are sent for good, to be deleted by the next commit
        self.pending = 0  # rows that are not acknowledged
        self.resends = 0

    def push(self, sends: list[tuple[bytes, OutboxRow]]) -> None:
        """Take rows of a commit that is honoured now."""
        touched: dict[tuple[str, int], _Target] = {}
        for key, row in sends:
            place = (row.topic, row.partition)
            target = self._targets.get(place)
            if target is None:
                target = self._targets[place] = _Target(self._resend_ms)
            target.rows.append((key, outgoings(row)))
            touched[place] = target
        self.pending += len(sends)
        for target in touched.values():
            self._send(target)

    def _send(self, target: _Target) -> None:
        if target.waiting or self._closed:
            return
        while target.sent < len(target.rows) and target.sent < self._rows_in_flight_max:
            batch: list[Outgoing] = []
            first = target.sent
            while target.sent < min(len(target.rows), self._rows_in_flight_max) and len(batch) < BATCH_RECORDS_MAX:
                batch += target.rows[target.sent][1]
                target.sent += 1
            entry: list[int | bool] = [target.sent - first, False]
            target.batches.append(entry)
            self._appender.send(batch, partial(self._reported, target, target.round, entry))

    def _reported(self, target: _Target, sent_in_round: int, entry: list[int | bool], failed: int | None) -> None:
        if self._closed or sent_in_round != target.round:
            return
        if failed is not None:
            self._go_back(target)
            return
        entry[1] = True
        while target.batches and target.batches[0][1]:
            rows = target.batches.popleft()[0]
            for _ in range(rows):
                self.done.append(target.rows.popleft()[0])
            target.sent -= rows
            self.pending -= rows
            target.delay_ms = self._resend_ms
            target.told = False
        self._send(target)

    def _go_back(self, target: _Target) -> None:
        self.resends += 1
        target.round += 1
        target.sent = 0
        target.batches.clear()
        target.waiting = True
        self._loop.call_later(target.delay_ms / 1000, self._resend, target, target.round)
        if target.delay_ms == RESEND_MS_MAX and not target.told:
            target.told = True
            place = target.rows[0][1][0] if target.rows else None
            self._tell(
                "outbox_stuck",
                f"{place[0]}[{place[1]}] does not take what is sent there; it is tried again every "
                f"{RESEND_MS_MAX // 1000} s and nothing is lost"
                if place
                else "a target does not take what is sent there",
            )
        target.delay_ms = min(target.delay_ms * 2, RESEND_MS_MAX)

    def _resend(self, target: _Target, in_round: int) -> None:
        if in_round == target.round:
            target.waiting = False
            self._send(target)

    def take_done(self) -> list[bytes]:
        """Return the keys of rows that are sent for good; the caller deletes them in a commit."""
        done, self.done = self.done, []
        return done

    def close(self) -> None:
        """Send nothing any more and ignore what is reported."""
        self._closed = True
