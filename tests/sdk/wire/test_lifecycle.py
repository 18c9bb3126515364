"""Section 1.4: what the engine says of a run's end. Goal: exactly the keys that functions for failures and invoking
functions read."""

from __future__ import annotations

from typing import Any

from tests.sdk.programs import ask, await_that
from tests.sdk.wire.played import Played
from tests.sdk.wire.scripts import NO_RETRY, Call, Reply, done, failed, op, ops, scripted


def _by_name(call: Call) -> Reply:
    """Watch lifecycle events, and be watched: the name of the event says which."""
    data = call.body["event"]["data"]
    if call.body["event"]["name"].startswith("inngest/"):
        return done()
    if data["does"] == "fail":
        return failed("declined", 500, "CardError", **NO_RETRY)
    if data["does"] == "sleep":
        return ops(op("Sleep", "nap", name="1h"))
    return done(data.get("gives"))


def watching(name: str, *kinds: str) -> dict[str, Any]:
    """Write the triggers of a function that is started by its event, and by the ends of its own runs."""
    mine = f"event.data.function_id == 'wire-{name}'"
    ends = [{"event": f"inngest/function.{kind}", "expression": mine} for kind in kinds]
    return {"triggers": [{"event": f"wire/{name}"}, *ends]}


def ends(played: Played, count: int = 1) -> list[dict[str, Any]]:
    """Wait until the function has seen so many ends; the events."""

    def found() -> list[dict[str, Any]] | None:
        events = [call.body["event"] for call in played.calls]
        lifecycle = [event for event in events if event["name"].startswith("inngest/")]
        return lifecycle if len(lifecycle) >= count else None

    return await_that(found, f"{count} ends to be seen")


GIVES = [{"data": {"does": "end", "gives": {"a": 1}}}]
GOOD = "test_1_4_a_good_end_is_told_with_its_result"


@scripted(_by_name, each=True, events=GIVES, **watching(GOOD, "finished", "failed", "cancelled"))
def test_1_4_a_good_end_is_told_with_its_result(played: Played) -> None:
    run = played.end()
    (event,) = ends(played)
    data = event["data"]
    assert event["name"] == "inngest/function.finished"
    assert (data["function_id"], data["run_id"]) == (played.function, run["run_id"])
    assert (data["result"], data["_inngest"]["status"]) == ({"a": 1}, "Completed")
    assert not {"error", "correlation_id"} & set(data)
    assert data["event"]["name"] == f"wire/{played.name}"
    assert [one["id"] for one in data["events"]] == [data["event"]["id"]] == [played.ids[0]]
    assert event["id"] != run["run_id"]


NULL = "test_1_4_a_result_of_null_is_there"


@scripted(_by_name, each=True, events=[{"data": {"does": "end"}}], **watching(NULL, "finished"))
def test_1_4_a_result_of_null_is_there(played: Played) -> None:
    (event,) = ends(played)
    assert event["data"]["result"] is None


BAD = "test_1_4_a_bad_end_is_told_twice"


@scripted(_by_name, each=True, events=[{"data": {"does": "fail"}}], **watching(BAD, "finished", "failed", "cancelled"))
def test_1_4_a_bad_end_is_told_twice(played: Played) -> None:
    run = played.end()
    finished, broken = sorted(ends(played, 2), key=lambda event: event["name"] == "inngest/function.failed")
    assert (finished["name"], broken["name"]) == ("inngest/function.finished", "inngest/function.failed")
    assert (finished["id"] != run["run_id"], broken["id"]) == (True, run["run_id"])
    for data in (finished["data"], broken["data"]):
        assert (data["error"]["name"], data["error"]["message"]) == ("CardError", "declined")
        assert data["error"]["stack"].startswith("CardError: declined")
        assert data["_inngest"]["status"] == "Failed"
    # The runs that these events have started tell nobody of their own ends.
    assert len(ends(played, 2)) == 2


CANCELLED = "test_1_4_a_cancelled_run_is_told_twice"


@scripted(
    _by_name, each=True, events=[{"data": {"does": "sleep"}}], **watching(CANCELLED, "finished", "failed", "cancelled")
)
def test_1_4_a_cancelled_run_is_told_twice(played: Played) -> None:
    run = played.run_of(played.ids[0], phase="sleeping")
    ask(f"{played.url}/v1/runs/{run['run_id']}", method="DELETE")
    events = {event["name"]: event for event in ends(played, 2)}
    assert set(events) == {"inngest/function.finished", "inngest/function.cancelled"}
    assert events["inngest/function.cancelled"]["id"] == run["run_id"]
    assert {event["data"]["_inngest"]["status"] for event in events.values()} == {"Cancelled"}


INVOKE = {"function_id": "wire-test_4_3_a_memo_of_invoke", "payload": {"data": {"does": "end", "gives": [1]}}}


def _invoking(call: Call) -> Reply:
    event = call.body["event"]
    if event["name"] == "inngest/function.invoked":
        return done({"saw": event["data"]})
    (memo,) = call.body["steps"].values() or [None]
    return done(memo) if memo else ops(op("InvokeFunction", "i", opts=INVOKE))


@scripted(_invoking, each=True)
def test_4_3_a_memo_of_invoke(played: Played) -> None:
    memo = played.output()
    assert set(memo) == {"data"}
    saw = memo["data"]["saw"]
    assert (saw["does"], saw["gives"]) == ("end", [1])


INVOKE_CANCELLED = "test_4_3_a_cancelled_child_is_an_error"


def _child(call: Call) -> Reply:
    if call.body["event"]["name"] == "inngest/function.invoked":
        return ops(op("Sleep", "for ever", name="1h"))
    (memo,) = call.body["steps"].values() or [None]
    opts = {"function_id": f"wire-{INVOKE_CANCELLED}", "payload": {"data": {}}}
    return done(memo) if memo else ops(op("InvokeFunction", "i", opts=opts))


@scripted(_child, each=True)
def test_4_3_a_cancelled_child_is_an_error(played: Played) -> None:
    child = played.await_calls(2)[1].body["ctx"]["run_id"]
    await_that(lambda: played.run(child)["phase"] == "sleeping", "the child to sleep")
    ask(f"{played.url}/v1/runs/{child}", method="DELETE")
    assert "cancelled" in played.output()["error"]["message"]
