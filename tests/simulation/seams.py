"""What stands between a simulated node and its adapters: it passes everything on, lets checkers look, and may crash.

These are seams of `adapters/seams.py` and of `worker/surroundings.py` around the shipped ones; nothing of the engine is
replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

from headrace.adapters.seams import Appender, AppendReport, BatchReport, Outgoing, Partitions, Snapshot, Store, Stores
from headrace.execution import InProcess
from headrace.records.rows import Run, Step

RENEW_S = 1.0  # how soon a dead producer is replaced, as the process around a node does


class ProcessDied(BaseException):
    """The process was killed in the middle of a callback: nothing of it runs on."""


class Watcher(Protocol):
    """Who looks at what passes, and says when the process dies."""

    def write_comes(self, what: str) -> None:
        """Called before each write; raises ProcessDied to crash there."""
        ...

    def write_done(self, what: str) -> None:
        """Called after each write; raises ProcessDied to crash there."""
        ...

    def sending(self, batch: Sequence[Outgoing]) -> None: ...

    def stored(self, partition: int, store: Store) -> None: ...

    def wiped(self, partition: int) -> None: ...

    def trimming(self, topic: str, partition: int, before: int) -> None: ...

    def code(self, what: str, owner: Any, run_id: str, steps: dict[bytes, Step]) -> None: ...

    def later(self, seconds: float, callback: Callable[[], object]) -> None: ...


class WatchedAppender:
    """Passes on to an appender. Implements `Appender`."""

    def __init__(self, inner: Appender, watcher: Watcher, what: str) -> None:
        self._inner = inner
        self._watcher = watcher
        self._what = what
        self._renewing = False

    def append(self, topic: str, partition: int, value: bytes, report: AppendReport) -> None:
        def reported(offset: int, error: str | None) -> None:
            if error is not None:
                self._look(error)
            report(offset, error)

        self._watcher.write_comes(self._what)
        self._inner.append(topic, partition, value, reported)
        self._watcher.write_done(self._what)

    def send(self, batch: Sequence[Outgoing], report: BatchReport) -> None:
        def reported(failed: int | None) -> None:
            if failed is not None:
                self._look("")
            report(failed)

        self._watcher.sending(batch)
        self._watcher.write_comes(self._what)
        self._inner.send(batch, reported)
        self._watcher.write_done(self._what)

    def _look(self, error: str) -> None:
        # The process around a node replaces a producer that has died; which one has is asked of the producer itself.
        if not self._renewing:
            self._renewing = True
            self._watcher.later(RENEW_S, self._renew)

    def _renew(self) -> None:
        self._renewing = False
        if getattr(self._inner, "_fatal", None) is not None:
            self._inner.renew()

    def renew(self) -> None:
        self._inner.renew()

    @property
    def unreported(self) -> int:
        return self._inner.unreported

    def close(self, timeout_ms: int) -> None:
        self._inner.close(timeout_ms)


class WatchedPartitions:
    """Passes on to partitions. Implements `Partitions`."""

    def __init__(self, inner: Partitions, watcher: Watcher) -> None:
        self._inner = inner
        self._watcher = watcher
        self.bounds = inner.bounds
        self.topic_id = inner.topic_id

    def trim(self, topic: str, partition: int, before: int, done: Callable[[str | None], None]) -> None:
        self._watcher.trimming(topic, partition, before)
        self._watcher.write_comes("trim")
        self._inner.trim(topic, partition, before, done)
        self._watcher.write_done("trim")


class WatchedStores:
    """Passes on to the stores of a node. Implements `Stores`."""

    def __init__(self, inner: Stores, watcher: Watcher) -> None:
        self._inner = inner
        self._watcher = watcher

    def open(self, partition: int) -> WatchedStore:
        return WatchedStore(self._inner.open(partition), partition, self._watcher)

    def wipe(self, partition: int) -> None:
        self._inner.wipe(partition)
        self._watcher.wiped(partition)


class WatchedStore:
    """Passes on to a store. Implements `Store`."""

    def __init__(self, inner: Store, partition: int, watcher: Watcher) -> None:
        self._inner = inner
        self._partition = partition
        self._watcher = watcher

    def get(self, key: bytes) -> bytes | None:
        return self._inner.get(key)

    def scan(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        return self._inner.scan(start, end)

    def write(self, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        self._watcher.write_comes("store")
        self._inner.write(rows)
        self._watcher.stored(self._partition, self._inner)
        self._watcher.write_done("store")

    def snapshot(self) -> Snapshot:
        return self._inner.snapshot()

    def close(self) -> None:
        self._inner.close()


class WatchedExecution:
    """Passes on to the execution of a node. Implements `Execution`."""

    def __init__(self, inner: InProcess, watcher: Watcher) -> None:
        self._inner = inner
        self._watcher = watcher
        self.stop = inner.stop
        self.drain = inner.drain
        self.drop = inner.drop

    @property
    def full(self) -> bool:
        return self._inner.full

    def start(self, owner: Any, run_id: str, run: Run, steps: dict[bytes, Step]) -> None:
        self._watcher.code("started", owner, run_id, steps)
        self._inner.start(owner, run_id, run, steps)

    def resolve(self, owner: Any, run_id: str, step: bytes, row: Step) -> None:
        self._watcher.code("resolved", owner, run_id, {step: row})
        self._inner.resolve(owner, run_id, step, row)
