"""What a node is made of. Goal: the switches of the environment reach it, and nothing else does."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.adapters.kafka_settings import KafkaSettings
from headrace.cli.assembly import NodeSettings, with_retry_interval
from headrace.errors import NotReady
from headrace.functions import Retries, declare_function
from headrace.records.limits import RunLimits


@pytest.mark.parametrize(
    ("variables", "skip", "evict"),
    [
        ({}, False, False),
        ({"HEADRACE_SKIP_EXPIRED": "1"}, True, False),
        ({"HEADRACE_SKIP_EXPIRED": "0"}, False, False),
        ({"HEADRACE_EVICT": "always"}, False, True),
        ({"HEADRACE_EVICT": "never"}, False, False),
    ],
)
def test_switches(variables: dict[str, str], skip: bool, evict: bool) -> None:
    settings = NodeSettings.load(KafkaSettings(), "p", "n", variables)
    assert (settings.skip_expired, settings.evict_always) == (skip, evict)


def test_limits_of_runs_are_taken_from_the_environment() -> None:
    assert NodeSettings.load(KafkaSettings(), "p", "n", {}).limits == RunLimits()
    variables = {"HEADRACE_MAX_STEPS": "20_000", "HEADRACE_MAX_STEP_OUTPUT_BYTES": "1024", "HEADRACE_MAX_SLEEP_MS": ""}
    limits = NodeSettings.load(KafkaSettings(), "p", "n", variables).limits
    assert limits == RunLimits(steps=20_000, step_output_bytes=1024)


@pytest.mark.parametrize("value", ["0", "-1", "many", "1e3", "1000001", "9" * 30])
def test_limits_that_make_no_sense_stop_the_start(value: str) -> None:
    with pytest.raises(NotReady) as caught:
        NodeSettings.load(KafkaSettings(), "p", "n", {"HEADRACE_MAX_STEPS": value})
    assert caught.value.code == "limit_invalid"


def test_a_retry_interval_replaces_every_wait_and_nothing_else() -> None:
    async def greet(ctx: Any) -> None: ...

    async def sorry(ctx: Any) -> None: ...

    options = {"trigger": "parcel/opened", "retries": Retries(7), "on_failure": sorry}
    functions = {function.id: function for function in declare_function("parcel", "greet", greet, options)}
    changed = with_retry_interval(functions, 50)
    assert list(changed) == ["parcel-greet", "parcel-greet-failure"]
    for function_id, function in changed.items():
        backoff = function.definition.backoff
        assert (backoff.type, backoff.base_ms, backoff.max_ms, backoff.jitter) == ("fixed", 50, 50, 0)
        assert function.call is functions[function_id].call
    assert changed["parcel-greet"].definition.retries == 7
