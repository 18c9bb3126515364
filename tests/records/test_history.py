"""The words of the history. Goal: what our writer writes, every Avro reader reads, by the schema that we ship."""

from __future__ import annotations

import io
import json
from typing import Any

import fastavro
import fastavro.schema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.console.lifecycle_reader import read_lifecycle
from headrace.errors import BadRecord
from headrace.records.history import (
    SINGLE_OBJECT_MARKER,
    Kind,
    Lifecycle,
    LifecycleWriter,
    decode_lifecycle,
    schema_text,
)

SCHEMA = json.loads(schema_text("lifecycle"))
TAIL = Lifecycle.__struct_fields__[6:]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=90)
LONG = st.integers(0, 2**62)


def values_of(field: str) -> st.SearchStrategy[Any]:
    kind = next(f["type"] for f in SCHEMA["fields"] if f["name"] == field)
    if kind == "string":
        return TEXT
    return (
        st.lists(TEXT, max_size=3) if isinstance(kind, dict) else st.integers(0, 2**31 - 1) if kind == "int" else LONG
    )


def write(
    kind: int, at_ms: int, partition: int, seq: int, run_id: str, function_id: str, more: dict[str, Any]
) -> bytes:
    return LifecycleWriter(partition).encode(kind, at_ms, seq, run_id, function_id, more)


def test_the_class_has_the_fields_of_the_schema_in_its_order() -> None:
    assert [field["name"] for field in SCHEMA["fields"]] == list(Lifecycle.__struct_fields__)
    kinds = next(field["type"]["symbols"] for field in SCHEMA["fields"] if field["name"] == "kind")
    assert kinds == [kind.name for kind in Kind]


def test_every_field_says_what_it_holds() -> None:
    undocumented = [f["name"] for f in SCHEMA["fields"] if not f.get("doc")]
    assert undocumented in ([], ["error_message"])  # its name says it all


@given(
    st.sampled_from(list(Kind)),
    LONG,
    st.integers(0, 2**31 - 1),
    st.integers(0, 2**62),
    TEXT,
    TEXT,
    st.fixed_dictionaries({}, optional={field: values_of(field) for field in TAIL}),
)
def test_fastavro_reads_what_our_writer_writes(
    kind: Kind, at_ms: int, partition: int, seq: int, run_id: str, function_id: str, more: dict[str, Any]
) -> None:
    written = write(kind, at_ms, partition, seq, run_id, function_id, more)
    expected = Lifecycle(kind.name, at_ms, partition, seq, run_id, function_id, **more)
    assert decode_lifecycle(written) == expected
    assert read_lifecycle(written) == expected
    # And without any code of ours: the marker, the fingerprint, the body.
    parsed = fastavro.parse_schema(SCHEMA)
    fingerprint = fastavro.schema.fingerprint(fastavro.schema.to_parsing_canonical_form(parsed), "CRC-64-AVRO")
    assert written[:2] == SINGLE_OBJECT_MARKER
    assert written[2:10].hex() == fingerprint
    read = fastavro.schemaless_reader(io.BytesIO(written[10:]), parsed, None)
    assert Lifecycle(**read) == expected


@pytest.mark.parametrize("low", [0, 1, 63, 64, 8191, 8192, 2**20 - 1])
@pytest.mark.parametrize("offset", [0, 1, 127, 128, 2**40])
def test_a_seq_is_written_whole_whatever_its_halves(offset: int, low: int) -> None:
    seq = (offset << 20) | low
    assert decode_lifecycle(write(Kind.RunEnded, 1, 0, seq, "r", "f", {})).seq == seq


def test_a_writer_goes_on_from_turn_to_turn() -> None:
    writer = LifecycleWriter(3)
    for at_ms, seq in ((5, 1 << 20), (5, (1 << 20) + 1), (6, 2 << 20), (6, 9 << 20)):
        record = decode_lifecycle(writer.encode(Kind.RunPhase, at_ms, seq, "r", "f", {"phase": "sleeping"}))
        assert (record.at_ms, record.seq, record.partition, record.phase) == (at_ms, seq, 3, "sleeping")


def test_a_lone_surrogate_in_an_error_is_written_as_text() -> None:
    written = write(Kind.RunEnded, 1, 0, 1, "r", "f", {"error_message": "bad \ud800 name"})
    assert decode_lifecycle(written).error_message == "bad \\ud800 name"


def test_a_record_of_another_schema_is_refused() -> None:
    with pytest.raises(BadRecord, match="history record starts with"):
        decode_lifecycle(b"\xc3\x01" + bytes(20))


# As 0.1.0 began to write them: without the field `more`, and with no kind RunMetadata.
_FORMER_HEADER = bytes.fromhex("c3017c1c58add880f14e")


@pytest.mark.parametrize("more", [{}, {"status": "Failed", "action": "look"}, {"event_ids": ["a"], "output": "[1]"}])
def test_a_record_of_the_former_schema_is_read(more: dict[str, Any]) -> None:
    written = write(Kind.RunEnded, 5, 1, 1 << 20, "r", "f", more)
    assert written.endswith(b"\0")
    former = _FORMER_HEADER + written[10:-1]
    for _ in range(2):
        assert decode_lifecycle(former) == read_lifecycle(former) == decode_lifecycle(written)
    with pytest.raises(BadRecord):
        read_lifecycle(former[:-3])


def test_a_field_that_the_schema_does_not_have_is_our_bug() -> None:
    with pytest.raises(AssertionError, match="no_such_field"):
        write(Kind.RunEnded, 1, 0, 1, "r", "f", {"no_such_field": 1})
