"""The outbox. Goal: what it sends arrives once and in order, whatever becomes of single sends (I5)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headrace.worker.outbox import BATCH_RECORDS_MAX, Outbox
from headrace.worker.turn import OutboxRow
from tests.worker.hand import HandAppender, HandLoop

RESEND_MS = 100


def row(partition: int, *numbers: int) -> OutboxRow:
    return OutboxRow("commands", partition, [(None, b"%d" % number, []) for number in numbers])


def key(number: int) -> bytes:
    return number.to_bytes(8, "big")


class World:
    """An outbox whose sends the test lets succeed or fail."""

    def __init__(self, rows_in_flight_max: int = 64) -> None:
        self.appender = HandAppender()
        self.loop = HandLoop()
        self.outbox = Outbox(self.appender, self.loop, RESEND_MS, rows_in_flight_max)

    def sent(self) -> list[list[bytes | None]]:
        return [[record.value for record in sent.batch] for sent in self.appender.sent]

    def done(self) -> list[bytes]:
        return self.outbox.take_done()


def test_rows_of_one_push_to_one_target_travel_together() -> None:
    world = World()
    world.outbox.push([(key(1), row(0, 1)), (key(2), row(1, 2)), (key(3), row(0, 3, 4))])
    assert world.sent() == [[b"1", b"3", b"4"], [b"2"]]
    world.appender.sent[0].report(None)
    assert world.done() == [key(1), key(3)]
    assert world.outbox.pending == 1


def test_only_what_is_acknowledged_without_a_gap_is_done() -> None:
    world = World()
    for number in (1, 2, 3):
        world.outbox.push([(key(number), row(0, number))])
    world.appender.sent[1].report(None)
    world.appender.sent[2].report(None)
    assert world.done() == []
    world.appender.sent[0].report(None)
    assert world.done() == [key(1), key(2), key(3)]


def test_after_a_failure_that_send_and_everything_behind_it_to_the_target_is_sent_again() -> None:
    world = World()
    for number in (1, 2, 3):
        world.outbox.push([(key(number), row(0, number))])
    world.outbox.push([(key(9), row(5, 9))])
    world.appender.sent[0].report(None)
    world.appender.sent[1].report(0)
    world.outbox.push([(key(4), row(0, 4))])
    assert len(world.appender.sent) == 4, "nothing more goes to the target before it has gone back"
    world.loop.advance(RESEND_MS / 1000)
    assert world.sent()[4:] == [[b"2", b"3", b"4"]]
    world.appender.sent[4].report(None)
    assert world.done() == [key(1), key(2), key(3), key(4)]
    assert world.outbox.resends == 1


def test_acknowledgements_from_before_the_go_back_do_not_count() -> None:
    world = World()
    world.outbox.push([(key(1), row(0, 1))])
    world.outbox.push([(key(2), row(0, 2))])
    world.appender.sent[0].report(0)
    world.appender.sent[1].report(None)
    world.loop.advance(RESEND_MS / 1000)
    assert world.sent()[2:] == [[b"1", b"2"]]
    assert world.done() == []


def test_the_wait_before_a_resend_doubles_to_a_bound_and_is_short_again_after_a_success() -> None:
    world = World()
    world.outbox.push([(key(1), row(0, 1))])
    for expected_ms in (100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000):
        world.appender.sent[-1].report(0)
        before = len(world.appender.sent)
        world.loop.advance((expected_ms - 2) / 1000)
        assert len(world.appender.sent) == before
        world.loop.advance(0.004)
        assert len(world.appender.sent) == before + 1
    world.appender.sent[-1].report(None)
    world.outbox.push([(key(2), row(0, 2))])
    world.appender.sent[-1].report(0)
    world.loop.advance(RESEND_MS / 1000)
    assert world.sent()[-1] == [b"2"]


def test_no_more_rows_are_on_their_way_to_a_target_than_allowed() -> None:
    world = World(rows_in_flight_max=2)
    for number in range(5):
        world.outbox.push([(key(number), row(0, number))])
    assert world.sent() == [[b"0"], [b"1"]]
    world.appender.sent[0].report(None)
    assert world.sent() == [[b"0"], [b"1"], [b"2"]]


def test_a_batch_is_bounded_but_a_row_is_never_split() -> None:
    world = World()
    many = range(BATCH_RECORDS_MAX)
    world.outbox.push([(key(1), row(0, *many)), (key(2), row(0, *many[:10])), (key(3), row(0, 1))])
    assert [len(sent.batch) for sent in world.appender.sent] == [BATCH_RECORDS_MAX, 11]


def test_nothing_is_sent_or_believed_after_close() -> None:
    world = World()
    world.outbox.push([(key(1), row(0, 1))])
    world.outbox.push([(key(2), row(0, 2))])
    world.appender.sent[0].report(0)
    world.outbox.close()
    world.appender.sent[1].report(None)
    world.loop.advance(10)
    assert len(world.appender.sent) == 2
    assert world.done() == []


@given(st.lists(st.sampled_from(["push", "push two", "land", "lose", "lose late", "time"]), max_size=80))
def test_a_receiver_that_goes_by_seq_and_prev_gets_everything_once_and_in_order(choices: list[str]) -> None:
    """Method: a network that loses sends, or lets them land and calls them lost; then it mends and all must arrive."""
    world = World(rows_in_flight_max=3)
    pushed = 0
    open_sends = 0
    received: list[int] = []
    kept: set[bytes] = set()

    def receive(values: list[bytes | None]) -> None:
        for value in values:
            number = int(value or b"")
            last = received[-1] if received else 0
            if number == last + 1:  # every number is the seq, the one before it the prev
                received.append(number)

    def land(report: int | None, lost: bool) -> None:
        nonlocal open_sends
        sent = world.appender.sent[open_sends]
        open_sends += 1
        if not lost:
            receive([record.value for record in sent.batch])
        sent.report(report)

    for choice in choices:
        if choice.startswith("push"):
            rows = []
            for _ in range(1 + (choice == "push two")):
                pushed += 1
                rows.append((key(pushed), row(0, pushed)))
                kept.add(key(pushed))
            world.outbox.push(rows)
        elif choice == "time":
            world.loop.advance(5)
        elif open_sends < len(world.appender.sent):
            land(None if choice == "land" else 0, lost=choice == "lose")
        for done in world.done():
            assert int.from_bytes(done, "big") in received, "done before it arrived"
            kept.discard(done)
    for _ in range(200):
        while open_sends < len(world.appender.sent):
            land(None, lost=False)
        world.loop.advance(5)
        kept.difference_update(world.done())
        if not kept:
            break
    assert received == list(range(1, pushed + 1))
    assert kept == set()
    assert world.outbox.pending == 0
