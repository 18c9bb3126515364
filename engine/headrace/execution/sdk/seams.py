"""What the room asks of the world to run functions of SDKs: apps that answer calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

TARGET = "step"  # the step id of a call that lets the function run from its beginning


class AppCall(NamedTuple):
    """One call of a function: the body as the SDK protocol has it (section 3.1), ready to be sent.

    `url` is that of the function's definition, without the step id. `request_id` is fresh for each attempt, `job_id`
    the same for all attempts of one thing.
    """

    app: str
    function_id: str
    url: str
    run_id: str
    step_id: str  # TARGET, or the hash of the one step that is to be made
    request_id: str
    job_id: str
    version: int  # of the request, -1 while the app has not chosen one
    body: bytes


class Answer(NamedTuple):
    """What an app answered. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class AppUnreachable(Exception):
    """Nothing of the call has reached the app: it is made again once the app is there, and costs no attempt."""


class CallBroken(Exception):
    """The call may have reached the app, and no answer came: this attempt has failed."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name  # of the error, as the run's history shows it
        self.message = message


class AppCaller(Protocol):
    """Calls apps: over HTTP, or over the connection of a worker."""

    async def call(self, call: AppCall) -> Answer:
        """Make a call and give its answer, whatever its status. Raises AppUnreachable, CallBroken."""
        ...
