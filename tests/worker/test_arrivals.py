"""What neighbours hand over. Goal: applied once and in order among what the log brings; safe only when committed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from headrace.adapters.seams import Outgoing, Record
from headrace.records.commands import ENVELOPE, Envelope
from headrace.records.ids import derive_ulid
from headrace.records.rows import KnownEvent
from headrace.worker.apply import Inputs
from headrace.worker.arrivals import Arrivals, ShortWay
from headrace.worker.layout import Limits
from headrace.worker.neighbours import Neighbours
from tests.turns import TOPICS, Partition
from tests.worker.hand import HandAppender, HandLoop
from tests.worker.test_apply import AT_MS, FUNCTION, PARTITIONS

SENDER = 2


def value(seq: int, prev: int) -> bytes:
    event = KnownEvent(derive_ulid(AT_MS, b"%d" % seq), "order", b"{}", AT_MS, AT_MS, "", b"k")
    return ENVELOPE.encode(Envelope(SENDER, seq, prev, event))


def batch(*chain: int) -> list[Outgoing]:
    """Commands of these seqs, the first number is what was sent before them."""
    pairs = zip(chain[1:], chain, strict=False)
    return [Outgoing(TOPICS.commands, 0, None, value(seq, prev)) for seq, prev in pairs]


class Neighbourhood:
    """Partition 0, and what partition 2 sends to it."""

    def __init__(self) -> None:
        self.partition = Partition(FUNCTION, partitions=PARTITIONS)
        self.inputs = Inputs(self.partition.open_turn, "events-id", 50)
        self.inputs.load_definitions()
        self.log, self.loop = HandAppender(), HandLoop()
        self.pumps = self.left = 0
        around: Any = SimpleNamespace(
            loop=self.loop, neighbours=Neighbours(), outbox=self.log, topics=TOPICS, limits=Limits()
        )
        self.arrivals = Arrivals(around, 0, self.inputs, self._pump)
        self.arrivals.open()
        self.way = ShortWay(around, SENDER)
        self.reports: list[tuple[str, int | None]] = []

    def _pump(self) -> None:
        self.pumps += 1

    def send(self, name: str, *chain: int) -> None:
        self.way.send(batch(*chain), lambda failed: self.reports.append((name, failed)))

    def turn(self, left: int = 100, budget: int = 10_000) -> list[Any]:
        """Apply what can be applied; returns what its commit makes safe."""
        with self.partition.turn(AT_MS):
            self.left = self.arrivals.apply(left, budget)
        return self.arrivals.take_applied()

    def from_log(self, seq: int, prev: int) -> None:
        with self.partition.turn(AT_MS):
            self.inputs.commands_record(Record(TOPICS.commands, 0, 0, AT_MS, None, value(seq, prev), None))

    @property
    def runs(self) -> int:
        return self.partition.count(b"r")


def test_what_is_handed_over_is_applied_and_reported_once_its_commit_is_honoured() -> None:
    here = Neighbourhood()
    here.send("a", -1, 5, 9)
    assert here.pumps == 1
    assert here.arrivals.due()
    assert not here.log.sent
    safe = here.turn()
    assert (here.runs, here.reports) == (2, [])
    here.arrivals.honoured(safe)
    assert here.reports == [("a", None)]
    assert not here.arrivals.due()


def test_a_turn_takes_as_much_as_it_may_and_a_batch_is_safe_with_its_last_command() -> None:
    here = Neighbourhood()
    here.send("a", -1, 5, 9, 12)
    assert here.turn(2) == []
    assert here.runs == 2
    assert here.arrivals.due()
    here.arrivals.honoured(here.turn(2))
    assert (here.runs, here.reports) == (3, [("a", None)])


def test_a_turn_takes_no_more_bytes_than_it_may_and_then_nothing_else() -> None:
    here = Neighbourhood()
    here.send("a", -1, 5, 9, 12)
    assert here.turn(100, len(value(5, -1)) + 1) == []
    assert (here.runs, here.left) == (2, 0)
    assert len(here.turn(100)) == 1
    assert (here.runs, here.left) == (3, 99)


def test_what_comes_behind_a_command_that_is_still_in_the_log_waits_for_it() -> None:
    here = Neighbourhood()
    here.send("b", 5, 9)
    assert not here.arrivals.due()
    assert here.turn() == []
    assert here.runs == 0
    here.from_log(5, -1)
    assert here.arrivals.due()
    here.arrivals.honoured(here.turn())
    assert (here.runs, here.reports) == (2, [("b", None)])


def test_a_repeat_is_dropped_and_reported_as_safe() -> None:
    here = Neighbourhood()
    here.from_log(5, -1)
    here.send("a", -1, 5, 9)
    here.arrivals.honoured(here.turn())
    assert (here.runs, here.reports) == (2, [("a", None)])
    assert here.partition.open_turn.counters.repeats == 1


def test_when_the_claim_is_lost_everything_fails_that_no_honoured_commit_holds() -> None:
    here = Neighbourhood()
    here.send("safe", -1, 1)
    here.arrivals.honoured(here.turn())
    here.send("committing", 1, 2)
    here.turn()
    here.send("waiting", 2, 3)
    here.arrivals.drop()
    assert here.reports == [("safe", None)], "no report comes from inside a call"
    here.loop.advance(0)
    assert sorted(here.reports[1:]) == [("committing", 0), ("waiting", 0)]
    here.send("later", 3, 4)
    assert [sent.batch for sent in here.log.sent] == [batch(3, 4)]


def test_a_machine_that_leaves_in_good_order_still_commits_what_it_has_applied() -> None:
    here = Neighbourhood()
    here.send("a", -1, 1)
    safe = here.turn()
    here.send("b", 1, 2)
    here.arrivals.close()
    here.loop.advance(0)
    assert here.reports == [("b", 0)]
    here.arrivals.honoured(safe)
    assert here.reports[1:] == [("a", None)]


def test_other_topics_and_other_nodes_partitions_go_over_the_log() -> None:
    here = Neighbourhood()
    elsewhere = [Outgoing(TOPICS.commands, 3, None, value(1, -1))]
    history = [Outgoing(TOPICS.history, 0, None, b"record")]
    for sent in (elsewhere, history, []):
        here.way.send(sent, lambda failed: None)
    assert [sent.batch for sent in here.log.sent] == [elsewhere, history, []]


def test_a_sender_that_goes_back_is_not_held_up_by_what_it_had_handed_over_before() -> None:
    here = Neighbourhood()
    here.send("second", 5, 9, 12)  # the first one was sent over the log, and is lost
    assert not here.arrivals.due()
    here.send("again", -1, 5, 9, 12)
    here.arrivals.honoured(here.turn())
    assert here.reports == [("again", None)], "what was sent in the round before is not reported"
    assert here.runs == 3
    here.arrivals.drop()
    here.loop.advance(0)
    assert len(here.reports) == 1
