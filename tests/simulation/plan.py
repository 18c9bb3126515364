"""The plan of a simulated world: everything that one seed draws before it begins."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from headrace.adapters.memory_network import Faults
from headrace.execution import Settings
from headrace.worker.layout import Limits
from tests.simulation.work import WORK

# What may befall a world, beside the faults of single records and questions that the network draws.
BLOWS = (
    "crash",
    "disk_lost",
    "disk_stale",
    "disk_damaged",
    "zombie",
    "freeze",
    "cut",
    "rebalance",
    "join",
    "leave",
    "standstill",
    "partition_standstill",
    "clock_jump",
    "clock_rate",
    "stranger_record",
    "stranger_gap",
    "retention",
    "reload",
    "cancel",
)


@dataclass(frozen=True)
class Plan:
    """How large a world is, how narrow its limits are, what happens in it and how often."""

    seed: int
    partitions: int
    events_partitions: int  # the same, or a multiple
    members: int
    seconds: float  # how long events and blows go on
    events: int
    blows: dict[str, int]  # how often each strikes
    faults: Faults
    limits: Limits
    settings: Settings
    evict_always: bool
    unflushed_max: int
    skew_ms: int
    work: frozenset[str] = frozenset()  # what else is done there, see work.py


def draw_plan(seed: int) -> Plan:
    """Draw the plan of a seed."""
    draw = Random(f"plan {seed}")
    seconds = draw.choice([5.0, 15.0, 30.0, 45.0])
    # A few kinds at a time: what all of them together hide, one or two of them show.
    kinds = draw.sample(BLOWS, draw.randint(1, 7))
    blows = {kind: draw.randint(1, 4) for kind in kinds}
    if draw.random() < 0.6:
        blows["crash_at_write"] = draw.choice([4, 12])
    partitions = draw.choice([1, 2, 3, 4])
    plan = Plan(
        seed,
        partitions=partitions,
        events_partitions=partitions * draw.choice([1, 1, 2]),
        members=draw.choice([1, 2, 2, 3]),
        seconds=seconds,
        events=draw.choice([5, 15, 30, 45]),
        blows=blows,
        faults=_draw_faults(draw),
        limits=replace(_draw_limits(draw), short_way=Random(f"way {seed}").random() < 0.6),
        settings=Settings(live_max=draw.choice([2, 5, 1000]), blocked_ms=0),
        evict_always=draw.random() < 0.25,
        unflushed_max=draw.choice([0, 3, 20]),
        skew_ms=draw.choice([0, 500, 60_000]),
    )
    draw = Random(f"work {seed}")
    work = frozenset(name for name in sorted(WORK) if draw.random() < 0.25)
    return with_work(plan, work) if work else plan


def with_work(plan: Plan, work: frozenset[str]) -> Plan:
    """Have more done in a world, and less of the rest."""
    # Those who wait look back; that events are gone by then is a story of its own.
    blows = {kind: times for kind, times in plan.blows.items() if kind != "retention" or "waits" not in work}
    return replace(plan, work=work, events=min(plan.events, 15), blows=blows)


def _draw_faults(draw: Random) -> Faults:
    def some(likely: float, *of: float) -> float:
        return draw.choice(of) if draw.random() < likely else 0.0

    slow = draw.choice([2.0, 20.0, 200.0])
    return Faults(
        append_lost=some(0.4, 0.003, 0.02, 0.06),
        append_unknown=some(0.4, 0.003, 0.02, 0.06),
        append_late=some(0.4, 0.003, 0.02, 0.06),
        append_twice=some(0.3, 0.003, 0.02),
        producer_fatal=some(0.15, 0.003),
        offset_gap=some(0.2, 0.003, 0.01),
        landed_after_death=some(0.7, 0.3, 0.9),
        bounds_failed=some(0.2, 0.05),
        trim_failed=some(0.3, 0.2),
        fetch_short=some(0.3, 0.2),
        delay_ms=draw.choice([(0.0, 0.0), (0.0, 2.0), (1.0, 10.0)]),
        slow=some(0.5, 0.01, 0.1),
        slow_delay_ms=(slow, slow * 10),
        failure_delay_ms=draw.choice([(0.0, 0.0), (0.0, 500.0)]),
        late_delay_ms=draw.choice([(0.0, 5.0), (0.0, 4_000.0)]),
    )


def _draw_limits(draw: Random) -> Limits:
    return Limits(
        commits_in_flight=draw.choice([1, 2, 2, 3]),
        turn_inputs=draw.choice([1, 3, 20, 500]),
        turn_bytes=draw.choice([300, 4_000, 1 << 20]),
        chunk_bytes=draw.choice([250, 600, 3_000, 1 << 20]),
        pending_bytes=draw.choice([300, 3_000, 1 << 20]),
        flush_rows=draw.choice([1, 10, 100, 5_000]),
        flush_after_ms=draw.choice([1, 50, 250]),
        tidy_after_ms=draw.choice([20, 500]),
        announce_after_ms=draw.choice([0, 200]),
        snapshot_bytes=draw.choice([1_500, 6_000, 20_000]),
        snapshot_chunk_bytes=draw.choice([150, 1_000, 1 << 20]),
        snapshot_check_ms=draw.choice([50, 300, 1_000]),
        drain_ms=draw.choice([200, 2_000]),
        resend_ms=draw.choice([50, 200]),
        dead_value_bytes=100,
    )
