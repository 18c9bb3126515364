"""Orders about one run: run it again, keep something beside it, end it. Source: the SDK protocol page, section 6.1.

`POST /v1/runs/{id}/rerun` starts a new run with the same events; limits that hold starts back hold it as well, those
that drop starts do not. `POST /v1/runs/{id}/metadata` is answered when what it notes can be seen. `DELETE
/v0/runs/{id}` differs from `DELETE /v1/runs/{id}` by its statuses.
"""

from __future__ import annotations

import asyncio
import sqlite3
import uuid
from collections.abc import Awaitable, Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headrace.adapters.seams import Clock
from headrace.admission.plan import StageNumber
from headrace.console.answers import enveloped
from headrace.console.archive_reader import ArchiveReader
from headrace.console.event_queries import FoundEvent, find_events
from headrace.console.lag_queries import Lag, read_lag
from headrace.console.metadata import ORIGIN, is_noted
from headrace.console.metadata_updates import read_note
from headrace.console.orders import GiveOrder, read_json
from headrace.console.rest import answered, unknown_run
from headrace.console.run_queries import FoundRun, find_run
from headrace.console.run_rows import ENDED
from headrace.console.young_runs import find_soon
from headrace.errors import BadRequest
from headrace.intake.body import read_body
from headrace.records.commands import NoteMetadata
from headrace.records.ids import derive_ulid, entropy, is_ulid, partition_of
from headrace.records.rows import KnownEvent, Start
from headrace.runs import run_id_of
from headrace.runs.telling import LIFECYCLE_NAMES

# Cancel a run, for a reason; `BadRequest` for one that is unknown or has ended (`rest.RestApi.cancel`).
Cancel = Callable[[str, str], Awaitable[None]]
_BODY_BYTES_MAX = 4 << 20
_LOOK_S = (0.01, 0.02, 0.04)  # between two looks; the last one from then on
_PATIENCE_S = 5.0


class _RerunAsked(msgspec.Struct):
    from_step: msgspec.Raw = msgspec.Raw(b"null")


class RunOrders:
    """The endpoints. `partitions` is how many the cluster has; `cancel` may refuse."""

    def __init__(
        self, give: GiveOrder, archive: ArchiveReader, partitions: int, clock: Clock, cancel: Cancel | None = None
    ) -> None:
        self._give = give
        self._archive = archive
        self._partitions = partitions
        self._clock = clock
        self._cancel = cancel

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route("/v1/runs/{run_id}/rerun", answered(self.answer_rerun), methods=["POST"]),
            Route("/v1/runs/{run_id}/metadata", answered(self.add_metadata), methods=["POST"]),
            Route("/v0/runs/{run_id}", answered(self.end), methods=["DELETE"]),
        ]

    async def answer_rerun(self, request: Request) -> Response:
        """Answer `POST /v1/runs/{id}/rerun` with the id of the run that is to be."""
        body = await read_body(request, _BODY_BYTES_MAX)
        asked: _RerunAsked = read_json(body, _RerunAsked, "send nothing, or {}")
        if bytes(asked.from_step) != b"null":
            raise from_step_refused()
        run_id = request.path_params["run_id"]
        return enveloped({"run_id": await self.rerun(run_id), "original_run_id": run_id}, self._clock.wall_ms())

    async def rerun(self, run_id: str) -> str:
        """Start a run with the events of another one; gives its id. Errors: BadRequest if that is not possible."""
        now_ms = self._clock.wall_ms()

        def query(archive: sqlite3.Connection) -> tuple[FoundRun | None, list[FoundEvent], Lag]:
            found = find_run(archive, run_id)
            events = find_events(archive, found.event_ids) if found is not None else []
            return found, events, read_lag(archive, now_ms)

        found, events, lag = await self._archive.ask(query)
        if found is None:
            raise unknown_run(run_id, lag)
        known = {event.event_id: event for event in events}
        missing = [event_id for event_id in found.event_ids if event_id not in known]
        if missing or not found.event_ids:
            raise BadRequest(
                "events_gone",
                f"of the events of the run {run_id} {len(missing) or 'all'} are not kept here any more",
                status=409,
                why="a run is repeated with the very events that started it",
                do="invoke the function with the data that it should have",
            )
        function_id = found.row.function_id
        new_id = run_id_of(entropy(b"rerun\0" + uuid.uuid4().bytes), function_id, now_ms)
        started = [known_event(known[event_id]) for event_id in found.event_ids]
        start = Start(
            function_id,
            new_id,
            started,
            now_ms,
            # Behind what would drop it, put it off or gather it: it is one run, asked for by somebody.
            stage=StageNumber.BATCH,
            quiet=started[0].name in LIFECYCLE_NAMES,
        )
        partition = partition_of(new_id.encode(), self._partitions)
        origin = msgspec.json.encode([{"kind": ORIGIN, "op": "set", "values": {"run_id": run_id}}]).decode()
        # First of all: whoever sees the new run is to see what it repeats.
        await self._give(partition, NoteMetadata(derive_ulid(now_ms, uuid.uuid4().bytes), new_id, origin))
        await self._give(partition, start)
        return new_id

    async def add_metadata(self, request: Request) -> Response:
        """Answer `POST /v1/runs/{id}/metadata`, `{"target": {…}, "metadata": [{kind, op, values}]}`: 200, empty."""
        run_id = request.path_params["run_id"]
        if not is_ulid(run_id):
            raise BadRequest("run_id_invalid", f"Invalid run ID: {run_id[:60]}", why="a run's id is a ULID")
        body = await read_body(request, _BODY_BYTES_MAX)
        note = read_note(body, run_id, derive_ulid(self._clock.wall_ms(), uuid.uuid4().bytes))
        await self.note(note)
        return Response(status_code=200, media_type="application/json")

    async def note(self, note: NoteMetadata) -> None:
        """Keep something beside a run; done when it can be seen here, or stands on Kafka for five seconds."""
        found = await self._archive.ask(lambda archive: find_run(archive, note.run_id))
        # A run that is a moment old is not known yet: any partition may write it down.
        home = partition_of(note.run_id.encode(), self._partitions) if found is None else found.row.partition
        await self._give(home, note)
        loop = asyncio.get_running_loop()
        deadline, looks = loop.time() + _PATIENCE_S, 0
        while loop.time() < deadline:
            if await self._archive.ask(lambda archive: is_noted(archive, note.run_id, note.id)):
                return
            await asyncio.sleep(_LOOK_S[min(looks, len(_LOOK_S) - 1)])
            looks += 1

    async def end(self, request: Request) -> Response:
        """Answer `DELETE /v0/runs/{id}`: 204 once the command is on Kafka, 404, or 409 for a run that has ended."""
        run_id = request.path_params["run_id"]
        found, lag = await find_soon(self._archive, run_id, self._clock.wall_ms())
        if found is None:
            raise unknown_run(run_id, lag)
        if found.row.status in ENDED:
            raise BadRequest(
                "run_ended",
                f"the run {run_id} has ended already: {found.row.status}",
                status=409,
                why="only a run that lives can be cancelled",
                do="leave it; status=Scheduled,Running lists those that live",
            )
        if self._cancel is None:
            raise BadRequest(
                "cancel_unavailable",
                "this server only shows what happened",
                status=501,
                do="ask a node of the cluster",
            )
        await self._cancel(run_id, "cancelled through the API")
        return Response(status_code=204)


def known_event(event: FoundEvent) -> KnownEvent:
    """Make of an event of the archive what a run is started with."""
    return KnownEvent(
        event.event_id, event.name, event.body, event.ts_ms, event.received_ms, event.given_id or "", event.key
    )


def from_step_refused() -> BadRequest:
    """Make the error for a rerun that is to begin in the middle."""
    return BadRequest(
        "rerun_from_step",
        "a run cannot be repeated from one of its steps",
        status=501,
        why="a new run makes all of its steps itself",
        do="leave the step out: the run is repeated from its beginning",
    )
