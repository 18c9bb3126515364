"""Apps and functions as objects of GraphQL: dictionaries; a callable in one is a field that is made when asked for."""

from __future__ import annotations

from functools import partial
from typing import Any

from headrace.console.catalog import FAILURE_SUFFIX, App, Shown
from headrace.expressions import format_duration
from headrace.functions.sdk_config import app_uuid, function_uuid
from headrace.records.definitions import CancelOn, Concurrency, Definition, encode_definition
from headrace.version import __version__

Object = dict[str, Any]
_METHODS = {"serve": "SERVE", "connect": "CONNECT"}
_SCOPES = {"function": "FUNCTION", "app": "ENVIRONMENT", "account": "ACCOUNT"}
_RETRIES_DEFAULT = 4


def app_object(shown: Shown, app: App) -> Object:
    """Show an app."""
    sdk = app.sdk
    language, _, version = (sdk.sdk if sdk else f"headrace:v{__version__}").partition(":")
    return {
        "id": app.id,
        "externalID": app.name,
        "name": app.name,
        "sdkLanguage": language,
        "sdkVersion": version.removeprefix("v"),
        "framework": sdk.framework or None if sdk else None,
        "url": sdk.url if sdk else None,
        "checksum": sdk.checksum or None if sdk else None,
        "error": sdk.error or None if sdk else None,
        "functions": lambda _info: [function_object(shown, definition) for definition in app.functions],
        "method": _METHODS.get(sdk.method, "SERVE") if sdk else "API",
        "appVersion": sdk.version or None if sdk else None,
        "connected": not (sdk and sdk.error),
        "functionCount": len(app.functions),
        "autodiscovered": False,
    }


def function_object(shown: Shown, definition: Definition) -> Object:
    """Show a function."""
    return {
        "id": str(function_uuid(definition.id)),
        "name": definition.name or definition.id,
        "slug": definition.id,
        "failureHandler": partial(_failure_handler, shown, definition),
        "config": lambda _info: encode_definition(definition).decode(),
        "configuration": lambda _info: configuration(definition),
        "concurrency": min((limit.limit for limit in definition.concurrency if not limit.key), default=0),
        "triggers": trigger_objects(definition),
        "url": definition.url,
        "appID": str(app_uuid(definition.app)),
        "app": lambda _info: app_object(shown, shown.app_of(definition)),
    }


def gone_function(function_id: str) -> Definition:
    """Make up the definition of a function that is not there any more, for its runs."""
    return Definition(function_id, function_id.partition("-")[0], function_id, [])


def _failure_handler(shown: Shown, definition: Definition, _info: Any) -> Object | None:
    found = shown.functions.get(definition.id + FAILURE_SUFFIX)
    return None if found is None else function_object(shown, found)


def trigger_objects(definition: Definition) -> list[Object]:
    """Show what starts a function."""
    events = [
        {"type": "EVENT", "value": trigger.event, "condition": trigger.expression or None}
        for trigger in definition.triggers
    ]
    crons = [
        {"type": "CRON", "value": f"TZ={cron.timezone} {cron.line}" if cron.timezone else cron.line, "condition": None}
        for cron in definition.crons
    ]
    return [*events, *crons]


def configuration(definition: Definition) -> Object:
    """Show what a function declares beside its triggers."""
    batch, rate, debounce = definition.batch, definition.rate_limit, definition.debounce
    throttle, singleton = definition.throttle, definition.singleton
    return {
        "cancellations": [_cancellation(one) for one in definition.cancel_on],
        "retries": {"value": definition.retries, "isDefault": definition.retries == _RETRIES_DEFAULT},
        "priority": definition.priority or None,
        "eventsBatch": batch and {"maxSize": batch.max_size, **_timed(batch.timeout_ms, batch.key, "timeout")},
        "concurrency": [_concurrency(limit) for limit in definition.concurrency],
        "rateLimit": rate and {"limit": rate.limit, **_timed(rate.period_ms, rate.key)},
        "debounce": debounce and _timed(debounce.period_ms, debounce.key),
        "throttle": throttle
        and {"limit": throttle.limit, "burst": throttle.burst, **_timed(throttle.period_ms, throttle.key)},
        "singleton": singleton and {"mode": singleton.mode.upper(), "key": singleton.key or None},
    }


def _timed(period_ms: int, key: str, name: str = "period") -> Object:
    return {name: format_duration(period_ms), "key": key or None}


def _cancellation(cancel: CancelOn) -> Object:
    condition = cancel.expression or (f"event.{cancel.match} == async.{cancel.match}" if cancel.match else None)
    timeout = format_duration(cancel.timeout_ms) if cancel.timeout_ms else None
    return {"event": cancel.event, "timeout": timeout, "condition": condition}


def _concurrency(limit: Concurrency) -> Object:
    return {
        "scope": _SCOPES.get(limit.scope, "FUNCTION"),
        "limit": {"value": limit.limit, "isPlanLimit": False},
        "key": limit.key or None,
    }
