"""Context: what a function is called with."""

from __future__ import annotations

import logging
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from headrace.errors import BadRequest
from headrace.execution.current import CURRENT
from headrace.execution.drawn import Drawn
from headrace.execution.keyed_state import BlockingState, KeyedState
from headrace.execution.live_run import Call, LiveRun, readable
from headrace.execution.steps import Steps
from headrace.functions.event import Event, event_of
from headrace.functions.models import EventModels

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LOGGER = logging.getLogger("headrace.run")


class Context:
    """What a function is called with: the event, the steps, and where it stands."""

    __slots__ = ("_drawn", "_drawn_in_step", "_events", "_live", "_logger", "run_id", "step")

    def __init__(self, live: LiveRun, step: Any) -> None:
        self._live = live
        self._drawn: Drawn | None = None
        self._drawn_in_step: dict[bytes, tuple[int, Drawn]] | None = None  # by step: its attempt, and what it draws
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
            events = [event_of(known) for known in self._live.run.events]
            models = self._live.function.shared.models
            if models:
                self._give_types(events, models)
            self._events = events
        return events

    def _give_types(self, events: list[Event], models: EventModels) -> None:
        refused: BadRequest | None = None
        self._live.dead = []
        for place, event in enumerate(events):
            try:
                models.typed(event)
            except BadRequest as error:
                refused = refused or error
                if models.buries(event.name):
                    self._live.dead.append(place)
        if refused is not None:
            raise refused

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
    def state(self) -> KeyedState:
        """What the function keeps for its key from run to run: `await ctx.state.get("count", 0)`."""
        return BlockingState(self._live) if self._live.thread is not None else KeyedState(self._live)

    def now(self) -> datetime:
        """Give the time when the last result that the code has was recorded: the same whenever it is replayed."""
        return _EPOCH + timedelta(milliseconds=self._live.now_ms)

    def uuid(self) -> UUID:
        """Give a fresh id that is the same whenever the code is replayed; inside a step, in every attempt of it."""
        return self._chance().uuid()

    @property
    def random(self) -> Random:
        """Random numbers that are the same whenever the code is replayed; inside a step, in every attempt of it."""
        return self._chance().random

    def _chance(self) -> Drawn:
        # A step's callable is not called again on a replay, so what it draws must not move what the body draws.
        current = CURRENT.get()
        if isinstance(current, Call) and current.live is self._live:
            in_step = self._drawn_in_step
            if in_step is None:
                in_step = self._drawn_in_step = {}
            attempt, drawn = in_step.get(current.name, (-1, None))
            if drawn is None or attempt != current.attempt:
                drawn = Drawn(f"{self.run_id}:{readable(current.name)}")
                in_step[current.name] = (current.attempt, drawn)
            return drawn
        if self._drawn is None:
            self._drawn = Drawn(self.run_id)
        return self._drawn

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
        super().__init__(
            live.function.shared.logger or _LOGGER, {"run_id": live.run_id, "function_id": live.function.id}
        )
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
