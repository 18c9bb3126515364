"""The mutations that GraphQL takes. Source: the SDK protocol page, section 6.3.

Each is an order of the REST API, or a wish to whoever keeps apps in sync; what it gives back is what stands there then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from graphql import GraphQLError

from headrace.adapters.seams import Clock
from headrace.console.archive_reader import ArchiveReader
from headrace.console.catalog import App, Catalog
from headrace.console.graph.app_objects import Object, app_object
from headrace.console.graph.look import Look
from headrace.console.graph.objects import run_object
from headrace.console.orders import Orders
from headrace.console.run_orders import Cancel, RunOrders, from_step_refused
from headrace.console.run_queries import find_run
from headrace.errors import HeadraceError
from headrace.functions.sdk_urls import normal_url

# Ask the app at this address to register, and wait until it has; raises HeadraceError if it does not.
SyncApp = Callable[[str], Awaitable[object]]
# Forget an app, by its name.
RemoveApp = Callable[[str], Awaitable[object]]

_LOOK_S = 0.02
_APP_S = 5.0
_CANCEL_S = 5.0


class Mutations:
    """Makes what answers each mutation; without `sync` and `remove` apps cannot be added or removed here."""

    def __init__(
        self,
        catalog: Catalog,
        orders: Orders,
        run_orders: RunOrders,
        archive: ArchiveReader,
        clock: Clock,
        cancel: Cancel | None,
        sync: SyncApp | None,
        remove: RemoveApp | None,
    ) -> None:
        self._catalog = catalog
        self._orders = orders
        self._run_orders = run_orders
        self._archive = archive
        self._clock = clock
        self._cancel = cancel
        self._sync = sync
        self._remove = remove

    def root(self) -> dict[str, Callable[..., Awaitable[Any]]]:
        """Give what answers each mutation, by its name."""
        resolvers: dict[str, Callable[..., Awaitable[Any]]] = {
            "createApp": self._create_app,
            "updateApp": self._update_app,
            "deleteApp": self._delete_app,
            "deleteAppByName": self._delete_app_by_name,
            "invokeFunction": self._invoke,
            "cancelRun": self._cancel_run,
            "rerun": self._rerun,
        }
        return {name: _told(resolve) for name, resolve in resolvers.items()}

    async def _create_app(self, input: Object) -> Object:
        return await self._synced(input["url"])

    async def _update_app(self, input: Object) -> Object:
        before = self._known_app(input["id"])
        app = await self._synced(input["url"])
        if before.name and app["name"] != before.name:
            raise GraphQLError(f"the app at {input['url'][:200]} is {app['name']!r}, not {before.name!r}")
        return app

    async def _synced(self, url: str) -> Object:
        if self._sync is None:
            raise GraphQLError("apps cannot be added here: start a node with -u, or let the app register itself")
        wanted = normal_url(url if "://" in url else f"http://{url}")
        await self._sync(wanted)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _APP_S
        while True:  # it counts once it has been read back from the topic
            shown = self._catalog.look()
            for app in shown.apps.values():
                if app.name and app.sdk is not None and app.sdk.url == wanted:
                    return app_object(shown, app)
            if loop.time() > deadline:
                raise GraphQLError(f"the app at {wanted[:200]} was asked to register, and has not")
            await asyncio.sleep(_LOOK_S)

    async def _delete_app(self, id: str) -> str:
        await self._removed(self._known_app(id))
        return id

    async def _delete_app_by_name(self, name: str) -> bool:
        app = self._catalog.look().apps.get(name)
        if app is None or app.sdk is None:
            return False
        await self._removed(app)
        return True

    async def _removed(self, app: App) -> None:
        if self._remove is None or app.sdk is None:
            raise GraphQLError(f"the app {app.name!r} cannot be removed here: its functions are loaded by the nodes")
        await self._remove(app.name)

    def _known_app(self, wanted: str) -> App:
        app = self._catalog.look().find_app(wanted)
        if app is None:
            raise GraphQLError(f"there is no app {wanted[:60]!r}")
        return app

    async def _invoke(self, functionSlug: str, data: Any = None, user: Any = None, meta: Any = None) -> bool:
        found = self._catalog.look().find_function(functionSlug)
        await self._orders.start(found.id if found else functionSlug, msgspec.json.encode(data or {}))
        return True

    async def _cancel_run(self, runID: str) -> Object:
        if self._cancel is None:
            raise GraphQLError("this server only shows what happened")
        await self._cancel(runID, "cancelled through the API")
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _CANCEL_S
        while True:
            found = await self._archive.ask(lambda archive: find_run(archive, runID))
            if found is not None and (found.row.status == "Cancelled" or loop.time() > deadline):
                return run_object(Look(None, self._catalog.look(), self._clock.wall_ms()), found)
            if loop.time() > deadline:
                raise GraphQLError(f"the run {runID[:60]!r} is not known here any more")
            await asyncio.sleep(_LOOK_S)

    async def _rerun(self, runID: str, fromStep: Object | None = None) -> str:
        if fromStep is not None:
            raise from_step_refused()
        return await self._run_orders.rerun(runID)


def _told(resolve: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Have what an order refuses told as an error of GraphQL, with its code."""

    async def answer(_info: Any, **arguments: Any) -> Any:
        try:
            return await resolve(**arguments)
        except HeadraceError as error:
            what = f"{error.what}; {error.do}" if error.do else error.what
            raise GraphQLError(what, extensions={"code": error.code, "explanation": error.why}) from None

    return answer
