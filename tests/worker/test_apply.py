"""How single inputs are applied. Goal: once, in order, where they belong; what is no good is buried with its reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.adapters.seams import Record
from headrace.errors import StateCorrupted
from headrace.records.changelog import LOG_RECORD, Claim
from headrace.records.commands import ENVELOPE, CancelRun, Envelope
from headrace.records.dead import HEADER_CODE, HEADER_OFFSET
from headrace.records.definitions import Definition, EventTrigger
from headrace.records.events import HEADER_ID, HEADER_SOURCE
from headrace.records.ids import derive_ulid, partition_of
from headrace.records.rows import KnownEvent, TimerKind
from headrace.worker.apply import Inputs
from tests.turns import TOPICS, Partition

FUNCTION = Definition("shop-f", "shop", "f", [EventTrigger("order")])
AT_MS = 1_700_000_000_000
PARTITIONS = 4


class Applying:
    """One partition, and records applied to it, each in a turn of its own."""

    def __init__(self) -> None:
        self.partition = Partition(FUNCTION, partitions=PARTITIONS)
        self.counters = self.partition.open_turn.counters
        self.inputs = Inputs(self.partition.open_turn, "events-id", 50)
        self.inputs.load_definitions()
        self.offsets: dict[str, int] = {}

    def event(
        self,
        value: bytes | None = b'{"name":"order"}',
        key: bytes | None = None,
        headers: list[tuple[str, bytes | None]] | None = None,
        now_ms: int = AT_MS,
    ) -> None:
        offset = self.offsets["e"] = self.offsets.get("e", -1) + 1
        record = Record(TOPICS.events, 0, offset, AT_MS, key, value, headers)
        with self.partition.turn(now_ms):
            self.inputs.event_record(record)

    def published(self, seq: int, prev: int, source: int = 2) -> None:
        self.event(headers=[(HEADER_SOURCE, b"%d:%d:%d" % (source, seq, prev))])

    def command(self, source: int, seq: int, prev: int, number: int = 0) -> None:
        event = KnownEvent(derive_ulid(AT_MS, b"%d" % number), "order", b"{}", AT_MS, AT_MS, "", b"k")
        value = ENVELOPE.encode(Envelope(source, seq, prev, event))
        with self.partition.turn(AT_MS):
            self.inputs.commands_record(Record(TOPICS.commands, 0, 0, AT_MS, None, value, None))

    @property
    def runs(self) -> int:
        return self.partition.count(b"r")

    def dead(self) -> list[tuple[bytes, bytes]]:
        found = [dict(headers) for _, _, _, headers in self.partition.sent_to(TOPICS.dead)]
        return [(headers[HEADER_CODE], headers[HEADER_OFFSET]) for headers in found]


def test_an_event_starts_the_run_of_its_place_in_the_log() -> None:
    one, two = Applying(), Applying()
    for applying in (one, two):
        applying.event()
        applying.event()
    assert one.runs == 2
    assert one.partition.everything() == two.partition.everything(), "the same inputs make the same state"


def test_a_record_that_is_written_twice_under_one_id_is_two_events() -> None:
    applying = Applying()
    given_id = derive_ulid(AT_MS, b"given").encode()
    applying.event(headers=[(HEADER_ID, given_id)])
    applying.event(headers=[(HEADER_ID, given_id)])
    assert applying.runs == 2
    events = [run.events[0].id for _, run in applying.partition.overlay.runs.scan(b"")]
    assert events == [given_id.decode()] * 2


def test_a_header_that_is_no_id_is_passed_over() -> None:
    applying = Applying()
    for header in (b"", b"short", b"x" * 26, b"\xff" * 26, None):
        applying.event(headers=[(HEADER_ID, header)])
    assert applying.runs == 5
    assert applying.dead() == []


def test_what_is_no_event_is_buried_with_its_place() -> None:
    applying = Applying()
    for value in (None, b"", b"no json", b'{"name":"inngest/forged"}'):
        applying.event(value)
    assert [offset for _, offset in applying.dead()] == [b"0", b"1", b"2", b"3"]
    assert applying.runs == 0
    assert applying.counters.dead_letters == 4


def test_a_dead_letter_keeps_its_first_bytes_and_says_how_long_it_was() -> None:
    applying = Applying()
    applying.event(b"x" * 80, key=b"k")
    ((_, key, value, headers),) = applying.partition.sent_to(TOPICS.dead)
    assert (key, value, dict(headers)["headrace-truncated"]) == (b"k", b"x" * 50, b"80")


def test_a_forged_source_is_buried_and_breaks_nothing() -> None:
    applying = Applying()
    for source in (b"", b"a:b:c", b"1:2", b"-1:5:-1", b"4294967296:5:-1", b"1:9223372036854775808:-1", b"1:-5:-1"):
        applying.event(headers=[(HEADER_SOURCE, source)])
    assert {code for code, _ in applying.dead()} == {b"event_source_invalid"}
    assert len(applying.dead()) == 7


def test_an_id_without_a_key_goes_to_the_partition_of_the_id() -> None:
    applying = Applying()
    for number in range(20):
        applying.event(b'{"name":"order","id":"id-%d"}' % number)
    here = sum(partition_of(b"id-%d" % number, PARTITIONS) == 0 for number in range(20))
    assert 0 < here < 20
    assert applying.runs == here
    sent = applying.partition.sent_to(TOPICS.commands)
    assert len(sent) == 20 - here
    for partition, _, value, _ in sent:
        event = ENVELOPE.decode(value).command
        assert isinstance(event, KnownEvent)
        assert partition == partition_of(event.given_id.encode(), PARTITIONS)
        assert event.key == event.given_id.encode()


def test_an_event_with_a_later_time_waits_for_it() -> None:
    applying = Applying()
    applying.event(b'{"name":"order","ts":%d}' % (AT_MS + 5_000))
    assert applying.runs == 0
    key = applying.partition.overlay.timers.pop_due(AT_MS + 5_000)
    assert key is not None
    assert key[8] == TimerKind.EVENT
    with applying.partition.turn(AT_MS + 5_000):
        applying.inputs.timer(key)
    assert (applying.runs, applying.partition.count(b"t")) == (1, 0)


def test_an_event_that_was_to_come_later_and_comes_later_starts_at_once() -> None:
    applying = Applying()
    applying.event(b'{"name":"order","ts":%d}' % (AT_MS + 5_000), now_ms=AT_MS + 6_000)
    assert applying.runs == 1


def test_the_consoles_commands_are_in_no_chain() -> None:
    applying = Applying()
    applying.event()
    ((run_key, _),) = applying.partition.overlay.runs.scan(b"")
    value = ENVELOPE.encode(Envelope(-1, 0, -1, CancelRun(run_key.decode(), "by hand"), "id"))
    for _ in range(2):
        with applying.partition.turn(AT_MS):
            applying.inputs.commands_record(Record(TOPICS.commands, 0, 0, AT_MS, None, value, None))
    assert applying.runs == 0
    assert applying.partition.count(b"L") == 0


def test_a_record_on_the_commands_topic_that_is_none_is_buried() -> None:
    applying = Applying()
    for value in (b"hello", LOG_RECORD.encode(Claim("n", "u"))):
        with applying.partition.turn(AT_MS):
            applying.inputs.commands_record(Record(TOPICS.commands, 0, 0, AT_MS, None, value, None))
    assert len(applying.dead()) == 2


def test_a_command_of_a_newer_node_is_not_buried_but_stops_the_partition() -> None:
    applying = Applying()
    value = b"\x02" + ENVELOPE.encode(Envelope(-1, 0, -1, CancelRun("run", "by hand")))[1:]
    record = Record(TOPICS.commands, 0, 0, AT_MS, None, value, None)
    applying.partition.open_turn.open(AT_MS, 9)
    with pytest.raises(StateCorrupted, match="format version 2"):
        applying.inputs.commands_record(record)


@given(st.lists(st.integers(1, 6), max_size=30))
def test_commands_and_published_events_are_applied_once_and_in_order_however_they_come(arrivals: list[int]) -> None:
    """Method: a chain of six arrives in any order, with gaps and repeats; a model takes each behind the one before."""
    commands, events = Applying(), Applying()
    last = 0
    for number in arrivals:
        commands.command(2, number * 10, (number - 1) * 10 if number > 1 else -1, number)
        events.published(number * 10, (number - 1) * 10 if number > 1 else -1)
        last += number == last + 1
        assert (commands.runs, events.runs) == (last, last)


def test_sources_do_not_disturb_each_other() -> None:
    applying = Applying()
    applying.published(10, -1, source=1)
    applying.published(10, -1, source=2)
    applying.command(1, 10, -1, 1)
    applying.command(3, 10, -1, 2)
    assert applying.runs == 4


def test_behind_expired_records_each_source_goes_on_once_whatever_its_prev_is() -> None:
    applying = Applying()
    applying.published(10, -1, source=1)
    with applying.partition.turn(AT_MS):
        applying.inputs.forgive_gaps(0)
    applying.published(10, -1, source=1)  # what was applied stays applied
    assert applying.runs == 1
    applying.published(50, 40, source=1)
    applying.published(70, 60, source=1)  # a gap that nobody has forgiven
    assert applying.runs == 2
    applying.published(60, 50, source=1)
    applying.published(70, 60, source=1)
    assert applying.runs == 4
    applying.published(500, 400, source=3)  # it was never heard of: what came before may have expired as well
    applying.published(600, 550, source=3)
    assert applying.runs == 5
