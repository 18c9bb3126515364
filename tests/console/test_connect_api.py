"""What workers ask over HTTP. Goal: they are sent to the gateway with a token that lets them in, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.console.archive import prepare_archive
from headrace.console.connect_api import ConnectApi
from headrace.console.connect_tokens import ConnectTokens
from headrace.console.guard import GuardSettings
from headrace.execution.connect.messages import (
    Machine,
    Named,
    Reply,
    StartRequest,
    StartResponse,
    Tokens,
    WorkerConnect,
)
from headrace.execution.connect.session import Phase, Session
from headrace.execution.connect.settings import ConnectSettings
from headrace.execution.connect.wire import decode, encode
from headrace.execution.connect.workers import Worker
from headrace.functions.sdk_config import app_uuid
from headrace.intake.access import Access, KeyRing, bearer_forms
from headrace.records.ids import is_ulid
from tests.console.archives import FixedClock, serve
from tests.console.asgi import Answer, ask

KEY = "signkey-prod-" + "ab" * 32
ENVIRONMENT = "00000000-0000-4000-b000-000000000000"


class Gateway:
    """Has workers, and takes replies."""

    def __init__(self) -> None:
        self.workers: list[Worker] = []
        self.replies: list[Reply] = []

    def take_reply(self, reply: Reply) -> None:
        """Take a reply."""
        self.replies.append(reply)


class Node:
    """A server with the endpoints."""

    def __init__(self, path: Path, *, address: str = "", access: Access | None = None) -> None:
        prepare_archive(path)
        self.clock = FixedClock()
        self.gateway = Gateway()
        self.tokens = ConnectTokens(KeyRing(["secret", "older"]), self.clock)
        api = ConnectApi(self.gateway, self.tokens, self.clock, port=9001, address=address, connections_max=3)
        settings = GuardSettings(access) if access is not None else GuardSettings(dev=True)
        self.app = serve(path, routes=api.routes(), settings=settings)

    def start(self, **headers: str) -> Answer:
        """Ask where to connect."""
        return ask(self.app, "POST", "/v0/connect/start", body=encode(StartRequest(["gw-x"])), headers=headers)

    def connect(self, instance: str, *, phase: Phase = Phase.READY) -> Worker:
        """Have a worker connected."""
        session = Session(lambda told: True, ConnectSettings(), self.clock.now_ms - 1_500)
        session.hello = WorkerConnect(
            f"connection-{instance}",
            instance,
            system_attributes=Machine(4, 1 << 30, "linux"),
            sdk_language="py",
            sdk_version="0.5.18",
        )
        session.phase = phase
        worker = Worker(session, {"shop": frozenset({"shop-pay"})})
        self.gateway.workers.append(worker)
        return worker


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path / "a.db")


def hello(started: StartResponse) -> WorkerConnect:
    """Make the introduction of a worker that was told where to connect."""
    return WorkerConnect(started.connection_id, "one", Tokens(started.session_token, started.sync_token))


def test_8_1_start_says_where_the_gateway_is(node: Node) -> None:
    answer = node.start()
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/octet-stream"
    started = decode(StartResponse, answer.body)
    assert is_ulid(started.connection_id)
    assert started.gateway_endpoint == "ws://localhost:9001/v0/connect"
    assert started.gateway_group == "gw-dev"
    assert started.session_token
    assert started.sync_token


def test_8_1_start_may_be_asked_with_nothing(node: Node) -> None:
    assert ask(node.app, "POST", "/v0/connect/start").status == 200


@pytest.mark.parametrize(
    ("host", "endpoint"),
    [
        ("127.0.0.1:8288", "ws://127.0.0.1:9001/v0/connect"),
        ("[::1]:8288", "ws://[::1]:9001/v0/connect"),
        ("localhost", "ws://localhost:9001/v0/connect"),
    ],
)
def test_8_1_the_gateway_is_where_start_was_asked(node: Node, host: str, endpoint: str) -> None:
    assert decode(StartResponse, node.start(host=host).body).gateway_endpoint == endpoint


def test_8_1_a_node_has_room_for_so_many_workers(node: Node) -> None:
    for number in range(3):
        assert node.start().status == 200
        node.connect(f"{number}")
    refused = node.start()
    assert refused.status == 429
    assert refused.json()["code"] == "connections_too_many"
    node.gateway.workers.pop()
    assert node.start().status == 200


def test_the_gateway_may_be_elsewhere(tmp_path: Path) -> None:
    node = Node(tmp_path / "a.db", address="wss://connect.example.com/v0/connect")
    assert decode(StartResponse, node.start().body).gateway_endpoint == "wss://connect.example.com/v0/connect"


def test_8_1_a_token_lets_the_worker_in_that_asked(node: Node) -> None:
    started = decode(StartResponse, node.start().body)
    assert node.tokens.admit(hello(started))


def test_8_1_a_token_is_of_one_connection_and_of_a_few_minutes(node: Node) -> None:
    started, other = decode(StartResponse, node.start().body), decode(StartResponse, node.start().body)
    assert started.connection_id != other.connection_id
    stolen = hello(started)
    stolen.connection_id = other.connection_id
    assert not node.tokens.admit(stolen)
    node.clock.now_ms += 299_999
    assert node.tokens.admit(hello(started))
    node.clock.now_ms += 1
    assert not node.tokens.admit(hello(started))


@pytest.mark.parametrize(
    "token", ["", ".", "1.", "x.y", "99999999999999.00", "\u0661.00", "9" * 40 + ".00", "1.\u00e9"]
)
def test_nonsense_is_no_token(node: Node, token: str) -> None:
    started = decode(StartResponse, node.start().body)
    started.session_token = token
    assert not node.tokens.admit(hello(started))


def test_a_token_of_the_key_before_still_holds(node: Node) -> None:
    older = ConnectTokens(KeyRing(["older"]), node.clock)
    assert node.tokens.admit(WorkerConnect("c", "one", Tokens(older.issue("c"))))
    unknown = ConnectTokens(KeyRing(["unknown"]), node.clock)
    assert not node.tokens.admit(WorkerConnect("c", "one", Tokens(unknown.issue("c"))))


def test_8_1_flush_takes_a_reply(node: Node) -> None:
    told = Reply("request-1", 1, b'"done"', False, None, "js:v4", 2)
    answer = ask(node.app, "POST", "/v0/connect/flush", body=encode(told))
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/octet-stream"
    assert decode(Named, answer.body).request_id == "request-1"
    assert node.gateway.replies == [told]


@pytest.mark.parametrize("body", [b"", b"\x08", b"\x0a\x05a", encode(Reply(body=b"1"))])
def test_8_1_flush_refuses_what_is_no_reply(node: Node, body: bytes) -> None:
    answer = ask(node.app, "POST", "/v0/connect/flush", body=body)
    assert answer.status == 400
    assert answer.json()["code"] == "body_invalid"
    assert node.gateway.replies == []


def test_8_1_flush_has_a_limit(node: Node) -> None:
    assert ask(node.app, "POST", "/v0/connect/flush", body=b"\0" * ((8 << 20) + 1)).status == 413


def test_8_1_start_refuses_what_it_cannot_read(node: Node) -> None:
    assert ask(node.app, "POST", "/v0/connect/start", body=b"\x08").status == 400


def test_8_1_connections_of_an_environment(node: Node) -> None:
    assert ask(node.app, "GET", f"/v0/connect/envs/{ENVIRONMENT}/conns").json() == {"data": []}
    node.connect("one")
    node.connect("two", phase=Phase.PAUSED)
    (one, two) = ask(node.app, "GET", "/v0/connect/envs/dev/conns").json()["data"]
    assert (one["id"], one["instance_id"], one["status"]) == ("connection-one", "one", 1)
    assert (two["id"], two["instance_id"], two["status"]) == ("connection-two", "two", 2)
    assert is_ulid(one["gateway_id"])
    heard_ms = node.clock.now_ms - 1_500
    assert one["last_heartbeat_at"] == {"seconds": heard_ms // 1000, "nanos": heard_ms % 1000 * 1_000_000}
    assert one["attributes"] == {"cpu_cores": 4, "mem_bytes": 1 << 30, "os": "linux"}
    assert list(one["synced_worker_groups"]) == [str(app_uuid("shop"))]
    assert one["synced_worker_groups"] == one["all_worker_groups"] == two["all_worker_groups"]


def test_8_1_connections_of_an_app(node: Node) -> None:
    node.connect("one")
    where = "/v0/connect/envs/dev/conns?app_id="
    assert len(ask(node.app, "GET", where + str(app_uuid("shop"))).json()["data"]) == 1
    assert ask(node.app, "GET", where + str(app_uuid("mail"))).json() == {"data": []}
    assert ask(node.app, "GET", where + "shop").status == 400


def test_8_1_a_group_of_workers(node: Node) -> None:
    one = node.connect("one")
    node.connect("two")
    (shown, _) = ask(node.app, "GET", "/v0/connect/envs/dev/conns").json()["data"]
    (group,) = shown["all_worker_groups"].values()
    told = ask(node.app, "GET", f"/v0/connect/envs/dev/groups/{group}").json()["data"]
    assert told["synced"] is True
    assert told["conns"] == ["connection-one", "connection-two"]
    assert (told["app_name"], told["fns"], told["hash"]) == ("shop", ["shop-pay"], group)
    one.apps = {"shop": frozenset({"shop-pay", "shop-ship"})}
    assert ask(node.app, "GET", f"/v0/connect/envs/dev/groups/{group}").json()["data"]["conns"] == ["connection-two"]
    assert ask(node.app, "GET", "/v0/connect/envs/dev/groups/none").status == 404


@pytest.mark.parametrize("where", ["/v0/connect/start", "/v0/connect/flush"])
def test_8_1_and_5_beyond_loopback_a_signing_key_is_needed(tmp_path: Path, where: str) -> None:
    access = Access(keys_required=True, signing_keys=KeyRing(bearer_forms([KEY])))
    node = Node(tmp_path / "a.db", access=access)
    body = encode(Reply("r")) if where.endswith("flush") else b""
    assert ask(node.app, "POST", where, body=body).status == 401
    wrong = {"authorization": "Bearer signkey-prod-" + "cd" * 32}
    assert ask(node.app, "POST", where, body=body, headers=wrong).status == 401
    for form in bearer_forms([KEY]):
        right = {"authorization": f"Bearer {form}"}
        assert ask(node.app, "POST", where, body=body, headers=right).status == 200
