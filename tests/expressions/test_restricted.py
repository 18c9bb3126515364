"""Restricted conditions, and ints as CEL has them. Goal: what the SDK protocol tells apart is told apart."""

from __future__ import annotations

import pytest

from headrace.expressions import beyond_conditions, compile_expression


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("event.data.id == async.data.id", ""),
        ("event.data.a != 1 && (async.data.b in [1, 2] || !event.data.c)", ""),
        ("event.data['a'][0] <= -5 ? true : false", ""),
        ("int(event.data.a) == double(async.data.b)", ""),
        ("has(event.data.a)", "has()"),
        ("event.data.a.exists(x, x == 1)", "exists()"),
        ("event.data.a + 1 == 2", "+"),
        ("-event.data.a == 2", "-"),
        ("event.data.a == 1 && async.data.s.startsWith('a')", "startsWith()"),
        ("[lowercase(event.data.a)] == ['a']", "lowercase()"),
        ("event.data.a.int() == 1", "int()"),
    ],
)
def test_what_goes_beyond_a_condition_is_named(source: str, found: str) -> None:
    assert beyond_conditions(source) == found


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("7", 7),
        ("-7", -7),
        ("3 * 4 - 2", 10),
        ("int('12')", 12),
        ("event.data.n == 2 ? 5 : 6", 5),
        ("size(event.data.l)", 2),
        ("event.data.n", None),
        ("2.0", None),
        ("7u", None),
        ("true", None),
        ("event.data.none", None),
        ("1 / 0", None),
    ],
)
def test_an_int_is_one_to_cel(source: str, value: int | None) -> None:
    bindings = {"event": {"data": {"n": 2, "l": [1, 2]}}}
    found = compile_expression(source).whole(bindings, 0)
    assert found == value
    assert type(found) in (int, type(None))
