"""The agent's turns: what it thinks once is thought once, whatever happens between."""

from __future__ import annotations

from typing import Any

import pytest

from examples.agent.app import app, calculate
from headrace import RetryAfterError

QUESTION = {"question": "What do 3 kettles and 2 mugs cost? Order them if under 200."}


def test_it_thinks_and_acts_and_waits_for_permission() -> None:
    with app.test() as t:
        t.send("agent/asked", QUESTION)
        run = t.run_of("answer")
        assert run.phase == "waiting"
        t.crash()
        t.advance("3h")
        assert t.signal(f"allow {run.id}", {"by": "kim"}).id == run.id
        assert run.output == {"answer": "Together 157.08. Ordered 3 kettles and 2 mugs.", "turns": 5}
        assert list(run.steps) == [
            *("think-1", "act-1", "think-2", "act-2", "think-3", "act-3"),
            *("think-4", "permission-4", "act-4", "think-5"),
        ]
        assert {step.attempts for step in run.steps.values()} == {1}


def test_what_nobody_allows_is_not_done() -> None:
    with app.test() as t:
        order = t.stub("act-4", "ordered")
        t.send("agent/asked", QUESTION)
        t.advance("1d")
        assert t.run_of("answer").output["answer"] == "Together 157.08. nobody has allowed it."
        assert order.calls == []


def test_an_overloaded_model_is_asked_again_when_it_says() -> None:
    with app.test() as t:
        busy = t.stub("think-2", RetryAfterError("overloaded", "30s"))
        t.send("agent/asked", QUESTION)
        run = t.run_of("answer")
        t.advance("29s")
        assert (run.phase, len(busy.calls)) == ("backing_off", 1)
        t.stub("think-2", {"answer": "I cannot say."})
        t.advance("1s")
        assert run.output == {"answer": "I cannot say.", "turns": 2}
        assert run.steps["think-1"].attempts == 1


def test_the_model_is_told_what_went_wrong_and_an_endless_talk_ends() -> None:
    with app.test() as t:
        said: list[Any] = []

        def confused(messages: list[dict[str, Any]]) -> dict[str, Any]:
            said.append(messages[-1]["content"])
            return {"tool": "calculate", "arguments": {"expression": "__import__('os')"}}

        for turn in range(1, 9):
            t.stub(f"think-{turn}", confused)
        t.send("agent/asked", QUESTION)
        run = t.run_of("answer")
        assert (run.status, str(run.error)) == ("Failed", "NonRetriableError: no answer in 8 turns")
        assert said[1] == "ValueError: __import__('os') cannot be calculated"


@pytest.mark.parametrize(("expression", "result"), [("1 + 2 * 3", 7), ("(1 + 2) * 3", 9), ("7 / 2 - 1", 2.5)])
def test_the_calculator_calculates(expression: str, result: float) -> None:
    assert calculate(expression) == result
