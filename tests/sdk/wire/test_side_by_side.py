"""Section 3.7: several steps in one answer. Goal: each is made once, and the function is called no more often than the
version of its requests says."""

from __future__ import annotations

from collections import Counter

from tests.sdk.wire.played import Played
from tests.sdk.wire.scripts import Call, Reply, done, error, hashed, op, ops, scripted

AB = [op("StepPlanned", "a", name="a"), op("StepPlanned", "b", name="b")]


def asked(played: Played) -> Counter[str]:
    """Count the calls by what they asked for."""
    names = {hashed(name): name for name in ("a", "b", "a2", "b2", "n")}
    return Counter(names.get(call.step_id, call.step_id) for call in played.calls)


def two_steps(version: str, *, slow: str = "", race: bool = False) -> object:
    """Plan two steps, make each, and return once both are remembered."""
    mode = {"parallelMode": "race"} if race else {}

    def answer(call: Call) -> Reply:
        for name in "ab":
            if call.step_id == hashed(name):
                made = ops(op("StepRun", name, data=name.upper()), x_inngest_req_version=version)
                return Reply(made.status, made.body, made.headers, after_s=4 if name == slow else 0)
        known = call.body["steps"]
        if len(known) == 2:
            return done(call.body["ctx"]["stack"]["stack"], x_inngest_req_version=version)
        planned = [
            op("StepPlanned", name, name=name, opts={"type": "step", **mode})
            for name in "ab"
            if hashed(name) not in known
        ]
        return ops(*planned, x_inngest_req_version=version)

    return answer


@scripted(two_steps("2", slow="a"), each=True)
def test_3_7_version_2_calls_once_when_all_are_over(played: Played) -> None:
    assert played.output() == [hashed("b"), hashed("a")], "the order in which they were over"
    assert asked(played) == {"step": 2, "a": 1, "b": 1}


@scripted(two_steps("1", slow="a"), each=True)
def test_3_7_version_1_calls_after_every_step(played: Played) -> None:
    assert played.output() == [hashed("b"), hashed("a")]
    assert asked(played) == {"step": 3, "a": 1, "b": 1}


@scripted(two_steps("2", slow="a", race=True), each=True)
def test_3_7_race_calls_after_every_step(played: Played) -> None:
    assert played.output() == [hashed("b"), hashed("a")]
    assert asked(played) == {"step": 3, "a": 1, "b": 1}


@scripted(two_steps("2"), each=True)
def test_3_4_after_several_ops_new_steps_are_planned_first(played: Played) -> None:
    played.output()
    discoveries = [call for call in played.calls if call.step_id == "step"]
    assert discoveries[0].body["ctx"]["disable_immediate_execution"] is False
    targeted = [call for call in played.calls if call.step_id != "step"]
    assert {call.body["ctx"]["disable_immediate_execution"] for call in targeted} == {True}
    assert discoveries[-1].body["ctx"]["disable_immediate_execution"] is False, "the pending set was empty again"


def _mixed(call: Call) -> Reply:
    if call.step_id == hashed("a"):
        return ops(op("StepRun", "a", data=1))
    if call.body["steps"]:
        return done(sorted(call.body["steps"]) == sorted(map(hashed, ("a", "n", "w"))))
    wait = op("WaitForEvent", "w", name="wire/never", opts={"timeout": "1s"})
    return ops(op("StepPlanned", "a", name="a"), op("Sleep", "n", name="1s"), wait)


@scripted(_mixed, each=True)
def test_3_7_sleeps_and_waits_are_members_like_steps(played: Played) -> None:
    assert played.output() is True
    assert asked(played) == {"step": 2, "a": 1}


def _one_fails(call: Call) -> Reply:
    if call.step_id == hashed("a"):
        return ops(op("StepError", "a", error=error("no")))
    if call.step_id == hashed("b"):
        return ops(op("StepRun", "b", data=1))
    known = call.body["steps"]
    return done(sorted(map(str, known.values()))) if known else ops(*AB)


@scripted(_one_fails, each=True, retries=1)
def test_3_7_a_planned_step_has_its_own_attempts(played: Played) -> None:
    assert played.output() == sorted(map(str, [{"data": 1}, {"error": error("no")}]))
    assert asked(played) == {"step": 2, "a": 2, "b": 1}
    targeted = [call for call in played.calls if call.step_id == hashed("a")]
    assert [call.attempt for call in targeted] == [0, 1]
    assert len({call.headers["x-inngest-job-id"] for call in targeted}) == 1


def _wait_and_send(call: Call) -> Reply:
    if call.step_id == hashed("send"):
        return ops(op("StepRun", "send", data=1))
    if call.body["steps"]:
        return done()
    wait = op("WaitForEvent", "w", name="wire/3-3-order", opts={"timeout": "10m"})
    return ops(op("StepPlanned", "send", name="send"), wait)


@scripted(_wait_and_send, each=True)
def test_3_3_waits_of_an_answer_are_there_before_its_steps_are_made(played: Played) -> None:
    # The event of the step that is planned with the wait would come while that step is being called.
    played.await_calls(2)
    assert played.run_of(played.ids[0])["status"] == "Running"
    played.send({"name": "wire/3-3-order", "data": {}})
    played.output()


GROUPS = {"a": "a2", "b": "b2"}


def _groups(call: Call) -> Reply:
    for first, second in GROUPS.items():
        for name in (first, second):
            if call.step_id == hashed(name):
                return ops(op("StepRun", name, data=name))
    known = call.body["steps"]
    wanted = [second if hashed(first) in known else first for first, second in GROUPS.items()]
    missing = [name for name in wanted if hashed(name) not in known]
    return ops(*[op("StepPlanned", name, name=name) for name in missing]) if missing else done(len(known))


@scripted(_groups, each=True)
def test_3_7_two_groups_of_two_take_seven_calls(played: Played) -> None:
    assert played.output() == 4
    assert asked(played) == {"step": 3, "a": 1, "b": 1, "a2": 1, "b2": 1}
