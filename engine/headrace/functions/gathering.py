"""Gathering: several events that make one run."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.expressions import format_duration
from headrace.functions.reading import (
    Duration,
    invalid,
    read_count,
    read_duration_ms,
    read_expression,
    read_flag,
    read_optional_ms,
    read_shape,
)
from headrace.functions.shapes import option_shape
from headrace.records import definitions

BATCH_SIZE_MAX = 10_000
BATCH_BYTES_MIN = 1_024
BATCH_BYTES_MAX = 10 << 20


@option_shape
@dataclass(frozen=True, slots=True)
class Debounce:
    """Start once no event has come for `period`, with the last one by its `ts`; after `timeout` in any case.

    With a `key` (CEL over `event`), for each of its values apart.
    """

    period: Duration
    key: str | None = None
    timeout: Duration | None = None


@option_shape
@dataclass(frozen=True, slots=True)
class Batch:
    """Start with up to `max_size` events in `ctx.events`, or with those that came within `timeout` of the first.

    With a `key` (CEL over `event`) there is a batch for each of its values; an event for which `if_` is not true starts
    a run of its own. `partitioned` keeps one buffer for each partition of Kafka, for the highest rate.
    """

    max_size: int
    timeout: Duration
    key: str | None = None
    if_: str | None = None
    max_bytes: int | None = None
    partitioned: bool = False


def read_debounce(value: object, where: str) -> definitions.Debounce:
    """Read the option `debounce`: a duration, a `Debounce`, or a dict of its shape."""
    given = read_shape(value, Debounce, "debounce", where, 'debounce="5s"', short="period")
    period_ms = read_duration_ms(given.period, "debounce.period", where)
    timeout_ms = read_optional_ms(given.timeout, "debounce.timeout", where)
    if timeout_ms and timeout_ms < period_ms:
        raise invalid(
            f"debounce waits {format_duration(period_ms)} for quiet, and {format_duration(timeout_ms)} at most",
            "timeout is the longest time from the first event on, so the period would never be over before it",
            "make timeout longer than period, or leave it out",
            where,
        )
    return definitions.Debounce(period_ms, read_expression(given.key, "debounce.key", where), timeout_ms)


def read_batch(value: object, where: str) -> definitions.Batch:
    """Read the option `batch`: a `Batch`, or a dict of its shape."""
    given = read_shape(value, Batch, "batch", where, 'batch=Batch(100, "5s")')
    partitioned = read_flag(given.partitioned, "batch.partitioned", where)
    if partitioned and given.key is not None:
        raise invalid(
            f"batch is partitioned and has the key {given.key!r}",
            "a partitioned batch has one buffer for each partition, whatever the key",
            "remove one of them; events that must be together need the same record key then",
            where,
        )
    max_bytes = 0
    if given.max_bytes is not None:
        max_bytes = read_count(given.max_bytes, "batch.max_bytes", where, least=BATCH_BYTES_MIN, most=BATCH_BYTES_MAX)
    return definitions.Batch(
        read_count(given.max_size, "batch.max_size", where, most=BATCH_SIZE_MAX),
        read_duration_ms(given.timeout, "batch.timeout", where),
        read_expression(given.key, "batch.key", where),
        read_expression(given.if_, "batch.if_", where),
        max_bytes,
        partitioned,
    )
