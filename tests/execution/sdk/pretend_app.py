"""An app that answers calls as the official SDKs do, with functions written for the test, in memory.

A function is `def body(event, step)`, run anew with each call, past what is recorded. `step.parallel` takes branches,
each a function without arguments; what they want is answered together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from headrace.execution.sdk.names import hash_text
from headrace.execution.sdk.seams import TARGET, Answer, AppCall, AppUnreachable

Body = Callable[[dict[str, Any], "StepTools"], Any]


class Interrupt(BaseException):
    """The function can go no further in this call."""

    def __init__(self, ops: list[dict[str, Any]]) -> None:
        super().__init__()
        self.ops = ops


class NoRetry(Exception):
    """An error that trying again would not help."""


class StepFailed(Exception):
    """What a step's error is to the code behind it."""


@dataclass
class PretendApp:
    """Answers calls. `seen` lists them: (function, step id, attempt, ids recorded so far)."""

    functions: dict[str, Body]
    version: int = 2
    seen: list[tuple[str, str, int, int]] = field(default_factory=list)
    made: list[str] = field(default_factory=list)  # step ids, each time a callable ran
    bodies: list[dict[str, Any]] = field(default_factory=list)
    away: str = ""
    answers: list[Answer] = field(default_factory=list)  # given before anything else, one for each call
    before_answer: Callable[[AppCall], None] | None = None
    takes_s: float = 0.0

    async def call(self, call: AppCall) -> Answer:
        """Answer one call."""
        if self.away:
            raise AppUnreachable(self.away)
        asked = msgspec.json.decode(call.body)
        self.bodies.append(asked)
        context = asked["ctx"]
        self.seen.append((call.function_id, call.step_id, context["attempt"], len(asked["steps"])))
        await asyncio.sleep(self.takes_s)
        if self.before_answer is not None:
            self.before_answer(call)
        if self.answers:
            return self.answers.pop(0)
        step = StepTools(self, asked["steps"], call.step_id, context)
        step.deferred = asked["defers"]
        try:
            output = self.functions[call.function_id](asked["event"], step)
        except Interrupt as interrupt:
            return self._answer(206, [*interrupt.ops, *step.lazy], {})
        except StepFailed as error:
            return self._answer(400, {"name": "StepError", "message": str(error)}, {"x-inngest-no-retry": "true"})
        except Exception as error:
            no_retry = "true" if isinstance(error, NoRetry) else "false"
            body = {"name": type(error).__name__, "message": str(error), "stack": "at line 1"}
            if step.lazy:
                kind = "StepFailed" if isinstance(error, NoRetry) else "StepError"
                failed = {"op": kind, "id": hash_text("complete"), "error": body}
                return self._answer(206, [*step.lazy, failed], {"x-inngest-no-retry": no_retry})
            return self._answer(500, body, {"x-inngest-no-retry": no_retry})
        if step.lazy:
            return self._answer(
                206, [*step.lazy, {"op": "RunComplete", "id": hash_text("complete"), "data": output}], {}
            )
        return self._answer(200, output, {})

    def _answer(self, status: int, body: Any, headers: dict[str, str]) -> Answer:
        told = {"x-inngest-sdk": "pretend:v1", "x-inngest-req-version": str(self.version)}
        return Answer(status, {**told, **headers}, msgspec.json.encode(body))


class StepTools:
    """What a function makes steps with."""

    def __init__(self, app: PretendApp, memos: dict[str, Any], target: str, context: dict[str, Any]) -> None:
        self._app = app
        self._memos = memos
        self._target = target
        self._context = context
        self._counts: dict[str, int] = {}
        self._branches = 0
        self.mode = ""
        self.deferred: dict[str, Any] = {}  # what is known of functions that are to be run afterwards
        self.lazy: list[dict[str, Any]] = []  # ops that go with the next answer

    def _op(self, kind: str, step_id: str, **more: Any) -> dict[str, Any]:
        count = self._counts.get(step_id, 0)
        self._counts[step_id] = count + 1
        text = f"{step_id}:{count}" if count else step_id
        opts = more.pop("opts", {})
        if self.mode:
            opts = {**opts, "parallelMode": self.mode}
        userland = {"id": step_id, "index": count}
        return {"op": kind, "id": hash_text(text), "displayName": step_id, "userland": userland, "opts": opts, **more}

    def run(self, step_id: str, make: Callable[[], Any]) -> Any:
        """Make a step, or give what it came to."""
        op = self._op("StepPlanned", step_id)
        if op["id"] in self._memos:
            return _told(self._memos[op["id"]])
        targeted = self._target == op["id"]
        if self._target != TARGET and not targeted:
            raise Interrupt([])
        if not targeted and (self._branches or self._context["disable_immediate_execution"]):
            raise Interrupt([op])
        self._app.made.append(step_id)
        try:
            data = make()
        except Exception as error:
            last = isinstance(error, NoRetry) or self._context["attempt"] + 1 >= self._context["max_attempts"]
            kind = "StepFailed" if last else "StepError"
            told = {"name": type(error).__name__, "message": str(error), "stack": "at step"}
            raise Interrupt([{**op, "op": kind, "error": told}]) from None
        raise Interrupt([{**op, "op": "StepRun", "data": data}])

    def _wished(self, kind: str, step_id: str, **more: Any) -> Any:
        op = self._op(kind, step_id, **more)
        if op["id"] in self._memos:
            return self._memos[op["id"]]
        raise Interrupt([op] if self._target == TARGET else [])

    def sleep(self, step_id: str, duration: str) -> None:
        """Sleep; the duration stands in the op's name."""
        self._wished("Sleep", step_id, name=duration)

    def wait(self, step_id: str, event: str, timeout: str, if_: str = "") -> Any:
        """Wait for an event; None when the time is over."""
        return self._wished("WaitForEvent", step_id, name=event, opts={"timeout": timeout, "if": if_})

    def invoke(
        self, step_id: str, function_id: str, data: dict[str, Any], timeout: str | None = None, **more: Any
    ) -> Any:
        """Have a function run, and give what it returned; `more` are further fields of its event."""
        opts = {"function_id": function_id, "payload": {"data": data, **more}, "timeout": timeout}
        return _told(self._wished("InvokeFunction", step_id, opts=opts))

    def defer(self, defer_id: str, function_id: str, data: Any, **more: Any) -> None:
        """Have a function run once this run has ended; `more` are further fields of its event."""
        hashed = hash_text(defer_id)
        if hashed not in self.deferred:
            opts = {"fn_slug": function_id, "input": data, **more}
            self.lazy.append({"op": "DeferAdd", "id": hashed, "opts": opts, "userland": {"id": defer_id}, "data": None})

    def drop(self, defer_id: str) -> None:
        """Take a function back that was to run."""
        opts = {"target_hashed_id": hash_text(defer_id)}
        self.lazy.append({"op": "DeferAbort", "id": hash_text(f"{defer_id}:abort"), "opts": opts})

    def signal(self, step_id: str, signal: str, timeout: str) -> Any:
        """Wait for a signal."""
        memo = self._wished("WaitForSignal", step_id, opts={"signal": signal, "timeout": timeout})
        return None if memo is None else memo["data"]

    def parallel(self, *branches: Callable[[], Any], race: bool = False) -> list[Any]:
        """Run branches side by side; in a race the first that ends is enough."""
        found: list[dict[str, Any]] = []
        results: list[Any] = []
        self._branches += 1
        self.mode = "race" if race else ""
        for branch in branches:
            try:
                results.append(branch())
            except Interrupt as interrupt:
                found += interrupt.ops
                if self._target != TARGET and interrupt.ops:
                    raise
        self._branches -= 1
        self.mode = ""
        if (race and results) or (not found and len(results) == len(branches)):
            return results
        raise Interrupt(found)


def _told(memo: Any) -> Any:
    if isinstance(memo, dict) and "error" in memo:
        raise StepFailed(memo["error"]["message"])
    return memo["data"] if isinstance(memo, dict) else memo
