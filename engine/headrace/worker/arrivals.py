"""Arrivals: commands between two partitions of one node go from machine to machine, and not over the log.

The outbox is the same: a row stands in the sender's state until what it sends is safe, and a new owner sends it again.
Only the way differs. On the log a record is safe when Kafka has it; here, when the receiver's commit counts that has
applied it. Either way it carries its seq and the one before it, so the receiver applies each command once and in order,
whichever way it came: what is handed over while something earlier is still to be read from the log waits for that. When
the receiver's claim ends, what is not committed there fails as any send may, and goes again, over the log if the
partition has gone to another node. No command is sent over the log while one from before it waits here: read too early,
it would be passed over as what follows a gap.

What waits here is bounded, because it comes before events: a machine that has much of it reads none, and sends less.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from headrace.adapters.seams import Appender, AppendReport, BatchReport, Outgoing
from headrace.records.commands import ENVELOPE, Envelope
from headrace.worker.apply import Inputs
from headrace.worker.neighbours import Handed
from headrace.worker.surroundings import Surroundings


class Arrivals:
    """What other partitions of this node have handed to one machine."""

    def __init__(self, around: Surroundings, partition: int, inputs: Inputs, arrived: Callable[[], None]) -> None:
        self._loop = around.loop
        self._neighbours = around.neighbours
        self._partition = partition
        self._inputs = inputs
        self._arrived = arrived
        self._waiting: dict[int, deque[tuple[Envelope, Handed, int]]] = {}  # by sender, in the order of its sending
        self._open: dict[Handed, None] = {}
        self._applied: list[Handed] = []  # in the turn that is open

    def open(self) -> None:
        """Let what is for the partition be handed over from now on."""
        self._neighbours.open(self._partition, self)

    def take(self, source: int, batch: Sequence[Outgoing], report: BatchReport) -> None:
        """Take commands of one sender; `report` follows when all of them are committed, or never will be."""
        together = Handed(len(batch), report)
        self._open[together] = None
        waiting = self._waiting.get(source)
        if waiting is None:
            waiting = self._waiting[source] = deque()
        came = [(ENVELOPE.decode(value), together, len(value)) for record in batch if (value := record[3]) is not None]
        while waiting and waiting[-1][0].seq >= came[0][0].seq:  # the sender has gone back: these come again
            self._open.pop(waiting.pop()[1], None)
        waiting.extend(came)
        self._arrived()

    def due(self) -> bool:
        """Whether something can be applied: what waits for an earlier command of its sender cannot."""
        if not self._waiting:
            return False
        return any(self._is_next(source, waiting[0][0]) for source, waiting in self._waiting.items())

    def _is_next(self, source: int, envelope: Envelope) -> bool:
        last = self._inputs.last_seq(source)
        return envelope.prev == last or envelope.seq <= last

    def apply(self, left: int, budget: int) -> int:
        """Apply up to `left` commands of about `budget` bytes to the open turn; return how many inputs may follow."""
        inputs = self._inputs
        for source, waiting in list(self._waiting.items()):
            while waiting and left and budget > 0 and self._is_next(source, waiting[0][0]):
                envelope, batch, size = waiting.popleft()
                budget -= size
                inputs.envelope(envelope)
                left -= 1
                batch.left -= 1
                if not batch.left:
                    self._applied.append(batch)
            if not waiting:
                del self._waiting[source]
        return left if budget > 0 else 0

    def take_applied(self) -> list[Handed]:
        """End the turn: return the batches that its commit makes safe."""
        applied, self._applied = self._applied, []
        return applied

    def honoured(self, batches: list[Handed]) -> None:
        """Tell the senders of batches whose commit counts."""
        for batch in batches:
            if self._open.pop(batch, batch) is None:
                batch.report(None)

    def close(self) -> None:
        """Take no more; what is not applied is not going to be."""
        self._neighbours.close(self._partition, self)
        for waiting in self._waiting.values():
            for _, batch, _ in waiting:
                self._fail(batch)
        self._waiting.clear()

    def drop(self) -> None:
        """Let everything fail whose commit is not honoured."""
        self.close()
        for batch in list(self._open):
            self._fail(batch)

    def _fail(self, batch: Handed) -> None:
        if self._open.pop(batch, batch) is None:
            self._loop.call_soon(batch.report, 0)


class ShortWay:
    """Sends for one partition: to neighbours directly, everything else over the log. Implements `Appender`."""

    def __init__(self, around: Surroundings, source: int) -> None:
        self._log = around.outbox
        self._neighbours = around.neighbours
        self._commands_topic = around.topics.commands
        self._source = source

    def send(self, batch: Sequence[Outgoing], report: BatchReport) -> None:
        """Send a batch to one partition of one topic."""
        if batch and batch[0][0] == self._commands_topic:
            arrivals = self._neighbours.at(batch[0][1])
            if arrivals is not None:
                arrivals.take(self._source, batch, report)
                return
        self._log.send(batch, report)

    def append(self, topic: str, partition: int, value: bytes, report: AppendReport) -> None:
        """Append to the log."""
        self._log.append(topic, partition, value, report)

    def renew(self) -> None:
        """Renew what sends to the log."""
        self._log.renew()

    @property
    def unreported(self) -> int:
        """How much the log has not reported yet."""
        return self._log.unreported

    def close(self, timeout_ms: int) -> None:
        """Leave the log open: it is the node's."""


def way_out(around: Surroundings, partition: int) -> Appender:
    """Give what the outbox of a partition sends with."""
    return ShortWay(around, partition) if around.limits.short_way else around.outbox
