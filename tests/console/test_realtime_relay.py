"""Messages between nodes. Goal: all nodes hear what any publishes, in order, and nobody waits for one that is slow."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from headrace.console.realtime_bus import Frame, LocalBus, Subscriber
from headrace.console.realtime_messages import Topic
from headrace.console.realtime_relay import RELAYED_BYTES_MAX, WAITING_BYTES_MAX, RelayBus

CHAT = Topic("user:7", "chat")


class Net:
    """Passes on between buses, as fast as it may."""

    def __init__(self) -> None:
        self.buses: list[RelayBus] = []
        self.open = asyncio.Event()
        self.open.set()
        self.largest = 0
        self.told: list[str] = []

    def add(self) -> RelayBus:
        bus = RelayBus(End(self), lambda code, _: self.told.append(code))
        self.buses.append(bus)
        return bus


class End:
    """A node's side of it."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self.place = len(net.buses)

    @property
    def alone(self) -> bool:
        """Whether there are no other nodes."""
        return len(self.net.buses) < 2

    async def pass_on(self, content: bytes) -> None:
        """Give something to the others."""
        await self.net.open.wait()
        self.net.largest = max(self.net.largest, len(content))
        for place, bus in enumerate(self.net.buses):
            if place != self.place:
                bus.take(content)


def play(scene: Callable[[Net], Awaitable[None]]) -> None:
    async def run() -> None:
        await asyncio.wait_for(scene(Net()), 20)

    asyncio.run(run())


def listener(bus: LocalBus, topic: Topic = CHAT) -> Subscriber:
    subscriber = bus.open([topic])
    assert subscriber is not None
    return subscriber


async def heard(subscriber: Subscriber, count: int) -> list[Frame]:
    frames: list[Frame] = []
    while len(frames) < count:
        more = await subscriber.frames()
        assert more is not None
        frames += more
    return frames


def test_every_node_hears_every_message_once() -> None:
    async def scene(net: Net) -> None:
        buses = [net.add() for _ in range(3)]
        listeners = [listener(bus) for bus in buses]
        others = [listener(bus, Topic("user:8", "chat")) for bus in buses]
        sent = [Frame(str(number).encode(), raw=number % 2 == 1) for number in range(300)]
        for frame in sent:
            buses[0].publish(CHAT, frame)
        buses[1].publish(Topic("user:8", "chat"), Frame(b"other"))
        for subscriber in listeners:
            assert await heard(subscriber, len(sent)) == sent
        for subscriber in others:
            assert await heard(subscriber, 1) == [Frame(b"other")]

    play(scene)


def test_a_node_alone_passes_nothing_on() -> None:
    async def scene(net: Net) -> None:
        bus = net.add()
        subscriber = listener(bus)
        bus.publish(CHAT, Frame(b"1"))
        assert await heard(subscriber, 1) == [Frame(b"1")]
        assert bus._passing is None

    play(scene)


def test_nobody_waits_for_a_node_that_is_slow() -> None:
    async def scene(net: Net) -> None:
        one, two = net.add(), net.add()
        near = listener(one)
        net.open.clear()
        message = b"x" * (512 << 10)
        count = 2 * WAITING_BYTES_MAX // len(message)
        for _ in range(count):
            one.publish(CHAT, Frame(message))
            assert len(await heard(near, 1)) == 1
        assert net.told == ["realtime_behind"]
        net.open.set()
        while one._passing is not None and not one._passing.done():
            await asyncio.sleep(0)
        assert 0 < net.largest <= RELAYED_BYTES_MAX
        again = listener(two)
        one.publish(CHAT, Frame(b"after"))  # it is told of as before
        assert await heard(again, 1) == [Frame(b"after")]
        await one.stop()

    play(scene)


@pytest.mark.parametrize("content", [b"", b"\xc1", msgspec.msgpack.encode([1]), msgspec.msgpack.encode({"a": 1})])
def test_nonsense_from_other_nodes_is_refused(content: bytes) -> None:
    async def scene(net: Net) -> None:
        bus = net.add()
        with pytest.raises(msgspec.MsgspecError):
            bus.take(content)

    play(scene)
