"""A cluster in memory whose functions are those of a pretended app."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from headrace.adapters.seams import Outgoing
from headrace.execution.by_kind import ByKind
from headrace.execution.sdk.sdk_execution import SdkExecution
from headrace.records.definitions import Backoff, Definition, EventTrigger, decode_definition, encode_definition
from headrace.records.ids import partition_of
from headrace.testing.ledger import Ledger
from headrace.testing.member import Member
from headrace.testing.views import RunView
from headrace.testing.world import World
from headrace.worker.node import Means
from headrace.worker.surroundings import Surroundings
from tests.execution.sdk.pretend_app import PretendApp

RETRY_MS = 1_000
_ENDS = ("Completed", "Failed", "Cancelled")


def definition(function_id: str, event: str, **more: Any) -> Definition:
    """Define a function of the pretended app."""
    given: dict[str, Any] = {
        "kind": "sdk",
        "url": f"http://app.test/api?fnId={function_id}&stepId=step",
        "backoff": Backoff("fixed", RETRY_MS, RETRY_MS, 0.0),
        **more,
    }
    return Definition(function_id, "app", function_id, [EventTrigger(event)], **given)


class Cluster:
    """One log, members that call the app, and what became of their runs by the history."""

    def __init__(self, app: PretendApp, definitions: list[Definition], *, checkpoints: bool = False) -> None:
        self.app = app
        self.world = World(partitions=2)
        self.checkpoints = checkpoints
        self.sdk: dict[str, SdkExecution] = {}
        self._sent = 0
        topic = self.world.topics.functions
        appender = self.world.cluster.node("registrar").appender()
        batch = [Outgoing(topic, 0, one.id.encode(), encode_definition(one)) for one in definitions]
        appender.send(batch, lambda failed: None)
        self.world.advance(1)

    def start(self, name: str = "a") -> None:
        """Start a member."""

        def adjust(member: Member, around: Surroundings, means: Means) -> tuple[Surroundings, Means]:
            sdk = self.sdk[name] = SdkExecution(
                self.world.loop,  # type: ignore[arg-type]
                member.clock,
                lambda function_id: _known(member, function_id),
                {"http": self.app},
                _no_requests,
                lambda code, sentence: member.told.append((code, sentence)),
                lambda: member.node.definitions.of_sdks,
                checkpoints=self.checkpoints,
            )
            return replace(around, execution=ByKind(member.execution, sdk)), means

        self.world.start(name, {}, adjust=adjust)
        self.world.wait_ready()

    def send(self, name: str, data: Mapping[str, Any] | None = None, key: bytes = b"k", **more: Any) -> None:
        """Send an event; `more` are further fields of it."""
        self._sent += 1
        value = msgspec.json.encode({"name": name, "data": dict(data or {}), **more})
        topic = self.world.topics.events
        partition = partition_of(key, self.world.partitions)
        appender = self.world.cluster.node(f"sender-{self._sent}").appender()
        appender.send([Outgoing(topic, partition, key, value)], lambda failed: None)

    def runs(self) -> list[RunView]:
        """List the runs that the history tells of."""
        return Ledger(self.world.cluster, self.world.topics.history).runs()

    def wait_ended(self, count: int = 1, seconds_max: float = 60.0) -> list[RunView]:
        """Let time pass until so many runs have ended."""
        self.world.wait(
            lambda: sum(run.status in _ENDS for run in self.runs()) >= count, seconds_max, f"the end of {count} runs"
        )
        return self.runs()

    def close(self) -> None:
        """End everything."""
        self.world.close()


def _known(member: Member, function_id: str) -> Definition | None:
    known = member.node.definitions.known.get(function_id.encode())
    return None if known is None or known[1] is None else decode_definition(known[1])


async def _no_requests(op: str, opts: Mapping[str, Any]) -> Any:
    raise AssertionError(f"nobody asked for {op}")
