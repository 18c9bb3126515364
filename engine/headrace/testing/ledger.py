"""Ledger: everything that the history topic of a world says, gathered by run."""

from __future__ import annotations

from headrace.adapters.memory_log import MemoryCluster
from headrace.records.history import Lifecycle, decode_lifecycle
from headrace.testing.views import RunView, Told, fold


class Ledger:
    """Reads the history topic; records that were sent again count once, and their order is that of their seq."""

    def __init__(self, cluster: MemoryCluster, topic: str) -> None:
        self._cluster = cluster
        self._topic = topic
        self._positions: dict[int, int] = {}
        self._records: dict[str, dict[tuple[int, int], Lifecycle]] = {}  # by run id, then by (partition, seq)
        self._told: dict[str, Told] = {}
        self._seen: dict[str, int] = {}  # by run id: how many were seen before
        self._verdicts: dict[tuple[int, int], Lifecycle] = {}  # by (partition, seq), in the order of their coming

    def read(self) -> None:
        """Take in what has been written since."""
        for partition in self._cluster.topics[self._topic].partitions:
            position = self._positions.get(partition.number, 0)
            if position < partition.end:
                records, self._positions[partition.number] = partition.read(position, partition.end - position)
                for record in records:
                    self._take(decode_lifecycle(record.value or b""))

    def _take(self, record: Lifecycle) -> None:
        place = (record.partition, record.seq)
        if record.kind == "EventVerdict":
            # It may name a run, and is none of its lifecycle: the partition that decided is often another one.
            self._verdicts.setdefault(place, record)
            return
        known = self._records.setdefault(record.run_id, {})
        if place in known:
            return
        known[place] = record
        self._told.pop(record.run_id, None)
        self._seen.setdefault(record.run_id, len(self._seen))

    def verdicts(self, event_id: str) -> list[Lifecycle]:
        """List what stages have decided about an event, in the order of their deciding."""
        self.read()
        return sorted(
            (v for v in self._verdicts.values() if event_id in v.event_ids), key=lambda verdict: verdict.at_ms
        )

    def records(self, run_id: str) -> list[Lifecycle]:
        """List the lifecycle of one run, in order."""
        self.read()
        return [record for _, record in sorted(self._records.get(run_id, {}).items())]

    def told(self, run_id: str) -> Told:
        """Tell one run."""
        records = self.records(run_id)
        told = self._told.get(run_id)
        if told is None:
            first = records[0]
            told = self._told[run_id] = Told(run_id, first.function_id, first.partition)
            for record in records:
                fold(told, record)
        return told

    def runs(self) -> list[RunView]:
        """List every run, the oldest first."""
        self.read()
        run_ids = sorted((run_id for run_id in self._records if run_id), key=self._age)
        return [self.view(run_id) for run_id in run_ids]

    def view(self, run_id: str) -> RunView:
        """Show one run."""
        return RunView(lambda: self.told(run_id))

    def _age(self, run_id: str) -> tuple[int, int]:
        first_ms = min(record.started_ms or record.at_ms for record in self._records[run_id].values())
        return first_ms, self._seen[run_id]  # those of one millisecond as they came
