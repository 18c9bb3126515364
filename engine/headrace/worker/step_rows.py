"""Steps: rows by run, with an index of the steps of live runs."""

from __future__ import annotations

from typing import Any

from headrace.adapters.seams import Store
from headrace.records import rows
from headrace.worker.overlay import MISSING, Rows

_RUN_ID_LENGTH = 26


class _Group(dict[bytes, int]):
    """The steps of a live run: the bytes of each one's result, and of all together."""

    __slots__ = ("total",)

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def note(self, key: bytes, row: rows.Step) -> None:
        size = 0 if row.output is None else len(row.output)
        self.total += size - self.get(key, 0)
        self[key] = size


class StepRows(Rows[rows.Step]):
    """The steps table, with an index of each live run's steps, so that ending a run asks the store nothing."""

    GROUPS_MAX = 20_000

    def __init__(self, store: Store) -> None:
        super().__init__(rows.STEPS, rows.Step, store)
        self._groups: dict[bytes, _Group | None] = {}  # None: known to have no steps yet
        self._forgot = False  # whether groups of live runs were dropped for room

    def open_group(self, run_key: bytes) -> None:
        """Note that a run is new: it has no steps, here or in the store."""
        if len(self._groups) >= self.GROUPS_MAX:
            self._groups.clear()
            self._forgot = True
        self._groups[run_key] = None

    def may_be_open(self, run_key: bytes) -> bool:
        """Whether a run that was new here may still be alive, as far as can be told without the store."""
        return run_key in self._groups or self._forgot

    def close_group(self, run_key: bytes) -> None:
        """Forget the index of a run that has ended."""
        self._groups.pop(run_key, None)

    def get(self, key: bytes) -> rows.Step | None:
        found: rows.Step | None = self.cached.get(key, MISSING)
        if found is not MISSING:
            return found
        group: Any = self._groups.get(key[:_RUN_ID_LENGTH], MISSING)
        if group is None or (group is not MISSING and key not in group):
            return None  # a step that is asked for the first time, as most are: the store need not be asked
        return super().get(key)

    def put(self, key: bytes, value: rows.Step) -> None:
        super().put(key, value)
        run_key = key[:_RUN_ID_LENGTH]
        group = self._groups.get(run_key, MISSING)
        if group is None:
            group = self._groups[run_key] = _Group()
        elif group is MISSING:
            return
        if key not in group:
            self.fresh.add(key)
        group.note(key, value)

    def weight(self, run_key: bytes) -> tuple[int, int]:
        """Tell how many steps a live run has, and the bytes of their results."""
        group = self._groups.get(run_key, MISSING)
        if group is MISSING:
            self.keys(run_key)
            group = self._groups[run_key]
        return (0, 0) if group is None else (len(group), group.total)

    def keys(self, prefix: bytes) -> list[bytes]:
        group = self._groups.get(prefix, MISSING)
        if group is None:
            return []
        if group is not MISSING:
            return sorted(key for key in group if self.get(key) is not None)
        found = super().keys(prefix)
        if len(prefix) == _RUN_ID_LENGTH:
            if len(self._groups) >= self.GROUPS_MAX:
                self._groups.clear()
                self._forgot = True
            group = self._groups[prefix] = _Group()
            for key in found:
                row = self.get(key)
                if row is not None:
                    group.note(key, row)
        return found
