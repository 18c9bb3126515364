"""The gateway's port. Goal: it is the one above the node's, unless another was named; a taken one stops nothing."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from headrace.cli.connect_side import take_gateway_port
from headrace.cli.keys import Keys
from headrace.cli.plan import Plan
from headrace.errors import NotReady


def plan(port: int, connect_port: int | None = None) -> Plan:
    """Make what a node was told."""
    return Plan((), None, "headrace", "127.0.0.1", port, Path(), None, 4, Keys(), {}, connect_port=connect_port)


def pair() -> int:
    """Find a port of the loopback address that nobody listens on, as little as on the one above it."""
    while True:
        with socket.socket() as lower, socket.socket() as upper:
            lower.bind(("127.0.0.1", 0))
            port = int(lower.getsockname()[1])
            try:
                upper.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


def test_8_1_it_is_the_port_above_the_nodes() -> None:
    port = pair()
    with take_gateway_port(plan(port)) as bound:
        assert bound.getsockname() == ("127.0.0.1", port + 1)


def test_another_one_may_be_named() -> None:
    port = pair()
    with take_gateway_port(plan(8288, port)) as bound:
        assert bound.getsockname()[1] == port


def test_where_it_is_taken_any_other_one_will_do() -> None:
    port = pair()
    with take_gateway_port(plan(port)), take_gateway_port(plan(port)) as second:
        assert second.getsockname()[1] not in (port, port + 1)


def test_one_that_was_named_has_to_be_free() -> None:
    port = pair()
    with take_gateway_port(plan(8288, port)), pytest.raises(NotReady) as refused:
        take_gateway_port(plan(8288, port))
    assert refused.value.code == "port_taken"
    assert "--connect-gateway-port" in refused.value.do
