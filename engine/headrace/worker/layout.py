"""Where things stand on Kafka, and how much of everything is held at once."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.records.limits import DEFAULTS, RunLimits


@dataclass(frozen=True, slots=True)
class Topics:
    """The names of all topics, by their prefix."""

    prefix: str = "headrace"

    @property
    def events(self) -> str:
        return f"{self.prefix}.events"

    @property
    def commands(self) -> str:
        return f"{self.prefix}.commands"

    @property
    def changelog(self) -> str:
        return f"{self.prefix}.changelog"

    @property
    def snapshots(self) -> str:
        return f"{self.prefix}.snapshots"

    @property
    def functions(self) -> str:
        return f"{self.prefix}.functions"

    @property
    def control(self) -> str:
        return f"{self.prefix}.control"

    @property
    def history(self) -> str:
        return f"{self.prefix}.history"

    @property
    def dead(self) -> str:
        return f"{self.prefix}.dead"


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a partition's machine; sizes in bytes, times in milliseconds."""

    commits_in_flight: int = 2
    turn_inputs: int = 500
    turn_bytes: int = 4 << 20
    chunk_bytes: int = 1 << 20
    pending_bytes: int = 4 << 20  # read but not applied yet; reading pauses beyond
    flush_rows: int = 5_000
    flush_after_ms: int = 250
    tidy_after_ms: int = 500  # an idle partition commits the removal of what its outbox has sent
    announce_after_ms: int = 200  # a run that is over sooner is one record of the history, not two
    snapshot_bytes: int = 64 << 20  # of changelog since the last snapshot; or the state's own size, if larger
    snapshot_chunk_bytes: int = 512 << 10
    snapshot_check_ms: int = 1_000  # how often the growth of the changelog is looked at
    advert_ms: int = 1_000  # how often a node tells what is new about its partitions
    events_retention_ms: int = 7 * 86_400_000  # what looks back further than this may find that events have expired
    catch_up_ms: int = 5_000  # timers wait for what stood in the logs at the claim, until nothing has come for so long
    # The longest sleep until a timer is due: the clock's offset and the loop's own time may drift apart.
    wake_ms: int = 60_000
    drain_ms: int = 2_000  # of executions, when a partition leaves in good order
    resend_ms: int = 200  # first wait before the outbox goes back; doubles up to 5 s
    dead_value_bytes: int = 1 << 20  # kept of a dead letter that is too large for a commit
    short_way: bool = True  # commands between partitions of one node do not go over the log
    runs: RunLimits = DEFAULTS
