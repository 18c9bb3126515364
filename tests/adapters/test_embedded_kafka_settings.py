"""What the Java of the embedded Kafka is told."""

from __future__ import annotations

import pytest

from headrace.adapters.embedded_kafka_settings import java_options
from headrace.errors import NotReady


def test_kafka_opts_come_last_and_win() -> None:
    plain = java_options(25, {})
    further = java_options(25, {"KAFKA_OPTS": "-Xmx1g '-Dname=of two words'"})
    assert further == [*plain, "-Xmx1g", "-Dname=of two words"]


def test_kafka_opts_that_end_within_a_quotation_are_refused() -> None:
    with pytest.raises(NotReady) as refused:
        java_options(25, {"KAFKA_OPTS": '-Dname="half'})
    assert refused.value.code == "kafka_opts_invalid"
    assert '-Dname="half' in str(refused.value)
