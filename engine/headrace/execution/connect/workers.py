"""The workers that are connected, and which of them gets a call: one that is healthy, has the function, and has room.

Pure, but for `pick`, which chooses among equals. Room is counted for an instance, which may have several connections.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

from headrace.execution.connect.session import Session
from headrace.execution.connect.settings import CAPACITY


class Instance:
    """What the connections of one instance share: how many calls it takes at a time, and how many it has."""

    __slots__ = ("busy", "capacity", "connections")

    def __init__(self) -> None:
        self.capacity = CAPACITY
        self.busy = 0
        self.connections = 0

    @property
    def share(self) -> float:
        """Tell how much of its room is taken; 1 and more is all of it."""
        return self.busy / max(1, self.capacity)


class Worker:
    """One connection whose apps are registered."""

    def __init__(self, session: Session, apps: Mapping[str, Collection[str]]) -> None:
        self.session = session
        self.apps = apps  # the ids of each one's functions
        self.instance_id = session.hello.instance_id


class Workers:
    """All of them. `pick(n)` gives a number below n."""

    def __init__(self, pick: Callable[[int], int]) -> None:
        self._pick = pick
        self._workers: dict[Worker, None] = {}  # in the order in which they came
        self._by_app: dict[str, list[Worker]] = {}
        self._instances: dict[str, Instance] = {}

    def __iter__(self) -> Iterator[Worker]:
        return iter(list(self._workers))

    def __len__(self) -> int:
        return len(self._workers)

    def add(self, worker: Worker) -> None:
        """Take a worker in; what it says of its instance's capacity counts from now on."""
        self._workers[worker] = None
        for app in worker.apps:
            self._by_app.setdefault(app, []).append(worker)
        instance = self._instances.setdefault(worker.instance_id, Instance())
        instance.connections += 1
        instance.capacity = worker.session.hello.max_worker_concurrency or CAPACITY

    def remove(self, worker: Worker) -> None:
        """Let a worker go. Its instance's calls stay counted until they are over."""
        if worker not in self._workers:
            return
        del self._workers[worker]
        for app in worker.apps:
            left = [one for one in self._by_app[app] if one is not worker]
            if left:
                self._by_app[app] = left
            else:
                del self._by_app[app]
        instance = self._instances[worker.instance_id]
        instance.connections -= 1
        self._forget(worker.instance_id, instance)

    def serving(self, app: str, function_id: str, now_ms: int) -> list[Worker]:
        """List the healthy ones that have a function, whether they have room or not."""
        return [
            worker
            for worker in self._by_app.get(app, ())
            if function_id in worker.apps[app] and worker.session.is_healthy(now_ms)
        ]

    def choose(self, serving: list[Worker]) -> Worker | None:
        """Choose one of those with the most room, and count the call as its; None where nobody has any.

        Left to chance alone, one of two workers now and then gets all that comes, and calls may take minutes.
        """
        least = 1.0
        idlest: list[Worker] = []
        for worker in serving:
            share = self._instances[worker.instance_id].share
            if share < least:
                least, idlest = share, [worker]
            elif share == least < 1:
                idlest.append(worker)
        if not idlest:
            return None
        worker = idlest[self._pick(len(idlest))] if len(idlest) > 1 else idlest[0]
        self._instances[worker.instance_id].busy += 1
        return worker

    def release(self, instance_id: str) -> None:
        """Note that a call of an instance is over."""
        instance = self._instances[instance_id]
        instance.busy -= 1
        self._forget(instance_id, instance)

    def busy(self, instance_id: str) -> int:
        """Count the calls that an instance has."""
        instance = self._instances.get(instance_id)
        return instance.busy if instance is not None else 0

    def _forget(self, instance_id: str, instance: Instance) -> None:
        if not instance.connections and not instance.busy:
            del self._instances[instance_id]
