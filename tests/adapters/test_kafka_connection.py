"""Whether Kafka can be reached. Goal: an operator reads what is wrong and what to do, soon."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from headrace.adapters.kafka_connection import check_connection
from headrace.adapters.kafka_settings import KafkaSettings
from headrace.errors import HeadraceError, LogUnavailable, NotReady


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that nobody listens on while the test lasts."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def failure(settings: KafkaSettings, timeout_ms: int = 500) -> HeadraceError:
    with pytest.raises(HeadraceError) as raised:
        check_connection(settings, timeout_ms)
    error = raised.value
    assert error.what
    assert error.why
    assert error.do
    return error


@pytest.mark.kafka
def test_a_cluster_says_who_it_is(kafka_bootstrap: str) -> None:
    cluster = check_connection(KafkaSettings(kafka_bootstrap), 10_000)
    assert cluster.cluster_id
    assert cluster.brokers == (kafka_bootstrap,)


def test_nobody_listening_is_said_with_the_address(closed_port: int) -> None:
    error = failure(KafkaSettings(f"127.0.0.1:{closed_port}"))
    assert isinstance(error, LogUnavailable)
    assert error.code == "kafka_unreachable"
    assert f"127.0.0.1:{closed_port}" in error.what
    assert "refused" in error.why


def test_somebody_who_listens_and_never_answers_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = failure(KafkaSettings(f"127.0.0.1:{silent.getsockname()[1]}"))
    assert error.code == "kafka_unreachable"


@pytest.mark.parametrize("setting", [{"no.such.setting": "1"}, {"socket.timeout.ms": "soon"}])
def test_a_setting_that_the_client_does_not_take_is_named(setting: dict[str, str], closed_port: int) -> None:
    error = failure(KafkaSettings(f"127.0.0.1:{closed_port}", setting))
    assert isinstance(error, NotReady)
    assert error.code == "kafka_setting_refused"
    assert next(iter(setting)) in error.what


@pytest.mark.kafka
def test_a_login_that_the_broker_does_not_know_is_refused_at_once(kafka_bootstrap: str) -> None:
    login = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN"}
    settings = KafkaSettings(kafka_bootstrap, {**login, "sasl.username": "u", "sasl.password": "hunter2"})
    error = failure(settings, 20_000)
    assert isinstance(error, NotReady)
    assert error.code == "kafka_refused"
    assert "hunter2" not in str(error)
