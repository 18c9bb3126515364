"""`POST /e/{key}`: events over HTTP, answered once they are on Kafka. Source: the SDK protocol page, section 1."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from headrace.adapters.seams import Appender, Clock, Outgoing
from headrace.errors import BadRequest, HeadraceError, LogUnavailable
from headrace.intake.access import Access
from headrace.intake.answers import json_answer, refusal
from headrace.intake.body import read_body
from headrace.intake.event_ids import ENTROPY_BYTES, SEED_HEADER, Seed, parse_seed
from headrace.intake.incoming import BadEvent, Check, Incoming, read_events, split_body
from headrace.intake.refusals import Refusals
from headrace.records.events import HEADER_ID
from headrace.records.ids import partition_of

KEY_HEADER = "x-headrace-key"
_TAKEN_OVER = ("traceparent", "tracestate")
_TAKEN_OVER_BYTES_MAX = 512


@dataclass(frozen=True, slots=True)
class IntakeLimits:
    """Bounds of the front door; sizes in bytes."""

    body_bytes: int = 16 << 20  # of one request
    pending_bytes: int = 128 << 20  # of all requests that are not on Kafka yet; beyond, new ones are turned away
    append_ms: int = 10_000  # how long a request waits for Kafka


class EventDoor:
    """Takes events and appends them; an endpoint for `/e/{key}`, and `accept` for the node's own pages.

    `topic` has `partitions` partitions; `check` refuses data by its event's name. Runs on the appender's loop.
    """

    def __init__(
        self,
        appender: Appender,
        topic: str,
        partitions: int,
        clock: Clock,
        *,
        access: Access | None = None,
        limits: IntakeLimits | None = None,
        check: Check | None = None,
        refusals: Refusals | None = None,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._appender = appender
        self._topic = topic
        self._partitions = partitions
        self._clock = clock
        self._access = access or Access()
        self._limits = limits or IntakeLimits()
        self._check = check
        self._refusals = refusals
        self._random_bytes = random_bytes
        self._pending_bytes = 0
        self._spread = 0

    async def receive(self, request: Request) -> Response:
        """Answer `POST /e/{key}`."""
        taken: list[str] = []
        try:
            self._check_key(request)
            body = await read_body(request, self._limits.body_bytes)
            ids = await self.accept(
                body,
                seed=parse_seed(request.headers.get(SEED_HEADER)),
                key=_header_bytes(request, KEY_HEADER),
                headers=_taken_over(request),
                taken=taken,
            )
        except HeadraceError as error:
            if self._refusals is not None:
                self._refusals.note(error.code, f"events were refused: {error.what}")
            return refusal(error, ids=taken)
        # The protocol answers an empty body with one empty id.
        return json_answer(200, {"ids": ids or ([""] if not body.strip() else []), "status": 200})

    async def accept(
        self,
        body: bytes,
        *,
        seed: Seed | None = None,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
        taken: list[str] | None = None,
    ) -> list[str]:
        """Take one event or an array of them; returns their internal ids once all are on Kafka.

        Errors: BadRequest for events that break the rules (those before the first such one are taken, and their ids
        put into `taken`, as the protocol has it), LogUnavailable if Kafka cannot be reached in time (then some may be
        taken, and the same seed gives them the same ids again).
        """
        if self._pending_bytes + len(body) > self._limits.pending_bytes:
            raise LogUnavailable(
                "intake_busy",
                f"events of {self._pending_bytes} bytes wait for Kafka already",
                why="Kafka takes them more slowly than they come in",
                do="send them again in a second",
            )
        self._pending_bytes += len(body)
        try:
            own = Seed(self._clock.wall_ms(), self._random_bytes(ENTROPY_BYTES))
            parts = split_body(body)
            refused: BadRequest | None = None
            try:
                events = read_events(parts, seed or own, repeatable=seed is not None, key=key, check=self._check)
            except BadEvent as bad:
                events, refused = bad.before, bad.error
            if events:
                await self._append(events, headers)
            ids = [event.id for event in events]
            if refused is not None:
                if taken is not None:
                    taken += ids
                raise refused
            return ids
        finally:
            self._pending_bytes -= len(body)

    def _check_key(self, request: Request) -> None:
        key = request.path_params.get("key", "")
        if not self._access.event_key_needed(request.headers):
            return
        if not self._access.event_keys:
            raise BadRequest(
                "event_keys_missing",
                "this server has no event keys",
                status=503,
                why="beyond loopback events are taken only with a key",
                do="set HEADRACE_EVENT_KEYS and start it again",
            )
        if not key:
            raise BadRequest(
                "event_key_required", "Event key is required", status=401, do="send to /e/ and your event key"
            )
        if not self._access.event_keys.holds(key):
            raise BadRequest("event_key_unknown", "Event key not found", status=401, do="check the key")

    async def _append(self, events: Sequence[Incoming], headers: Sequence[tuple[str, bytes]]) -> None:
        topic = self._topic
        batch = [
            Outgoing(topic, self._place(event), event.key, event.value, [(HEADER_ID, event.id.encode()), *headers])
            for event in events
        ]
        reported: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()

        def report(first_failed: int | None) -> None:
            if not reported.done():
                reported.set_result(first_failed)

        self._appender.send(batch, report)
        try:
            first_failed = await asyncio.wait_for(reported, self._limits.append_ms / 1000)
        except TimeoutError:
            raise _unavailable(f"Kafka had not taken the events after {self._limits.append_ms / 1000:g} s") from None
        if first_failed is not None:
            raise _unavailable(f"Kafka did not take event {first_failed + 1} of {len(batch)}")

    def _place(self, event: Incoming) -> int:
        if event.key is not None:
            return partition_of(event.key, self._partitions)
        self._spread = (self._spread + 1) % self._partitions
        return self._spread


def _unavailable(what: str) -> LogUnavailable:
    return LogUnavailable(
        "kafka_unavailable",
        what,
        why="an event counts as taken only once it is on Kafka; some of these may be there already",
        do="send the request again, with the same ids or the same seed so that nothing starts twice",
    )


def _header_bytes(request: Request, name: str) -> bytes | None:
    value = request.headers.get(name)
    return value.encode("latin-1") if value else None


def _taken_over(request: Request) -> list[tuple[str, bytes]]:
    found = ((name, _header_bytes(request, name)) for name in _TAKEN_OVER)
    return [(name, value) for name, value in found if value is not None and len(value) <= _TAKEN_OVER_BYTES_MAX]
