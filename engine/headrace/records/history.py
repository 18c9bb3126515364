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
from functools import cache, lru_cache
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
    RunMetadata = 8


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
    more: str = ""


def schema_text(name: str) -> str:
    """Read a schema that ships with the package (`schemas/` of the source tree)."""
    shipped = files("headrace.records") / "schemas" / f"{name}.avsc"
    if shipped.is_file():
        return shipped.read_text()
    return (Path(__file__).parents[3] / "schemas" / f"{name}.avsc").read_text()


def _long(n: int) -> bytes:
    n = (n << 1) ^ (n >> 63)
    return _BYTE[n] if n < 0x80 else _varint(n)


def _varint(n: int) -> bytes:
    out = bytearray()
    while n > 0x7F:
        out.append((n & 0x7F) | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


_BYTE = [bytes([i]) for i in range(0x80)]
_known_long = lru_cache(maxsize=4096)(_long)  # times: the same few again and again within a turn


def _string(text: str) -> bytes:
    raw = text.encode("utf-8", "backslashreplace")
    return (_BYTE[len(raw) << 1] if len(raw) < 64 else _long(len(raw))) + raw


_known_string = lru_cache(maxsize=4096)(_string)  # words of the engine, ids of functions and steps


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


def _writer(field: str) -> Callable[[Any], bytes]:
    if field in ("occurrence", "attempt", "started_ms", "due_ms"):
        return _known_long
    if field in ("output", "error_message", "error_stack", "explanation", "more"):
        return _string
    return _strings if field == "event_ids" else _known_string


_HEAD_FIELDS = 6  # kind, at_ms, partition, seq, run_id, function_id: in every record
_TAIL_FIELDS = Lifecycle.__struct_fields__[_HEAD_FIELDS:]
# A shape is which fields a record has beside the head: the defaults in front of the first one, and for each its name,
# its writer and the defaults behind it. There are about a dozen, so they are made once each.
_Shape = tuple[bytes, list[tuple[str, Callable[[Any], bytes], bytes]]]


def _shape(names: frozenset[str]) -> _Shape:
    unknown = names - set(_TAIL_FIELDS)
    if unknown:
        raise AssertionError(f"no fields of a lifecycle record: {sorted(unknown)}")
    written: list[tuple[str, Callable[[Any], bytes], bytes]] = []
    first = b""
    for field in _TAIL_FIELDS:  # every default is the one byte 0: an empty string or list, or zero
        if field in names:
            written.append((field, _writer(field), b""))
        elif written:
            name, write, behind = written[-1]
            written[-1] = (name, write, behind + b"\0")
        else:
            first += b"\0"
    return first, written


SEQ_BITS = 20  # of a seq: which one within its commit; the rest is the offset of the commit's first record
_SEQ_MASK = (1 << SEQ_BITS) - 1


def _seq_low(low: int) -> bytes:
    # Zigzag makes 21 bits of the 20, which are three groups of seven: the bytes behind them are the same all turn.
    low <<= 1
    return bytes((low & 127 | 128, low >> 7 & 127 | 128, low >> 14 | 128))


_SEQ_LOWS = [_seq_low(low) for low in range(8192)]


class LifecycleWriter:
    """Writes the transitions of one partition; the parts that all records of a turn share are made once."""

    __slots__ = ("_at_ms", "_at_place", "_heads", "_offset", "_offset_bytes", "_partition", "_shapes")

    def __init__(self, partition: int) -> None:
        self._partition = _long(partition)
        self._at_ms = -1
        self._offset = -1
        self._offset_bytes = b""
        self._at_place = b""  # time and partition
        self._heads: list[bytes] = []  # by kind
        self._shapes: dict[tuple[str, ...], _Shape] = {}

    def encode(self, kind: int, at_ms: int, seq: int, run_id: str, function_id: str, more: dict[str, Any]) -> bytes:
        """Write one transition; `more` are further fields of the schema, those left out hold their default."""
        if at_ms != self._at_ms:
            self._at_ms = at_ms
            self._at_place = _long(at_ms) + self._partition
            if not self._heads:
                self._heads = [_header() + _BYTE[k << 1] for k in Kind]
        offset = seq >> SEQ_BITS
        if offset != self._offset:
            self._offset = offset
            self._offset_bytes = _varint(offset)
        low = seq & _SEQ_MASK
        low_bytes = _SEQ_LOWS[low] if low < 8192 else _seq_low(low)
        seq_bytes = low_bytes + self._offset_bytes if offset else _long(seq)
        names = (*more,)
        shape = self._shapes.get(names)
        if shape is None:
            shape = self._shapes[names] = _shape(frozenset(names))
        first, written = shape
        out = self._heads[kind] + self._at_place + seq_bytes + _string(run_id) + _known_string(function_id) + first
        for name, write, behind in written:
            out += write(more[name]) + behind
        return out


# Former schemas: what was written with them is what is written now, without the last fields; each holds its default
# there, which is the one byte 0. How many are missing, by the marker and fingerprint.
_FORMER = {SINGLE_OBJECT_MARKER + bytes.fromhex("7c1c58add880f14e"): 1}  # 0.1.0: without RunMetadata, `more`
HEADER_BYTES = 10


def in_this_schema(value: bytes) -> bytes:
    """Give a transition that was written with a former schema as one of this schema; any other as it is."""
    missing = _FORMER.get(value[:HEADER_BYTES])
    return value if missing is None else _header() + value[HEADER_BYTES:] + bytes(missing)


def decode_lifecycle(value: bytes) -> Lifecycle:
    """Read one transition; `BadRecord` for a value of another schema."""
    import fastavro

    value = in_this_schema(value)
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
