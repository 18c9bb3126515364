"""`GET /v1/apps`: the apps that the cluster knows, those of SDKs and those whose code nodes load, and what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headrace.adapters.seams import Clock
from headrace.console.answers import enveloped
from headrace.console.moments import iso
from headrace.console.rest import answered
from headrace.intake.app_records import apps_of, definitions_of
from headrace.records.sdk_apps import SdkApp


class AppsList:
    """The endpoint. `known` gives what stands on the functions topic, by record key, as the node has read it.

    `turned_away` gives what has asked this node to be registered, and was refused.
    """

    def __init__(
        self,
        known: Callable[[], Mapping[bytes, bytes]],
        clock: Clock,
        turned_away: Callable[[], Iterable[SdkApp]] = tuple,
    ) -> None:
        self._known = known
        self._clock = clock
        self._turned_away = turned_away

    def routes(self) -> list[Route]:
        """List the routes."""
        return [Route("/v1/apps", answered(self.list_apps), methods=["GET"])]

    async def list_apps(self, _request: Request) -> Response:
        """Answer `GET /v1/apps`, by name; an address that has not registered yet comes first, without one."""
        known = self._known()
        there = [app for app in apps_of(known).values() if not app.removed]
        addresses = {app.url for app in there}
        there += [app for app in self._turned_away() if app.url not in addresses]
        apps = [_sdk_fields(app) for app in there]
        loaded: dict[str, list[str]] = {}
        for function_id, definition in definitions_of(known).items():
            if definition.kind == "python":
                loaded.setdefault(definition.app, []).append(function_id)
        apps += [_loaded_fields(name, sorted(functions)) for name, functions in loaded.items()]
        apps.sort(key=lambda app: (app["name"] or "", app["url"] or ""))
        return enveloped(apps, self._clock.wall_ms())


def _sdk_fields(app: SdkApp) -> dict[str, Any]:
    return {
        "name": app.name or None,
        "url": app.url or None,
        "sdk": app.sdk or None,
        "framework": app.framework or None,
        "platform": app.platform or None,
        "version": app.version or None,
        "method": app.method,
        "functions": app.functions,
        "error": app.error or None,
        "synced_at": iso(app.synced_ms) if app.synced_ms else None,
    }


def _loaded_fields(name: str, functions: list[str]) -> dict[str, Any]:
    """Show an app whose code the nodes load: it has no address, and nothing is called."""
    return {**_sdk_fields(SdkApp(name, "", "headrace", method="loaded")), "functions": functions}
