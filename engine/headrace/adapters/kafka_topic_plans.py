"""Which topics there are, how they are created, and what an existing one must be like, with the reason.

A topic that is trimmed by its owner (`delete_records`) gives its space back in whole closed segments only. So its
segments are small: at most two of them, the one being written and the one being trimmed through, are held beyond what
is needed, 32 MiB a partition. Much smaller would cost three open files for every few seconds of load.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

_MIB = 1024 * 1024
_DAY_MS = 24 * 60 * 60 * 1000

RECORD_BYTES_MAX = 16 * _MIB
SEGMENT_BYTES_TRIMMED = 16 * _MIB
SEGMENT_BYTES_KEPT = 128 * _MIB
SEGMENT_BYTES_COMPACTED = 16 * _MIB
# Kafka maps an index of this size for each segment that is written: 10 MiB by default, sparse where the disk can.
_INDEX_BYTES = _MIB


class Rule(NamedTuple):
    """What a setting of an existing topic must be, and why; `at_least` compares numbers."""

    setting: str
    wanted: str
    why: str
    at_least: bool = False

    @property
    def demand(self) -> str:
        """What is wanted, in words."""
        return f"at least {self.wanted}" if self.at_least else self.wanted

    def permits(self, found: str) -> bool:
        """Say whether a found value will do."""
        return int(found) >= int(self.wanted) if self.at_least else found == self.wanted


@dataclass(frozen=True)
class TopicPlan:
    """One topic: how it is created, and what it must be like when it is there."""

    name: str
    single: bool  # one partition, however many the others have
    settings: Mapping[str, str]
    rules: tuple[Rule, ...]

    @property
    def trimmed(self) -> bool:
        """Whether its owner deletes its records, and Kafka none by itself."""
        return self.settings.get("retention.ms") == "-1"


_LOSS = "the claims and commits of partitions stand in this log; a record that Kafka drops by itself is lost state"
_UNBOUNDED = (
    Rule("cleanup.policy", "delete", "compaction makes holes in a log whose offsets must have none"),
    Rule("retention.ms", "-1", _LOSS + "; only its owner trims it"),
    Rule("retention.bytes", "-1", _LOSS + "; only its owner trims it"),
)
_EXPIRING = (Rule("cleanup.policy", "delete", "compaction would drop all but the last record of a key"),)
_COMPACTED = (
    Rule("cleanup.policy", "compact", "the last record of each key must stay; a time limit would forget definitions"),
)


def plan_topics(prefix: str, brokers: int) -> tuple[TopicPlan, ...]:
    """Plan the topics of a cluster of that many brokers."""
    everywhere = {
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(RECORD_BYTES_MAX),
        "min.insync.replicas": "2" if brokers >= 3 else "1",
        "unclean.leader.election.enable": "false",
        "segment.index.bytes": str(_INDEX_BYTES),
    }
    rules = (
        Rule(
            "message.timestamp.type",
            "LogAppendTime",
            "times and expiry follow the broker's clock; a producer's old timestamp must not expire its event",
        ),
        Rule(
            "max.message.bytes",
            str(RECORD_BYTES_MAX),
            "a run may have 10 MiB of events, and its row is one record",
            at_least=True,
        ),
        Rule(
            "unclean.leader.election.enable",
            "false",
            "a leader that lacks acknowledged records makes the log forget commits",
        ),
        *(
            (Rule("min.insync.replicas", "2", "one broker's disk must not be the only copy", True),)
            if brokers >= 3
            else ()
        ),
    )
    unbounded = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}

    def plan(name: str, settings: Mapping[str, str], own: tuple[Rule, ...], *, single: bool = False) -> TopicPlan:
        return TopicPlan(f"{prefix}.{name}", single, {**everywhere, **settings}, (*own, *rules))

    def trimmed(name: str) -> TopicPlan:
        return plan(name, {**unbounded, "segment.bytes": str(SEGMENT_BYTES_TRIMMED)}, _UNBOUNDED)

    def expiring(name: str, days: int) -> TopicPlan:
        kept = {"cleanup.policy": "delete", "retention.ms": str(days * _DAY_MS)}
        return plan(name, {**kept, "segment.bytes": str(SEGMENT_BYTES_KEPT)}, _EXPIRING)

    def compacted(name: str) -> TopicPlan:
        kept = {"cleanup.policy": "compact", "segment.bytes": str(SEGMENT_BYTES_COMPACTED)}
        return plan(name, {**kept, "min.cleanable.dirty.ratio": "0.2"}, _COMPACTED, single=True)

    return (
        expiring("events", 7),
        trimmed("commands"),
        trimmed("changelog"),
        trimmed("snapshots"),
        compacted("functions"),
        compacted("control"),
        expiring("history", 7),
        expiring("dead", 30),
    )
