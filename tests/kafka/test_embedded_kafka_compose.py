"""docker-compose.kafka.yml: three brokers that find each other, three nodes that find the brokers."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from headrace.adapters.embedded_kafka_pins import kafka_version

_FILE = Path(__file__).resolve().parents[2] / "docker-compose.kafka.yml"

Service = dict[str, Any]


@pytest.fixture(scope="module")
def composed() -> dict[str, Any]:
    composed: dict[str, Any] = yaml.safe_load(_FILE.read_text("utf-8"))
    return composed


@pytest.fixture(scope="module")
def brokers(composed: dict[str, Any]) -> dict[str, Service]:
    return {name: service for name, service in composed["services"].items() if name.startswith("kafka-")}


@pytest.fixture(scope="module")
def nodes(composed: dict[str, Any]) -> dict[str, Service]:
    return {name: service for name, service in composed["services"].items() if name.startswith("headrace-")}


def addresses(listeners: str) -> dict[str, tuple[str, int]]:
    """Read `NAME://host:port,…`."""
    found = {}
    for listener in listeners.split(","):
        name, address = listener.split("://")
        host, port = address.rsplit(":", 1)
        found[name] = (host, int(port))
    return found


def test_there_are_three_of_each(
    composed: dict[str, Any], brokers: dict[str, Service], nodes: dict[str, Service]
) -> None:
    assert len(brokers) == len(nodes) == 3
    assert len(composed["services"]) == 6
    assert {broker["image"] for broker in brokers.values()} == {f"apache/kafka:{kafka_version()}"}


def test_the_quorum_is_the_brokers_themselves(brokers: dict[str, Service]) -> None:
    voters = {broker["environment"]["KAFKA_CONTROLLER_QUORUM_VOTERS"] for broker in brokers.values()}
    assert len(voters) == 1, "all see the same voters"
    expected = []
    for name, broker in brokers.items():
        settings = broker["environment"]
        port = addresses(settings["KAFKA_LISTENERS"])[settings["KAFKA_CONTROLLER_LISTENER_NAMES"]][1]
        expected.append(f"{settings['KAFKA_NODE_ID']}@{name}:{port}")
    assert voters.pop().split(",") == expected
    assert len({broker["environment"]["CLUSTER_ID"] for broker in brokers.values()}) == 1


def test_every_listener_has_a_protocol_an_address_and_a_port_of_its_own(brokers: dict[str, Service]) -> None:
    hosts_ports = []
    for name, broker in brokers.items():
        settings = broker["environment"]
        listeners = addresses(settings["KAFKA_LISTENERS"])
        advertised = addresses(settings["KAFKA_ADVERTISED_LISTENERS"])
        protocols = dict(pair.split(":") for pair in settings["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(","))
        assert set(protocols) == set(listeners)
        assert len({port for _, port in listeners.values()}) == len(listeners)
        assert set(advertised) == set(listeners) - {settings["KAFKA_CONTROLLER_LISTENER_NAMES"]}
        for listener, (_, port) in advertised.items():
            assert port == listeners[listener][1], "what is advertised is what is listened on"
        inner = advertised[settings["KAFKA_INTER_BROKER_LISTENER_NAME"]]
        assert inner[0] == name
        outer = advertised["HOST"]
        assert broker["ports"] == [f"{outer[0]}:{outer[1]}:{outer[1]}"]
        hosts_ports.append(outer)
    assert len(set(hosts_ports)) == 3


def test_everything_is_kept_three_times_and_outlives_one_broker(brokers: dict[str, Service]) -> None:
    for broker in brokers.values():
        settings = broker["environment"]
        factors = [value for name, value in settings.items() if name.endswith("REPLICATION_FACTOR")]
        assert factors == [3] * 4
        assert settings["KAFKA_MIN_INSYNC_REPLICAS"] == 2
        assert settings["KAFKA_LOG_DIRS"] in {volume.split(":")[1] for volume in broker["volumes"]}


def test_the_nodes_know_every_broker_and_are_reached_from_this_machine_only(
    brokers: dict[str, Service], nodes: dict[str, Service]
) -> None:
    known = [
        "{}:{}".format(*addresses(broker["environment"]["KAFKA_ADVERTISED_LISTENERS"])["BROKER"])
        for broker in brokers.values()
    ]
    published = []
    for name, node in nodes.items():
        shell, flag, script = node["command"]
        assert (shell, flag) == ("sh", "-c")
        words = shlex.split(script)
        assert words[:2] == ["pip", "install"]
        start = words[words.index("exec") + 1 :]
        assert start[:3] == ["headrace", "start", "app:app"]
        options = dict(zip(start[3::2], start[4::2], strict=True))
        assert options["--kafka"].split(",") == known
        # Beyond loopback a node insists on its keys.
        assert options["--host"] == "0.0.0.0"
        assert {"HEADRACE_EVENT_KEYS", "HEADRACE_API_KEYS", "HEADRACE_SIGNING_KEY"} <= set(node["environment"])
        assert set(node["depends_on"]) == set(brokers)
        assert node["volumes"][0] == f"./examples/orders:{node['working_dir']}:ro"
        assert node["volumes"][1] == f"{name}:{options['--data-dir']}"
        (port,) = node["ports"]
        host, outside, inside = port.split(":")
        assert (host, inside) == ("127.0.0.1", options["--port"])
        published.append(outside)
    assert len(set(published)) == 3


def test_no_two_services_share_a_volume(composed: dict[str, Any]) -> None:
    used = [
        volume.split(":")[0]
        for service in composed["services"].values()
        for volume in service["volumes"]
        if not volume.startswith(".")
    ]
    assert sorted(used) == sorted(composed["volumes"])
