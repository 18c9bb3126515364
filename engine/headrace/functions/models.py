"""Models of events: what the data of an event has to be, by its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from headrace.errors import BadDeclaration, BadRequest
from headrace.functions.reading import read_choice, read_event_name

if TYPE_CHECKING:
    from headrace.functions.event import Event

POLICIES = ("reject", "dead-letter", "accept")
_ALIASES = {"mark": "accept", "warn": "accept", "dead": "dead_letter", "dlq": "dead_letter", "drop": "reject"}


class EventModel:
    """One model, and what is done with events that do not fit it."""

    __slots__ = ("_validate", "kind", "policy")

    def __init__(self, kind: Any, policy: str, validate: Callable[[Any], Any]) -> None:
        self.kind = kind
        self.policy = policy
        self._validate = validate

    def read(self, data: Any) -> Any:
        """Make the typed value of an event's data; raises ValueError with what does not fit."""
        return data if isinstance(self.kind, type) and isinstance(data, self.kind) else self._validate(data)


class EventModels:
    """The models of an app by the event's name; without one, data is what it is."""

    __slots__ = ("_by_name",)

    def __init__(self) -> None:
        self._by_name: dict[str, EventModel] = {}

    def declare(self, name: object, kind: Any, policy: object = "reject", where: str = "") -> None:
        """Take in a model: a pydantic model, a dataclass, a TypedDict or a msgspec Struct."""
        known = read_event_name(name, "an event's name", where, "a model belongs to one name")
        if known in self._by_name and self._by_name[known].kind is not kind:
            raise BadDeclaration(
                "event_model_twice",
                f"the event {known!r} has two models: {self._by_name[known].kind!r} and {kind!r}",
                why="its data has one form",
                do="keep one of them",
                where=where,
            )
        chosen = read_choice(policy, POLICIES, "policy", where, _ALIASES)
        self._by_name[known] = EventModel(kind, chosen, _validator(kind, where))

    def get(self, name: str) -> EventModel | None:
        """Find the model of an event."""
        return self._by_name.get(name)

    def __bool__(self) -> bool:
        return bool(self._by_name)

    def __iter__(self) -> Any:
        return iter(self._by_name)

    def check(self, name: object, data: Any) -> None:
        """Refuse data that does not fit its event's model: BadRequest, with all that does not."""
        model = self._by_name.get(name) if isinstance(name, str) else None
        if model is None:
            return
        try:
            model.read({} if data is None else data)
        except ValueError as error:
            raise refusal(str(name), error) from None

    def check_at_door(self, name: str, data: Any) -> None:
        """Refuse what comes from elsewhere and does not fit, where that is the model's policy: BadRequest."""
        model = self._by_name.get(name)
        if model is not None and model.policy == "reject":
            self.check(name, data)

    def buries(self, name: str) -> bool:
        """Whether events of this name that do not fit go to the dead letters."""
        model = self._by_name.get(name)
        return model is not None and model.policy == "dead-letter"

    def typed(self, event: Event) -> Event:
        """Give the event with its data in the type of its model; as it is where there is none.

        Data that does not fit is left as it is too where the model's policy is to accept, with `event.invalid` saying
        why; else BadRequest.
        """
        model = self._by_name.get(event.name)
        if model is not None:
            try:
                event.data = model.read(event.data)
            except ValueError as error:
                if model.policy != "accept":
                    raise refusal(event.name, error) from None
                event.invalid = _first_lines(error)
        return event


def refusal(name: str, error: ValueError) -> BadRequest:
    """Describe data that does not fit."""
    return BadRequest(
        "event_data_invalid",
        f"the data of {name!r} does not fit its model: {_first_lines(error)}",
        why="the app declares what the data of this event has to be (app.event)",
        do="mend what sends it, or the model; give new fields a default, and old events fit it as well",
    )


def _first_lines(error: ValueError) -> str:
    lines = [line.strip() for line in str(error).splitlines() if "errors.pydantic.dev" not in line]
    text = "; ".join(line for line in lines if line)
    return text if len(text) <= 1_000 else text[:999] + "…"


def _validator(kind: Any, where: str) -> Callable[[Any], Any]:
    import pydantic

    try:
        adapter: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(kind)
    except (pydantic.PydanticUserError, pydantic.PydanticSchemaGenerationError) as error:
        raise BadDeclaration(
            "event_model_invalid",
            f"the model is {kind!r}: {str(error).splitlines()[0]}",
            why="a model is a pydantic model, a dataclass or a TypedDict",
            do='write app.event("order/created", OrderCreated)',
            where=where,
        ) from None
    return adapter.validate_python
