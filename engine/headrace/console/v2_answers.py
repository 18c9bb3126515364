"""The shapes of the API's second version: camel case, `data`, `metadata`, `page`. Source: SDK protocol page, 6.2."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from headrace.console.answers import json_value
from headrace.console.catalog import App, Shown
from headrace.console.graph.app_objects import configuration, gone_function, trigger_objects
from headrace.console.graph.outputs import run_output
from headrace.console.graph.statuses import run_status
from headrace.console.moments import iso
from headrace.console.run_queries import FoundRun
from headrace.errors import BadRequest, HeadraceError
from headrace.records.definitions import Definition

_ENCODE = msgspec.json.Encoder().encode


def v2_answer(data: Any, now_ms: int, *, page: dict[str, Any] | None = None, status: int = 200) -> Response:
    """Answer with data in the envelope."""
    content: dict[str, Any] = {"data": data, "metadata": {"fetchedAt": iso(now_ms), "cachedUntil": None}}
    if page is not None:
        content["page"] = page
    return Response(_ENCODE(content), status, media_type="application/json")


def v2_refusal(error: HeadraceError) -> Response:
    """Answer with an error."""
    status = error.status if isinstance(error, BadRequest) else 503
    said = {"code": error.code, "message": error.what, "explanation": error.why, "action": error.do}
    return Response(_ENCODE({"errors": [said]}), status, media_type="application/json")


def v2_run(shown: Shown, found: FoundRun, cron: str | None, *, output: bool) -> dict[str, Any]:
    """Show a run."""
    row = found.row
    definition = shown.functions.get(row.function_id) or gone_function(row.function_id)
    ended_ms = row.ended_ms
    begun_ms = row.started_ms or (row.queued_ms if ended_ms else 0)
    fields: dict[str, Any] = {
        "id": row.run_id,
        "function": {"id": definition.id, "name": definition.name or definition.id, "app": {"id": definition.app}},
        "app": {"id": definition.app},
        "status": run_status(row.status),
        "queuedAt": iso(row.queued_ms),
        "startedAt": iso(begun_ms),
        "endedAt": iso(ended_ms),
        "durationMs": ended_ms - begun_ms if ended_ms else None,
        "trigger": {
            "eventIds": found.event_ids,
            "eventName": found.event_name or None,
            "isBatch": row.event_count > 1,
            "cronSchedule": cron,
        },
    }
    if output:
        text = run_output(row)
        fields["output"] = None if text is None else json_value(text)
    return fields


def v2_app(app: App) -> dict[str, Any]:
    """Show an app."""
    sdk = app.sdk
    fields: dict[str, Any] = {
        "id": app.name or (sdk.url if sdk else ""),
        "name": app.name,
        "method": {"serve": "SERVE", "connect": "CONNECT"}.get(sdk.method, "SERVE") if sdk else "API",
        "appVersion": sdk.version or None if sdk else None,
        "isArchived": False,
        "archivedAt": None,
        "functionCount": len(app.functions),
    }
    if sdk is not None:
        language, _, version = sdk.sdk.partition(":")
        fields["latestSync"] = {
            "status": "error" if sdk.error else "success",
            "syncedAt": iso(sdk.synced_ms),
            "sdkLanguage": language or None,
            "sdkVersion": version.removeprefix("v") or None,
            "framework": sdk.framework or None,
            "url": sdk.url or None,
            "error": sdk.error or None,
            "appVersion": sdk.version or None,
        }
    return fields


def v2_function(definition: Definition, paused: bool) -> dict[str, Any]:
    """Show a function."""
    return {
        "id": definition.id,
        "name": definition.name or definition.id,
        "slug": definition.id,
        "isPaused": paused,
        "isArchived": False,
        "app": {"id": definition.app},
        "triggers": [
            {"type": trigger["type"], "value": trigger["value"], "if": trigger["condition"]}
            for trigger in trigger_objects(definition)
        ],
        "configuration": configuration(definition),
    }
