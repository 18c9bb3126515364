"""Adverts: what each node says on the control topic, of its partitions and of itself.

So every node can answer for the cluster, and nodes find each other.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from headrace.adapters.seams import Appender, Loop, Outgoing, Partitions, Reader, ReadFailure, Reading, Record

_PREFIX = b"partition/"
_NODE_PREFIX = b"node/"
_AGAIN_S = 1.0


class Advert(msgspec.Struct, omit_defaults=True):
    """One partition, as its owner last told; JSON on the control topic under `partition/<number>`."""

    partition: int
    owner: str
    state: str
    lag: int = 0  # records of its inputs that are not applied yet
    at_ms: int = 0
    error: str = ""


class NodeAdvert(msgspec.Struct, omit_defaults=True):
    """A node, and how the others reach it; JSON on the control topic under `node/<name>`."""

    node: str
    address: str = ""  # host:port, for other nodes alone; "" for a node that has stopped
    token: str = ""  # what they show there: whoever may read this topic is one of them
    apps: list[str] = []  # whose workers are connected to it, and take calls


_DECODE = msgspec.json.Decoder(Advert).decode
_DECODE_NODE = msgspec.json.Decoder(NodeAdvert).decode


class Adverts:
    """Writes this node's adverts and reads everybody's."""

    def __init__(
        self,
        topic: str,
        loop: Loop,
        reader: Reader,
        partitions: Partitions,
        appender: Appender,
        tell: Callable[[str, str], None],
    ) -> None:
        self._topic = topic
        self._loop = loop
        self._closed = False
        self._reader = reader
        self._partitions = partitions
        self._appender = appender
        self._tell = tell
        self._reading: Reading | None = None
        self.known: dict[int, Advert] = {}
        self.nodes: dict[str, NodeAdvert] = {}
        self.on_node: Callable[[NodeAdvert], None] = _ignore_node  # told of each node that says something new

    def start(self) -> None:
        """Begin to read the control topic from its start."""
        if self._closed:
            return
        self._partitions.bounds(self._topic, 0, self._bounded)

    def _bounded(self, bounds: tuple[int, int] | None, error: str | None) -> None:
        if bounds is None:
            self._tell("control_unreachable", f"{self._topic} cannot be read: {error}; trying again")
            self._again()
            return
        self._reading = self._reader.read(self._topic, 0, bounds[0], self._take, self._failed)

    def _failed(self, failure: ReadFailure, text: str) -> None:
        self._reading = None
        self._tell("control_unreadable", f"{self._topic}: {failure.value}: {text}; reading it from its start again")
        self._again()

    def _again(self) -> None:
        if not self._closed:
            self._loop.call_later(_AGAIN_S, self.start)

    def _take(self, records: list[Record]) -> None:
        for record in records:
            if record.key is None or record.value is None:
                continue
            try:
                if record.key.startswith(_NODE_PREFIX):
                    node = _DECODE_NODE(record.value)
                    self.nodes[node.node] = node
                    self.on_node(node)
                    continue
                if not record.key.startswith(_PREFIX):
                    continue
                advert = _DECODE(record.value)
            except msgspec.MsgspecError:
                self._tell("advert_unreadable", f"{self._topic} offset {record.offset} is no advert of this version")
                continue
            self.known[advert.partition] = advert

    def say(self, advert: Advert) -> None:
        """Publish an advert, if it says anything new."""
        # What stands on the topic counts, not what this node said last: another one may have had the partition since.
        before = self.known.get(advert.partition)
        told = (advert.owner, advert.state, advert.lag, advert.error)
        if before is not None and (before.owner, before.state, before.lag, before.error) == told:
            return
        key = _PREFIX + str(advert.partition).encode()
        self._appender.send([Outgoing(self._topic, 0, key, msgspec.json.encode(advert))], _ignore)

    def say_node(self, advert: NodeAdvert) -> None:
        """Publish what a node says of itself."""
        key = _NODE_PREFIX + advert.node.encode()
        self._appender.send([Outgoing(self._topic, 0, key, msgspec.json.encode(advert))], _ignore)

    def close(self) -> None:
        """Stop reading."""
        self._closed = True
        if self._reading is not None:
            self._reading.close()


def _ignore(failed: int | None) -> None:
    # An advert that is lost is made good by the next change; nothing depends on it but what people see.
    return None


def _ignore_node(advert: NodeAdvert) -> None:
    return None
