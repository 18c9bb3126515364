"""Options in pairs. Goal: each pair of options runs, and each of the two does what it does alone; or it is refused."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from headrace import Backoff, Batch, CancelOn, Concurrency, Cron, Debounce, Retries, Timeouts
from headrace.errors import BadDeclaration
from headrace.functions.options import AVAILABLE
from tests.functions.option_probes import OPTIONS, Counting, Kit, app_of, bare_app, probe_start_from

VALUES = [(option, shown) for option, values in OPTIONS.items() for shown in values]
PAIRS = [(one, other) for one, other in itertools.combinations(VALUES, 2) if one[0] != other[0]]


def test_every_option_is_here() -> None:
    assert set(OPTIONS) | {"trigger"} == set(AVAILABLE)


@contextmanager
def kit_of(*chosen: tuple[str, str]) -> Iterator[Kit]:
    """Run a function with these options; one with `start_from` comes after the first event."""
    options: dict[str, Any] = {option: OPTIONS[option][shown][0] for option, shown in chosen}
    if "middleware" in options:
        options["middleware"] = [Counting()]
    new = "start_from" in options
    with (bare_app() if new else app_of(options)).test() as t:
        kit = Kit(t, options)
        if new:
            probe_start_from(kit)
        yield kit


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value[1])
def test_an_option_alone(value: tuple[str, str]) -> None:
    with kit_of(value) as kit:
        if value[0] != "start_from":
            OPTIONS[value[0]][value[1]][1](kit)


@pytest.mark.parametrize(("one", "other"), PAIRS, ids=lambda value: value[1])
def test_each_of_two_options_does_what_it_does_alone(one: tuple[str, str], other: tuple[str, str]) -> None:
    with kit_of(one, other) as kit:
        for option, shown in (one, other):
            if option != "start_from":
                OPTIONS[option][shown][1](kit)


@pytest.mark.parametrize(("one", "other"), PAIRS, ids=lambda value: value[1])
def test_what_concerns_both_comes_to_an_end(one: tuple[str, str], other: tuple[str, str]) -> None:
    same = dict.fromkeys(
        ("by_concurrency", "by_throttle", "by_rate_limit", "by_debounce", "by_batch", "by_singleton", "by_idempotency"),
        "same",
    )
    with kit_of(one, other) as kit:
        numbers = [kit.send(**same, bulk=True, hold_s=3, sleep="1m", fails=n % 2, rank=n) for n in range(5)]
        kit.t.send("stop", {"n": numbers[0]})
        kit.t.advance("3h")
        for n in numbers:
            runs, codes = kit.runs(n), kit.codes(n)
            dropped = [code for code in codes if not code.startswith("held_")]
            assert len(runs) + len(dropped) == 1, f"event {n}: {runs}, {codes}"
            assert not runs or runs[0].status in ("Completed", "Cancelled"), runs


# What contradicts itself. (what, the options, the code)
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("both names of one option", {"trigger": "a", "triggers": "b"}, "triggers_twice"),
    ("neither of them", {}, "trigger_missing"),
    ("old events for what takes none", {"trigger": Cron("0 9 * * *"), "start_from": "1d"}, "option_invalid"),
    ("one line twice", {"trigger": [Cron("0 9 * * *"), Cron("0 9 * * *", jitter="1m")]}, "triggers_invalid"),
    ("two zones", {"trigger": Cron("TZ=UTC 0 9 * * *", timezone="Asia/Tokyo")}, "option_invalid"),
    ("a buffer by key and by partition", {"batch": Batch(2, "1s", key="event.id", partitioned=True)}, "option_invalid"),
    ("an end before quiet", {"debounce": Debounce("1m", timeout="1s")}, "option_invalid"),
    ("two numbers for one limit", {"concurrency": [1, 2]}, "option_invalid"),
    ("two conditions", {"cancel_on": CancelOn("x", match="data.id", if_="true")}, "option_invalid"),
    ("no time at all", {"timeouts": Timeouts()}, "option_invalid"),
    ("a longest wait below the first", {"retries": Retries(1, Backoff(base="1h", max="1m"))}, "backoff_invalid"),
    ("a key that reads what is not there yet", {"concurrency": Concurrency(1, key="async.id")}, "unknown_variable"),
]


@pytest.mark.parametrize(("options", "code"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_contradicts_itself_is_refused_with_the_reason(options: dict[str, Any], code: str) -> None:
    if "trigger" not in options and code != "trigger_missing":
        options = {**options, "trigger": "job"}
    with pytest.raises(BadDeclaration) as caught:
        bare_app().function("f", **options)(lambda ctx: None)
    assert caught.value.code == code
    assert caught.value.why
    assert caught.value.do
    assert f"{__file__}:" in caught.value.where
