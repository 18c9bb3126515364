"""A function's definition, as it stands on the functions topic: JSON, one record per full function id."""

from __future__ import annotations

import msgspec

from headrace.errors import BadRecord


class Backoff(msgspec.Struct, frozen=True, omit_defaults=True):
    """How long to wait before the next attempt. `jitter` is a share of the delay (0.1: up to 10 % more)."""

    type: str = "exponential"  # exponential | linear | fixed | sdk: the table that users of SDKs know
    base_ms: int = 1_000
    max_ms: int = 3_600_000
    jitter: float = 0.1


class EventTrigger(msgspec.Struct, frozen=True, omit_defaults=True):
    """An event name, exact or ending in a wildcard after / or ., and an optional CEL expression."""

    event: str
    expression: str = ""


class CronTrigger(msgspec.Struct, frozen=True, omit_defaults=True):
    """A cron line of five fields, in a time zone (IANA name; "": UTC)."""

    line: str
    timezone: str = ""
    jitter_ms: int = 0
    overlap: str = "skip"  # skip | queue | cancel-running
    catch_up: str = "none"  # none | last | all


class Concurrency(msgspec.Struct, frozen=True, omit_defaults=True):
    """At most `limit` runs of one key execute at once. `key` is CEL over `event`, or "" for all runs together."""

    limit: int
    key: str = ""
    scope: str = "function"  # function | app | account


class Throttle(msgspec.Struct, frozen=True, omit_defaults=True):
    """At most `limit` starts (and `burst` more) in `period_ms`; what is too much waits."""

    limit: int
    period_ms: int
    burst: int = 0
    key: str = ""


class RateLimit(msgspec.Struct, frozen=True, omit_defaults=True):
    """At most `limit` starts in `period_ms` (GCRA, burst `limit` - 1); what is too much is dropped."""

    limit: int
    period_ms: int
    key: str = ""


class Debounce(msgspec.Struct, frozen=True, omit_defaults=True):
    """Start with the last event once none has come for `period_ms`; after `timeout_ms` (0: never) in any case."""

    period_ms: int
    key: str = ""
    timeout_ms: int = 0


class Batch(msgspec.Struct, frozen=True, omit_defaults=True):
    """Start with up to `max_size` events, or `max_bytes` of them, or what has come in `timeout_ms`."""

    max_size: int
    timeout_ms: int
    key: str = ""
    expression: str = ""  # events for which it is not true start a run of their own
    max_bytes: int = 0  # 0: the engine's own bound
    partitioned: bool = False  # one buffer for each partition, whatever the key


class Singleton(msgspec.Struct, frozen=True, omit_defaults=True):
    """One run of a key at a time; another one is skipped, or cancels the one there is."""

    mode: str  # skip | cancel
    key: str = ""


class Idempotency(msgspec.Struct, frozen=True, omit_defaults=True):
    """One start for each value of `key` in `window_ms`."""

    key: str
    window_ms: int = 24 * 3_600_000


class CancelOn(msgspec.Struct, frozen=True, omit_defaults=True):
    """Cancel a run when an event of this name comes, if it matches; for `timeout_ms` from its start (0: for ever)."""

    event: str
    match: str = ""  # a path such as data.orderId: both sides have it, and it is equal
    expression: str = ""  # CEL over `event` (what started the run) and `async` (the event that comes)
    timeout_ms: int = 0


class Timeouts(msgspec.Struct, frozen=True, omit_defaults=True):
    """A run is cancelled that has not begun `start_ms` after its event, or not ended `finish_ms` after it began."""

    start_ms: int = 0
    finish_ms: int = 0


class Definition(msgspec.Struct, frozen=True, omit_defaults=True):
    """What partitions know of a function: enough to route, to retry and to name it. Code is not part of it."""

    id: str  # full: app id, "-", function id
    app: str
    name: str
    triggers: list[EventTrigger]
    retries: int = 3  # further attempts after the first
    backoff: Backoff = Backoff()
    kind: str = "python"  # python: code loaded by nodes | sdk: an app that is called, at `url`
    format: int = 1
    crons: list[CronTrigger] = []
    idempotency: Idempotency | None = None
    rate_limit: RateLimit | None = None
    debounce: Debounce | None = None
    batch: Batch | None = None
    singleton: Singleton | None = None
    throttle: Throttle | None = None
    concurrency: list[Concurrency] = []
    priority: str = ""  # CEL over `event`: seconds by which the run goes before or behind others
    cancel_on: list[CancelOn] = []
    timeouts: Timeouts | None = None
    on_exhausted: str = "fail"  # fail | park
    start_from: str = ""  # for a new function: how far back in the log its events begin, "30d" or an offset
    url: str = ""  # of an SDK's function: where it is called; ws:// or wss:// for one whose workers connect to us


_DECODER = msgspec.json.Decoder(Definition)


def encode_definition(definition: Definition) -> bytes:
    """Write a definition; equal definitions give equal bytes."""
    return msgspec.json.encode(definition)


def decode_definition(value: bytes) -> Definition:
    """Read a definition; `BadRecord` for anything else."""
    try:
        return _DECODER.decode(value)
    except msgspec.MsgspecError as error:
        raise BadRecord(
            "definition_unreadable",
            f"a record of the functions topic cannot be read: {error}",
            why="it was written by a newer version, or not by Headrace",
            do="upgrade this node, or remove the record",
        ) from None
