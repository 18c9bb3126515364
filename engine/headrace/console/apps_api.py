"""`GET /v1/apps/{app}/functions`, by the names of the SDK protocol page, section 6.1."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headrace.console.catalog import App, Catalog
from headrace.console.rest import answered
from headrace.console.run_answers import ENVIRONMENT_ID
from headrace.functions.sdk_config import function_uuid
from headrace.records.definitions import Definition, encode_definition


class AppsApi:
    """The endpoint."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def routes(self) -> list[Route]:
        """List the routes."""
        return [Route("/v1/apps/{app}/functions", answered(self.list_functions), methods=["GET"])]

    async def list_functions(self, request: Request) -> Response:
        """Answer with a bare array, as the protocol has it; an app that nobody knows has no functions."""
        app = self._catalog.look().find_app(request.path_params["app"])
        shown = [] if app is None else [app_function_fields(app, definition) for definition in app.functions]
        return Response(msgspec.json.encode(shown), media_type="application/json")


def app_function_fields(app: App, definition: Definition) -> dict[str, Any]:
    """Show a function among those of its app."""
    return {
        "internal_id": str(function_uuid(definition.id)),
        "env_id": ENVIRONMENT_ID,
        "app_id": app.id,
        "id": definition.id,
        "name": definition.name,
        "config": msgspec.Raw(encode_definition(definition)),
        "archived_at": None,
    }
