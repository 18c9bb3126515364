"""What a worker says of its apps, as apps register themselves over HTTP (SDK protocol page, sections 2.3 and 8.3)."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec

from headrace.errors import BadRequest
from headrace.execution.connect.messages import WorkerApp, WorkerConnect

INVALID = "connect_invalid_function_config"


def read_functions(app: WorkerApp) -> list[dict[str, Any]]:
    """Read an app's functions. Errors: BadRequest."""
    try:
        return msgspec.json.decode(app.functions or b"[]", type=list[dict[str, Any]])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(
            INVALID,
            f"the functions of the app {app.app_name[:100]!r} cannot be read: {error}",
            why="they are a JSON array of objects",
            do="update the SDK",
        ) from None


def function_ids(functions: list[dict[str, Any]]) -> frozenset[str]:
    """List the full ids of functions."""
    return frozenset(str(_key(function, "id") or "") for function in functions)


def registration(hello: WorkerConnect, app: WorkerApp, functions: list[dict[str, Any]]) -> bytes:
    """Write the body with which the app would register itself, called through its workers."""
    try:
        capabilities = msgspec.json.decode(hello.capabilities or b"{}")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        capabilities = {}
    body = {
        "url": f"ws://connect?app_name={quote(app.app_name, safe='')}",
        "deployType": "connect",
        "framework": hello.framework,
        "appName": app.app_name,
        "appVersion": app.app_version or "",
        "sdk": sdk_name(hello),
        "v": "1",
        "capabilities": capabilities,
        "functions": [_called_through_workers(function) for function in functions],
    }
    return msgspec.json.encode(body)


def sdk_name(hello: WorkerConnect) -> str:
    """Name a worker's SDK and its version."""
    return f"{hello.sdk_language or 'unknown'}:{hello.sdk_version or 'unknown'}"


def _called_through_workers(function: dict[str, Any]) -> dict[str, Any]:
    """Give a function the address that all functions of workers have, whatever its SDK says."""
    url = f"wss://connect?fnId={quote(str(_key(function, 'id') or ''), safe='')}&stepId=step"
    steps = _key(function, "steps")
    step = steps.get("step") if isinstance(steps, dict) else None
    if not isinstance(step, dict):
        return function  # which registration refuses, and says why
    runtime = {"type": "ws", "url": url}
    kept = {name: value for name, value in step.items() if name.lower() != "runtime"}
    others = {name: value for name, value in function.items() if name.lower() != "steps"}
    return {**others, "steps": {"step": {**kept, "runtime": runtime}}}


def _key(mapping: dict[str, Any], name: str) -> Any:
    """Look a key up as registration does: in any case."""
    if name in mapping:
        return mapping[name]
    return next((value for key, value in mapping.items() if key.lower() == name), None)
