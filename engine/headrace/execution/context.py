"""Context: what a function is called with."""

from __future__ import annotations

import logging
from collections.abc import Mapping, MutableMapping
from typing import Any

from headrace.execution.current import CURRENT
from headrace.execution.live_run import Call, LiveRun, readable
from headrace.execution.steps import Steps
from headrace.functions.event import Event, event_of

_LOGGER = logging.getLogger("headrace.run")


class Context:
    """What a function is called with: the event, the steps, and where it stands."""

    __slots__ = ("_events", "_live", "_logger", "run_id", "step")

    def __init__(self, live: LiveRun, step: Any) -> None:
        self._live = live
        self._events: list[Event] | None = None
        self._logger: RunLogger | None = None
        self.run_id = live.run_id
        self.step: Steps = step

    @property
    def event(self) -> Event:
        """What started the run."""
        return self.events[0]

    @property
    def events(self) -> list[Event]:
        """All events that started the run."""
        events = self._events
        if events is None:
            events = self._events = [event_of(known) for known in self._live.run.events]
        return events

    @property
    def function_id(self) -> str:
        """The full id: app id, "-", function id."""
        return self._live.function.id

    @property
    def attempt(self) -> int:
        """How many attempts failed before this one: of the step inside a step, of the function outside."""
        current = CURRENT.get()
        return self._live.attempt if current is None or current.live is not self._live else current.attempt

    @property
    def idempotency_key(self) -> str:
        """The same text in every attempt: of the step inside a step, of the run outside. For systems outside."""
        current = CURRENT.get()
        if isinstance(current, Call) and current.live is self._live:
            return f"{self.run_id}:{readable(current.name)}"
        return self.run_id

    @property
    def logger(self) -> RunLogger:
        """Log with the run's and the function's id; silent while recorded parts are replayed."""
        logger = self._logger
        if logger is None:
            logger = self._logger = RunLogger(self._live)
        return logger


class RunLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger that carries `run_id` and `function_id`, and says nothing twice because of a replay."""

    def __init__(self, live: LiveRun) -> None:
        super().__init__(live.function.logger or _LOGGER, {"run_id": live.run_id, "function_id": live.function.id})
        self._live = live

    def isEnabledFor(self, level: int) -> bool:
        """Whether a message of this level is written now."""
        current = CURRENT.get()
        replayed = self._live.replaying and not isinstance(current, Call)
        return not replayed and self.logger.isEnabledFor(level)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the ids to what the message carries itself."""
        own = kwargs.get("extra")
        kwargs["extra"] = {**(self.extra or {}), **(own if isinstance(own, Mapping) else {})}
        return msg, kwargs
