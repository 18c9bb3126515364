"""Appenders for the front door: one that takes, one that fails, one that never says anything."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from headrace.adapters.seams import AppendReport, BatchReport, Outgoing


class QuietAppender:
    """Takes batches and says nothing until it is told what to report."""

    def __init__(self) -> None:
        self.sent: list[Outgoing] = []
        self.batches: list[BatchReport] = []

    def append(self, topic: str, partition: int, value: bytes, report: AppendReport) -> None:
        raise AssertionError("the front door sends batches")

    def send(self, batch: Sequence[Outgoing], report: BatchReport) -> None:
        self.sent += batch
        self.batches.append(report)

    def renew(self) -> None:
        raise AssertionError("not the front door's business")

    @property
    def unreported(self) -> int:
        return len(self.batches)

    def close(self, timeout_ms: int) -> None:
        self.batches.clear()


class TakingAppender(QuietAppender):
    """Has every batch in its log at once, or from `fails_from` on none; reports in a later turn of the loop."""

    def __init__(self, fails_from: int | None = None) -> None:
        super().__init__()
        self.fails_from = fails_from

    def send(self, batch: Sequence[Outgoing], report: BatchReport) -> None:
        self.sent += batch
        asyncio.get_running_loop().call_soon(report, self.fails_from)
