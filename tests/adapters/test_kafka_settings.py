"""Settings of the Kafka clients. Goal: what an operator sets arrives, what breaks ownership does not, nothing leaks."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.adapters.kafka_settings import KafkaSettings, environment_name, setting_name
from headrace.errors import NotReady


def test_without_anything_the_broker_is_the_local_one() -> None:
    assert KafkaSettings.load(environment={}) == KafkaSettings("127.0.0.1:9092", {})


def test_a_flag_beats_the_environment_and_the_environment_the_file(tmp_path: Path) -> None:
    file = tmp_path / "kafka.properties"
    file.write_text("# a comment\n\nbootstrap.servers = file:1\nclient.rack=file\n ssl.ca.location = /a=b \n")
    in_file = {"HEADRACE_KAFKA_CONFIG": str(file)}
    assert KafkaSettings.load(environment=in_file) == KafkaSettings(
        "file:1", {"client.rack": "file", "ssl.ca.location": "/a=b"}
    )
    set_twice = {**in_file, "HEADRACE_KAFKA": "environment:1", "HEADRACE_KAFKA_CLIENT_RACK": "environment"}
    assert KafkaSettings.load(environment=set_twice) == KafkaSettings(
        "environment:1", {"client.rack": "environment", "ssl.ca.location": "/a=b"}
    )
    assert KafkaSettings.load("flag:1", set_twice).bootstrap == "flag:1"
    listed = {"HEADRACE_KAFKA_BOOTSTRAP_SERVERS": "listed:1"}
    assert KafkaSettings.load(environment=listed) == KafkaSettings("listed:1", {})


@pytest.mark.parametrize(
    ("variable", "setting"),
    [
        ("HEADRACE_KAFKA_SASL_USERNAME", "sasl.username"),
        ("HEADRACE_KAFKA_SECURITY_PROTOCOL", "security.protocol"),
        ("HEADRACE_KAFKA_LOG_LEVEL", "log_level"),
    ],
)
def test_variables_name_settings(variable: str, setting: str) -> None:
    assert setting_name(variable) == setting
    assert environment_name(setting) == variable


@pytest.mark.parametrize("setting", ["acks", "auto.offset.reset", "group.id", "enable.idempotence", "isolation.level"])
def test_settings_that_the_engine_rests_on_are_refused(setting: str) -> None:
    with pytest.raises(NotReady) as raised:
        KafkaSettings.load(environment={environment_name(setting): "1"})
    assert raised.value.code == "kafka_setting_owned"
    assert setting in raised.value.what
    assert environment_name(setting) in raised.value.do


def test_a_malformed_line_is_named_and_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "kafka.properties"
    file.write_text("client.rack=a\nhunter2\n")
    with pytest.raises(NotReady) as raised:
        KafkaSettings.load(environment={"HEADRACE_KAFKA_CONFIG": str(file)})
    assert raised.value.code == "kafka_config_malformed"
    assert raised.value.where == f"{file}:2"
    assert "hunter2" not in str(raised.value)


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotReady) as raised:
        KafkaSettings.load(environment={"HEADRACE_KAFKA_CONFIG": str(tmp_path / "nowhere")})
    assert raised.value.code == "kafka_config_unreadable"


def test_secrets_are_not_shown() -> None:
    settings = KafkaSettings(
        "b:1",
        {
            "client.rack": "rack-7",
            "sasl.password": "hunter2",
            "sasl.username": "hunter2",
            "ssl.key.password": "hunter2",
            "ssl.key.pem": "hunter2",
            "sasl.oauthbearer.client.secret": "hunter2",
        },
    )
    for shown in (repr(settings), str(settings), f"{settings}"):
        assert "hunter2" not in shown
        assert "rack-7" in shown
        assert "sasl.password=***" in shown


def test_a_clients_own_settings_stand_above_what_is_passed_through() -> None:
    settings = KafkaSettings("b:1", {"linger.ms": "100", "client.rack": "r", "reconnect.backoff.max.ms": "9000"})
    client = settings.client({"acks": "all", "client.rack": "own"}, {"linger.ms": 0, "retry.backoff.ms": 20})
    assert client["acks"] == "all"
    assert client["client.rack"] == "own"
    assert client["linger.ms"] == "100"
    assert client["retry.backoff.ms"] == 20
    assert client["reconnect.backoff.max.ms"] == "9000"
    assert client["bootstrap.servers"] == "b:1"
    assert settings.client({})["reconnect.backoff.ms"] == 50
