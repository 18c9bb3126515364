"""Signals over HTTP. Goal: the sender learns which run goes on, or that nobody waits, and nothing that is not so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from headrace.adapters.seams import Record
from headrace.console.archive_reader import ArchiveReader
from headrace.console.signals import Signals
from headrace.functions.correlation import partition_of_digest, signal_digest
from headrace.records.commands import Travelling
from headrace.records.waits import SendSignal
from headrace.routing import send_signal
from tests.console.archives import FixedClock, fill, serve
from tests.console.asgi import Answer, ask
from tests.console.histories import NOW_MS, TOPICS
from tests.turns import Partition

PARTITIONS = 4


class Node:
    """Takes signals: the partition decides, the archive is filled with what it tells."""

    def __init__(self, path: Path, *, answers: bool = True) -> None:
        self.given: list[tuple[int | None, Travelling]] = []
        self.partition = Partition(partitions=PARTITIONS)
        self.answers = answers
        self.projection = fill(path, [])
        self.told = 0
        archive = ArchiveReader(path)
        signals = Signals(self.give, archive, PARTITIONS, FixedClock(), looks_max=1)
        self.app = serve(path, routes=signals.routes())
        self.archive = archive

    async def give(self, partition: int | None, command: Travelling) -> None:
        self.given.append((partition, command))
        assert isinstance(command, SendSignal)
        with self.partition.turn(NOW_MS) as turn:
            send_signal(turn, command)
        if self.answers:
            values = [value for _, _, value, _ in self.partition.sent_to("test.history")]
            self.projection.apply(
                [Record(TOPICS.history, 0, offset, NOW_MS, None, value, None) for offset, value in enumerate(values)]
            )

    def post(self, body: Any) -> Answer:
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        answer = ask(self.app, "POST", "/v1/signals", body=content)
        self.archive.close()
        return answer


def wait(node: Node, name: str) -> None:
    """Let a run wait for a signal."""
    from headrace.records.waits import Purpose, Register, Waiter
    from headrace.routing import register_waiter

    waiter = Waiter("01KDVDNA0001VQGEY3ZAQ6SVHN", b"s", 0, 0, 1, Purpose.SIGNAL, "", "", "", b"", 0, 0, NOW_MS)
    with node.partition.turn(NOW_MS) as turn:
        register_waiter(turn, Register(signal_digest(name), waiter))


def test_the_run_that_goes_on_is_told(tmp_path: Path) -> None:
    node = Node(tmp_path / "a.db")
    wait(node, "go")
    answer = node.post({"signal": "go", "data": {"ok": True}})
    assert answer.status == 200
    assert answer.json()["data"] == {"run_id": "01KDVDNA0001VQGEY3ZAQ6SVHN"}
    ((target, command),) = node.given
    assert target == partition_of_digest(signal_digest("go"), PARTITIONS)
    assert isinstance(command, SendSignal)
    assert (command.signal, command.data) == ("go", b'{"ok":true}')


def test_a_signal_that_nobody_waits_for_is_not_found(tmp_path: Path) -> None:
    node = Node(tmp_path / "a.db")
    wait(node, "go")
    answer = node.post({"signal": "other"})
    assert answer.status == 404
    assert answer.json()["status"] == 404
    assert "other" in answer.json()["error"]


def test_what_is_not_known_yet_is_not_told(tmp_path: Path) -> None:
    answer = Node(tmp_path / "a.db", answers=False).post({"signal": "go"})
    assert answer.status == 504


@pytest.mark.parametrize("body", [b"", b"[]", b'{"signal": 1}', b'{"signal": ""}', b"{", b"\xff"])
def test_nonsense_is_refused(tmp_path: Path, body: bytes) -> None:
    node = Node(tmp_path / "a.db")
    assert node.post(body).status == 400
    assert not node.given
