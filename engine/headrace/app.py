"""App: what a user holds. Declare functions, send events, test."""

from __future__ import annotations

import asyncio
import base64
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar
from urllib.parse import quote, urlsplit

from headrace.errors import BadDeclaration, BadRequest, NotReady
from headrace.functions import (
    Batch,
    CancelOn,
    Concurrency,
    Cron,
    Debounce,
    Event,
    Function,
    Idempotency,
    OnEvent,
    Priority,
    RateLimit,
    Retries,
    Singleton,
    Throttle,
    Timeouts,
    declare_function,
    event_json,
)
from headrace.functions.declare import check_id
from headrace.functions.event import sent_events
from headrace.functions.middleware import Middleware, read_middleware
from headrace.functions.mistakes import COLLECTED, nearest, place_of
from headrace.functions.reading import Duration
from headrace.functions.shared import Shared

if TYPE_CHECKING:
    import logging

    from headrace.testing import TestApp

F = TypeVar("F", bound=Callable[..., Any])
AnEvent = Event | Mapping[str, Any]
Trigger = str | OnEvent | Cron
Shape = Mapping[str, Any]  # a dict with the fields of an option's class

BASE_URL = "http://127.0.0.1:8288"
TRIES_MAX = 5
FIRST_PAUSE_S = 0.1  # doubled from try to try
TIMEOUT_S = 30.0
_REQUEST_EVENTS_MAX = 1_000
_REQUEST_BYTES_MAX = 4 << 20


class App:
    """A group of functions under one id, and the way to send events.

    `base_url` is the node that events are sent to (else HEADRACE_URL, else http://127.0.0.1:8288), `event_key` its
    key, `logger` what `ctx.logger` writes to, `middleware` what happens around all its functions. The full
    id of a function is the app's id, a dash, and its own.
    """

    def __init__(
        self,
        id: str,
        *,
        event_key: str | None = None,
        base_url: str | None = None,
        logger: logging.Logger | None = None,
        middleware: Sequence[Middleware | type[Middleware]] | Middleware | None = None,
        **unknown: Any,
    ) -> None:
        for option in unknown:
            raise _unknown_option(option)
        check_id(id, "the app's id")
        self.id = id
        self._event_key = event_key or "dev"
        self._base_url = _checked_url(base_url or os.environ.get("HEADRACE_URL") or BASE_URL)
        self._shared = Shared(logger, read_middleware(middleware))
        self._functions: dict[str, Function] = {}

    @property
    def functions(self) -> Mapping[str, Function]:
        """The functions by full id, those made by `on_failure` among them."""
        return MappingProxyType(self._functions)

    def function(
        self,
        id: str,
        *,
        trigger: Trigger | Sequence[Trigger] | None = None,
        triggers: Trigger | Sequence[Trigger] | None = None,
        name: str | None = None,
        retries: int | Retries | Shape | None = None,
        on_failure: Callable[..., Any] | None = None,
        on_exhausted: str | None = None,
        concurrency: int | Concurrency | Shape | Sequence[int | Concurrency | Shape] | None = None,
        throttle: Throttle | Shape | None = None,
        rate_limit: RateLimit | Shape | None = None,
        debounce: Duration | Debounce | Shape | None = None,
        batch: Batch | Shape | None = None,
        priority: str | Priority | Shape | None = None,
        singleton: str | Singleton | Shape | None = None,
        idempotency: str | Idempotency | Shape | None = None,
        cancel_on: str | CancelOn | Shape | Sequence[str | CancelOn | Shape] | None = None,
        timeouts: Timeouts | Shape | None = None,
        start_from: str | int | timedelta | None = None,
        middleware: Sequence[Middleware | type[Middleware]] | Middleware | None = None,
        **unknown: Any,
    ) -> Callable[[F], F]:
        """Declare the function below: `async def f(ctx)`, `def f(ctx)`, or either with (ctx, step).

        The function itself stays as it is and may be called. Raises BadDeclaration, naming its file and line.
        """
        given = {name: value for name, value in locals().items() if name not in ("self", "id", "unknown")}
        options = {option: value for option, value in given.items() if value is not None} | unknown
        if callable(id):  # @app.function without parentheses: the name below it would become `declare`
            raise BadDeclaration(
                "function_id_missing",
                f"@app.function stands above {getattr(id, '__name__', id)!r} without parentheses",
                why="a function has an id, under which its runs are kept, and a trigger",
                do='write @app.function("process-order", trigger="order/created")',
                where=place_of(id),
            )

        def declare(call: F) -> F:
            try:
                self._take(declare_function(self.id, id, call, options, self._shared))
            except BadDeclaration as mistake:
                COLLECTED.take(mistake)
            return call

        return declare

    def _take(self, declared: list[Function]) -> None:
        for function in declared:
            other = self._functions.get(function.id)
            if other is not None:
                raise BadDeclaration(
                    "function_id_twice",
                    f"two functions have the full id {function.id!r}",
                    why=f"the other one is at {other.place}; runs are kept under the full id",
                    do="give one of them another id",
                    where=function.place,
                )
        self._functions.update((function.id, function) for function in declared)

    def event(self, name: str, model: Any, *, policy: str = "reject") -> None:
        """Declare what the data of an event is: a pydantic model, a dataclass or a TypedDict.

        What the app sends is refused if it does not fit, and functions find the model's instance in `ctx.event.data`.
        `policy` says what becomes of events from elsewhere that do not fit: "reject" fails the run that they start (and
        is answered with 400 at the HTTP door), "dead-letter" fails it and puts the event on the dead-letter topic,
        "accept" leaves their data as it is, with `ctx.event.invalid` set.
        """
        self._shared.models.declare(name, model, policy)

    def provide(self, kind: type, value: Any) -> None:
        """Give this value, or what this function makes, to functions with a parameter of this class.

        `app.provide(Database, connect)`, `async def f(ctx: Context, db: Database)`. A function is called at each start
        of a run's code, without arguments or with ctx, and may be async.
        """
        self._shared.providers.provide(kind, value)

    async def send(self, events: AnEvent | Sequence[AnEvent]) -> list[str]:
        """Send one event or several; give their internal ids once they are on Kafka.

        Tried again, without doubling anything, when the node cannot be reached. Raises BadRequest for what the node
        refuses, NotReady when it stays out of reach. Inside a function `ctx.step.send_event` is the way.
        """
        import aiohttp

        several = sent_events(events, self._shared.middleware)
        requests = self._requests(several)
        if not requests:
            return []
        ids: list[str] = [""] * sum(len(request.places) for request in requests)
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(TIMEOUT_S)) as session:
            for request in requests:
                for pause_s in _pauses():
                    try:
                        async with session.post(request.url, data=request.body, headers=request.headers) as answer:
                            status, text = answer.status, await answer.read()
                    except (aiohttp.ClientError, TimeoutError, OSError) as error:
                        status, text = 0, _described(error)
                    if request.take(status, text, ids):
                        break
                    if pause_s is None:
                        self._give_up(status, text)
                    await asyncio.sleep(pause_s)
        self._sent(several, ids)
        return ids

    def send_sync(self, events: AnEvent | Sequence[AnEvent]) -> list[str]:
        """Send one event or several, as `send` does, from code that is not async; blocks."""
        from http.client import HTTPException
        from urllib.error import HTTPError, URLError
        from urllib.request import Request, urlopen

        several = sent_events(events, self._shared.middleware)
        requests = self._requests(several)
        ids: list[str] = [""] * sum(len(request.places) for request in requests)
        for request in requests:
            # urllib writes headers as Latin-1: these are the bytes of UTF-8.
            headers = {name: value.encode().decode("latin-1") for name, value in request.headers.items()}
            for pause_s in _pauses():
                try:
                    with urlopen(Request(request.url, request.body, headers), timeout=TIMEOUT_S) as answer:
                        status, text = answer.status, answer.read()
                except HTTPError as refused:
                    with refused:
                        status, text = refused.code, refused.read()
                except (URLError, HTTPException, OSError) as error:
                    status, text = 0, _described(error)
                if request.take(status, text, ids):
                    break
                if pause_s is None:
                    self._give_up(status, text)
                time.sleep(pause_s)
        self._sent(several, ids)
        return ids

    def _sent(self, events: list[AnEvent], ids: list[str]) -> None:
        for one in reversed(self._shared.middleware):
            one.after_send(events, ids)

    def test(self, *, always_replay: bool | None = None, evict: str | None = None) -> TestApp:
        """Run the app on virtual time in this process, without Kafka: `with app.test() as t: t.send(…)`.

        Every run is replayed at each step boundary unless `always_replay=False`.
        """
        from headrace.testing import TestApp

        return TestApp(self, always_replay=always_replay, evict=evict)

    def _requests(self, several: list[AnEvent]) -> list[_Request]:
        url = f"{self._base_url}/e/{quote(self._event_key, safe='')}"
        requests: list[_Request] = []
        latest: dict[bytes | None, _Request] = {}  # of each record key: one header counts for a whole request
        for place, event in enumerate(several):
            json, key = event_json(event, self._shared.models)
            request = latest.get(key)
            if request is None or not request.has_room(json):
                request = latest[key] = _Request(url, _headers(key), [], [])
                requests.append(request)
            request.places.append(place)
            request.events.append(json)
        return requests

    def _give_up(self, status: int, text: bytes) -> NoReturn:
        what = f"answered {status}" if status else f"cannot be reached: {text.decode('utf-8', 'replace')}"
        raise NotReady(
            "node_out_of_reach",
            f"the events were not taken: {self._base_url} {what} ({TRIES_MAX} tries)",
            why="an event counts as sent only once a node has put it on Kafka; some of these may be there already",
            do="start a node (headrace dev), or name it by HEADRACE_URL or App(base_url=…); then send them again",
        )


@dataclass(slots=True)
class _Request:
    """The events of one record key, and where each stood among those that were to be sent."""

    url: str
    headers: dict[str, str]
    places: list[int]
    events: list[bytes]

    @property
    def body(self) -> bytes:
        return b"[" + b",".join(self.events) + b"]"

    def has_room(self, json: bytes) -> bool:
        size = sum(map(len, self.events)) + len(json)
        return len(self.events) < _REQUEST_EVENTS_MAX and size <= _REQUEST_BYTES_MAX

    def take(self, status: int, text: bytes, ids: list[str]) -> bool:
        """Take the node's answer; False if the request is to be sent again."""
        import msgspec

        if status == 0 or status >= 500:
            return False
        try:
            answer = msgspec.json.decode(text, type=dict[str, Any])
        except msgspec.MsgspecError:
            answer = {}
        given = answer.get("ids")
        if status == 200 and not answer.get("error") and isinstance(given, list) and len(given) == len(self.places):
            for place, event_id in zip(self.places, given, strict=True):
                ids[place] = str(event_id)
            return True
        reason = answer.get("error") or text[:200].decode("utf-8", "replace")
        raise BadRequest(
            str(answer.get("code") or "events_refused"),
            f"the node refused the events with {status}: {reason}",
            status=status,
            why=str(answer.get("explanation") or "the same request would be refused again"),
            do=str(answer.get("action") or "look at the event, at App(event_key=…), and at what listens there"),
        )


def _headers(key: bytes | None) -> dict[str, str]:
    # The same in every try: the node makes the events' ids from it, so that a repeat is seen as one.
    entropy = base64.b64encode(os.urandom(10)).decode()
    headers = {
        "content-type": "application/json",
        "x-inngest-event-id-seed": f"{time.time_ns() // 1_000_000},{entropy}",
    }
    if key is not None:
        text = key.decode()
        if not text.isprintable() or text != text.strip():
            raise BadRequest(
                "event_key_invalid",
                f"the event's key is {text!r}",
                why="the record key travels in a header: no control characters, no space around it",
                do="send a printable key; any Kafka producer can use other ones",
            )
        headers["x-headrace-key"] = text
    return headers


def _pauses() -> Iterator[float | None]:
    """Give the pause after each try; None after the last."""
    for number in range(TRIES_MAX - 1):
        yield FIRST_PAUSE_S * (1 << number)
    yield None


def _described(error: BaseException) -> bytes:
    return (str(getattr(error, "reason", "") or error) or type(error).__name__).encode()


def _unknown_option(option: str) -> BadDeclaration:
    taken = ("event_key", "base_url", "logger", "middleware")
    meant = nearest(option, taken, {"key": "event_key", "url": "base_url", "middlewares": "middleware"})
    return BadDeclaration(
        "option_unknown",
        f"an App has no option {option!r}",
        why=f"an App takes: {', '.join(taken)}",
        do=f"did you mean {meant}?" if meant else "remove it",
    )


def _checked_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme in ("http", "https") and parts.netloc and not parts.query and not parts.fragment:
        return url.rstrip("/")
    raise BadDeclaration(
        "base_url_invalid",
        f"base_url is {url!r}",
        why="events are sent to a node over HTTP",
        do=f'write base_url="{BASE_URL}", or set HEADRACE_URL',
    )
