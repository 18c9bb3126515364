"""The lenient rules: missing paths, null, mixed types, truthiness. Each row is a rule or an edge of one."""

from __future__ import annotations

import pytest

from tests.expressions.worked import FAILS, check

MISSING: list[tuple[str, object]] = [
    # == and !=
    ("event.data.x == null", True),
    ("null == event.data.x", True),
    ("event.data.x != null", False),
    ('event.data.x == "foo"', False),
    ('event.data.x != "foo"', True),
    ("event.data.x == 0", False),
    ("event.data.x != 0", True),
    ('event.data.x == ""', False),
    ('event.data.x != ""', True),
    ("event.data.x == false", False),
    ("event.data.x == []", False),
    ("event.data.x.y.z == null", True),
    ("event.data.text.y == null", True),
    ("event.data.n.y == null", True),
    ("event.data.nul.y == null", True),
    ("event.data.list.y == null", True),
    ("event.data.tags[2] == null", True),
    ("event.data.tags[-1] == null", True),
    ('event.data.map["z"] == null', True),
    ("event.nope.x == null", True),
    # both sides
    ("event.data.x == event.data.y", False),
    ("event.data.x == async.data.x", False),
    ("event.data.x != async.data.x", True),
    ("event.data.x < event.data.y", False),
    ("event.data.x <= event.data.y", False),
    ("event.data.x > event.data.y", False),
    ("event.data.x >= event.data.y", False),
    # a path against a path: both must be there
    ("event.data.nul == async.data.x", False),
    ("event.data.x == async.data.nul", False),
    ("event.data.nul != async.data.x", True),
    ("event.data.nul == async.data.nul", True),
    # order: missing is less than everything
    ("event.data.x < 5", True),
    ("event.data.x <= 5", True),
    ("event.data.x > 5", False),
    ("event.data.x >= 5", False),
    ("event.data.x < -5", True),
    ("5 < event.data.x", False),
    ("5 <= event.data.x", False),
    ("5 > event.data.x", True),
    ("5 >= event.data.x", True),
    ('event.data.x < "a"', True),
    ('"a" < event.data.x', False),
    ("event.data.n > event.data.x", True),
    ("event.data.x < event.data.n", True),
    ("event.data.x < null", True),
    ("null < event.data.x", False),
    # + gives the other side
    ("event.data.text + event.data.x", "abc"),
    ("event.data.x + event.data.text", "abc"),
    ("event.data.x + 1", 1),
    ("event.data.x + event.data.y", False),
    ("event.data.text + '-' + event.data.x", "abc-"),
    ("event.data.text + '-' + event.data.half + '-' + event.data.yes + '-' + event.data.x", "abc-1.5-true-"),
    # other arithmetic, functions and methods give false
    ("event.data.x - 1", False),
    ("1 - event.data.x", False),
    ("event.data.x * 2", False),
    ("2 / event.data.x", False),
    ("event.data.x % 2", False),
    ("-event.data.x", False),
    ("lowercase(event.data.x)", False),
    ("int(event.data.x)", False),
    ("string(event.data.x)", False),
    ("date(event.data.x)", False),
    ("type(event.data.x)", False),
    ("json_parse(event.data.x)", False),
    ("event.data.x.contains('a')", False),
    ("event.data.x.startsWith('a')", False),
    ("event.data.x.matches('a')", False),
    ("event.data.text.contains(event.data.x)", False),
    ("event.data.x.y.contains(event.data.z)", False),
    ("event.data.x.getHours()", False),
    ("dyn(event.data.x) == null", True),
    # size, in, has
    ("size(event.data.x)", 0),
    ("event.data.x.size()", 0),
    ("size(event.data.x) == 0", True),
    ("size(event.data.x) > 0", False),
    ("event.data.x in ['a', 'b']", False),
    ("event.data.x in [null]", False),
    ("event.data.x in event.data.list", False),
    ("'a' in event.data.x", False),
    ("'item' in event.data.issue.fields.tags", False),
    ("event.data.x in ['a'] == false", True),
    ("has(event.data.x)", False),
    ("has(event.data.x.y)", False),
    # in places where a value goes
    ("[event.data.x, 1]", [None, 1]),
    ("{'a': event.data.x}", {"a": None}),
    ("event.data.list[event.data.x] == null", True),
    ("event.data.x", False),
    ("event.data.tags[7]", False),
]


@pytest.mark.parametrize(("source", "expected"), MISSING)
def test_a_path_that_is_not_there(source: str, expected: object) -> None:
    check(source, expected)


NULL: list[tuple[str, object]] = [
    ("event.data.nul", None),
    ("event.data.nul == null", True),
    ("event.data.nul != null", False),
    ("null == null", True),
    ("null != null", False),
    ("null == 'foo'", False),
    ("'foo' == null", False),
    ("null != 'foo'", True),
    ("event.data.nul == 0", False),
    ("event.data.nul == ''", False),
    ("event.data.nul == false", False),
    ("event.data.text == null", False),
    # order: the zero value of the other side
    ("null < 5", True),
    ("5 < null", False),
    ("null > 0", False),
    ("null >= 0", True),
    ("5 > null", True),
    ("null <= 0", True),
    ("null >= 1", False),
    ("null > -1", True),
    ("null < 0.5", True),
    ("null < uint(5)", True),
    ("null < 'foo'", True),
    ("'foo' < null", False),
    ("null <= ''", True),
    ("null < true", True),
    ("null < duration('1s')", True),
    ("null < b'a'", True),
    ("event.data.half > null && event.data.n > null", True),
    ("event.data.half <= null && event.data.n < null", False),
    ("event.data.nul > 0", False),
    ("event.data.nul < 1", True),
    ("null < null", FAILS),
    ("null < now()", FAILS),
    ("null < [1]", FAILS),
    # elsewhere
    ("size(null)", 0),
    ("event.data.nul + 'a'", "nulla"),
    ("has(event.data.nul)", True),
    ("null in [1, null]", True),
    ("lowercase(event.data.nul)", FAILS),
]


@pytest.mark.parametrize(("source", "expected"), NULL)
def test_null(source: str, expected: object) -> None:
    check(source, expected)


MIXED: list[tuple[str, object]] = [
    ("event.data.text == 5", False),
    ("event.data.text != 5", True),
    ("5 == '5'", False),
    ("'5' != 5", True),
    ("true == 1", False),
    ("true != 1", True),
    ("event.data.yes == 1", False),
    ("event.data.n == true", False),
    ("event.data.zero == false", False),
    ("[true] == [1]", False),
    ("{'a': 1} == {'a': true}", False),
    ("event.data.list == 'abc'", False),
    ("event.data.map == event.data.list", False),
    ("event.data.when == date(event.data.when)", False),
    ("b'abc' == 'abc'", False),
    # numbers of all types compare by value
    ("event.data.n == 5", True),
    ("event.data.n == 5.0", True),
    ("event.data.n == 5u", True),
    ("event.data.n == async.data.n", True),
    ("1 == 1.0", True),
    ("1u == 1", True),
    ("1 != 1.5", True),
    ("1 < 1.5", True),
    ("2u > 1.5", True),
    ("event.data.n > 3.141 && event.data.half <= 2", True),
    ("[1] == [1.0]", True),
    ("{'a': 1} == {'a': 1.0}", True),
    ("9007199254740993 == 9007199254740992.0", False),
    ("1 in [1.0]", True),
    ("true in [1]", False),
    ("1 in [true]", False),
    ("event.data.yes in [1, 'a']", False),
    ("event.data.n in [4, 5.0]", True),
    # they have no order
    ("event.data.text < 5", FAILS),
    ("event.data.text >= 5.5", FAILS),
    ("'a' < 1", FAILS),
    ("1 < true", FAILS),
    ("event.data.list < 5", FAILS),
    ("[1] < [2]", FAILS),
    ("event.data.map > event.data.map", FAILS),
    ("event.data.when < now()", FAILS),
    # + joins as texts if the types differ, except numbers
    ("event.data.text + event.data.n", "abc5"),
    ("event.data.n + event.data.text", "5abc"),
    ("'x' + 1.5", "x1.5"),
    ("'x' + 1000000.0", "x1000000"),
    ("'x' + 1u", "x1"),
    ("'x' + true", "xtrue"),
    ("true + 1", "true1"),
    ("'x' + [1, 'a']", 'x[1,"a"]'),
    ("'x' + {'a': null}", 'x{"a":null}'),
    ("'x' + timestamp('2026-01-01T00:00:00Z')", "x2026-01-01T00:00:00Z"),
    ("'x' + duration('90s')", "x90s"),
    ("event.data.n + 1", 6),
    ("event.data.n + 1.5", 6.5),
    ("1 + 1u", 2),
    ("event.data.half + event.data.n", 6.5),
    # and only + does
    ("'a' - 1", FAILS),
    ("'a' * 2", FAILS),
    ("'a' / 2", FAILS),
    ("2 % 'a'", FAILS),
    ("true + true", FAILS),
    ("null + null", FAILS),
    ("{} + {}", FAILS),
    ("'a' in 'abc'", FAILS),
    ("1 in 2", FAILS),
]


@pytest.mark.parametrize(("source", "expected"), MIXED)
def test_mixed_types(source: str, expected: object) -> None:
    check(source, expected)


TRUTH: list[tuple[str, object]] = [
    # || gives the first true operand or the last
    ("event.data.text || event.data.n", "abc"),
    ("event.data.empty || event.data.text", "abc"),
    ("event.data.x || event.data.text", "abc"),
    ("event.data.text || event.data.x", "abc"),
    ("event.data.zero || event.data.text", "abc"),
    ("event.data.nul || 'fallback'", "fallback"),
    ("event.data.half || false", 1.5),
    ("false || event.data.list", [1, 2, 3]),
    ("false || event.data.none", []),
    ("uint(5) || false", 5),
    ("uint(0) || event.data.text", "abc"),
    ("0.0 || 'yes'", "yes"),
    ("event.data.x || event.data.y", False),
    ("event.data.x || null", None),
    ("event.data.no || event.data.yes", True),
    ("event.data.no || event.data.no", False),
    ("event.data.x || event.data.empty || event.data.yes", True),
    # && gives the first false operand or the last
    ("event.data.text && event.data.n", 5),
    ("event.data.empty && event.data.text", ""),
    ("event.data.text && event.data.empty", ""),
    ("event.data.x && event.data.text", False),
    ("event.data.zero && event.data.text", 0),
    ("event.data.yes && event.data.no", False),
    ("event.data.yes && event.data.yes", True),
    ("event.data.yes && event.data.text && event.data.n", 5),
    ("event.data.yes && event.data.yes && event.data.yes", True),
    ("event.data.yes && event.data.zero && event.data.yes", 0),
    ("event.data.none && true", True),
    ("event.data.nothing && true", True),
    ("duration('0s') && true", True),
    ("b'' && true", True),
    # && binds stronger than ||
    ("true || true && false", True),
    ("(true || true) && false", False),
    # ?: and !
    ("event.data.text ? 1 : 2", 1),
    ("event.data.empty ? 1 : 2", 2),
    ("event.data.zero ? 1 : 2", 2),
    ("event.data.nul ? 1 : 2", 2),
    ("event.data.x ? 1 : 2", 2),
    ("event.data.none ? 1 : 2", 1),
    ("event.data.no ? 1 : event.data.yes ? 2 : 3", 2),
    ("event.data.yes == true ? 120 : 0", 120),
    ("!event.data.x", True),
    ("!event.data.yes", False),
    ("!event.data.text", False),
    ("!event.data.empty", True),
    ("!event.data.nul", True),
    ("!!event.data.n", True),
    # only a bool matches (checked by `check` for every row): these are true to && and no match
    ("event.data.text", "abc"),
    ("event.data.n", 5),
    ("event.data.map", {"k": 1, "user-id": "u7"}),
]


@pytest.mark.parametrize(("source", "expected"), TRUTH)
def test_truthiness(source: str, expected: object) -> None:
    check(source, expected)


FAILURES: list[tuple[str, object]] = [
    ("1 / 0", FAILS),
    ("1 / 0 == 1", FAILS),
    ("1 / 0 != 1", FAILS),
    ("!(1 / 0 > 1)", FAILS),
    ("int('x') != 200", FAILS),
    ("[1 / 0]", FAILS),
    ("size([1 / 0])", FAILS),
    # && and || swallow a failure when another operand decides, on either side of it
    ("false && 1 / 0 > 1", False),
    ("1 / 0 > 1 && false", False),
    ("1 / 0 > 1 && true", FAILS),
    ("true && 1 / 0 > 1", FAILS),
    ("true && 1 / 0 > 1 && false", False),
    ("1 / 0 > 1 && event.data.x", False),
    ("true || 1 / 0 > 1", True),
    ("1 / 0 > 1 || true", True),
    ("1 / 0 > 1 || event.data.text", "abc"),
    ("1 / 0 > 1 || false", FAILS),
    ("false || 1 / 0 > 1", FAILS),
    ("1 / 0 > 1 || 1 / 0 > 2", FAILS),
    # ?: evaluates one branch
    ("true ? 1 : 1 / 0", 1),
    ("false ? 1 / 0 : 2", 2),
    ("1 / 0 > 1 ? 1 : 2", FAILS),
]


@pytest.mark.parametrize(("source", "expected"), FAILURES)
def test_failures(source: str, expected: object) -> None:
    check(source, expected)
