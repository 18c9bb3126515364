"""Events as user code writes and reads them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pydantic
import pytest

from headrace.errors import BadRecord, BadRequest
from headrace.functions import Event, event_json, event_of
from headrace.records.rows import KnownEvent


class Order(pydantic.BaseModel):
    id: int
    at: datetime


@dataclass
class Line:
    sku: str


def test_an_event_and_a_dict_of_its_shape_are_written_alike() -> None:
    event = Event("order/created", {"n": 1}, id="o-1", ts=1_767_225_600_000, key="c7", user={"id": "u"}, v="2")
    shape = {
        "name": "order/created",
        "data": {"n": 1},
        "id": "o-1",
        "ts": 1_767_225_600_000,
        "user": {"id": "u"},
        "v": "2",
    }
    json_, key = event_json(event)
    assert json.loads(json_) == shape
    assert key == b"c7"
    json_, key = event_json({**shape, "key": "c7"})
    assert json.loads(json_) == shape
    assert key == b"c7"


def test_what_is_left_out_is_not_sent() -> None:
    assert event_json(Event("x/y")) == (b'{"name":"x/y","data":{}}', None)
    assert event_json({"name": "x/y", "id": None, "ts": 0, "data": None}) == (b'{"name":"x/y"}', None)


def test_data_may_hold_dates_dataclasses_and_models() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    json_, _ = event_json(Event("x/y", {"order": Order(id=1, at=at), "lines": [Line("a")], "at": at}))
    assert json.loads(json_)["data"] == {
        "order": {"id": 1, "at": "2026-01-01T00:00:00Z"},
        "lines": [{"sku": "a"}],
        "at": "2026-01-01T00:00:00Z",
    }


def test_two_events_do_not_share_their_data() -> None:
    Event("a").data["x"] = 1
    assert Event("b").data == {}


@pytest.mark.parametrize(
    ("event", "code"),
    [
        ({"name": ""}, "event_name_invalid"),
        ({"data": {}}, "event_not_json"),
        ({"name": "inngest/function.failed"}, "event_name_reserved"),
        ({"name": "x", "data": [1]}, "event_data_invalid"),
        ({"name": "x", "ts": 1_700_000_000}, "event_ts_invalid"),
        ({"name": "x", "ts": "now"}, "event_not_json"),
        ({"name": "x", "date": {}}, "event_field_unknown"),
        ({"name": "x", "key": 7}, "event_key_invalid"),
        ({"name": "x", "data": {"f": object()}}, "event_unserialisable"),
        ("order/created", "event_not_an_event"),
    ],
)
def test_what_is_no_event_is_refused_with_a_reason(event: Any, code: str) -> None:
    with pytest.raises(BadRequest) as caught:
        event_json(event)
    assert caught.value.code == code
    assert caught.value.why
    assert caught.value.do


def test_a_misspelt_field_names_the_one_that_was_meant() -> None:
    with pytest.raises(BadRequest, match="dta") as caught:
        event_json({"name": "x", "dta": {}})
    assert "'data'" in caught.value.do


def known(json_: bytes, given_id: str = "", key: bytes | None = None) -> KnownEvent:
    return KnownEvent("01ARZ3NDEKTSV4RRFFQ69G5FAV", "x/y", json_, 5, 6, given_id, key)


def test_user_code_reads_an_event_with_its_identity_and_time() -> None:
    event = event_of(known(b'{"name":"x/y","data":{"n":1},"id":"mine","ts":5,"v":2,"user":{"id":"u"}}', "mine", b"k"))
    assert event == Event("x/y", {"n": 1}, "mine", 5, "k", {"id": "u"}, 2)


@pytest.mark.parametrize("rest", [b"", b',"data":null', b',"data":{},"user":null', b',"user":[1]'])
def test_what_is_missing_is_empty(rest: bytes) -> None:
    event = event_of(known(b'{"name":"x/y"' + rest + b"}"))
    assert event == Event("x/y", {}, "01ARZ3NDEKTSV4RRFFQ69G5FAV", 5)


def test_a_key_that_is_no_text_can_still_be_read() -> None:
    assert event_of(known(b'{"name":"x/y"}', key=b"\xff")).key == "\ufffd"


def test_data_that_is_no_value_is_refused_with_a_reason() -> None:
    known = KnownEvent("01ARZ3NDEKTSV4RRFFQ69G5FAV", "a/b", b'{"name":"a/b","data":{"f":1e999}}', 1, 1)
    with pytest.raises(BadRecord, match="event_data_unreadable") as raised:
        event_of(known)
    assert "01ARZ3NDEKTSV4RRFFQ69G5FAV" in raised.value.what
