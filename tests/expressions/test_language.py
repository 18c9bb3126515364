"""The language itself: literals, precedence, arithmetic, indexing, macros. Source: CEL language definition."""

from __future__ import annotations

import math

import pytest

from headrace.expressions import compile_expression
from tests.expressions.worked import BINDINGS, FAILS, NOW_MS, check, value_of

LITERALS: list[tuple[str, object]] = [
    ("0", 0),
    ("42", 42),
    ("-42", -42),
    ("--42", 42),
    ("0x1F", 31),
    ("-0xff", -255),
    ("7u", 7),
    ("0x1Fu", 31),
    ("7U", 7),
    ("1.5", 1.5),
    (".5", 0.5),
    ("1e3", 1000.0),
    ("1.5e-3", 0.0015),
    ("-1.5", -1.5),
    ("9223372036854775807", 9223372036854775807),
    ("-9223372036854775808", -9223372036854775808),
    ("18446744073709551615u", 18446744073709551615),
    ("true", True),
    ("false", False),
    ("null", None),
    ('"abc"', "abc"),
    ("'abc'", "abc"),
    ("''", ""),
    ('"it\'s"', "it's"),
    ("'say \"hi\"'", 'say "hi"'),
    ("'''a'b''c'''", "a'b''c"),
    ('"""a"b\nc"""', 'a"b\nc'),
    ("''''''", ""),
    (r"'a\nb\tc'", "a\nb\tc"),
    (r"'\a\b\f\n\r\t\v\\\?\"\'\`'", "\a\b\f\n\r\t\v\\?\"'`"),
    (r"'\x41\X41\101\u00e9\U0001F600'", "AAAé😀"),
    (r"'\ud83d\ude00'", "😀"),
    (r"r'\n'", r"\n"),
    (r'R"a\b"', r"a\b"),
    (r"r'''a'\n'''", "a'\\n"),
    ("b'abc'", "YWJj"),
    (r"b'\xff\377'", "//8="),
    ("B'ÿ' == b'\\303\\277'", True),
    (r"br'\n' == b'\\n'", True),
    ("[1, 'a', null]", [1, "a", None]),
    ("[]", []),
    ("[1, 2,]", [1, 2]),
    ("{'a': 1, 'b': [2]}", {"a": 1, "b": [2]}),
    ("{}", {}),
    ("{'a': 1,}", {"a": 1}),
    ("{1: 'x', 2u: 'y', true: 'z'}", {"1": "x", "2": "y", "true": "z"}),
    ("{1: 'x', 1.0: 'y'}", FAILS),
    ("{1.5: 'x'}", FAILS),
    ("{null: 'x'}", FAILS),
    ("1 // a comment", 1),
    ("// a comment\n 1", 1),
    ("'http://x' // a comment", "http://x"),
    ("\n\t 1 +\r\n 2 \f", 3),
]


@pytest.mark.parametrize(("source", "expected"), LITERALS)
def test_literals(source: str, expected: object) -> None:
    check(source, expected)


ARITHMETIC: list[tuple[str, object]] = [
    ("1 + 2 * 3", 7),
    ("(1 + 2) * 3", 9),
    ("10 - 4 - 3", 3),
    ("2 * -3", -6),
    ("-(2 + 3)", -5),
    ("-event.data.n", -5),
    ("-event.data.half", -1.5),
    ("-1u", FAILS),
    ("-'a'", FAILS),
    # CEL ints divide towards zero, JSON numbers are doubles
    ("5 / 2", 2),
    ("-5 / 2", -2),
    ("5 / -2", -2),
    ("5u / 2u", 2),
    ("5.0 / 2", 2.5),
    ("event.data.n / 2", 2.5),
    ("10 / event.data.n", 2.0),
    ("event.data.n / event.data.n", 1.0),
    ("5 % 3", 2),
    ("-5 % 3", -2),
    ("5 % -3", 2),
    ("5u % 3u", 2),
    ("event.data.n % 2 == 1", True),
    ("5.5 % 2.0", 1.5),
    ("event.data.half % 1", 0.5),
    ("1 / 0", FAILS),
    ("1 % 0", FAILS),
    ("1u / 0u", FAILS),
    ("1.5 % 0.0", FAILS),
    ("event.data.n % 0", FAILS),
    ("1.0 / 0.0", math.inf),
    ("-1.0 / 0.0", -math.inf),
    ("1.0 / -0.0", -math.inf),
    ("event.data.n / 0", math.inf),
    # ints have 64 bits, JSON numbers have not
    ("9223372036854775807 + 1", FAILS),
    ("-9223372036854775808 - 1", FAILS),
    ("9223372036854775807 * 2", FAILS),
    ("-9223372036854775808 / -1", FAILS),
    ("-9223372036854775808 % -1", FAILS),
    ("-(-9223372036854775808)", FAILS),
    ("-(-9223372036854775808 + 0)", FAILS),
    ("1u - 2u", FAILS),
    ("18446744073709551615u + 1u", FAILS),
    ("event.data.big + 1", float(2**60)),
    ("event.data.big * event.data.big", float(2**120)),
    ("event.data.n * 2", 10),
    ("0.1 + 0.2 > 0.3", True),
    # texts, bytes, lists
    ("'a' + 'b'", "ab"),
    ("b'a' + b'b'", "YWI="),
    ("[1] + [2, 3]", [1, 2, 3]),
    ("event.data.tags + ['c']", ["a", "b", "c"]),
]


@pytest.mark.parametrize(("source", "expected"), ARITHMETIC)
def test_arithmetic(source: str, expected: object) -> None:
    check(source, expected)


def test_a_whole_json_number_may_have_any_number_of_digits() -> None:
    huge = {"event": {"data": {"n": 10**400, "same": 10**400, "less": -(10**400)}}}
    for source, expected in [
        ("event.data.n == event.data.same", True),
        ("event.data.n > 1e308", True),
        ("event.data.n * event.data.n", math.inf),
        ("event.data.n + 1", math.inf),
        ("event.data.less / 2", -math.inf),
        ("event.data.n", 10**400),
    ]:
        assert compile_expression(source).evaluate(huge, NOW_MS) == expected, source


def test_no_number_is_equal_to_not_a_number() -> None:
    assert value_of("double('NaN') == double('NaN')") is False
    assert value_of("0.0 / 0.0 != 0.0 / 0.0") is True
    assert value_of("double('NaN') < 1.0") is False


RELATIONS: list[tuple[str, object]] = [
    ("1 < 2", True),
    ("2 <= 2", True),
    ("3 > 2", True),
    ("2 >= 3", False),
    ("'a' < 'b'", True),
    ("'Z' < 'a'", True),
    ("'10' < '9'", True),
    ("'é' > 'z'", True),
    ("b'a' < b'b'", True),
    ("false < true", True),
    ("true > false", True),
    ("event.data.n > 4", True),
    ("event.data.n >= 5", True),
    ("event.data.n < 5.5", True),
    ("event.data.n <= 4", False),
    ("5 < event.data.n", False),
    ("4.5 < event.data.n", True),
    ("event.data.text > 'abb'", True),
    ("event.data.text == 'abc'", True),
    ("'abc' == event.data.text", True),
    ("event.data.text != 'abc'", False),
    ("event.data.yes == true", True),
    ("event.data.yes != false", True),
    ("event.data.list == [1, 2, 3]", True),
    ("event.data.list == [1, 2]", False),
    ("event.data.list == [1, 2, '3']", False),
    ("event.data.list != [1, 2, 3]", False),
    ("event.data.map == {'user-id': 'u7', 'k': 1}", True),
    ("event.data.map == {'k': 1}", False),
    ("event.data == event.data", True),
    ("event.data == async.data", False),
    ("event.data.text == async.data.text", True),
    ("event.data.items[0] == {'sku': 'x', 'price': 10.0}", True),
    ("1 < 2 == true", True),
    ("event.data.text in ['abc', 'd'] == true", True),
    ("event.data.text in ['d'] == false", True),
    ("event.data.text in ['abc', event.data.x]", True),
    ("event.data.list in [[1, 2, 3]]", True),
    ("2 in event.data.list", True),
    ("4 in event.data.list", False),
    ("'a' in event.data.tags", True),
    ("'k' in event.data.map", True),
    ("'z' in event.data.map", False),
    ("1 in {1: 'x'}", True),
    ("1.0 in {1: 'x'}", True),
    ("true in {1: 'x'}", False),
    ("null in event.data.map", False),
    ("event.data.nul in [null]", True),
]


@pytest.mark.parametrize(("source", "expected"), RELATIONS)
def test_relations(source: str, expected: object) -> None:
    check(source, expected)


READING: list[tuple[str, object]] = [
    ("event.data.text", "abc"),
    ("event.name", "order/created"),
    ("event['data'].text", "abc"),
    ("event['data']['text']", "abc"),
    ("event.data['user-id'] == null", True),
    ("event.data.map['user-id']", "u7"),
    ("event.data.in", "reserved"),
    ("event.data.function == null", True),
    ("event.data.true == null", True),
    ("event.data.tags[0]", "a"),
    ("event.data.tags[1.0]", "b"),
    ("event.data.tags[1u]", "b"),
    ("event.data.tags[0.5] == null", True),
    ("event.data.tags[true] == null", True),
    ("event.data.tags['a'] == null", True),
    ("event.data.text[0] == null", True),
    ("event.data.items[1].price", 20.5),
    ("event.data.items[size(event.data.items) - 1].sku", "z"),
    ("event.data[event.data.tags[0] + 'bc'] == null", True),
    ("event.data['te' + 'xt']", "abc"),
    ("(event.data).text", "abc"),
    ("[1, 2, 3][1]", 2),
    ("{'a': {'b': 1}}.a.b", 1),
    ("{'a': 1}['a']", 1),
    ("{1: 'x'}[1.0]", "x"),
    ("{true: 'x', 1: 'y'}[true]", "x"),
    ("{true: 'x', 1: 'y'}[1]", "y"),
    ("{'a': 1}.z == null", True),
    ("event.user.email", "ada@example.com"),
    ("event.ts", 1_755_850_000_000),
]


@pytest.mark.parametrize(("source", "expected"), READING)
def test_reading_members_and_elements(source: str, expected: object) -> None:
    check(source, expected)


MACROS: list[tuple[str, object]] = [
    ("has(event.data.text)", True),
    ("has(event.data)", True),
    ("has(event.data['text'])", True),
    ("has(event.data.text.x)", False),
    ("has({'a': null}.a)", True),
    ("has({'a': 1}.b)", False),
    ("!has(event.data.x)", True),
    ("event.data.list.all(x, x > 0)", True),
    ("event.data.list.all(x, x > 1)", False),
    ("[].all(x, false)", True),
    ("event.data.list.exists(x, x == 2)", True),
    ("event.data.list.exists(x, x == 9)", False),
    ("event.data.tags.exists(x, x == 'd' || x == 'a')", True),
    ("event.data.tags.exists(x, x == 'd') == false", True),
    ("[].exists(x, true)", False),
    ("event.data.list.exists_one(x, x > 2)", True),
    ("event.data.list.exists_one(x, x > 1)", False),
    ("event.data.list.exists_one(x, x > 9)", False),
    ("event.data.list.map(x, x * 2)", [2, 4, 6]),
    ("[5, 6].map(x, x / 2)", [2, 3]),
    ("event.data.list.map(x, x / 2)", [0.5, 1.0, 1.5]),
    ("event.data.list.map(x, x > 1, x * 2)", [4, 6]),
    ("event.data.items.map(i, i.price)", [10, 20.5, None]),
    ("event.data.list.filter(x, x > 1)", [2, 3]),
    ("event.data.items.filter(i, i.price > 15)[0].sku", "y"),
    ("event.data.items.filter(i, has(i.price)).size()", 2),
    ("event.data.items.exists(i, i.sku == event.data.text)", False),
    ("event.data.items.all(i, i.sku in ['x', 'y', 'z'])", True),
    ("['a', 'b'].exists(p, p in event.data.tags)", True),
    # over the keys of a map
    ("event.data.map.exists(k, k == 'k')", True),
    ("{'a': 1, 'b': 2}.all(k, k < 'c')", True),
    ("{'a': 1}.map(k, k)", ["a"]),
    ("{1: 'x'}.map(k, k / 2)", [0]),
    ("{true: 'x'}.exists(k, k == true)", True),
    # nested, and a variable of its own
    ("[[1, 2], [3]].map(l, l.map(x, x + 1))", [[2, 3], [4]]),
    ("[1, 2].map(x, [3].map(y, x + y))", [[4], [5]]),
    ("[1, 2].map(x, [3].map(x, x))", [[3], [3]]),
    ("[1].exists(event, event == 1) && event.data.n == 5", True),
    ("[1].map(x, x)[0] == 1", True),
    ("event.data.list.filter(x, x > 1).map(x, x * 10)", [20, 30]),
    # truthiness of the body
    ("event.data.tags.all(t, t)", True),
    ("['a', ''].all(t, t)", False),
    ("['a', ''].filter(t, t)", ["a"]),
    ("event.data.items.all(i, i.price)", False),
    # a missing path
    ("event.data.x.exists(x, x == 'a')", False),
    ("event.data.x.all(x, x == 'a')", False),
    ("event.data.x.exists_one(x, x == 'a')", False),
    ("event.data.x.map(x, x)", False),
    ("size(event.data.x.filter(x, x > 1))", 0),
    ("!event.data.x.exists(x, true)", True),
    # failures: a decisive round swallows them in all and exists
    ("[1, 'a', 3].exists(x, x > 2)", True),
    ("['a', 3].exists(x, x > 5)", FAILS),
    ("['a', 1].all(x, x > 2)", False),
    ("['a', 3].all(x, x > 2)", FAILS),
    ("['a', 3].exists_one(x, x > 2)", FAILS),
    ("['a'].map(x, x - 1)", FAILS),
    ("['a'].filter(x, x > 1)", FAILS),
    ("'abc'.exists(x, true)", FAILS),
    ("5.0.map(x, x)", FAILS),
]


@pytest.mark.parametrize(("source", "expected"), MACROS)
def test_macros(source: str, expected: object) -> None:
    check(source, expected)


def test_the_language_definition_asks_for_32_of_everything() -> None:
    for source, expected in [
        ("(" * 32 + "1" + ")" * 32, 1),
        (" || ".join(["false"] * 31 + ["true"]), True),
        (" && ".join(["true"] * 32), True),
        (" == ".join(["true"] * 33), True),
        (" + ".join(["1"] * 33), 33),
        (" * ".join(["1"] * 33), 1),
        ("{}" + ".a" * 32 + " == null", True),
        ("{}" + "['a']" * 32 + " == null", True),
        ("size([" + ", ".join(["1"] * 32) + "])", 32),
        ("size({" + ", ".join(f"{n}: 1" for n in range(32)) + "})", 32),
        ("!" * 32 + "true", True),
    ]:
        assert value_of(source) == expected, source


def test_what_an_expression_gives_is_not_what_it_was_given() -> None:
    expression = compile_expression("event.data.x || event.data.items || []")
    given = expression.evaluate(BINDINGS, NOW_MS)
    assert isinstance(given, list)
    given.clear()
    assert expression.evaluate(BINDINGS, NOW_MS) != []
    constant = compile_expression("[1, [2]]")
    first = constant.evaluate(BINDINGS, NOW_MS)
    assert isinstance(first, list)
    first.append(3)
    assert constant.evaluate(BINDINGS, NOW_MS) == [1, [2]]
