"""What the tables of this folder evaluate their expressions on."""

from __future__ import annotations

from headrace.errors import BadRecord
from headrace.expressions import compile_expression

NOW_MS = 1_755_850_000_000  # 2025-08-22T08:06:40Z

EVENT: dict[str, object] = {
    "name": "order/created",
    "id": "evt-1",
    "ts": 1_755_850_000_000,
    "user": {"email": "ada@example.com"},
    "data": {
        "n": 5,
        "half": 1.5,
        "zero": 0,
        "big": 2**60,
        "text": "abc",
        "empty": "",
        "nul": None,
        "yes": True,
        "no": False,
        "list": [1, 2, 3],
        "tags": ["a", "b"],
        "items": [{"sku": "x", "price": 10}, {"sku": "y", "price": 20.5}, {"sku": "z"}],
        "map": {"k": 1, "user-id": "u7"},
        "nothing": {},
        "none": [],
        "when": "2026-01-01T12:00:00Z",
        "in": "reserved",
    },
}
ASYNC: dict[str, object] = {"name": "payment/succeeded", "data": {"text": "abc", "n": 5.0, "nul": None}}
BINDINGS: dict[str, object] = {"event": EVENT, "async": ASYNC}


class Fails:
    """What an expression gives that fails: the table's word for BadRecord."""

    def __repr__(self) -> str:
        return "FAILS"


FAILS = Fails()


def value_of(source: str) -> object:
    """Evaluate an expression on EVENT and ASYNC; FAILS where it raises BadRecord."""
    try:
        return compile_expression(source).evaluate(BINDINGS, NOW_MS)
    except BadRecord as refused:
        failure = refused
    assert failure.code == "expression_failed"
    assert repr(source) in failure.what
    return FAILS


def check(source: str, expected: object) -> None:
    """Compare value and type (True is no 1, 1 is no 1.0), and that `matches` agrees with `evaluate`."""
    value = value_of(source)
    assert value == expected, source
    assert type(value) is type(expected), source
    assert compile_expression(source).matches(BINDINGS, NOW_MS) is (expected is True), source
