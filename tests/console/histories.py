"""Histories for the console's tests: records as the engine writes them, with offsets and seqs that grow."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from headrace.adapters.seams import Record
from headrace.errors import BadRecord
from headrace.records.dead import dead_headers
from headrace.records.definitions import Definition, EventTrigger, encode_definition
from headrace.records.events import HEADER_ID, HEADER_SOURCE
from headrace.records.history import Kind, LifecycleWriter
from headrace.records.ids import derive_ulid
from headrace.worker.layout import Topics

TOPICS = Topics()
NOW_MS = 1_763_712_000_000
EVENTS_TOPIC_ID = "topic-id-of-events"


class History:
    """Collects records; `records` are all of them in the order in which they were made."""

    def __init__(self, partitions: int = 4) -> None:
        self.partitions = partitions
        self.records: list[Record] = []
        self._offsets: Counter[tuple[str, int]] = Counter()
        self._seqs = [(partition + 1) << 20 for partition in range(partitions)]
        self._writers = [LifecycleWriter(partition) for partition in range(partitions)]
        self._made = 0
        self.runs: list[RunHistory] = []

    def add(
        self,
        topic: str,
        partition: int,
        at_ms: int,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: list[tuple[str, bytes | None]] | None = None,
    ) -> Record:
        """Add any record."""
        offset = self._offsets[topic, partition]
        self._offsets[topic, partition] += 1
        record = Record(topic, partition, offset, at_ms, key, value, headers)
        self.records.append(record)
        return record

    def event(
        self,
        name: str,
        data: Any,
        at_ms: int,
        *,
        id: str | None = None,
        key: bytes | None = None,
        partition: int | None = None,
        internal: bool = False,
    ) -> str:
        """Add an event (an `internal` one is published by the engine); returns its internal id."""
        self._made += 1
        event_id = derive_ulid(at_ms, b"event %d" % self._made)
        body: dict[str, Any] = {"name": name, "data": data}
        if id is not None:
            body["id"] = id
        place = self._made % self.partitions if partition is None else partition
        self.add(
            TOPICS.events,
            place,
            at_ms,
            msgspec.json.encode(body),
            key=key if key is not None else id.encode() if id else None,
            headers=[(HEADER_ID, event_id.encode()), *([(HEADER_SOURCE, b"0:1:0")] if internal else [])],
        )
        return event_id

    def run(self, function_id: str, event_ids: list[str], at_ms: int, **more: Any) -> RunHistory:
        """Begin a run."""
        self._made += 1
        run_id = derive_ulid(at_ms, b"run %d" % self._made)
        run = RunHistory(self, run_id, function_id, self._made % self.partitions)
        self.runs.append(run)
        run.add(Kind.RunScheduled, at_ms, event_ids=event_ids, **{"phase": "executing", "started_ms": at_ms, **more})
        return run

    def life(self, kind: Kind, partition: int, at_ms: int, run_id: str, function_id: str, **more: Any) -> Record:
        """Add a lifecycle record."""
        self._seqs[partition] += 1
        value = self._writers[partition].encode(kind, at_ms, self._seqs[partition], run_id, function_id, more)
        return self.add(TOPICS.history, partition, at_ms, value, key=run_id.encode() or None)

    def verdict(self, event_id: str, function_id: str, at_ms: int, **more: Any) -> None:
        """Add a verdict."""
        self.life(Kind.EventVerdict, 0, at_ms, "", function_id, event_ids=[event_id], **more)

    def function(self, function_id: str, *triggers: EventTrigger, at_ms: int = NOW_MS, **more: Any) -> None:
        """Declare a function; its app is the word before the first hyphen."""
        app = function_id.partition("-")[0]
        definition = Definition(function_id, app, function_id.partition("-")[2], list(triggers), **more)
        self.add(TOPICS.functions, 0, at_ms, encode_definition(definition), key=function_id.encode())

    def dead(self, error: BadRecord, value: bytes, at_ms: int, key: bytes | None = None) -> None:
        """Add a dead letter."""
        headers: list[tuple[str, bytes | None]] = [*dead_headers(error, TOPICS.events, 1, 4711)]
        self.add(TOPICS.dead, 1, at_ms, value, key=key, headers=headers)


class RunHistory:
    """One run, step by step."""

    def __init__(self, history: History, run_id: str, function_id: str, partition: int) -> None:
        self._history = history
        self.run_id = run_id
        self.function_id = function_id
        self.partition = partition

    def add(self, kind: Kind, at_ms: int, **more: Any) -> RunHistory:
        """Add a record of this run."""
        self._history.life(kind, self.partition, at_ms, self.run_id, self.function_id, **more)
        return self

    def step(self, step_id: str, began_ms: int, ended_ms: int, output: Any = None, **more: Any) -> RunHistory:
        """Complete a step."""
        return self.add(
            Kind.StepEnded,
            ended_ms,
            **{
                "status": "Completed",
                "step_id": step_id,
                "op": "run",
                "started_ms": began_ms,
                "output": msgspec.json.encode(output).decode(),
                **more,
            },
        )

    def fail_attempt(self, step_id: str, attempt: int, began_ms: int, ended_ms: int, due_ms: int) -> RunHistory:
        """Let an attempt of a step fail, with another to come."""
        return self.add(
            Kind.StepAttemptFailed,
            ended_ms,
            step_id=step_id,
            op="run",
            attempt=attempt,
            started_ms=began_ms,
            due_ms=due_ms,
            error_name="ConnectionError",
            error_message="the payment provider did not answer",
            error_stack=STACK,
        )

    def sleep(self, step_id: str, began_ms: int, due_ms: int, *, over: bool = True) -> RunHistory:
        """Sleep, and wake up if it is over."""
        self.add(Kind.StepPlanned, began_ms, step_id=step_id, op="sleep", started_ms=began_ms, due_ms=due_ms)
        self.add(Kind.RunPhase, began_ms + 1, phase="sleeping", due_ms=due_ms)
        if over:
            self.step(step_id, began_ms, due_ms, None, op="sleep", due_ms=due_ms)
        return self

    def complete(self, at_ms: int, output: Any = None) -> RunHistory:
        """End it well."""
        return self.add(Kind.RunEnded, at_ms, status="Completed", output=msgspec.json.encode(output).decode())

    def fail(self, at_ms: int, name: str = "CardError", message: str = "the card was declined") -> RunHistory:
        """End it badly."""
        return self.add(
            Kind.RunEnded, at_ms, status="Failed", error_name=name, error_message=message, error_stack=STACK
        )

    def cancel(self, at_ms: int) -> RunHistory:
        """End it before its time."""
        return self.add(
            Kind.RunEnded, at_ms, status="Cancelled", error_name="Cancelled", error_message="cancelled by hand"
        )


STACK = """Traceback (most recent call last):
  File "shop/orders.py", line 41, in charge
    receipt = await provider.charge(order["total"], idempotency_key=ctx.idempotency_key)
  File "shop/provider.py", line 17, in charge
    raise ConnectionError("the payment provider did not answer")
ConnectionError: the payment provider did not answer
"""
