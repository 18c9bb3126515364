"""Starting by the clock. Goal: each due time starts one run, by the line's rules for overlaps and missed fires."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from headrace.admission.verdicts import drop
from headrace.records.commands import CancelRun
from headrace.records.definitions import CronTrigger, Definition, encode_definition
from headrace.records.rows import Reply, Start, Timer, TimerKind, cron_line_key, timer_key
from headrace.runs.cron import CANCEL_AGAIN_MS, LATE_MS, WAITING_MAX
from tests.runs.partitions import START_MS, Partitions
from tests.turns import known_event

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
ID = "shop-nightly"


def nightly(*lines: CronTrigger | str, **more: Any) -> Definition:
    crons = [CronTrigger(line, **more) if isinstance(line, str) else line for line in lines]
    return Definition(ID, "shop", "nightly", [], crons=crons)


def scheduled(world: Partitions) -> list[str]:
    """When the live runs were due."""
    events = [msgspec.json.decode(run.events[0].json)["data"] for _, run in world.live(ID).values()]
    return sorted(event["scheduledAt"] for event in events)


def verdicts(world: Partitions) -> list[tuple[str, str]]:
    return [(record.status, record.code) for record in world.history if record.kind == "EventVerdict"]


def end_all(world: Partitions) -> int:
    live = list(world.live(ID))
    for run_id in live:
        world.end(run_id)
    return len(live)


def test_a_line_fires_on_the_partition_of_its_function_alone_and_goes_on_firing() -> None:
    world = Partitions(nightly("0 * * * *"))
    assert [partition.count(b"n") for partition in world.all] == [int(n == world.place(ID)) for n in range(4)]
    world.pass_time(HOUR_MS - 1)
    assert world.live(ID) == {}
    world.pass_time(1)
    assert scheduled(world) == ["2026-01-01T01:00:00Z"]
    ((number, run),) = world.live(ID).values()
    assert number == world.place(ID)
    event = run.events[0]
    assert event.ts_ms == START_MS + HOUR_MS
    assert event.given_id == "2026-01-01T01:00:00Z"
    assert msgspec.json.decode(event.json) == {
        "name": "inngest/scheduled.timer",
        "data": {"cron": "0 * * * *", "scheduledAt": "2026-01-01T01:00:00Z", "fireAt": "2026-01-01T01:00:00Z"},
    }
    for hour in range(2, 6):
        end_all(world)
        world.pass_time(HOUR_MS)
        assert scheduled(world) == [f"2026-01-01T0{hour}:00:00Z"]
    assert world.rows(b"t") == 1


def test_the_run_of_a_due_time_is_the_same_whoever_fires_it_and_another_for_every_line() -> None:
    ids = []
    for _ in range(2):
        world = Partitions(nightly("0 * * * *", "0 1 * * *"))
        world.pass_time(HOUR_MS)
        ids.append(sorted(world.live(ID)))
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 2


def test_a_zone_of_the_line_counts() -> None:
    world = Partitions(nightly(CronTrigger("0 9 * * *", "Asia/Tokyo")))
    world.pass_time(24 * HOUR_MS)
    ((_, run),) = world.live(ID).values()
    assert msgspec.json.decode(run.events[0].json)["data"] == {
        "cron": "TZ=Asia/Tokyo 0 9 * * *",
        "scheduledAt": "2026-01-02T00:00:00Z",
        "fireAt": "2026-01-02T00:00:00Z",
    }


def test_a_skipped_and_a_repeated_hour_start_one_run_each() -> None:
    for day, expected in (("2026-03-28", "2026-03-29T01:00:00Z"), ("2026-10-24", "2026-10-25T00:30:00Z")):
        now_ms = int(datetime.fromisoformat(f"{day}T12:00:00+00:00").timestamp() * 1000)
        world = Partitions(nightly(CronTrigger("30 2 * * *", "Europe/Berlin")), now_ms=now_ms)
        world.pass_time(24 * HOUR_MS)
        assert scheduled(world) == [expected]


def test_jitter_delays_each_fire_by_its_own_share_and_changes_nothing_else() -> None:
    world = Partitions(nightly("0 * * * *", jitter_ms=10 * MINUTE_MS))
    delays = []
    for hour in range(1, 13):
        world.pass_time(HOUR_MS + 10 * MINUTE_MS if hour == 1 else HOUR_MS)
        ((_, run),) = world.live(ID).values()
        data = msgspec.json.decode(run.events[0].json)["data"]
        due = datetime.fromisoformat(data["scheduledAt"])
        assert due == datetime(2026, 1, 1, hour, tzinfo=UTC)
        delays.append((datetime.fromisoformat(data["fireAt"]) - due).total_seconds() * 1000)
        assert run.created_ms == START_MS + hour * HOUR_MS + delays[-1]
        end_all(world)
    assert all(0 <= delay <= 10 * MINUTE_MS for delay in delays)
    assert len(set(delays)) == len(delays)


# --- while the last run still runs ---


def test_overlap_skip_starts_nothing_and_says_so() -> None:
    world = Partitions(nightly("0 * * * *"))
    world.pass_time(3 * HOUR_MS)
    assert scheduled(world) == ["2026-01-01T01:00:00Z"]
    assert verdicts(world) == [("skipped", "cron_overlap")] * 2
    end_all(world)
    assert world.live(ID) == {}
    world.pass_time(HOUR_MS)
    assert scheduled(world) == ["2026-01-01T04:00:00Z"]


def test_overlap_queue_starts_them_one_after_the_other() -> None:
    world = Partitions(nightly("0 * * * *", overlap="queue"))
    world.pass_time(3 * HOUR_MS)
    for hour in (1, 2, 3):
        assert scheduled(world) == [f"2026-01-01T0{hour}:00:00Z"]
        end_all(world)
    assert world.live(ID) == {}
    assert verdicts(world) == []


def test_a_queue_is_bounded_and_says_what_it_leaves_out() -> None:
    world = Partitions(nightly("* * * * *", overlap="queue"), partitions=1)
    world.pass_time((WAITING_MAX + 3) * MINUTE_MS)
    assert verdicts(world) == [("skipped", "cron_queue_full")] * 2


def test_overlap_cancel_running_ends_the_last_one_wherever_it_is_and_starts_the_next() -> None:
    world = Partitions(nightly("0 * * * *", overlap="cancel-running"))
    world.pass_time(HOUR_MS)
    (first,) = world.live(ID)
    world.pass_time(HOUR_MS)
    assert scheduled(world) == ["2026-01-01T02:00:00Z"]
    ended = world.ended(first)
    assert ended is not None
    assert ended.status == "Cancelled"
    assert "cancel-running" in ended.error_message
    world.pass_time(CANCEL_AGAIN_MS)
    assert scheduled(world) == ["2026-01-01T02:00:00Z"]


def test_a_run_that_a_stage_held_when_it_was_cancelled_is_cancelled_when_it_begins() -> None:
    world = Partitions(nightly("0 * * * *", overlap="cancel-running"))
    world.pass_time(HOUR_MS)
    (first,) = world.live(ID)
    number, run = world.live(ID)[first]
    with world.all[number].turn(world.now_ms) as turn:  # as if it had not come to its home yet
        turn.state.runs.delete(first.encode())
    world.pass_time(HOUR_MS)
    assert world.live(ID) == {}
    world.apply(3, Start(ID, first, run.events, world.now_ms, replies=run.replies))
    assert list(world.live(ID)) == [first]
    world.pass_time(CANCEL_AGAIN_MS)
    assert scheduled(world) == ["2026-01-01T02:00:00Z"]


def test_of_fires_that_wait_for_a_cancelled_run_the_last_one_counts() -> None:
    world = Partitions(nightly("0 * * * *", overlap="cancel-running"))
    world.pass_time(HOUR_MS)
    (first,) = world.live(ID)
    number, run = world.live(ID)[first]
    with world.all[number].turn(world.now_ms) as turn:
        turn.state.runs.delete(first.encode())
    world.pass_time(2 * HOUR_MS)
    assert verdicts(world) == [("skipped", "cron_overlap")]
    world.apply(3, Start(ID, first, run.events, world.now_ms, replies=run.replies))
    world.apply(3, CancelRun(first, "now"))
    assert scheduled(world) == ["2026-01-01T03:00:00Z"]


def test_lines_of_one_function_do_not_wait_for_each_other() -> None:
    world = Partitions(nightly("0 * * * *", "30 * * * *"))
    world.pass_time(HOUR_MS)
    assert scheduled(world) == ["2026-01-01T00:30:00Z", "2026-01-01T01:00:00Z"]


def test_a_run_that_a_stage_drops_makes_room_for_the_next() -> None:
    world = Partitions(nightly("0 * * * *", overlap="queue"))
    world.pass_time(2 * HOUR_MS)
    (first,) = world.live(ID)
    number, run = world.live(ID)[first]
    start = Start(ID, first, [known_event()], world.now_ms, replies=list(run.replies))
    assert start.replies == [Reply(world.place(ID), "", start.replies[0].step)]
    with world.all[number].turn(world.now_ms) as turn:
        turn.state.runs.delete(first.encode())
    with world.all[2].turn(world.now_ms) as turn:
        drop(turn, start, "rate_limited", "rate_limited", "too many")
        local, turn.local = turn.local, []
    for command in local:
        world.apply(2, command)
    world.deliver()
    assert scheduled(world) == ["2026-01-01T02:00:00Z"]


# --- while nothing ran ---


@pytest.mark.parametrize(
    ("catch_up", "expected", "left"),
    [
        ("none", [], "5 fires"),
        ("last", ["2026-01-01T05:00:00Z"], "4 fires"),
        ("all", [f"2026-01-01T0{hour}:00:00Z" for hour in range(1, 6)], ""),
    ],
)
def test_fires_that_were_missed(catch_up: str, expected: list[str], left: str) -> None:
    world = Partitions(nightly("0 * * * *", catch_up=catch_up))
    world.stand_still(5 * HOUR_MS + 30 * MINUTE_MS)
    started = []
    while world.live(ID):  # those that are made up for wait for one another
        started += scheduled(world)
        end_all(world)
    assert started == expected
    assert verdicts(world) == ([("missed", "cron_missed")] if left else [])
    assert all(left in record.explanation for record in world.history if record.kind == "EventVerdict")
    world.pass_time(HOUR_MS)
    assert scheduled(world) == ["2026-01-01T06:00:00Z"]


def test_a_fire_that_is_a_little_late_was_not_missed() -> None:
    for late_ms, runs in ((LATE_MS, 1), (LATE_MS + 1, 0)):
        world = Partitions(nightly("0 * * * *"))
        world.stand_still(HOUR_MS + late_ms)
        assert len(world.live(ID)) == runs


def test_with_a_late_fire_the_last_missed_one_is_not_made_up_for() -> None:
    world = Partitions(nightly("0 * * * *", catch_up="last"))
    world.stand_still(3 * HOUR_MS + MINUTE_MS)
    assert scheduled(world) == ["2026-01-01T03:00:00Z"]
    assert "2 fires" in next(record.explanation for record in world.history if record.kind == "EventVerdict")


def test_a_long_time_without_nodes_is_made_up_for_up_to_a_bound() -> None:
    world = Partitions(nightly("* * * * *", catch_up="all"), partitions=1)
    world.stand_still(5_000 * MINUTE_MS)
    count = 0
    while ended := end_all(world):
        count += ended
    assert count == WAITING_MAX
    assert "4000 fires" in next(record.explanation for record in world.history if record.kind == "EventVerdict")


# --- when the definition changes ---


def test_lines_come_go_and_stay() -> None:
    world = Partitions(nightly("0 * * * *", "30 * * * *"))
    world.define(ID, nightly("30 * * * *", "45 * * * *"))
    world.pass_time(HOUR_MS)
    assert scheduled(world) == ["2026-01-01T00:30:00Z", "2026-01-01T00:45:00Z"]
    assert world.rows(b"n") == 2
    assert world.rows(b"t") == 2


def test_a_line_that_stays_keeps_the_run_that_it_waits_for() -> None:
    world = Partitions(nightly("0 * * * *"))
    world.pass_time(HOUR_MS)
    world.define(ID, nightly("0 * * * *", overlap="queue"))
    world.pass_time(HOUR_MS)
    assert scheduled(world) == ["2026-01-01T01:00:00Z"]
    end_all(world)
    assert scheduled(world) == ["2026-01-01T02:00:00Z"]


def test_jitter_may_be_changed() -> None:
    world = Partitions(nightly("0 * * * *", jitter_ms=30 * MINUTE_MS))
    world.define(ID, nightly("0 * * * *"))
    assert world.rows(b"t") == 1
    world.pass_time(HOUR_MS)
    assert scheduled(world) == ["2026-01-01T01:00:00Z"]


def test_a_function_that_is_removed_fires_no_more_and_leaves_nothing_behind() -> None:
    world = Partitions(nightly("0 * * * *"))
    world.pass_time(HOUR_MS)
    end_all(world)
    world.define(ID, None)
    assert world.rows(b"n") == 0
    assert world.rows(b"t") == 0
    world.pass_time(5 * HOUR_MS)
    assert world.live(ID) == {}


def test_functions_whose_ids_begin_alike_do_not_touch_each_other() -> None:
    other = Definition(ID + "-report", "shop", "report", [], crons=[CronTrigger("0 * * * *")])
    world = Partitions(nightly("0 * * * *"), other)
    world.define(ID, None)
    world.pass_time(HOUR_MS)
    assert len(world.live(other.id)) == 1


def test_a_line_that_this_version_cannot_read_is_told_and_harms_nobody() -> None:
    world = Partitions(nightly("0 0 L * *", "0 * * * *"))
    assert verdicts(world) == [("cron_invalid", "cron_invalid")]
    world.pass_time(HOUR_MS)
    assert scheduled(world) == ["2026-01-01T01:00:00Z"]


def test_a_new_owner_goes_on_with_what_is_committed() -> None:
    world = Partitions(nightly("0 * * * *", overlap="queue"))
    world.pass_time(2 * HOUR_MS)
    for number in range(4):
        world.crash(number)
    end_all(world)
    assert scheduled(world) == ["2026-01-01T02:00:00Z"]
    world.pass_time(HOUR_MS)
    end_all(world)
    assert scheduled(world) == ["2026-01-01T03:00:00Z"]


def test_a_line_that_only_the_owner_before_could_read_is_tried_again_later() -> None:
    world = Partitions(nightly("0 * * * *"))
    home = world.all[world.place(ID)]
    ((key, row),) = home.overlay.cron_lines.scan(b"")
    broken = CronTrigger("0 * * * *", "Mars/Olympus")
    with home.turn(world.now_ms) as turn:
        turn.state.cron_lines.delete(key)
        turn.state.definitions.put(ID.encode(), encode_definition(nightly(broken)))
        turn.definitions_changed()
        turn.state.cron_lines.put(cron_line_key(ID, broken.line, broken.timezone), row)
        timer_row = Timer(TimerKind.CRON, ID, cron_line_key(ID, broken.line, broken.timezone))
        turn.state.timers.put(timer_key(row.fire_ms, TimerKind.CRON, ID, timer_row.step), timer_row)
    world.pass_time(HOUR_MS + LATE_MS)
    assert world.live(ID) == {}
    assert verdicts(world) == [("cron_invalid", "cron_invalid")] * 2


def test_lines_of_sdks_start_runs_that_overlap_and_have_the_time_at_which_they_fire() -> None:
    definition = msgspec.structs.replace(
        nightly(CronTrigger("CRON_TZ=Asia/Tokyo 0 * * * *", "", 5 * MINUTE_MS, "all")), kind="sdk"
    )
    world = Partitions(definition)
    world.pass_time(HOUR_MS + 5 * MINUTE_MS)
    world.pass_time(HOUR_MS)
    assert scheduled(world) == ["2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z"]
    for _, run in world.live(ID).values():
        event = run.events[0]
        data = msgspec.json.decode(event.json)["data"]
        assert data["cron"] == "CRON_TZ=Asia/Tokyo 0 * * * *"
        fires = datetime.fromtimestamp(event.ts_ms / 1000, UTC).isoformat(timespec="milliseconds")
        assert datetime.fromisoformat(data["fireAt"]) == datetime.fromisoformat(fires)
    assert verdicts(world) == []
    assert end_all(world) == 2
    world.pass_time(HOUR_MS)
    assert scheduled(world) == ["2026-01-01T03:00:00Z"]
