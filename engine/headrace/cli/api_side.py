"""The side of a node where tools come: what they ask by the names of Inngest's API, in REST and in GraphQL."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from starlette.routing import BaseRoute

from headrace.cli.apps_side import AppsSide
from headrace.console.apps_api import AppsApi
from headrace.console.archive_reader import ArchiveReader
from headrace.console.cancellations import Cancellations, GiveBroadcast
from headrace.console.catalog import Catalog
from headrace.console.graph.endpoint import GraphApi
from headrace.console.orders import GiveOrder, Orders
from headrace.console.rest import RestApi
from headrace.console.run_orders import RunOrders
from headrace.console.signals import Signals
from headrace.console.status import Status
from headrace.console.switches import Switches
from headrace.console.telemetry import Telemetry
from headrace.console.v2 import ApiV2
from headrace.intake.http import EventDoor

if TYPE_CHECKING:
    from headrace.cli.assembly import Assembly

CancelOnPartition = Callable[[str, int, str], Awaitable[None]]


class ApiSide:
    """The parts, wired. `order` and `broadcast` write to Kafka, `cancel` has a run cancelled on its partition."""

    def __init__(
        self,
        parts: Assembly,
        partitions: int,
        archive: ArchiveReader,
        status: Status,
        door: EventDoor,
        apps: AppsSide,
        *,
        order: GiveOrder,
        broadcast: GiveBroadcast,
        cancel: CancelOnPartition,
    ) -> None:
        clock = parts.clock
        known, functions = parts.node.definitions.values, parts.node.definitions.function_ids
        catalog = Catalog(known)
        cancel_run = RestApi(archive, status, clock, cancel).cancel
        orders = Orders(order, functions, partitions, clock)
        run_orders = RunOrders(order, archive, partitions, clock, cancel_run)
        self._parts = (
            orders,
            run_orders,
            Signals(order, archive, partitions, clock),
            Switches(broadcast, order, known, archive, clock),
            Cancellations(order, broadcast, known, functions, clock),
            AppsApi(catalog),
            GraphApi(
                catalog, archive, clock, orders, run_orders, cancel=cancel_run, sync=apps.sync, remove=apps.remove
            ),
            ApiV2(catalog, known, archive, clock, orders, run_orders, door=door, cancel=cancel_run, sync=apps.sync),
            Telemetry(),
        )

    def routes(self) -> list[BaseRoute]:
        """List the routes."""
        return [route for part in self._parts for route in part.routes()]
