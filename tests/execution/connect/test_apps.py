"""What workers say of their apps. Goal: it is registered as over HTTP, with the addresses that all workers have."""

from __future__ import annotations

import msgspec
import pytest

from headrace.errors import BadRequest
from headrace.execution.connect.apps import function_ids, read_functions, registration
from headrace.execution.connect.messages import WorkerApp, WorkerConnect
from headrace.functions.sdk_config import read_registration
from tests.execution.connect.workers import app, function


def worker() -> WorkerConnect:
    """Make what a worker says of itself."""
    return WorkerConnect(
        sdk_language="py", sdk_version="0.5.18", framework="connect", platform="here", capabilities=b'{"connect":"v1"}'
    )


def test_8_3_an_app_registers_as_one_that_is_called_through_its_workers() -> None:
    told = app("my shop", ("my shop-pay",))
    body = msgspec.json.decode(registration(worker(), told, read_functions(told)))
    (registered,) = body.pop("functions")
    assert body == {
        "url": "ws://connect?app_name=my%20shop",
        "deployType": "connect",
        "framework": "connect",
        "appName": "my shop",
        "appVersion": "v7",
        "sdk": "py:0.5.18",
        "v": "1",
        "capabilities": {"connect": "v1"},
    }
    assert registered["steps"]["step"] == {
        "id": "step",
        "name": "step",
        "runtime": {"type": "ws", "url": "wss://connect?fnId=my%20shop-pay&stepId=step"},
        "retries": {"attempts": 3},
    }
    assert registered["triggers"] == [{"event": "a/b"}]


def test_8_3_what_a_worker_says_is_read_like_any_registration() -> None:
    told = app()
    read = read_registration(registration(worker(), told, read_functions(told)))
    assert (read.name, read.method, read.sdk, read.version) == ("shop", "connect", "py:0.5.18", "v7")
    (definition,) = read.definitions
    assert (definition.id, definition.url) == ("shop-pay", "wss://connect?fnId=shop-pay&stepId=step")


def test_keys_may_be_written_in_any_case() -> None:
    told = WorkerApp("shop", None, msgspec.json.encode([{"ID": "shop-pay", "Steps": {"step": {"Runtime": {}}}}]))
    functions = read_functions(told)
    assert function_ids(functions) == {"shop-pay"}
    (registered,) = msgspec.json.decode(registration(worker(), told, functions))["functions"]
    assert registered["steps"] == {
        "step": {"runtime": {"type": "ws", "url": "wss://connect?fnId=shop-pay&stepId=step"}}
    }


def test_functions_without_steps_are_left_for_registration_to_refuse() -> None:
    broken = {name: value for name, value in function("shop-pay").items() if name != "steps"}
    told = WorkerApp("shop", None, msgspec.json.encode([broken]))
    with pytest.raises(BadRequest):
        read_registration(registration(worker(), told, read_functions(told)))


@pytest.mark.parametrize("functions", [b"{}", b"[1]", b"[", b"\xff"])
def test_functions_that_cannot_be_read_are_refused(functions: bytes) -> None:
    with pytest.raises(BadRequest) as refused:
        read_functions(WorkerApp("shop", None, functions))
    assert refused.value.code == "connect_invalid_function_config"


def test_an_app_without_functions_is_an_app() -> None:
    assert read_functions(WorkerApp("shop")) == []


def test_capabilities_that_cannot_be_read_are_none() -> None:
    told = worker()
    told.capabilities = b"nonsense"
    assert msgspec.json.decode(registration(told, app(), []))["capabilities"] == {}
