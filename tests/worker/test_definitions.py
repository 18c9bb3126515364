"""The functions topic: definitions, and what else every partition must know, reach machines as inputs."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from headrace.adapters.seams import Record
from headrace.records.broadcasts import broadcast_key, split_broadcast_key
from headrace.records.commands import Broadcast
from headrace.records.definitions import Definition, EventTrigger, encode_definition
from headrace.records.rows import BROADCASTS
from headrace.worker.apply import Inputs
from headrace.worker.definitions import DefinitionsLog
from tests.turns import TOPICS, Partition
from tests.worker.hand import HandAppender, HandLoop

SHOP = Definition("shop-order", "shop", "order", [EventTrigger("order/created")])
SETTING = broadcast_key("colour", "shop-order")


class Topic:
    """The functions topic, read as far as the test says; implements `Partitions` and `Reader`."""

    def __init__(self) -> None:
        self.records: list[tuple[bytes, bytes | None]] = []
        self.take: Callable[[list[Record]], None] | None = None

    def bounds(self, topic: str, partition: int, done: Callable[[tuple[int, int] | None, str | None], None]) -> None:
        done((0, len(self.records)), None)

    def read(self, topic: str, partition: int, position: int, take: Callable[[list[Record]], None], *_: object) -> None:
        self.take = take

    def deliver(self) -> None:
        assert self.take is not None
        self.take([Record("f", 0, o, 0, key, value, None) for o, (key, value) in enumerate(self.records)])


def read_all(
    *records: tuple[bytes, bytes | None], loop: HandLoop | None = None
) -> tuple[DefinitionsLog, list[tuple[int, Broadcast]], HandAppender]:
    topic, seen, appender = Topic(), list[tuple[int, Broadcast]](), HandAppender()
    topic.records += records
    log = DefinitionsLog(
        "f",
        loop or HandLoop(),
        topic,  # type: ignore[arg-type]
        topic,  # type: ignore[arg-type]
        appender,
        lambda offset, broadcast: seen.append((offset, broadcast)),
        lambda code, sentence: None,
    )
    log.catch_up(lambda: None)
    topic.deliver()
    return log, seen, appender


def test_a_key_says_what_it_is_of() -> None:
    assert split_broadcast_key(SETTING) == ("colour", "shop-order")
    assert split_broadcast_key(broadcast_key("shape", "a/b data.id")) == ("shape", "a/b data.id")
    assert split_broadcast_key(b"shop-order") == ("", "shop-order")


def test_what_is_no_definition_is_handed_on_as_it_is() -> None:
    definition = encode_definition(SHOP)
    _, seen, _ = read_all((b"shop-order", definition), (SETTING, b"no definition"), (SETTING, None))
    assert seen == [
        (0, Broadcast(b"shop-order", definition)),
        (1, Broadcast(SETTING, b"no definition")),
        (2, Broadcast(SETTING, None)),
    ]


def test_a_machine_that_starts_is_told_the_newest_of_each_by_offset() -> None:
    definition = encode_definition(SHOP)
    log, _, _ = read_all((SETTING, b"red"), (b"shop-order", definition), (SETTING, b"blue"))
    assert list(log.in_order()) == [(1, Broadcast(b"shop-order", definition)), (2, Broadcast(SETTING, b"blue"))]


def test_publishing_definitions_leaves_the_rest_alone() -> None:
    log, _, appender = read_all((b"shop-order", encode_definition(SHOP)), (SETTING, b"red"))
    log.publish(["shop"], {}, lambda: None, remove=True)
    assert [(record.key, record.value) for record in appender.sent[0].batch] == [(b"shop-order", None)]


def test_what_failed_to_be_declared_gives_way_to_what_was_declared_since() -> None:
    loop = HandLoop()
    log, _, appender = read_all(loop=loop)
    log.publish(["shop"], {"shop-order": SHOP}, lambda: None, remove=False)
    newer = replace(SHOP, retries=7)
    log.publish(["shop"], {"shop-order": newer}, lambda: None, remove=True)
    appender.sent[0].report(0)
    appender.sent[1].report(None)
    loop.advance(1.0)
    assert [sent.batch[0].value for sent in appender.sent[1:]] == [encode_definition(newer)] * 2


def test_a_broadcast_becomes_part_of_the_state() -> None:
    partition = Partition()
    inputs = Inputs(partition.open_turn, "events-id", 1_000)
    with partition.turn(1):
        inputs.define(Broadcast(SETTING, b"red"))
    assert partition.everything() == {BROADCASTS + SETTING: b"red"}
    with partition.turn(2):
        inputs.define(Broadcast(SETTING, None))
    assert partition.everything() == {}


def test_a_partition_can_tell_all_partitions() -> None:
    partition = Partition()
    with partition.turn(1) as turn:
        turn.broadcast(SETTING, b"red")
    assert partition.sent_to(TOPICS.functions) == [(0, SETTING, b"red", [])]
