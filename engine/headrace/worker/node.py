"""A node: what the group assigns to this process, and one `Ownership` for each partition of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from headrace.adapters.seams import Handle, Membership, Outgoing, Partitions, Reader, Stores
from headrace.errors import HeadraceError
from headrace.records.commands import ENVELOPE, Broadcast, CancelRun, Envelope, Travelling
from headrace.records.definitions import Definition
from headrace.worker.adverts import Advert, Adverts
from headrace.worker.definitions import DefinitionsLog
from headrace.worker.machine import Machine
from headrace.worker.ownership import Keep, Ownership, State
from headrace.worker.surroundings import Surroundings


@dataclass(frozen=True, slots=True)
class Means:
    """What a node needs beside the machines' surroundings."""

    membership: Membership
    stores: Stores
    partitions: Partitions
    restore_reader: Reader
    changelog_id: str
    events_id: str
    events_partitions: int
    skip_expired: bool
    new_uuid: Callable[[], str]
    jitter: Callable[[], float]
    tell: Callable[[str, str], None]


class Node:
    """One member of the cluster."""

    def __init__(self, around: Surroundings, means: Means) -> None:
        self._around = around
        self._means = means
        self._keep = Keep(
            means.stores,
            means.partitions,
            means.restore_reader,
            means.changelog_id,
            means.events_id,
            means.events_partitions,
            means.skip_expired,
            means.new_uuid,
            means.jitter,
            means.membership.holds,
            self._machine_started,
            means.tell,
        )
        topics = around.topics
        self.definitions = DefinitionsLog(
            topics.functions,
            around.loop,
            around.reader,
            means.partitions,
            around.outbox,
            self._defined,
            means.tell,
        )
        self.adverts = Adverts(topics.control, around.loop, around.reader, means.partitions, around.outbox, means.tell)
        self.owned: dict[int, Ownership] = {}
        self.joined = False
        self._declared: tuple[list[str], Mapping[str, Definition], bool] = ([], {}, False)
        self.expelled_reason = ""
        self._advert_timer: Handle | None = None
        self._stopping = False

    # --- starting and stopping ----------------------------------------------------------------------------------

    def start(self, apps: Iterable[str], declared: Mapping[str, Definition], *, remove: bool = False) -> None:
        """Publish what the apps declare, then join the group; `remove` what they declare no longer."""
        self._declared = list(apps), declared, remove

        def published() -> None:
            if not self._stopping:
                self.joined = True
                self._means.membership.join(self)

        self.adverts.start()
        self.definitions.catch_up(lambda: self._publish(published))
        self._advertise()

    def declare(self, apps: Iterable[str], declared: Mapping[str, Definition], then: Callable[[], None]) -> None:
        """Publish what changed apps declare now (a reload)."""
        self._declared = list(apps), declared, True
        self._publish(then)

    def _publish(self, then: Callable[[], None]) -> None:
        # What is declared now: there may have been a reload while the topic was still being read at the start.
        apps, declared, remove = self._declared
        self.definitions.publish(apps, declared, then, remove=remove)

    def stop(self, stopped: Callable[[], None]) -> None:
        """Let every partition go in good order, leave the group, then call."""
        self._stopping = True

        def left() -> None:
            self.close()
            stopped()

        if self.joined:
            self._means.membership.leave(left)
        else:
            self._around.loop.call_soon(left)

    def close(self) -> None:
        """Drop what is still held, at once."""
        self._stopping = True
        if self._advert_timer is not None:
            self._advert_timer.cancel()
        for ownership in list(self.owned.values()):
            ownership.lose()
        self.owned.clear()
        self.definitions.close()
        self.adverts.close()

    # --- what the group says (seams.Members) --------------------------------------------------------------------

    def assigned(self, partitions: Sequence[int]) -> None:
        """Take up partitions."""
        if self._stopping or self.expelled_reason:
            return
        for partition in sorted(partitions):
            if partition not in self.owned:
                ownership = self.owned[partition] = Ownership(self._around, self._keep, partition)
                ownership.begin()

    def revoked(self, partitions: Sequence[int], let_go: Callable[[], None]) -> None:
        """Hand partitions over in good order."""
        leaving = [self.owned[p] for p in partitions if p in self.owned]
        left = len(leaving)
        if not left:
            self._around.loop.call_soon(let_go)
            return

        def one_gone(partition: int) -> None:
            nonlocal left
            self.owned.pop(partition, None)
            left -= 1
            if left == 0:
                let_go()
            if self._means.membership.holds(partition):  # given back to us while it was still draining
                self.assigned([partition])

        for ownership in leaving:
            ownership.release(lambda partition=ownership.partition: one_gone(partition))  # type: ignore[misc]

    def lost(self, partitions: Sequence[int]) -> None:
        """Drop partitions that belong to others already."""
        for partition in partitions:
            ownership = self.owned.pop(partition, None)
            if ownership is not None:
                ownership.lose()

    def expelled(self, reason: str) -> None:
        """Let everything go: the group will not have this member again."""
        self.expelled_reason = reason
        self.lost(list(self.owned))
        self._means.tell(
            "expelled",
            f"this node is no longer a member: {reason}; it stops. If another node runs with the same instance id "
            "or data directory, give each its own",
        )

    # --- definitions --------------------------------------------------------------------------------------------

    def _machine_started(self, machine: Machine) -> None:
        for offset, command in self.definitions.in_order():
            machine.define(offset, command)

    def _defined(self, offset: int, command: Broadcast) -> None:
        for ownership in self.owned.values():
            if ownership.machine is not None:
                ownership.machine.define(offset, command)

    # --- what others ask of it ----------------------------------------------------------------------------------

    def cancel(self, run_id: str, partition: int | None, reason: str, done: Callable[[bool], None]) -> None:
        """Command a run's home to cancel it; without a known home every partition is told. `done(written)`."""
        self.order(partition, CancelRun(run_id, reason), done)

    def order(self, partition: int | None, command: Travelling, done: Callable[[bool], None]) -> None:
        """Give a partition, or all of them, something to do. `done(written)`."""
        targets = range(self._around.partitions) if partition is None else [partition]
        value = ENVELOPE.encode(Envelope(-1, 0, -1, command, self._means.new_uuid()))
        batch = [Outgoing(self._around.topics.commands, target, None, value) for target in targets]
        self._around.outbox.send(batch, lambda failed: done(failed is None))

    def broadcast(self, key: bytes, value: bytes, done: Callable[[bool], None]) -> None:
        """Tell every partition of the cluster (records/broadcasts.py). `done(written)`."""
        batch = [Outgoing(self._around.topics.functions, 0, key, value)]
        self._around.outbox.send(batch, lambda failed: done(failed is None))

    def publish(self, records: Sequence[tuple[bytes, bytes | None]], done: Callable[[bool], None]) -> None:
        """Write records to the functions topic, in this order, and read them back (None: remove). `done(written)`."""
        batch = [Outgoing(self._around.topics.functions, 0, key, value) for key, value in records]

        def reported(failed: int | None) -> None:
            if failed is None:
                self.definitions.catch_up(lambda: done(True))
            else:
                done(False)

        self._around.outbox.send(batch, reported)

    def ready(self) -> tuple[bool, str]:
        """Tell whether the group is settled as far as this node sees, and every partition assigned here runs."""
        if self.expelled_reason:
            return False, f"expelled from the group: {self.expelled_reason}"
        if self._stopping:
            return False, "this node is stopping"
        if not self.joined:
            return False, "reading the definitions of functions"
        waiting = [
            f"{p}: {o.error.code if o.error else o.state.value}"
            for p, o in sorted(self.owned.items())
            if o.state is not State.RUNNING or o.error is not None
        ]
        if waiting:
            return False, "partitions that do not run yet: " + ", ".join(waiting)
        if not self.owned and not self.adverts.known:
            return False, "no partition is assigned yet"
        return True, ""

    def counters(self) -> dict[str, int]:
        """Name every counter of this node, for metrics."""
        rows = self._around.counters.rows()
        for ownership in self.owned.values():
            if ownership.machine is not None:
                rows["changelog_bytes"] += ownership.machine.commits.bytes
                rows["resends"] += ownership.machine.outbox.resends
        return rows

    def partition_rows(self) -> list[Advert]:
        """List every partition of the cluster, as its owner told; one nobody told of yet has no owner."""
        return [self.adverts.known.get(p, Advert(p, "", "unowned")) for p in range(self._around.partitions)]

    def _advertise(self) -> None:
        self._advert_timer = self._around.loop.call_later(self._around.limits.advert_ms / 1000, self._advertise)
        for partition, ownership in self.owned.items():
            machine = ownership.machine
            error: HeadraceError | None = ownership.error
            self.adverts.say(
                Advert(
                    partition,
                    self._around.node,
                    ownership.state.value,
                    0 if machine is None else machine.sources.backlog,
                    self._around.clock.wall_ms(),
                    "" if error is None else error.code,
                )
            )
