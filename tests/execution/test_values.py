"""Results: what is recorded of a Python value, and what comes back from it by a return annotation."""

from __future__ import annotations

import enum
import json
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial, wraps
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, TypedDict, TypeVar

import msgspec
import pydantic
import pytest

from headrace.execution.callables import ResultMismatch, callee_of, decoder_of
from headrace.execution.seams import Settings
from headrace.execution.values import Unserialisable, pack_output
from headrace.records.values import unpack_value

SETTINGS = Settings()
T = TypeVar("T")


class Colour(enum.Enum):
    RED = "red"


class Pair(NamedTuple):
    left: int
    right: str


class Shape(TypedDict, total=False):
    n: int
    at: datetime


@dataclass
class Line:
    sku: str
    count: int = 1
    picture: bytes = b""


@dataclass
class Order:
    id: uuid.UUID
    lines: list[Line] = field(default_factory=list)
    total: Decimal = Decimal(0)
    at: datetime | None = None


class Struct(msgspec.Struct):
    n: int
    seen: set[int]


class Item(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")

    sku: str
    price: Decimal
    blob: bytes = b""
    at: datetime | None = None
    colour: Colour = Colour.RED

    @pydantic.computed_field  # type: ignore[prop-decorator]
    @property
    def label(self) -> str:
        return self.sku.upper()


class Aliased(pydantic.BaseModel):
    order_id: int = pydantic.Field(alias="orderId")
    path: Path = Path("x")


class Cat(pydantic.BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int


class Dog(pydantic.BaseModel):
    kind: Literal["dog"] = "dog"
    bark: str


class Page(pydantic.BaseModel, Generic[T]):
    items: list[T]


@dataclass
class Mixed:
    item: Item
    pets: list[Cat]


AT = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
ITEM = Item(sku="a", price=Decimal("1.10"), blob=b"\xff\x00", at=AT)
ROUND_TRIPS: list[tuple[Any, Any]] = [
    (None, None),
    (True, bool),
    (7, int),
    (-(2**70), int),
    (1.5, float),
    ("größe ✓", str),
    (b"\x00\xff", bytes),
    ([1, "a", None, {"b": [2.5]}], list[Any]),
    ({"a": {"b": [1, 2]}}, dict[str, Any]),
    ({"raw": b"\xff", "n": 1}, dict[str, Any]),
    ((1, "a"), tuple[int, str]),
    ({1, 2}, set[int]),
    (frozenset({"a"}), frozenset[str]),
    (AT, datetime),
    (datetime(2026, 1, 2, 3, 4, 5), datetime),
    (date(2026, 1, 2), date),
    (timedelta(seconds=90), timedelta),
    (Decimal("1.10"), Decimal),
    (uuid.UUID(int=7), uuid.UUID),
    (Colour.RED, Colour),
    (Pair(1, "x"), Pair),
    ({"n": 1, "at": AT}, Shape),
    (Line("a", 2, b"\xff"), Line),
    (Order(uuid.UUID(int=1), [Line("a")], Decimal("9.99"), AT), Order),
    ([Line("a"), Line("b")], list[Line]),
    ({"x": Line("a")}, dict[str, Line]),
    (Line("a"), Line | None),
    (None, Line | None),
    (Struct(1, {1, 2}), Struct),
    (ITEM, Item),
    ([ITEM], list[Item]),
    (Aliased(orderId=3, path=Path("/a/b")), Aliased),
    ([Cat(lives=9), Dog(bark="wuff")], list[Cat | Dog]),
    (Page[Item](items=[ITEM]), Page[Item]),
    (Mixed(ITEM, [Cat(lives=1)]), Mixed),
    ([1, 2], Sequence[int]),
    (Path("/a/b"), Path),
]


@pytest.mark.parametrize(("value", "hint"), ROUND_TRIPS, ids=lambda value: str(value)[:40])
def test_values_come_back_as_they_were(value: Any, hint: Any) -> None:
    packed, text = pack_output(value, SETTINGS)
    decode = decoder_of(hint)
    raw = unpack_value(packed)
    back = raw if decode is None else decode(raw)
    assert back == value
    assert type(back) is type(value)
    json.loads(text)


@pytest.mark.parametrize(
    ("value", "recorded"),
    [
        ((1, 2), [1, 2]),
        (AT, "2026-01-02T03:04:05.678000Z"),
        (Line("a"), {"sku": "a", "count": 1, "picture": b""}),
        ({Colour.RED: 1}, {"red": 1}),
        (
            ITEM,
            {"sku": "a", "price": "1.10", "blob": b"\xff\x00", "at": "2026-01-02T03:04:05.678000Z", "colour": "red"},
        ),
    ],
)
def test_without_an_annotation_plain_data_comes_back(value: Any, recorded: Any) -> None:
    assert unpack_value(pack_output(value, SETTINGS)[0]) == recorded


class Opaque:
    """No data."""


@pytest.mark.parametrize(
    "value", [Opaque(), [Opaque()], {"a": Opaque()}, {(1, 2): 3}, open, "\ud800", Opaque, iter([1])]
)
def test_what_is_no_data_is_refused_with_its_type(value: Any) -> None:
    with pytest.raises(Unserialisable, match=type(value).__qualname__):
        pack_output(value, SETTINGS)


def test_a_list_that_holds_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(Unserialisable):
        pack_output(value, SETTINGS)


def test_a_result_that_is_too_large_is_refused() -> None:
    settings = Settings(output_bytes_max=100)
    pack_output("x" * 90, settings)
    with pytest.raises(Unserialisable, match="100 are allowed"):
        pack_output("x" * 101, settings)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        ({"a": [1, None]}, '{"a":[1,null]}'),
        (b"\x00\x01", '"base64:AAE="'),
        ({"raw": [b"\x00\x01"]}, '{"raw":["base64:AAE="]}'),
        ("ÄÅ", '"ÄÅ"'),  # UTF-8 bytes that msgpack uses as marks of bytes
        (float("nan"), "null"),
        (Line("a", 1, b"\xff"), '{"sku":"a","count":1,"picture":"base64:/w=="}'),
    ],
)
def test_the_text_for_people(value: Any, text: str) -> None:
    assert pack_output(value, SETTINGS)[1] == text


def test_the_text_for_people_is_bounded_and_stays_json() -> None:
    packed, text = pack_output({"a": '"' * 100_000}, SETTINGS)
    assert unpack_value(packed) == {"a": '"' * 100_000}
    assert len(text) <= SETTINGS.output_json_bytes_max + 1_000
    assert "truncated" in json.loads(text)


def test_what_is_recorded_must_fit_the_annotation_of_today() -> None:
    decode = decoder_of(Line)
    assert decode is not None
    with pytest.raises(ResultMismatch, match="Line"):
        decode({"sku": 7})
    decode = decoder_of(Item)
    assert decode is not None
    with pytest.raises(ResultMismatch, match="Item"):
        decode({"sku": "a"})


@pytest.mark.parametrize("hint", [dict, list[str], int, dict[str, int | None], Any, str | None, object, None])
def test_plain_annotations_change_nothing(hint: Any) -> None:
    assert decoder_of(hint) is None


async def returns_line() -> Line:
    return Line("a")


def returns_later() -> Awaitable[Line]:
    return returns_line()


async def unannotated():  # type: ignore[no-untyped-def]
    return 1


def returns_nothing_known() -> Nowhere:  # type: ignore[name-defined]  # noqa: F821
    return 1


class Shop:
    async def load(self) -> Line:
        return Line("a")

    async def __call__(self) -> Line:
        return Line("a")


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    async def wrapper(*args: Any) -> Any:
        return await function(*args)

    return wrapper


@logged
async def first() -> Line:
    return Line("a")


@logged
async def second() -> Pair:
    return Pair(1, "a")


RAW = {"sku": "a"}


def decoded(function: Any, raw: Any = RAW) -> Any:
    callee = callee_of(function)
    return raw if callee.decode is None else callee.decode(raw)


@pytest.mark.parametrize(
    ("function", "is_async", "result"),
    [
        (returns_line, True, Line("a")),
        (returns_later, False, Line("a")),
        (unannotated, True, RAW),
        (lambda: 1, False, RAW),
        (returns_nothing_known, False, RAW),
        (Shop().load, True, Line("a")),
        (Shop(), True, Line("a")),
        (partial(returns_line), True, Line("a")),
        (first, True, Line("a")),
        (len, False, RAW),
        (Line, False, RAW),
    ],
)
def test_callables_of_every_kind(function: Any, is_async: bool, result: Any) -> None:
    assert callee_of(function).is_async is is_async
    assert decoded(function) == result


def test_wrappers_of_one_decorator_keep_their_own_types() -> None:
    assert decoded(first) == Line("a")
    assert decoded(second, [1, "a"]) == Pair(1, "a")


def test_a_type_that_only_the_enclosing_function_knows_is_found() -> None:
    @dataclass
    class Local:
        n: int

    async def knows_it() -> Local:
        return Local(1)

    async def does_not_know_it() -> Local:
        raise NotImplementedError

    assert decoded(knows_it, {"n": 1}) == Local(1)
    assert decoded(does_not_know_it, {"n": 1}) == {"n": 1}


def test_what_is_no_callable_is_explained() -> None:
    called = returns_line()
    with pytest.raises(TypeError, match="pass the function itself"):
        callee_of(called)
    called.close()
