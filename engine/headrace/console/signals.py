"""Signals: `POST /v1/signals` lets a run go on that waits for one (SDK protocol page, section 4.4).

The partition of the signal's name decides who gets it, and writes what became of it into the history; the answer is
given once the console has read that.
"""

from __future__ import annotations

import asyncio
import uuid

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headrace.adapters.seams import Clock
from headrace.console.answers import enveloped
from headrace.console.archive_reader import ArchiveReader
from headrace.console.event_queries import FoundVerdict, verdicts_of
from headrace.console.orders import GiveOrder
from headrace.console.rest import answered
from headrace.errors import BadRequest
from headrace.functions.correlation import partition_of_digest, signal_digest
from headrace.intake.body import read_body
from headrace.records.events import EVENT_BYTES_MAX
from headrace.records.ids import derive_ulid
from headrace.records.waits import NOBODY_WAITS, SendSignal

_LOOK_S = (0.01, 0.02, 0.04, 0.08)  # between two looks; the last one from then on
_LOOKS_MAX = 130  # about ten seconds


class _Signal(msgspec.Struct):
    signal: str
    data: msgspec.Raw = msgspec.Raw(b"null")


class Signals:
    """The endpoint. `partitions` is how many the cluster has; `looks_max` is how often the archive is asked."""

    def __init__(
        self, give: GiveOrder, archive: ArchiveReader, partitions: int, clock: Clock, *, looks_max: int = _LOOKS_MAX
    ) -> None:
        self._give = give
        self._archive = archive
        self._partitions = partitions
        self._clock = clock
        self._looks_max = looks_max

    def routes(self) -> list[Route]:
        """List the routes."""
        return [Route("/v1/signals", answered(self.send), methods=["POST"])]

    async def send(self, request: Request) -> Response:
        """Answer `POST /v1/signals`, body `{"signal": name, "data": any}`, with the run that goes on; 404 for none."""
        body = await read_body(request, EVENT_BYTES_MAX)
        try:
            asked = msgspec.json.decode(body or b"{}", type=_Signal)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise BadRequest(
                "body_invalid",
                f"the body cannot be read: {error}",
                why="it is a JSON object",
                do='send {"signal": "approve-7", "data": {"by": "kim"}}',
            ) from None
        if not asked.signal:
            raise BadRequest("signal_unnamed", "the signal has no name", why="runs wait for a signal by its name")
        now_ms = self._clock.wall_ms()
        request_id = derive_ulid(now_ms, uuid.uuid4().bytes)
        target = partition_of_digest(signal_digest(asked.signal), self._partitions)
        await self._give(target, SendSignal(request_id, asked.signal, bytes(asked.data)))
        verdict = await self._verdict(request_id, asked.signal)
        if verdict.status == NOBODY_WAITS:
            raise BadRequest(
                "signal_not_awaited",
                f"no run waits for the signal {asked.signal[:100]!r}",
                status=404,
                why="a signal is for a run that waits for it already, and is not kept",
                do="send it again once the run waits, or use an event: a run may wait for that after it came",
            )
        return enveloped({"run_id": verdict.explanation.removeprefix("run ")}, now_ms)

    async def _verdict(self, request_id: str, signal: str) -> FoundVerdict:
        for look in range(self._looks_max):
            found = await self._archive.ask(lambda archive: verdicts_of(archive, request_id))
            if found:
                return found[0]
            await asyncio.sleep(_LOOK_S[min(look, len(_LOOK_S) - 1)])
        raise BadRequest(
            "signal_unanswered",
            f"nothing is known yet of what became of the signal {signal[:100]!r}",
            status=504,
            why="it stands on Kafka; the partition that decides, or the console that tells of it, is behind",
            do="look at /v1/partitions, and at the run that should go on, before it is sent again",
        )
