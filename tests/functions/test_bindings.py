"""Keys of limits. Goal: the quick way of reading a plain path gives what the expression gives, for every event."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.functions.bindings import Key
from headrace.records.rows import KnownEvent

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "b", "found"]), inner, max_size=3)
    ),
    max_leaves=6,
)


def key_of(expression: str, event: Any) -> bytes | None:
    json = event if isinstance(event, bytes) else msgspec.json.encode({"name": "n", **event})
    return Key(expression).unless_false(KnownEvent("01A", "n", json, 0, 0), 0)


@settings(deadline=None)
@given(
    st.sampled_from(["data.a", "data.a.b", "user.b", "data.found", "data"]),
    st.fixed_dictionaries({}, optional={"data": VALUES, "user": VALUES}),
)
def test_a_plain_path_is_read_as_an_index_reads_it(path: str, event: dict[str, Any]) -> None:
    first, _, rest = path.partition(".")
    slow = f'event["{first}"]' + (f".{rest}" if rest else "")
    assert key_of(f"event.{path}", event) == key_of(f" event.{path} ", event) == key_of(slow, event)


@pytest.mark.parametrize(
    ("json", "expected"),
    [
        (b'{"name":"n","data":{"a":"x","a":"y"}}', b"y"),
        (b'{"name":"n","data":{"a":"\\u00e9"}}', "é".encode()),
        (b'{"name":"n","data":{"a":""}}', b""),
        (b'{"name":"n","data":{"a":7}}', b"7"),
        (b'{"name":"n","data":{"a":false}}', None),
        (b'{"name":"n","data":{"a":null}}', b"null"),
        (b'{"name":"n","data":null}', None),
        (b'{"name":"n"}', None),
    ],
)
def test_texts_are_their_own_bytes_and_others_json(json: bytes, expected: bytes | None) -> None:
    assert key_of("event.data.a", json) == expected
    assert Key("event.data.a").of(KnownEvent("01A", "n", json, 0, 0), 0) == (
        expected or b"false" if expected != b"" else b""
    )


def test_what_is_no_plain_path_is_evaluated() -> None:
    event = {"data": {"a": "x", "b": "y"}}
    assert key_of("event.data.a + event.data.b", event) == b"xy"
    assert key_of('event.data["a"]', event) == b"x"
    assert key_of("event.name", event) == b"n"
    assert Key("").of(KnownEvent("01A", "n", b"{}", 0, 0), 0) == b""
