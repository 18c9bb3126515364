"""History: one Avro record for each transition of a run, schema `schemas/lifecycle.avsc`.

A value is Avro's single-object encoding (specification, "Single-object encoding"): C3 01, the schema's CRC-64-AVRO
fingerprint (little endian), then the binary body. So a reader of any language knows what it reads, and the marker is
our format version.

The writer is our own and the reader is fastavro's: a turn writes one or two of these for every event, and a general
writer takes 5 µs for each where this one takes under 2 (the body is mostly defaults, which are joined as they stand). A
test holds the two together.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from enum import IntEnum
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from headrace.errors import BadRecord

SINGLE_OBJECT_MARKER = b"\xc3\x01"


class Kind(IntEnum):
    """What happened; the order is the schema's."""

    RunScheduled = 0
    RunPhase = 1
    RunAttemptFailed = 2
    RunEnded = 3
    StepPlanned = 4
    StepAttemptFailed = 5
    StepEnded = 6
    EventVerdict = 7


class Lifecycle(msgspec.Struct):
    """One transition, as it is read back; the fields are the schema's, in its order."""

    kind: str
    at_ms: int
    partition: int
    seq: int
    run_id: str
    function_id: str
    event_ids: list[str] = []
    status: str = ""
    phase: str = ""
    step_id: str = ""
    occurrence: int = 0
    op: str = ""
    attempt: int = 0
    started_ms: int = 0
    due_ms: int = 0
    output: str = ""
    error_name: str = ""
    error_message: str = ""
    error_stack: str = ""
    code: str = ""
    explanation: str = ""
    action: str = ""


def schema_text(name: str) -> str:
    """Read a schema that ships with the package (`schemas/` of the source tree)."""
    shipped = files("headrace.records") / "schemas" / f"{name}.avsc"
    if shipped.is_file():
        return shipped.read_text()
    return (Path(__file__).parents[3] / "schemas" / f"{name}.avsc").read_text()


def _long(n: int) -> bytes:
    n = (n << 1) ^ (n >> 63)
    if n < 0x80:
        return _BYTE[n]
    out = bytearray()
    while n > 0x7F:
        out.append((n & 0x7F) | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


_BYTE = [bytes([i]) for i in range(0x80)]


def _string(text: str) -> bytes:
    raw = text.encode("utf-8", "backslashreplace")
    return (_BYTE[len(raw) << 1] if len(raw) < 64 else _long(len(raw))) + raw


def _strings(texts: list[str]) -> bytes:
    if not texts:
        return b"\0"
    return _long(len(texts)) + b"".join(map(_string, texts)) + b"\0"


@cache
def _schema() -> Any:
    import fastavro

    return fastavro.parse_schema(json.loads(schema_text("lifecycle")))


@cache
def _header() -> bytes:
    import fastavro.schema

    canonical = fastavro.schema.to_parsing_canonical_form(_schema())
    return SINGLE_OBJECT_MARKER + bytes.fromhex(fastavro.schema.fingerprint(canonical, "CRC-64-AVRO"))


_WRITERS: dict[str, tuple[int, Callable[[Any], bytes]]] = {}
for _index, _field in enumerate(Lifecycle.__struct_fields__):
    _writer: Callable[[Any], bytes] = _string
    if _field in ("kind", "at_ms", "partition", "seq", "occurrence", "attempt", "started_ms", "due_ms"):
        _writer = _long
    elif _field == "event_ids":
        _writer = _strings
    _WRITERS[_field] = (_index + 1, _writer)  # 0 is the header
_TEMPLATE = [b"\0"] * (len(_WRITERS) + 1)


def encode_lifecycle(
    kind: int, at_ms: int, partition: int, seq: int, run_id: str, function_id: str, **more: Any
) -> bytes:
    """Write one transition; `more` are further fields of the schema, those left out hold their default."""
    parts = _TEMPLATE.copy()
    parts[0] = _header()
    parts[1] = _BYTE[kind << 1]
    parts[2] = _long(at_ms)
    parts[3] = _long(partition)
    parts[4] = _long(seq)
    parts[5] = _string(run_id)
    parts[6] = _string(function_id)
    for name, value in more.items():
        index, write = _WRITERS[name]
        parts[index] = write(value)
    return b"".join(parts)


def decode_lifecycle(value: bytes) -> Lifecycle:
    """Read one transition; `BadRecord` for a value of another schema."""
    import fastavro

    header = _header()
    if value[: len(header)] != header:
        raise BadRecord(
            "history_schema_unknown",
            f"a history record starts with {value[:10].hex()}, not with {header.hex()}",
            why="it was written with another schema: by another version, or not by Headrace",
            do="read it with the version that wrote it",
        )
    record: Any = fastavro.schemaless_reader(io.BytesIO(value[len(header) :]), _schema(), None)
    return Lifecycle(**record)
