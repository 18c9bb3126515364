"""What a scripted app answers, written down beside the test that looks at it.

    @scripted(ops(op("Sleep", "nap", name="1s")), done("slept"))
    def test_3_3_a_duration_may_be_the_name(played: Played) -> None: ...

The n-th call of the function is given the n-th answer. `each` takes a callable for functions whose calls come in no
fixed order. All scripts of a session are registered at once and started at once.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

Test = TypeVar("Test", bound=Callable[..., None])
SDK = {"x-inngest-sdk": "inngest-js:v4.18.1", "x-inngest-req-version": "2"}


class Call(NamedTuple):
    """One call that the engine made. Names of headers are in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    raw: bytes
    at: float

    @property
    def body(self) -> dict[str, Any]:
        """Decode the body."""
        decoded: dict[str, Any] = json.loads(self.raw)
        return decoded

    @property
    def step_id(self) -> str:
        """Give the step that is to be made, `step` for any."""
        return self.query["stepId"]

    @property
    def attempt(self) -> int:
        """Give the attempt as the body has it."""
        attempt: int = self.body["ctx"]["attempt"]
        return attempt


@dataclass(frozen=True)
class Reply:
    """What to answer: a status, a body as it goes over the wire, headers, and how long to wait before."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: SDK)
    after_s: float = 0
    break_off: bool = False  # close the connection instead


Answer = Reply | Callable[[Call], Reply]


@dataclass
class Script:
    """A function's answers, its registration where it differs from the plain one, and the events that start it."""

    answers: tuple[Answer, ...]
    each: bool = False
    retries: int = 1
    config: Mapping[str, Any] = field(default_factory=dict)
    events: tuple[Mapping[str, Any], ...] = ({},)


def scripted(
    *answers: Answer, each: bool = False, retries: int = 1, events: Any = ({},), **config: Any
) -> Callable[[Test], Test]:
    """Give a test its function. `events`: fields of the events that start it, beside their name."""

    def given(test: Test) -> Test:
        test.script = Script(answers, each, retries, config, tuple(events))  # type: ignore[attr-defined]
        return test

    return given


def hashed(name: str, index: int = 0) -> str:
    """Give the hash that is the id of a step on the wire."""
    return hashlib.sha1((f"{name}:{index}" if index else name).encode()).hexdigest()


def op(kind: str, step: str, index: int = 0, **fields: Any) -> dict[str, Any]:
    """Write an op as SDKs do."""
    userland = {"id": step, "index": index} if index else {"id": step}
    return {"op": kind, "id": hashed(step, index), "displayName": step, "userland": userland, **fields}


def ops(*given: Any, **headers: str) -> Reply:
    """Answer with ops."""
    return Reply(206, json.dumps(list(given)).encode(), _with(headers))


def done(result: Any = None, **headers: str) -> Reply:
    """Answer with the function's result."""
    return Reply(200, json.dumps(result).encode(), _with(headers))


def failed(message: str, status: int = 500, name: str = "Error", **headers: str) -> Reply:
    """Answer with an error of the function."""
    body = {"name": name, "message": message, "stack": f"{name}: {message}\n    at fake"}
    return Reply(status, json.dumps(body).encode(), _with(headers))


def error(message: str, name: str = "Error", **more: Any) -> dict[str, Any]:
    """Write an error as ops carry it."""
    return {"name": name, "message": message, "stack": f"{name}: {message}", **more}


def zipped(reply: Reply) -> Reply:
    """Compress an answer."""
    return Reply(reply.status, gzip.compress(reply.body), {**reply.headers, "content-encoding": "gzip"})


def _with(headers: Mapping[str, str]) -> dict[str, str]:
    return {**SDK, **{name.replace("_", "-"): value for name, value in headers.items()}}


NO_RETRY = {"x_inngest_no_retry": "true"}
