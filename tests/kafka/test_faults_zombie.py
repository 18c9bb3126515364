"""A node that stands still beyond its session and wakes up: what it still does is refused, and it finds its place."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.kafka.cluster import SESSION_S, Cluster, Load, until
from tests.kafka.cluster_checks import Frozen, await_runs, check, history_of


@pytest.mark.slow
def test_a_node_that_was_frozen_past_its_session_is_refused(kafka_bootstrap: str, tmp_path: Path) -> None:
    with Cluster(kafka_bootstrap, tmp_path) as cluster, history_of(cluster) as history:
        first, second = cluster.start("a"), cluster.start("b")
        until(lambda: len(first.partitions()) == len(second.partitions()) == 2, "each has its share")
        kept = first.partitions()
        with Load(cluster, 40, work_ms=300) as load:
            until(lambda: history.ended_runs("flows-order") >= 60, "60 orders are through")
            second.freeze()
            frozen_ms = time.time_ns() // 1_000_000
            took_s = until(lambda: len(first.partitions()) == 4, "the first has taken over", SESSION_S + 20)
            ended = history.ended_runs("flows-order")
            until(lambda: history.ended_runs("flows-order") > ended + 100, "the cluster goes on", 60)
            second.thaw()
            thawed_ms = time.time_ns() // 1_000_000
            back_s = until(lambda: len(second.partitions()) == 2, "it has its share again", 60)
            ended = history.ended_runs("flows-order")
            until(lambda: history.ended_runs("flows-order") > ended + 100, "the cluster goes on", 60)
        wanted = dict.fromkeys(("flows-order", "flows-bill", "flows-mail"), load.sent)
        await_runs(cluster, history, wanted)
        found = check(cluster, history, frozen=Frozen(second.pid, thawed_ms))
        changelog = found.changelog
        stale = {(c.partition, c.offset) for c in changelog.claims if c.node == second.node_id and c.at_ms < frozen_ms}
        late = [c for c in changelog.commits if c.at_ms >= thawed_ms and (c.partition, c.claim) in stale]
        assert stale
        assert not late, f"commits under claims from before it was frozen count: {late}"
        pause_ms = max(changelog.longest_pause_ms(p, frozen_ms, thawed_ms) for p in kept)
        assert pause_ms < 3_000, f"a partition of the node that was not frozen stood still for {pause_ms} ms"
        late_records = [at_ms for _, _, at_ms in changelog.refused if at_ms >= thawed_ms]
        print(
            f"taken over after {took_s:.1f} s, back {back_s:.1f} s after it woke up; {len(late_records)} late records;"
        )
        print(found)
        assert second.running
        assert "code=fenced" in second.log() or "rejoining group" in second.log(), "it has not noticed"
