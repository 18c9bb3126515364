"""Sessions of events. Goal: what a sender wrote and what an SDK took over become one map, as the protocol has it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from headrace.errors import BadRequest
from headrace.records.event_sessions import merged_meta, with_sessions


def merged(**meta: Any) -> Any:
    return msgspec.json.decode(merged_meta(msgspec.json.encode(meta)))


@pytest.mark.parametrize(
    ("meta", "sessions"),
    [
        ({"sessions": {"org": "acme"}}, {"org": "acme"}),
        ({"sessions": {"n": 7, "f": 1.5}}, {"n": "7", "f": "1.5"}),
        ({"propagated_sessions": {"org": "acme"}}, {"org": "acme"}),
        ({"sessions": {"org": "own"}, "propagated_sessions": {"org": "acme", "a": "b"}}, {"org": "own", "a": "b"}),
        ({"sessions": {"org": None, "x": "1"}, "propagated_sessions": {"org": "acme"}}, {"x": "1"}),
        (
            {"sessions": {"d": "own"}, "propagated_sessions": dict.fromkeys("fecba", "1")},
            {"d": "own", "a": "1", "b": "1", "c": "1", "e": "1"},
        ),
    ],
)
def test_the_two_maps_become_one(meta: Any, sessions: dict[str, str]) -> None:
    assert merged(**meta) == {"sessions": sessions}


def test_null_gives_up_all_that_was_taken_over() -> None:
    assert merged(sessions=None, propagated_sessions={"org": "acme"}) == {}
    assert merged(sessions={}, propagated_sessions={"org": "acme"}) == {"sessions": {"org": "acme"}}


@pytest.mark.parametrize(
    "sessions",
    [{"a": True}, {"a": {}}, {"": "x"}, {"a": ""}, {"k" * 129: "x"}, {"a": "x" * 513}, dict.fromkeys("abcdef", "1"), 3],
)
def test_sessions_that_break_the_rules_are_refused(sessions: Any) -> None:
    with pytest.raises(BadRequest) as refused:
        merged(sessions=sessions)
    assert refused.value.code == "event_sessions_invalid"


def test_the_rest_of_an_event_stays_as_it_is() -> None:
    event = b'{"name":"a","data":{"meta":1},"meta":{"own":1,"sessions":{"a":null},"propagated_sessions":{"a":"1"}}}'
    assert with_sessions(event) == b'{"name":"a","data":{"meta":1},"meta":{"own":1}}'
    for untouched in (b'{"name": "a"}', b'{"name": "a", "meta": [1]}', b'{"name": "a", "data": {"meta": {"x": 1}}}'):
        assert with_sessions(untouched) == untouched
    assert with_sessions(b'{"name":"a","meta":{"sessions":null}}') == b'{"name":"a"}'
