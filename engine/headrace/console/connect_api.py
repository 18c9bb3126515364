"""What workers ask over HTTP: where to connect, and to be rid of an answer that nobody has acknowledged.

`POST /v0/connect/start`, `POST /v0/connect/flush`, `GET /v0/connect/envs/{env}/conns` and `…/groups/{group}`. Source:
the SDK protocol page, section 8.1. The first two speak Protocol Buffers; errors are JSON, as everywhere.
"""

from __future__ import annotations

import hashlib
import uuid
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headrace.adapters.seams import Clock
from headrace.console.answers import json_answer, not_found
from headrace.console.connect_tokens import ConnectTokens
from headrace.console.rest import answered
from headrace.errors import BadRequest
from headrace.execution.connect.apps import sdk_name
from headrace.execution.connect.messages import Named, Reply, StartRequest, StartResponse
from headrace.execution.connect.session import Phase
from headrace.execution.connect.settings import FRAME_BYTES_MAX, PATH
from headrace.execution.connect.wire import M, Malformed, Message, decode, encode
from headrace.execution.connect.workers import Worker
from headrace.functions.sdk_config import app_uuid
from headrace.intake.body import read_body
from headrace.records.ids import derive_ulid

_GROUP = "gw-dev"
_START_BYTES_MAX = 1 << 20
CONNECTIONS_MAX = 10_000  # each has a socket, a task and a place in every look at the time
# As the protocol numbers them; one that is closed is not listed.
_STATUS = {Phase.CONNECTED: 0, Phase.READY: 1, Phase.PAUSED: 2}


class Gateway(Protocol):
    """What the endpoints need of the gateway."""

    @property
    def workers(self) -> list[Worker]:
        """The workers that are connected."""
        ...

    def take_reply(self, reply: Reply) -> None:
        """Take a worker's answer to a call."""
        ...


class ConnectApi:
    """The endpoints. `port` is the gateway's; `address` is where workers reach it, if not where they asked."""

    def __init__(
        self,
        gateway: Gateway,
        tokens: ConnectTokens,
        clock: Clock,
        *,
        port: int,
        address: str = "",
        connections_max: int = CONNECTIONS_MAX,
    ) -> None:
        self._gateway = gateway
        self._tokens = tokens
        self._clock = clock
        self._port = port
        self._address = address
        self._connections_max = connections_max
        self._gateway_id = self._new_id()

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route("/v0/connect/start", answered(self.start), methods=["POST"]),
            Route("/v0/connect/flush", answered(self.flush), methods=["POST"]),
            Route("/v0/connect/envs/{environment}/conns", answered(self.connections), methods=["GET"]),
            Route("/v0/connect/envs/{environment}/groups/{group}", answered(self.group), methods=["GET"]),
        ]

    async def start(self, request: Request) -> Response:
        """Answer `POST /v0/connect/start`: where to connect, and with what."""
        _read(StartRequest, await read_body(request, _START_BYTES_MAX))
        if len(self._gateway.workers) >= self._connections_max:
            raise BadRequest(
                "connections_too_many",
                f"{self._connections_max} workers are connected to this node",
                status=429,
                why="each of them is a connection that is held open",
                do="connect to another node, or let each worker take more calls at a time",
            )
        connection_id = self._new_id()
        token = self._tokens.issue(connection_id)
        host = request.url.hostname or "127.0.0.1"
        address = self._address or f"ws://{f'[{host}]' if ':' in host else host}:{self._port}{PATH}"
        return _message(StartResponse(connection_id, address, _GROUP, token, token))

    async def flush(self, request: Request) -> Response:
        """Answer `POST /v0/connect/flush`: take a reply that did not come through a connection."""
        body = await read_body(request, FRAME_BYTES_MAX)
        reply = _read(Reply, body)
        if not reply.request_id:
            raise _unreadable("the body is no reply to a call", "the reply names the call's request_id")
        self._gateway.take_reply(reply)
        return _message(Named(reply.request_id))

    async def connections(self, request: Request) -> Response:
        """Answer `GET /v0/connect/envs/{env}/conns`; there is one environment, whatever it is called."""
        asked = request.query_params.get("app_id", "")
        if asked and not _is_uuid(asked):
            raise BadRequest(
                "app_id_invalid", f"app_id is {asked[:100]!r}", why="it is a UUID", do="leave it out to see all"
            )
        shown = [self._shown(worker) for worker in self._gateway.workers]
        return json_answer(200, {"data": [one for one in shown if not asked or asked in one["all_worker_groups"]]})

    async def group(self, request: Request) -> Response:
        """Answer `GET /v0/connect/envs/{env}/groups/{group}`: workers of one app that have the same functions."""
        wanted = request.path_params["group"]
        for worker in self._gateway.workers:
            for app in worker.apps:
                if _group_id(worker, app) == wanted:
                    return json_answer(200, {"data": self._shown_group(worker, app, wanted)})
        raise not_found(f"there is no group {wanted[:100]!r}", "a group is there as long as one of its workers is")

    def _shown(self, worker: Worker) -> dict[str, Any]:
        session = worker.session
        hello, machine = session.hello, session.hello.system_attributes
        heard_ms = self._clock.wall_ms() - (self._clock.monotonic_ms() - session.heard_ms)
        groups = {str(app_uuid(app)): _group_id(worker, app) for app in worker.apps}
        return {
            "id": hello.connection_id,
            "gateway_id": self._gateway_id,
            "instance_id": worker.instance_id,
            "all_worker_groups": groups,
            "synced_worker_groups": groups,
            "status": _STATUS.get(session.phase, 0),
            "last_heartbeat_at": {"seconds": heard_ms // 1000, "nanos": heard_ms % 1000 * 1_000_000},
            "sdk_language": hello.sdk_language,
            "sdk_version": hello.sdk_version,
            "attributes": {"cpu_cores": machine.cpu_cores, "mem_bytes": machine.mem_bytes, "os": machine.os},
        }

    def _shown_group(self, worker: Worker, app: str, group_id: str) -> dict[str, Any]:
        hello = worker.session.hello
        members = [
            one.session.hello.connection_id
            for one in self._gateway.workers
            if app in one.apps and _group_id(one, app) == group_id
        ]
        return {
            "app_id": str(app_uuid(app)),
            "app_name": app,
            "sdk_lang": hello.sdk_language,
            "sdk_version": hello.sdk_version,
            "sdk_platform": hello.platform or "",
            "fns": sorted(worker.apps[app]),
            "hash": group_id,
            "synced": True,
            "conns": members,
        }

    def _new_id(self) -> str:
        return derive_ulid(self._clock.wall_ms(), uuid.uuid4().bytes)


def _group_id(worker: Worker, app: str) -> str:
    hello = worker.session.hello
    version = next((one.app_version or "" for one in hello.apps if one.app_name == app), "")
    facts = [app, sdk_name(hello), hello.platform or "-", version, *sorted(worker.apps[app])]
    return hashlib.sha256("\0".join(facts).encode("utf-8", "replace")).hexdigest()


def _read(kind: type[M], body: bytes) -> M:
    try:
        return decode(kind, body)
    except Malformed as problem:
        raise _unreadable(f"the body cannot be read: {problem}", "it is a Protocol Buffers message") from None


def _unreadable(what: str, why: str) -> BadRequest:
    return BadRequest("body_invalid", what, why=why, do="leave these requests to the SDKs")


def _message(message: Message) -> Response:
    return Response(encode(message), media_type="application/octet-stream")


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
