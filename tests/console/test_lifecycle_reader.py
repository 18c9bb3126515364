"""The fast reader. Goal: it reads what the general Avro reader reads, and takes nothing that is cut or strange."""

from __future__ import annotations

import io
import json

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.console.lifecycle_reader import read_lifecycle
from headrace.errors import BadRecord
from headrace.records.history import Kind, LifecycleWriter, decode_lifecycle, schema_text

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
_LONG = st.integers(0, 2**62) | st.integers(1_700_000_000_000, 1_800_000_000_000) | st.integers(0, 300)
_INT = st.integers(0, 2**31 - 1) | st.integers(0, 70)
_MORE = st.fixed_dictionaries(
    {},
    optional={
        "event_ids": st.lists(_TEXT, max_size=70),
        **dict.fromkeys(("status", "phase", "step_id", "op", "output", "error_name", "error_message"), _TEXT),
        **dict.fromkeys(("error_stack", "code", "explanation", "action"), _TEXT),
        **dict.fromkeys(("started_ms", "due_ms"), _LONG),
        **dict.fromkeys(("occurrence", "attempt"), _INT),
    },
)


@given(st.sampled_from(list(Kind)), _LONG, st.integers(0, 5_000), _LONG, _TEXT, _TEXT, _MORE)
@settings(max_examples=300, deadline=None)
def test_it_reads_what_the_general_reader_reads(
    kind: Kind, at_ms: int, partition: int, seq: int, run_id: str, function_id: str, more: dict[str, object]
) -> None:
    value = LifecycleWriter(partition).encode(kind, at_ms, seq, run_id, function_id, more)
    read_lifecycle(value)  # from here on the header is known, and the fast way is taken
    assert read_lifecycle(value) == decode_lifecycle(value)


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**31), 2**31 - 1))
@settings(max_examples=100, deadline=None)
def test_numbers_below_zero_are_read_too(seq: int, attempt: int) -> None:
    value = _by_fastavro(seq=seq, attempt=attempt)
    read_lifecycle(value)
    assert read_lifecycle(value) == decode_lifecycle(value)


def _by_fastavro(**more: object) -> bytes:
    schema = fastavro.parse_schema(json.loads(schema_text("lifecycle")))
    out = io.BytesIO()
    record = {"kind": "StepEnded", "at_ms": 1, "partition": 0, "seq": 0, "run_id": "r", "function_id": "f", **more}
    fastavro.schemaless_writer(out, schema, record)
    return _written()[:10] + out.getvalue()


def _written() -> bytes:
    more = {"event_ids": ["one", "two"], "status": "Completed", "output": "{}", "step_id": "load", "attempt": 2}
    return LifecycleWriter(3).encode(Kind.StepEnded, 1_763_712_000_000, 77 << 20, "run", "function", more)


def test_every_cut_is_noticed() -> None:
    value = _written()
    read_lifecycle(value)
    for length in range(len(value)):
        with pytest.raises(BadRecord):
            read_lifecycle(value[:length])


def test_bytes_left_over_are_noticed() -> None:
    for more in (b"\0", b"\x02", b"\0\0\0\0"):
        with pytest.raises(BadRecord):
            read_lifecycle(_written() + more)


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_strange_bytes_are_refused_and_break_nothing(body: bytes) -> None:
    read_lifecycle(_written())
    for value in (body, _written()[:10] + body):
        try:
            found = read_lifecycle(value)
        except BadRecord:
            continue
        assert found == decode_lifecycle(value)


def test_a_record_of_another_schema_is_refused_by_its_fingerprint() -> None:
    value = bytearray(_written())
    value[5] ^= 0xFF
    with pytest.raises(BadRecord) as refused:
        read_lifecycle(bytes(value))
    assert refused.value.code == "history_schema_unknown"
