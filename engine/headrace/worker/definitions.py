"""Definitions: the functions topic, read by a node and handed to every machine that it runs.

Beside definitions it carries what else all partitions must know (records/broadcasts.py). A record becomes part of a
partition's state together with its offset on the topic, so a partition that moves to another node forgets nothing, and
a node that is behind cannot undo what is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from headrace.adapters.seams import Appender, Loop, Outgoing, Partitions, Reader, ReadFailure, Reading, Record
from headrace.errors import BadRecord
from headrace.records.broadcasts import split_broadcast_key
from headrace.records.commands import Broadcast
from headrace.records.definitions import Definition, decode_definition, encode_definition

_AGAIN_S = 0.5


class DefinitionsLog:
    """What stands on the functions topic, as far as this node has read it."""

    def __init__(
        self,
        topic: str,
        loop: Loop,
        reader: Reader,
        partitions: Partitions,
        appender: Appender,
        defined: Callable[[int, Broadcast], None],
        tell: Callable[[str, str], None],
    ) -> None:
        self._topic = topic
        self._loop = loop
        self._reader = reader
        self._partitions = partitions
        self._appender = appender
        self._defined = defined
        self._tell = tell
        self._reading: Reading | None = None
        self._waiting: list[tuple[int, Callable[[], None]]] = []  # (offset to be reached, whom to call)
        self._closed = False
        self._declared: tuple[set[str], Mapping[str, Definition], bool] = (set(), {}, False)  # what was said last
        self.position = 0
        self.known: dict[bytes, tuple[int, bytes | None]] = {}  # record key → (offset, value)
        self.of_sdks = False  # whether there was ever a function of an SDK

    def catch_up(self, then: Callable[[], None]) -> None:
        """Read to what is now the end of the topic, and call; go on reading after that."""

        def bounded(bounds: tuple[int, int] | None, error: str | None) -> None:
            if self._closed:
                return
            if bounds is None:
                self._tell("functions_unreachable", f"{self._topic} cannot be read: {error}; trying again")
                self._loop.call_later(_AGAIN_S, self.catch_up, then)
                return
            self._waiting.append((bounds[1], then))
            if self._reading is None:
                self.position = max(self.position, bounds[0])
                self._reading = self._reader.read(self._topic, 0, self.position, self._take, self._failed)
            self._check()

        self._partitions.bounds(self._topic, 0, bounded)

    def _check(self) -> None:
        arrived = [then for until, then in self._waiting if until <= self.position]
        self._waiting = [(until, then) for until, then in self._waiting if until > self.position]
        for then in arrived:
            then()

    def _take(self, records: list[Record]) -> None:
        for record in records:
            self.position = record.offset + 1
            if record.key is None:
                continue
            kind, _ = split_broadcast_key(record.key)
            if record.value is not None and not kind:
                try:
                    self.of_sdks |= decode_definition(record.value).kind == "sdk"
                except BadRecord as error:
                    self._tell(error.code, f"{self._topic} offset {record.offset}: {error}")
                    continue
            self.known[record.key] = (record.offset, record.value)
            self._defined(record.offset, Broadcast(record.key, record.value))
        self._check()

    def _failed(self, failure: ReadFailure, text: str) -> None:
        self._reading = None
        if self._closed:
            return
        self._tell("functions_unreadable", f"{self._topic}: {failure.value}: {text}; reading it from its start again")
        if failure is ReadFailure.OUT_OF_RANGE:
            self.position = 0
        self._loop.call_later(_AGAIN_S, self.catch_up, _nothing)

    def function_ids(self) -> set[str]:
        """Name the functions that are defined."""
        found = {split_broadcast_key(key) for key, (_, value) in self.known.items() if value is not None}
        return {name for kind, name in found if not kind}

    def values(self) -> dict[bytes, bytes]:
        """Give what stands there now, by record key."""
        return {key: value for key, (_, value) in self.known.items() if value is not None}

    def in_order(self) -> Iterable[tuple[int, Broadcast]]:
        """All records by offset, for a machine that starts."""
        for offset, key, value in sorted((o, k, v) for k, (o, v) in self.known.items()):
            yield offset, Broadcast(key, value)

    def publish(
        self, apps: Iterable[str], declared: Mapping[str, Definition], then: Callable[[], None], *, remove: bool
    ) -> None:
        """Write what these apps declare; call once all of it is read back. What is declared later takes its place.

        `remove` what they declare no longer. A node that starts in the middle of a deploy must not: its code may be the
        old one, and what the new nodes have just declared would be gone.
        """
        self._declared = set(apps), declared, remove
        self._publish(then)

    def _publish(self, then: Callable[[], None]) -> None:
        apps, declared, remove = self._declared  # not what was declared when an earlier try failed
        batch: list[Outgoing] = []
        for function_id, definition in declared.items():
            value = encode_definition(definition)
            if self.known.get(function_id.encode(), (0, None))[1] != value:
                batch.append(Outgoing(self._topic, 0, function_id.encode(), value))
        for key, (_, known) in self.known.items():
            kind, function_id = split_broadcast_key(key)
            if kind or known is None or function_id in declared:
                continue
            before = decode_definition(known)
            if before.kind != "python" or before.app not in apps:  # an SDK's app speaks for itself
                continue
            if remove:
                batch.append(Outgoing(self._topic, 0, key, None))
            else:
                self._tell(
                    "function_left",
                    f"{function_id} is known to the cluster and not declared here: its events start runs that wait for "
                    "a node with its code; to remove it, start one node with HEADRACE_REMOVE_FUNCTIONS=1",
                )
        if not batch:
            self._loop.call_soon(then)
            return

        def reported(failed: int | None) -> None:
            if self._closed:
                return
            if failed is None:
                self.catch_up(then)
                return
            self._tell("functions_unwritable", f"{self._topic} does not take the definitions; trying again")
            self._loop.call_later(_AGAIN_S, partial(self._publish, then))

        self._appender.send(batch, reported)

    def close(self) -> None:
        """Stop reading."""
        self._closed = True
        if self._reading is not None:
            self._reading.close()


def _nothing() -> None:
    return None
