"""What the engine alone reads, and events of strangers. Goal: nothing unreadable is taken for something else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.errors import BadRecord, HeadraceError, StateCorrupted
from headrace.records.changelog import LOG_RECORD, Chunk, Claim
from headrace.records.commands import ENVELOPE, CancelRun, Envelope
from headrace.records.dead import dead_headers
from headrace.records.definitions import Backoff, Definition, EventTrigger, decode_definition, encode_definition
from headrace.records.events import EVENT_BYTES_MAX, INTERNAL_EVENT_BYTES_MAX, read_event
from headrace.records.rows import KnownEvent, split_step_name, step_name, timer_key
from headrace.records.values import pack_value, unpack_value

EVENT = KnownEvent("01J8Z3K4M5N6P7Q8R9S0T1V2W3", "a", b'{"name":"a"}', 1, 2, "mine", b"key")


@pytest.mark.parametrize(
    "record",
    [
        Claim("node", "uuid"),
        Chunk(7, 1, 1, 0, True, [(b"k", b"v"), (b"gone", None)]),
        Chunk(7, 2, 1, 1, True, [], 5, 6),
    ],
)
def test_records_of_the_changelog_come_back_as_they_were(record: Claim | Chunk) -> None:
    assert LOG_RECORD.decode(LOG_RECORD.encode(record)) == record


@pytest.mark.parametrize("command", [EVENT, CancelRun("01J8Z3K4M5N6P7Q8R9S0T1V2W3", "enough")])
def test_commands_come_back_as_they_were(command: Any) -> None:
    envelope = Envelope(3, 9, -1, command)
    assert ENVELOPE.decode(ENVELOPE.encode(envelope)) == envelope


def test_a_newer_format_is_refused_by_its_version() -> None:
    with pytest.raises(StateCorrupted, match="format version 2; this build knows 1"):
        LOG_RECORD.decode(b"\x02" + LOG_RECORD.encode(Claim("n", "u"))[1:])


@pytest.mark.parametrize("packed", [b"", b"\x01", b"\x01\xff", b"\x01\x93\x01"])
def test_half_a_record_is_refused(packed: bytes) -> None:
    with pytest.raises(StateCorrupted):
        LOG_RECORD.decode(packed)


@given(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=30),
    st.integers(0, 99),
)
def test_a_step_name_keeps_its_id_and_its_occurrence(step_id: str, occurrence: int) -> None:
    assert split_step_name(step_name(step_id, occurrence)) == (step_id, occurrence)


def test_no_two_steps_share_a_name() -> None:
    names = [step_name(i, n) for i in ("a", "a1", "a:1", "1") for n in (0, 1, 11)]
    assert len(set(names)) == len(names)


def test_timers_sort_by_the_time_they_are_due() -> None:
    dues = [0, 1, 255, 256, 65_535, 2**41]
    keys = [timer_key(due, kind, "r" * 26, b"s") for due in dues for kind in (0, 1)]
    assert sorted(keys) == keys


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(PLAIN | st.binary(max_size=50))
def test_values_come_back_as_they_were(value: Any) -> None:
    assert unpack_value(pack_value(value)) == value


def test_bytes_inside_a_value_stay_bytes() -> None:
    value = {"image": b"\x00\xff", "parts": [b"a"]}
    assert unpack_value(pack_value(value)) == value


def test_a_definition_comes_back_and_equal_ones_are_equal_bytes() -> None:
    definition = Definition(
        "shop-f", "shop", "f", [EventTrigger("a/*", "event.data.n > 1")], 5, Backoff("fixed", 10, 10, 0.0)
    )
    assert decode_definition(encode_definition(definition)) == definition
    assert encode_definition(Definition("shop-f", "shop", "f", [])) == encode_definition(
        Definition("shop-f", "shop", "f", [])
    )
    with pytest.raises(BadRecord):
        decode_definition(b'{"id": 1}')


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, "event_empty"),
        (b"", "event_empty"),
        (b"\xff\xfe", "event_not_utf8"),
        (b'{"name": "a", "data": {"x": "\xff"}}', "event_not_utf8"),
        (b"[]", "event_not_json"),
        (b'{"data": {}}', "event_not_json"),
        (b'{"name": 7}', "event_not_json"),
        (b'{"name": "a", "data": {"x": }}', "event_not_json"),
        (b'{"name": "a"} {"name": "b"}', "event_not_json"),
        (b'{"name": "a", "data": ' + b'{"x":' * 100_000, "event_not_json"),
        (b'{"name": ""}', "event_name_invalid"),
        (b'{"name": "' + b"a" * 513 + b'"}', "event_name_invalid"),
        (b'{"name": "inngest/function.failed"}', "event_name_reserved"),
        (b'{"name": "Inngest/x"}', "event_name_reserved"),
        (b'{"name": "a", "data": []}', "event_data_invalid"),
        (b'{"name": "a", "data": "text"}', "event_data_invalid"),
        (b'{"name": "a", "ts": 12}', "event_ts_invalid"),
        (b'{"name": "a", "ts": 99999999999999}', "event_ts_invalid"),
        (b'{"name": "a", "data": {"x": "' + b"y" * EVENT_BYTES_MAX + b'"}}', "event_too_large"),
    ],
)
def test_what_is_no_event_says_why(value: bytes | None, code: str) -> None:
    with pytest.raises(BadRecord) as caught:
        read_event(value)
    assert caught.value.code == code
    assert caught.value.what
    assert caught.value.why
    assert caught.value.do


@pytest.mark.parametrize(
    "value",
    [
        b'{"name": "a"}',
        b'{"name": "a", "data": null}',
        b'{"name": "a", "data": {}, "ts": 0, "v": "1", "user": {}}',
        '{"name": "größe", "data": {"ä": "ö"}}'.encode(),
        b'{"name": "a", "unknown": [1, 2], "meta": {"sessions": {}}}',
    ],
)
def test_what_is_an_event(value: bytes) -> None:
    assert read_event(value).name in ("a", "größe")


def test_the_engines_own_events_may_have_reserved_names_and_be_larger() -> None:
    value = b'{"name": "inngest/function.failed", "data": {"x": "' + b"y" * EVENT_BYTES_MAX + b'"}}'
    assert len(value) < INTERNAL_EVENT_BYTES_MAX
    assert read_event(value, internal=True).name == "inngest/function.failed"


def test_a_dead_letter_says_why_and_where_it_stood() -> None:
    headers = dict(dead_headers(HeadraceError("code", "what", why="why", do="do"), "topic", 3, 42))
    assert headers == {
        "headrace-code": b"code",
        "headrace-reason": b"what; why; do",
        "headrace-topic": b"topic",
        "headrace-partition": b"3",
        "headrace-offset": b"42",
    }
