"""A functions topic for the doors' tests: what is written stands there, or Kafka is away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from headrace.errors import LogUnavailable
from headrace.intake.registrations import RegistrationRules, Registrations
from headrace.records.definitions import Definition, encode_definition
from headrace.records.sdk_apps import SdkApp, app_key, decode_app

URL = "http://localhost:3000/api/inngest"


NOW_MS = 1_787_000_000_000


class FixedClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now_ms = NOW_MS

    def monotonic_ms(self) -> int:
        """Return the time."""
        return self.now_ms

    def wall_ms(self) -> int:
        """Return the time."""
        return self.now_ms


class Topic:
    """Holds records by key; `written` are the batches that were written, by their keys."""

    def __init__(self, *definitions: Definition) -> None:
        self.known = {one.id.encode(): encode_definition(one) for one in definitions}
        self.written: list[list[str]] = []
        self.told: list[tuple[str, str]] = []
        self.clock = FixedClock()
        self.up = True

    async def write(self, records: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Write records and read them back."""
        if not self.up:
            raise LogUnavailable("order_not_written", "Kafka did not take the functions of an app")
        self.written.append([key.decode() for key, _ in records])
        for key, value in records:
            if value is None:
                self.known.pop(key, None)
            else:
                self.known[key] = value

    def tell(self, code: str, sentence: str) -> None:
        """Note what the operator is told."""
        self.told.append((code, sentence))

    def registrations(self, rules: RegistrationRules | None = None) -> Registrations:
        """Make the door of a node that reads this topic."""
        return Registrations(lambda: dict(self.known), self.write, self.clock, self.tell, rules)

    def app(self, name: str) -> SdkApp:
        """Give an app as it stands there."""
        return decode_app(self.known[app_key(name)])


def function(function_id: str = "shop-charge", url: str = URL, **more: Any) -> dict[str, Any]:
    """Make a function as an SDK sends it."""
    runtime = {"type": "http", "url": f"{url}?fnId={function_id}&stepId=step"}
    step = {"id": "step", "name": "step", "runtime": runtime}
    return {"id": function_id, "name": function_id, "triggers": [{"event": "a"}], "steps": {"step": step}, **more}


def payload(*functions: Any, url: str = URL, app: str = "shop", **more: Any) -> bytes:
    """Make what an app sends."""
    fields = {"url": url, "deployType": "ping", "appName": app, "sdk": "js:v4.18.1", "framework": "express"}
    return msgspec.json.encode({**fields, "functions": list(functions), **more})
