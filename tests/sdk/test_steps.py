"""Steps of the SDKs. Goal: each runs once, is remembered for ever, and gives what it gave; each test is named after
the section of the protocol whose rule it shows."""

from __future__ import annotations

from datetime import datetime

from tests.sdk.openings import ODD_IDS
from tests.sdk.play import Play
from tests.sdk.programs import await_that, only

MEBIBYTE = 1 << 20


def test_3_2_a_function_without_steps_gives_its_result(play: Play) -> None:
    result = play.result("plain")
    assert result == {"hello": "Ada", "run": play.end("plain")["run_id"], "attempt": 0}
    assert len(play.noted("plain", result["run"])) == 1


def test_1_4_a_function_that_returns_nothing_has_null_as_its_result(play: Play) -> None:
    run = play.end("nothing")
    assert (run["status"], run["output"]) == ("Completed", None)
    assert len(play.noted("nothing", run["run_id"])) == 1


def test_3_10_steps_run_once_each_and_the_next_gets_what_the_last_gave(play: Play) -> None:
    assert play.result("steps") == {"total": 60, "forgotten": None}
    assert play.order("steps", play.end("steps")["run_id"]) == ["load", "charge", "forget"]


def test_3_10_a_function_that_is_no_coroutine_has_steps_as_well(play: Play) -> None:
    assert play.result("plain_def") == {"sum": 3}


def test_6_1_the_steps_of_a_run_are_told_by_their_names(play: Play) -> None:
    play.result("steps")
    steps = play.run(play.end("steps")["run_id"])["steps"]
    assert [(step["name"], step["status"]) for step in steps] == [
        ("load", "Completed"),
        ("charge", "Completed"),
        ("forget", "Completed"),
    ]
    assert [step["output"] for step in steps] == [{"price": 20}, 60, None]


def test_0_a_step_id_that_is_used_again_is_counted(play: Play) -> None:
    assert play.result("loop") == [0, 1, 4, 9, 16]
    assert play.order("loop", play.end("loop")["run_id"]) == [f"square {number}" for number in range(5)]


def test_0_step_ids_may_be_any_text(play: Play) -> None:
    assert play.result("odd_ids") == ODD_IDS


def test_3_3_a_sleep_takes_its_time_and_what_lies_around_it_runs_once(play: Play) -> None:
    assert play.result("sleep") == "slept"
    before, after = play.noted("sleep", play.end("sleep")["run_id"])
    assert (before["what"], after["what"]) == ("before", "after")
    assert after["at"] - before["at"] >= 0.95


def test_3_3_a_sleep_may_have_a_moment_as_its_end(play: Play) -> None:
    assert play.result("sleep_until") == "slept"
    run = play.end("sleep_until")
    woken = play.noted("sleep_until", run["run_id"])[-1]["at"]
    event = play.run(run["run_id"])["run_started_at"]
    assert woken - datetime.fromisoformat(event).timestamp() > 1


def test_3_3_a_sleep_until_a_moment_that_has_passed_ends_at_once(play: Play) -> None:
    assert play.result("sleep_until", 1) == "slept"


def test_4_4_a_step_that_sends_events_sends_them_once(play: Play) -> None:
    sent = play.result("send_event")["ids"]
    assert len(set(sent)) == 2
    assert [play.end_of(event_id)["output"] for event_id in sent] == [0, 1]
    assert len(play.noted("received", play.end("send_event")["run_id"])) == 2


def test_1_1_a_client_may_send_from_within_a_step(play: Play) -> None:
    assert len(set(play.result("sent_by_client"))) == 2


def test_3_1_a_state_of_more_than_4_mib_is_fetched_by_the_sdk(play: Play) -> None:
    assert play.result("large") == 6 * MEBIBYTE
    assert play.order("large", play.end("large")["run_id"]) == [f"page {number}" for number in range(6)]


def test_1_3_one_event_starts_the_functions_of_several_apps(play: Play, stage: dict[str, Play]) -> None:
    event_id = play.send({"name": "shared/greeting", "data": {"name": "Bo"}})[0]
    told = {app.end_of(event_id, app.function("shared"))["output"] for app in stage.values()}
    assert told == {f"{app.app.name} greets Bo" for app in stage.values()}
    assert len(play.runs_of(event_id)) == len(stage)


def test_1_3_a_trigger_has_a_condition_and_another_one_a_wildcard(play: Play) -> None:
    assert play.result("several_triggers", 1) == play.event("several_triggers")
    assert play.end_of(play.tell("wild.boar"))["output"] == play.event("wild.boar")
    assert play.runs_of(play.ids["several_triggers"][0]) == []


def test_1_2_an_id_of_the_sender_starts_a_function_once(play: Play) -> None:
    event = {"name": play.event("twice_sent"), "data": {}, "id": f"order-7-{play.kind}"}
    ids = [play.send(event)[0], play.send(event)[0]]
    assert ids[0] != ids[1]
    assert play.end_of(ids[0])["output"] == f"order-7-{play.kind}"
    # Once the event after it has run, the second one of the pair would have started as well.
    play.end_of(play.send({**event, "id": f"order-8-{play.kind}"})[0])
    assert play.runs_of(ids[1]) in ([], play.runs_of(ids[0]))


def test_3_5_middleware_changes_what_goes_in_and_what_comes_out(play: Play) -> None:
    # The hooks for results see those of the steps as well as that of the function.
    assert play.result("middleware") == "<<inside>>"
    _stamped(play)


def _stamped(play: Play) -> None:
    run_id = play.end("middleware")["run_id"]
    noted = await_that(lambda: play.noted("stamped", run_id), "the event that was sent through the middleware")
    assert [line["through"] for line in noted] == ["middleware"]


@only("typescript3", "typescript4")
def test_3_2_an_answer_may_come_as_a_stream(play: Play) -> None:
    play.app.put(play.app.url.replace("/api/inngest", "/api/streamed"))
    event_id = play.send({"name": f"{play.app.name}-streamed/slow", "data": {"n": 4}})[0]
    assert play.end_of(event_id)["output"] == {"sum": 7}
