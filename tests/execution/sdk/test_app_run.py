"""How runs of SDKs' functions go, call by call. Goal: the app is called as the protocol says, through crashes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from headrace.execution.sdk.answer import Op, Userland
from headrace.execution.sdk.names import hash_text
from headrace.execution.sdk.seams import TARGET, Answer
from tests.execution.sdk.cluster import Cluster, definition
from tests.execution.sdk.pretend_app import NoRetry, PretendApp, StepFailed, StepTools

Event = dict[str, Any]


class Failing:
    """A callable that fails so often before it succeeds."""

    def __init__(self, times: int, error: type[Exception] = ValueError) -> None:
        self.left = times
        self.error = error

    def __call__(self) -> str:
        if self.left:
            self.left -= 1
            raise self.error(f"{self.left} left")
        return "made"


@pytest.fixture
def clusters() -> Iterator[list[Cluster]]:
    made: list[Cluster] = []
    yield made
    for cluster in made:
        cluster.close()


def started(clusters: list[Cluster], app: PretendApp, *definitions: Any, checkpoints: bool = False) -> Cluster:
    cluster = Cluster(app, [*(definitions or [definition("app-f", "go")])], checkpoints=checkpoints)
    clusters.append(cluster)
    cluster.start()
    return cluster


def calls(app: PretendApp) -> list[str]:
    return [step_id if step_id == TARGET else "one" for _, step_id, _, _ in app.seen]


def test_steps_run_one_call_each_and_the_last_call_returns(clusters: list[Cluster]) -> None:
    def body(event: Event, step: StepTools) -> Any:
        a = step.run("a", lambda: {"n": event["data"]["n"]})
        b = step.run("b", lambda: a["n"] + 1)
        return {"sum": b}

    app = PretendApp({"app-f": body})
    cluster = started(clusters, app)
    cluster.send("go", {"n": 41})
    [run] = cluster.wait_ended()
    assert (run.status, run.output, app.made) == ("Completed", {"sum": 42}, ["a", "b"])
    assert app.seen == [("app-f", TARGET, 0, 0), ("app-f", TARGET, 0, 1), ("app-f", TARGET, 0, 2)]
    assert [asked["version"] for asked in app.bodies] == [-1, 2, 2], "the app's choice holds for the run"
    assert app.bodies[2]["ctx"]["stack"]["stack"] == list(app.bodies[2]["steps"])


def test_a_sleep_costs_nothing_while_it_lasts(clusters: list[Cluster]) -> None:
    def body(event: Event, step: StepTools) -> Any:
        step.run("a", lambda: 1)
        step.sleep("nap", "1h30m")
        return "up"

    app = PretendApp({"app-f": body})
    cluster = started(clusters, app)
    cluster.send("go")
    cluster.world.advance(5)
    assert len(app.seen) == 2
    assert cluster.sdk["a"].live == 0
    cluster.world.advance(5400)
    [run] = cluster.wait_ended()
    assert (run.output, len(app.seen)) == ("up", 3)


def test_a_failing_step_is_tried_again_with_its_attempt(clusters: list[Cluster]) -> None:
    failing = Failing(2)
    app = PretendApp({"app-f": lambda event, step: step.run("a", failing)})
    cluster = started(clusters, app)
    cluster.send("go")
    [run] = cluster.wait_ended()
    assert (run.status, run.output) == ("Completed", "made")
    assert [attempt for _, _, attempt, _ in app.seen] == [0, 1, 2, 0]
    assert [asked["ctx"]["max_attempts"] for asked in app.bodies] == [4] * 4


def test_a_step_without_attempts_left_is_an_error_that_code_can_catch(clusters: list[Cluster]) -> None:
    def body(event: Event, step: StepTools) -> Any:
        try:
            step.run("a", Failing(99))
        except StepFailed as error:
            return f"caught {error}"

    app = PretendApp({"app-f": body})
    cluster = started(clusters, app, definition("app-f", "go", retries=1))
    cluster.send("go")
    [run] = cluster.wait_ended()
    assert (run.output, len(app.made)) == ("caught 98 left", 2)


def test_an_error_of_the_function_is_tried_again_and_then_fails_the_run(clusters: list[Cluster]) -> None:
    def body(event: Event, step: StepTools) -> Any:
        step.run("a", lambda: 1)
        raise KeyError("gone")

    app = PretendApp({"app-f": body})
    cluster = started(clusters, app, definition("app-f", "go", retries=2))
    cluster.send("go")
    [run] = cluster.wait_ended()
    assert (run.status, app.made) == ("Failed", ["a"])
    assert [attempt for _, _, attempt, _ in app.seen] == [0, 0, 1, 2]
    assert run.error.name == "KeyError"


def test_an_error_that_forbids_it_is_not_tried_again(clusters: list[Cluster]) -> None:
    def body(event: Event, step: StepTools) -> Any:
        raise NoRetry("never")

    app = PretendApp({"app-f": body})
    cluster = started(clusters, app)
    cluster.send("go")
    [run] = cluster.wait_ended()
    assert (run.status, len(app.seen)) == ("Failed", 1)


def two_groups(event: Event, step: StepTools) -> Any:
    def chain(name: str) -> Any:
        step.run(f"{name}1", lambda: 1)
        return step.run(f"{name}2", lambda: 2)

    step.parallel(lambda: chain("a"), lambda: chain("b"))
    return "done"


def test_parallel_steps_go_on_together_in_seven_calls(clusters: list[Cluster]) -> None:
    app = PretendApp({"app-f": two_groups})
    cluster = started(clusters, app)
    cluster.send("go")
    [run] = cluster.wait_ended()
    assert run.output == "done"
    assert calls(app) == [TARGET, "one", "one", TARGET, "one", "one", TARGET]
    assert sorted(app.made) == ["a1", "a2", "b1", "b2"]


def test_parallel_steps_of_version_1_go_on_one_by_one(clusters: list[Cluster]) -> None:
    app = PretendApp({"app-f": two_groups}, version=1)
    cluster = started(clusters, app)
    cluster.send("go")
    [run] = cluster.wait_ended()
    assert (run.output, sorted(app.made)) == ("done", ["a1", "a2", "b1", "b2"])


def test_one_slot_means_one_call_at_a_time(clusters: list[Cluster]) -> None:
    from headrace.records.definitions import Concurrency

    app = PretendApp({"app-f": two_groups}, takes_s=1.0)
    cluster = started(clusters, app, definition("app-f", "go", concurrency=[Concurrency(1)]))
    cluster.send("go")
    began = cluster.world.loop.time()
    [run] = cluster.wait_ended()
    assert run.output == "done"
    assert cluster.world.loop.time() - began >= 7, "seven calls of a second, none beside another"


def test_an_event_that_is_waited_for_is_handed_over_whole(clusters: list[Cluster]) -> None:
    def body(event: Event, step: StepTools) -> Any:
        paid = step.wait("paid", "paid", "1h", "event.data.id == async.data.id")
        return None if paid is None else paid

    app = PretendApp({"app-f": body})
    cluster = started(clusters, app)
    cluster.send("go", {"id": 7})
    cluster.world.advance(2)
    cluster.send("paid", {"id": 8})
    cluster.send("paid", {"id": 7, "by": "card"})
    [run] = cluster.wait_ended()
    assert (run.output["name"], run.output["data"]) == ("paid", {"id": 7, "by": "card"})
    assert set(run.output) == {"name", "data", "user", "id", "ts"}
    assert isinstance(run.output["ts"], int)


def test_a_wait_that_ends_in_vain_gives_nothing(clusters: list[Cluster]) -> None:
    app = PretendApp({"app-f": lambda event, step: {"paid": step.wait("paid", "paid", "10m")}})
    cluster = started(clusters, app)
    cluster.send("go")
    cluster.world.advance(601)
    [run] = cluster.wait_ended()
    assert run.output == {"paid": None}


def test_a_wait_with_a_broken_expression_fails_the_run(clusters: list[Cluster]) -> None:
    app = PretendApp({"app-f": lambda event, step: step.wait("paid", "paid", "10m", "event.data.id ==")})
    cluster = started(clusters, app)
    cluster.send("go")
    [run] = cluster.wait_ended()
    assert (run.status, run.error.name) == ("Failed", "InvalidExpression")


@pytest.mark.parametrize(("nap", "plans"), [("5s", [False, True, False]), ("1ms", [False, False, False])])
def test_steps_are_planned_once_more_after_a_group_that_ends_with_a_sleep(
    clusters: list[Cluster], nap: str, plans: list[bool]
) -> None:
    def body(event: Event, step: StepTools) -> Any:
        step.parallel(lambda: step.run("a", lambda: 1), lambda: step.sleep("nap", nap))
        return step.run("b", lambda: "end")

    app = PretendApp({"app-f": body}, takes_s=0.5)
    cluster = started(clusters, app)
    cluster.send("go")
    [run] = cluster.wait_ended()
    assert run.output == "end"
    assert app.made == ["a", "b"]
    whole = [body["ctx"] for body, (_, step_id, _, _) in zip(app.bodies, app.seen, strict=True) if step_id == TARGET]
    assert [context["disable_immediate_execution"] for context in whole] == plans


def test_functions_invoke_each_other(clusters: list[Cluster]) -> None:
    def parent(event: Event, step: StepTools) -> Any:
        good = step.invoke("good", "app-child", {"n": 20})
        try:
            step.invoke("bad", "app-child", {"n": -1})
        except StepFailed as error:
            return {"good": good, "bad": str(error)}

    def child(event: Event, step: StepTools) -> Any:
        if event["data"]["n"] < 0:
            raise NoRetry("negative")
        return event["data"]["n"] * 2

    app = PretendApp({"app-f": parent, "app-child": child})
    cluster = started(clusters, app, definition("app-f", "go"), definition("app-child", "never"))
    cluster.send("go")
    runs = cluster.wait_ended(3)
    assert next(run.output for run in runs if run.function_id == "app-f") == {"good": 40, "bad": "negative"}


def test_sessions_go_along_with_events_and_with_those_of_invoked_runs(clusters: list[Cluster]) -> None:
    def parent(event: Event, step: StepTools) -> Any:
        meta = {"sessions": {"user": "u"}, "propagated_sessions": {**event["meta"]["sessions"], "user": "other"}}
        return step.invoke("child", "app-child", {}, meta=meta)

    app = PretendApp({"app-f": parent, "app-child": lambda event, step: event["meta"]})
    cluster = started(clusters, app, definition("app-f", "go"), definition("app-child", "never"))
    cluster.send("go", meta={"sessions": {"org": "acme"}})
    runs = cluster.wait_ended(2)
    assert [run.output for run in runs] == [{"sessions": {"user": "u", "org": "acme"}}] * 2


def test_an_app_that_is_away_costs_no_attempt(clusters: list[Cluster]) -> None:
    app = PretendApp({"app-f": lambda event, step: step.run("a", lambda: 1)}, away="connection refused")
    cluster = started(clusters, app)
    for _ in range(5):
        cluster.send("go")
    cluster.world.advance(3600)
    assert [run.status for run in cluster.runs()] == ["Running"] * 5
    assert {code for _, code, _ in cluster.world.told()} >= {"app_unreachable"}
    app.away = ""
    runs = cluster.wait_ended(5)
    assert [run.status for run in runs] == ["Completed"] * 5
    assert all(attempt == 0 for _, _, attempt, _ in app.seen)


def test_an_answer_that_no_sdk_gave_is_an_attempt_that_failed(clusters: list[Cluster]) -> None:
    app = PretendApp({"app-f": lambda event, step: "ok"}, answers=[Answer(200, {}, b"<html>"), Answer(502, {}, b"")])
    cluster = started(clusters, app)
    cluster.send("go")
    [run] = cluster.wait_ended()
    assert (run.output, [attempt for _, _, attempt, _ in app.seen]) == ("ok", [0, 1, 2])


def test_a_node_that_ends_in_the_middle_leaves_nothing_behind(clusters: list[Cluster]) -> None:
    def body(event: Event, step: StepTools) -> Any:
        step.run("a", lambda: 1)
        step.parallel(lambda: step.run("b", lambda: 2), lambda: step.sleep("nap", "20s"), lambda: step.run("c", list))
        return step.run("d", lambda: "end")

    app = PretendApp({"app-f": body}, takes_s=0.5)
    cluster = started(clusters, app)
    cluster.send("go")
    for number in range(8):
        cluster.world.advance(0.7)
        cluster.world.members["a" if number == 0 else f"n{number - 1}"].crash()
        cluster.start(f"n{number}")
    cluster.world.advance(30)
    [run] = cluster.wait_ended()
    assert run.output == "end"


@pytest.mark.parametrize("ended_s", [0.1, 0.3, 1.0, 3.0])
def test_a_sleep_that_ends_before_anything_else_happens_on_a_new_node_wakes_its_run(
    ended_s: float, clusters: list[Cluster]
) -> None:
    def body(event: Event, step: StepTools) -> Any:
        step.run("a", lambda: 1)
        step.sleep("nap", "10s")
        return step.run("b", lambda: "end")

    cluster = started(clusters, PretendApp({"app-f": body}))
    cluster.send("go")
    cluster.world.advance(ended_s)
    cluster.world.members["a"].crash()
    cluster.start("b")
    [run] = cluster.wait_ended()
    assert run.output == "end"


def test_a_run_that_is_cancelled_is_not_called_again(clusters: list[Cluster]) -> None:
    from headrace.records.definitions import CancelOn

    def body(event: Event, step: StepTools) -> Any:
        step.sleep("nap", "10s")
        return step.run("a", lambda: 1)

    app = PretendApp({"app-f": body})
    cluster = started(clusters, app, definition("app-f", "go", cancel_on=[CancelOn("void")]))
    cluster.send("go")
    cluster.world.advance(3)
    cluster.send("void")
    cluster.world.advance(30)
    [run] = cluster.wait_ended()
    assert (run.status, app.made) == ("Cancelled", [])


def test_branches_that_race_go_on_each_by_itself(clusters: list[Cluster]) -> None:
    def body(event: Event, step: StepTools) -> Any:
        def chain(name: str, seconds: str) -> Any:
            step.sleep(f"{name}-nap", seconds)
            return step.run(name, lambda: name)

        return step.parallel(lambda: chain("slow", "1h"), lambda: chain("fast", "5s"), race=True)

    app = PretendApp({"app-f": body})
    cluster = started(clusters, app)
    cluster.send("go")
    [run] = cluster.wait_ended(seconds_max=30)
    assert run.output == ["fast"]
    cluster.world.advance(7200)
    assert app.made == ["fast"], "what lost the race is not called for any more"


def test_steps_in_loops_and_of_any_name_are_told_apart(clusters: list[Cluster]) -> None:
    names = ["again", "again", "again", "käse 🧀", "#" + "a" * 40, "x" * 400, "a:1", "nul\0in it", " "]

    def body(event: Event, step: StepTools) -> Any:
        return [step.run(name, lambda place=place: place) for place, name in enumerate(names)]

    app = PretendApp({"app-f": body})
    cluster = started(clusters, app)
    cluster.send("go")
    [run] = cluster.wait_ended()
    assert run.output == list(range(len(names)))
    assert app.made == names
    assert {"again", "again:1", "again:2", "käse 🧀"} <= set(run.steps)


def test_the_app_says_when_to_try_again(clusters: list[Cluster]) -> None:
    sdk = {"x-inngest-sdk": "pretend", "retry-after": "90"}
    app = PretendApp({"app-f": lambda event, step: "ok"}, answers=[Answer(500, sdk, b'{"name":"E","message":"later"}')])
    cluster = started(clusters, app)
    cluster.send("go")
    cluster.world.advance(89)
    assert len(app.seen) == 1
    cluster.world.advance(3)
    assert len(app.seen) == 2


def test_memos_that_are_too_large_for_a_call_are_left_to_be_fetched(clusters: list[Cluster]) -> None:
    def body(event: Event, step: StepTools) -> Any:
        if event["data"].get("fetch"):
            return "never"
        for n in range(3):
            step.run(f"big{n}", lambda: "x" * (2 << 20))
        return "done"

    app = PretendApp({"app-f": body})
    fetched: list[bytes] = []

    def look(call: Any) -> None:
        if app.bodies[-1]["use_api"]:
            run_id = app.bodies[-1]["ctx"]["run_id"]
            fetched.append(cluster.sdk["a"].memos_of(run_id) or b"")
            app.answers.append(Answer(200, {"x-inngest-sdk": "pretend"}, b'"fetched"'))
            assert cluster.sdk["a"].events_of(run_id) is not None

    app.before_answer = look
    cluster = started(clusters, app)
    cluster.send("go")
    [run] = cluster.wait_ended()
    assert run.output == "fetched"
    assert app.bodies[-1]["steps"] == {}
    assert app.bodies[-1]["ctx"]["use_api"] is True
    assert len(fetched[0]) > 4 << 20


def test_a_step_that_failed_for_good_gives_its_error_with_all_that_was_said(clusters: list[Cluster]) -> None:
    ops = (
        b'[{"op":"StepFailed","id":"%s","userland":{"id":"a"},"data":{"junk":1},'
        b'"error":{"name":"CardError","message":"declined","stack":"at","cause":{"name":"Bank"},"data":{"n":1}}}]'
        % hash_text("a").encode()
    )
    app = PretendApp({"app-f": lambda event, step: "end"}, answers=[Answer(206, {"x-inngest-sdk": "pretend"}, ops)])
    cluster = started(clusters, app)
    cluster.send("go")
    cluster.wait_ended()
    memo = app.bodies[-1]["steps"][hash_text("a")]
    error = {"name": "CardError", "message": "declined", "stack": "at", "cause": {"name": "Bank"}, "data": {"n": 1}}
    assert memo == {"error": error}


def test_steps_are_recorded_in_the_middle_of_a_call(clusters: list[Cluster]) -> None:
    app = PretendApp({"app-f": lambda event, step: "unused"}, takes_s=2.0)
    cluster = started(clusters, app, checkpoints=True)
    told: list[bool] = []
    op = Op("StepRun", hash_text("a"), data=msgspec.Raw(b"7"), userland=Userland("a"))

    async def report(run_id: str, request_id: str) -> None:
        told.append(await cluster.sdk["a"].checkpoint(run_id, request_id, [op]))
        told.append(await cluster.sdk["a"].checkpoint(run_id, "another-request", [op]))

    def answer(call: Any) -> None:
        assert app.bodies[-1]["ctx"]["fn_id"]
        done = b'[{"op":"RunComplete","id":"%s","data":"through"}]' % hash_text("complete").encode()
        app.answers.append(Answer(206, {"x-inngest-sdk": "pretend", "x-inngest-req-version": "2"}, done))

    app.before_answer = answer
    cluster.send("go")
    cluster.world.advance(1)
    context = app.bodies[0]["ctx"]
    cluster.world.loop.create_task(report(context["run_id"], context["request_id"]))
    [run] = cluster.wait_ended()
    assert told == [True, False], "a call that counts no more records nothing"
    assert (run.output, run.steps["a"].output, len(app.seen)) == ("through", 7, 1)


def test_an_app_that_wants_nothing_and_does_not_end_is_not_called_for_ever(clusters: list[Cluster]) -> None:
    nothing = Answer(206, {"x-inngest-sdk": "pretend"}, b"[]")
    app = PretendApp({"app-f": lambda event, step: "end"}, answers=[nothing] * 1_000)
    cluster = started(clusters, app, definition("app-f", "go", retries=1))
    cluster.send("go")
    [run] = cluster.wait_ended()
    assert (run.status, run.error.name) == ("Failed", "NothingToDo")
    assert len(app.seen) < 20


def test_what_an_app_makes_beside_a_failing_function_is_kept(clusters: list[Cluster]) -> None:
    """A step of its own call that ends while the function backs off is there when it is tried again."""
    state = {"broken": True}

    def body(event: Event, step: StepTools) -> Any:
        if step.parallel(lambda: step.run("a", lambda: 1), lambda: step.run("b", lambda: 2)) and state["broken"]:
            state["broken"] = False
            raise ValueError("once")
        return "end"

    app = PretendApp({"app-f": body}, version=1, takes_s=0.2)
    cluster = started(clusters, app)
    cluster.send("go")
    [run] = cluster.wait_ended()
    assert (run.output, sorted(app.made)) == ("end", ["a", "b"])


class Unreadable(dict[str, str]):
    """Headers that fail when they are looked at, in a way that nobody has foreseen."""

    def __contains__(self, name: object) -> bool:
        raise RuntimeError("unforeseen")


def test_what_nobody_has_foreseen_is_a_failed_attempt(clusters: list[Cluster]) -> None:
    app = PretendApp({"app-f": lambda event, step: "ok"}, answers=[Answer(200, Unreadable(), b"1")])
    cluster = started(clusters, app)
    cluster.send("go")
    [run] = cluster.wait_ended()
    assert (run.output, [attempt for _, _, attempt, _ in app.seen]) == ("ok", [0, 1])
    assert "app_call_failed" in {code for _, code, _ in cluster.world.told()}
