"""A node for the API's tests: takes orders, and has those that a partition decides alone decided by a real one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from headrace.adapters.seams import Record
from headrace.console.archive_reader import ArchiveReader
from headrace.console.cancellations import Cancellations
from headrace.console.catalog import Catalog
from headrace.console.graph.endpoint import GraphApi
from headrace.console.orders import Orders
from headrace.console.rest import RestApi
from headrace.console.run_orders import RunOrders
from headrace.console.v2 import ApiV2
from headrace.errors import BadRequest, LogUnavailable
from headrace.records.commands import NoteMetadata, Travelling
from headrace.records.definitions import Definition, EventTrigger, encode_definition
from headrace.records.sdk_apps import SdkApp, app_key, encode_app
from headrace.runs import note_metadata
from tests.console.archives import FixedClock, ToldStatus, fill, open_archive, serve
from tests.console.asgi import Answer, ask
from tests.console.histories import NOW_MS, TOPICS, History
from tests.turns import Partition

PARTITIONS = 8
APP_URL = "http://localhost:3000/api/inngest"


class Node:
    """Everything that one node serves beside the pages, over an archive that `history` fills."""

    def __init__(self, path: Path, history: History | None = None) -> None:
        self.history = history or History()
        self.given: list[tuple[int | None, Travelling]] = []
        self.cancelled: list[tuple[str, str]] = []
        self.synced: list[str] = []
        self.removed: list[str] = []
        self.broadcasts: dict[bytes, bytes] = {}
        self.up = True
        self.decides = True
        self.clock = FixedClock()
        self.projection = fill(path, self.history.records)
        self.path = path
        self._partition = Partition(partitions=PARTITIONS)
        self._told = 0
        self.declare(
            Definition("shop-order", "shop", "order", [EventTrigger("order/created")], url=APP_URL, kind="sdk")
        )
        self.declare(Definition("shop-mail", "shop", "mail", [], url=APP_URL, kind="sdk"))
        self.know(SdkApp("shop", APP_URL, "js:v4.18.1", "express", functions=["shop-order", "shop-mail"]))
        self.app = serve(path, routes=self._routes(open_archive(path)), clock=self.clock)

    def _routes(self, archive: ArchiveReader) -> list[Any]:
        catalog = Catalog(self.known)
        orders = Orders(self.give, self.function_ids, PARTITIONS, self.clock)
        api = RestApi(archive, ToldStatus(), self.clock, self.cancel_on_partition)
        run_orders = RunOrders(self.give, archive, PARTITIONS, self.clock, api.cancel)
        graph = GraphApi(
            catalog, archive, self.clock, orders, run_orders, cancel=api.cancel, sync=self.sync, remove=self.remove
        )
        v2 = ApiV2(catalog, self.known, archive, self.clock, orders, run_orders, cancel=api.cancel, sync=self.sync)
        cancellations = Cancellations(self.give, self.broadcast, self.known, self.function_ids, self.clock)
        parts = (orders, run_orders, graph, v2, cancellations)
        return [route for part in parts for route in part.routes()]

    def declare(self, definition: Definition) -> None:
        """Put a function on the functions topic."""
        self.broadcasts[definition.id.encode()] = encode_definition(definition)

    def know(self, app: SdkApp) -> None:
        """Put an app on the functions topic."""
        self.broadcasts[app_key(app.name or app.url)] = encode_app(app)

    def known(self) -> dict[bytes, bytes]:
        """Give what stands on the functions topic."""
        return dict(self.broadcasts)

    def function_ids(self) -> set[str]:
        """Name the functions."""
        return {key.decode() for key in self.broadcasts if not key.startswith(b"~")}

    async def give(self, partition: int | None, command: Travelling) -> None:
        """Take an order; what is noted beside a run is told in the history at once."""
        if not self.up:
            raise LogUnavailable("order_not_written", "Kafka did not take it")
        self.given.append((partition, command))
        if isinstance(command, NoteMetadata) and self.decides:
            with self._partition.turn(NOW_MS) as turn:
                note_metadata(turn, command)
            values = [value for _, _, value, _ in self._partition.sent_to("test.history")]
            # On a partition of its own, so that the numbers of the history's others stay theirs.
            fresh = [Record(TOPICS.history, 99, n, NOW_MS, None, value, None) for n, value in enumerate(values)]
            self.projection.apply(fresh[self._told :])
            self._told = len(fresh)

    async def broadcast(self, key: bytes, value: bytes) -> None:
        """Write to the functions topic."""
        self.broadcasts[key] = value

    async def cancel_on_partition(self, run_id: str, partition: int, reason: str) -> None:
        """Take note that a run is to be cancelled, and have its end in the archive."""
        self.cancelled.append((run_id, reason))
        for run in self.history.runs:
            if run.run_id == run_id:
                run.cancel(NOW_MS)
        self.catch_up()

    def catch_up(self) -> None:
        """Bring the archive up to the history."""
        self.projection.apply(sorted(self.history.records, key=lambda one: (one.topic, one.partition, one.offset)))

    async def sync(self, url: str) -> None:
        """Have the app at an address register."""
        self.synced.append(url)
        if "down" in url:
            raise BadRequest("app_unreachable", f"the app at {url} does not answer", do="start it")
        if "silent" not in url:
            self.know(SdkApp("blog", url, "py:v0.5.18", functions=[]))

    async def remove(self, name: str) -> None:
        """Forget an app."""
        self.removed.append(name)
        del self.broadcasts[app_key(name)]

    def ask(self, method: str, where: str, body: Any = None) -> Answer:
        """Send a request."""
        content = b"" if body is None else body if isinstance(body, bytes) else msgspec.json.encode(body)
        return ask(self.app, method, where, body=content)

    def query(self, text: str, **variables: Any) -> dict[str, Any]:
        """Ask GraphQL; gives the whole answer."""
        answer = self.ask("POST", "/v0/gql", {"query": text, "variables": variables})
        assert answer.status == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def data(self, text: str, **variables: Any) -> dict[str, Any]:
        """Ask GraphQL for something that is there; gives the data."""
        answer = self.query(text, **variables)
        assert "errors" not in answer, answer
        found: dict[str, Any] = answer["data"]
        return found


def as_json(text: str) -> Any:
    """Read JSON that stands in a field as text."""
    return json.loads(text)
