"""A node's HTTP side: the door for events, the API, the pages, and the projection that fills what they show."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from headrace.adapters.data_folder import DataFolder
from headrace.adapters.kafka_settings import KafkaSettings
from headrace.adapters.kafka_topics import TopicsFound
from headrace.cli.api_side import ApiSide
from headrace.cli.apps_side import AppsSide
from headrace.cli.assembly import Assembly
from headrace.cli.connect_side import ConnectSide
from headrace.cli.joining import HeardMembership
from headrace.cli.keys import Keys, is_loopback
from headrace.cli.listening import WebServer
from headrace.cli.logs import tell
from headrace.cli.peers import Peers
from headrace.cli.plan import Plan
from headrace.cli.realtime_side import KEYLESS_PATHS, RealtimeSide
from headrace.console.app_calls import AppCalls
from headrace.console.archive import prepare_archive
from headrace.console.archive_reader import ArchiveReader
from headrace.console.guard import GuardSettings
from headrace.console.projector_process import ProjectorProcess
from headrace.console.server import create_asgi_app
from headrace.console.status import PartitionStatus
from headrace.errors import LogUnavailable
from headrace.functions import Function
from headrace.functions.models import EventModels
from headrace.intake.access import Access, KeyRing, bearer_forms
from headrace.intake.http import EventDoor
from headrace.intake.refusals import Refusals
from headrace.records.commands import CancelRun, Travelling

if TYPE_CHECKING:
    from headrace.worker.node import Node

ARCHIVE = "console.db"
_ORDER_S = 10.0


class NodeStatus:
    """What a node says of itself and its cluster, in the console's words."""

    def __init__(self, node: Node, membership: HeardMembership, name: str) -> None:
        self._node = node
        self._membership = membership
        self._name = name

    def partitions(self) -> Sequence[PartitionStatus]:
        """List every partition, as its owner told last."""
        return [
            {
                "partition": row.partition,
                "owner": row.owner or None,
                "state": row.state,
                "lag": row.lag if row.owner else None,
            }
            for row in self._node.partition_rows()
        ]

    def ready(self) -> tuple[bool, str]:
        """Tell whether every partition assigned here runs, and if not, why."""
        is_ready, reason = self._node.ready()
        if not is_ready or self._node.owned:
            return is_ready, reason
        if not self._membership.is_assigned:
            return False, "the group has not shared out the partitions yet"
        rows = self._node.partition_rows()
        # What is known may be from before a restart: then these are about to come.
        awaited = [row.partition for row in rows if row.owner in ("", self._name)]
        if awaited:
            return False, f"the group has not shared out the partitions yet: {', '.join(map(str, awaited))}"
        # Nobody owns two while another owns none: a node that joins is given nothing at first, until others let go.
        if len({row.owner for row in rows}) < len(rows):
            return False, "other nodes are to hand over some of their partitions"
        return True, ""


class Front:
    """The HTTP side of one node, from `start` to `stop`."""

    def __init__(
        self,
        plan: Plan,
        settings: KafkaSettings,
        found: TopicsFound,
        folder: DataFolder,
        parts: Assembly,
        status: NodeStatus,
        peers: Peers,
    ) -> None:
        self._parts = parts
        self._checked_by: Mapping[str, Function] | None = None
        self._models: list[EventModels] = []
        topics = parts.topics
        path = folder.path / ARCHIVE
        prepare_archive(path)
        self._archive = ArchiveReader(path)
        self._projector = ProjectorProcess(
            settings,
            plan.prefix,
            path,
            {topic.name: (topic.topic_id, topic.partitions) for topic in found.topics.values()},
        )
        access = access_of(plan.keys, plan.host, dev=plan.dev)
        refusals = Refusals(tell, parts.clock)
        self._apps = AppsSide(plan, parts, found.partitions, self._publish, self._order, refusals)
        self._connect = ConnectSide(plan, parts, self._apps.registrations, peers)
        self._realtime = RealtimeSide(plan, parts, peers, self._archive, access, self._order, self._broadcast)
        door = EventDoor(
            parts.outbox,
            topics.events,
            found.topics[topics.events].partitions,
            parts.clock,
            access=access,
            check=self._check_event,
            refusals=refusals,
        )
        api = ApiSide(
            parts,
            found.partitions,
            self._archive,
            status,
            door,
            self._apps,
            order=self._order,
            broadcast=self._broadcast,
            cancel=self._cancel,
        )
        self._app = create_asgi_app(
            archive=self._archive,
            status=status,
            clock=parts.clock,
            door=door,
            cancel_run=self._cancel,
            settings=GuardSettings(access, allowed_hosts(plan), plan.dev, KEYLESS_PATHS, refusals.note),
            measure=self._measure,
            routes=[
                *self._apps.routes(),
                *self._connect.routes(),
                *AppCalls(peers).routes(),
                *self._realtime.routes(),
                *api.routes(),
            ],
        )
        self._server: WebServer | None = None

    async def start(self, bound: socket.socket) -> None:
        """Answer requests on a port that is bound, and start the projection."""
        self._server = WebServer(self._app, bound)
        await self._server.start()
        await self._connect.start()
        self._apps.start()
        await self._projector.start()

    def begin_drain(self) -> None:
        """Tell workers that are connected to go elsewhere; the node is about to stop."""
        self._connect.begin_drain()

    async def stop(self) -> None:
        """Answer what is on its way, take nothing more."""
        await self._apps.stop()
        await self._connect.stop()
        await self._realtime.stop()
        if self._server is not None:
            await self._server.stop()
        await self._projector.stop()
        self._archive.close()

    def _check_event(self, name: str, data: Any) -> None:
        functions = self._parts.execution.functions
        if functions is not self._checked_by:  # the apps were loaded again; functions of one app share their models
            self._checked_by = functions
            self._models = list({id(one.shared): one.shared.models for one in functions.values()}.values())
        for models in self._models:
            models.check_at_door(name, data)

    async def _cancel(self, run_id: str, partition: int, reason: str) -> None:
        await self._order(partition, CancelRun(run_id, reason))

    async def _order(self, partition: int | None, command: Travelling) -> None:
        what = f"the order {type(command).__name__}"
        await _written(what, lambda done: self._parts.node.order(partition, command, done))

    async def _broadcast(self, key: bytes, value: bytes) -> None:
        what = f"the setting {key.decode('utf-8', 'replace')}"
        await _written(what, lambda done: self._parts.node.broadcast(key, value, done))

    async def _publish(self, records: Sequence[tuple[bytes, bytes | None]]) -> None:
        await _written("the functions of an app", lambda done: self._parts.node.publish(records, done))

    def _measure(self) -> Iterable[Metric]:
        parts = self._parts
        for name, value in parts.node.counters().items():
            yield CounterMetricFamily(f"headrace_{name}", f"Since this process started: {_words(name)}.", value=value)
        owned = parts.node.owned.values()
        gauges = {
            "partitions_owned": len(owned),
            "partitions_running": sum(ownership.state.value == "running" for ownership in owned),
            "backlog_records": sum(o.machine.sources.backlog for o in owned if o.machine is not None),
            "code_live": parts.execution.live,
            "code_busy": parts.execution.busy,
            "store_cache_bytes": parts.stores.cache_bytes(),
            "appends_unreported": parts.commits.unreported + parts.outbox.unreported,
        }
        for name, value in gauges.items():
            yield GaugeMetricFamily(f"headrace_{name}", f"Now, on this node: {_words(name)}.", value=value)


async def _written(what: str, write: Callable[[Callable[[bool], None]], None]) -> None:
    written: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def done(is_written: bool) -> None:
        if not written.done():
            written.set_result(is_written)

    write(done)
    try:
        taken = await asyncio.wait_for(written, _ORDER_S)
    except TimeoutError:
        taken = False
    if not taken:
        raise LogUnavailable(
            "order_not_written",
            f"Kafka did not take {what}",
            why="it counts once it stands in the log; this one may yet",
            do="see that Kafka is up, look whether it was done, and ask again",
        )


def access_of(keys: Keys, host: str, *, dev: bool = True) -> Access:
    """Say who may come in, for a node that listens on this host."""
    signing = [key for key in (keys.signing, keys.signing_fallback) if key]
    return Access(
        keys_required=not is_loopback(host),
        strict=not dev,
        event_keys=KeyRing(keys.event),
        api_keys=KeyRing(keys.api),
        signing_keys=KeyRing(bearer_forms(signing)),
    )


def allowed_hosts(plan: Plan) -> list[str]:
    """List the names under which this node may be asked for, besides loopback's.

    HEADRACE_ALLOWED_HOSTS names more of them. Beyond loopback the machine's own name and addresses are among them.
    """
    named = [part.strip() for part in plan.variables.get("HEADRACE_ALLOWED_HOSTS", "").split(",") if part.strip()]
    if is_loopback(plan.host):
        return named
    machine = socket.gethostname()
    try:
        found = {str(entry[4][0]).partition("%")[0] for entry in socket.getaddrinfo(machine, None)}
    except OSError:
        found = set()
    return [*named, plan.host.strip("[]"), machine, *sorted(found)]


def _words(name: str) -> str:
    return name.replace("_", " ")
