"""The edges that the CEL language definition names, by its rules, and what of its surroundings is not supported.

Beside the other tables of this folder, which go by kinds of expressions: here each rule has its edges together, and
what other dialects and libraries of CEL have is refused, each with a remedy. Where the lenient rules of this engine
come before the definition, the rule says so.
"""

from __future__ import annotations

import math

import pytest

from headrace.errors import BadDeclaration
from headrace.expressions import compile_expression
from tests.expressions.worked import FAILS, check

RULES: dict[str, list[tuple[str, object]]] = {
    "int has 64 bits, and overflow is an error": [
        ("9223372036854775807 + 1 - 1", FAILS),
        ("-9223372036854775808 + 9223372036854775807", -1),
        ("4611686018427387904 * 2", FAILS),
        ("-4611686018427387904 * 2", -9223372036854775808),
    ],
    "uint has 64 bits and no sign": [
        ("18446744073709551615u * 2u", FAILS),
        ("0u - 1u", FAILS),
        ("18446744073709551615u > 9223372036854775807", True),
        ("-1 < 0u", True),
    ],
    "double overflows to infinity": [
        ("1.7976931348623157e308 * 10.0", math.inf),
        ("5 / 0.0", math.inf),
        ("-0.0 == 0.0", True),
    ],
    "division and modulo: towards zero, the sign of the first, zero is an error": [
        ("7 / 2", 3),
        ("-7 / 2", -3),
        ("7 / -2", -3),
        ("-7 % 2", -1),
        ("7 % -2", 1),
        ("7u / 2u", 3),
        ("7 / 0", FAILS),
        ("7 % 0", FAILS),
        ("7u % 0u", FAILS),
    ],
    "numbers of different types have one order, exactly": [
        ("9223372036854775807 == 9223372036854775807.0", False),
        ("9223372036854775807 < 9223372036854775808.0", True),
        ("1e19 > 9223372036854775807", True),
        ("[1, [2, 3]] == [1.0, [2u, 3]]", True),
        ("[1] in [[1.0]]", True),
        ("1u == 1.0", True),
    ],
    "values of different types are unequal, and that is no error": [
        ("[] == {}", False),
        ("'1' == 1", False),
        ("1 == true", False),
        ("null == false", False),
        ("{'a': 1} == {'a': 1.0, 'b': null}", False),
        ("b'a' == 'a'", False),
        ("timestamp(0) == duration('0s')", False),
    ],
    "binding of operators": [
        ("1 - 2 - 3", -4),
        ("2 * 3 % 4", 2),
        ("-1 - -1", 0),
        ("- -1", 1),
        ("!true && false", False),
        ("1 + 1 == 2 && 2 in [2]", True),
        ("false ? 1 : false ? 2 : 3", 3),
        ("1 < 2 < 3", FAILS),  # (1 < 2) < 3
    ],
    "texts are in the order of their code points": [
        ("'\\U0001F600' > '\\uFFFD'", True),
        ("size('\\U0001F600')", 1),
        ("'a' < 'B'", False),
        ("'' < 'a'", True),
        ("b'' < b'a'", True),
        ("b'a' in [b'a']", True),
        ("''.contains('a')", False),
        ("'a'.startsWith('')", True),
    ],
    "matches is a search, in RE2": [
        ("'a'.matches('')", True),
        ("'abc'.matches('^b|c$')", True),
        ("'aXb'.matches('(?i)axb')", True),
        ("'a\\nb'.matches('a.b')", False),
        ("'é'.matches('^.$')", True),
    ],
    "maps: keys are ints, uints, bools and texts, each once": [
        ("{1: 'x'}[1u]", "x"),
        ("{1u: 'x'}[1]", "x"),
        ("{'a': 1, 'a': 2}", FAILS),
        ("{1: 1, 1u: 2}", FAILS),
        ("'a' in {'a': null}", True),
        ("1 in {1.5: 0}", FAILS),
    ],
    "in, on nothing": [("1 in []", False), ("null in []", False), ("'a' in {}", False)],
    "has is about being there, not about the value": [
        ("has({'a': null}.a)", True),
        ("has({}.a)", False),
        ("has(event.data.nul)", True),
        ("has(event.data.items[0].sku)", True),
        ("has(event.data.items[2].price)", False),
        ("has(event.data.map.k) && event.data.map.k == 1", True),
    ],
    "?: computes one branch": [
        ("true ? 1 : 1 / 0", 1),
        ("true ? 1 / 0 : 2", FAILS),
        ("1 / 0 > 0 ? 1 : 2", FAILS),
    ],
    "&& and || swallow errors that another operand decides, on either side": [
        ("1 / 0 > 1 || 1 / 0 > 1 || true", True),
        ("1 / 0 > 1 && 1 / 0 > 1 && false", False),
        ("(1 / 0 > 1 && false) || true", True),
        ("(1 / 0 > 1 || false) && false", False),
        ("(1 / 0 > 1 || false) && true", FAILS),
    ],
    "macros on nothing": [
        ("[].all(x, false)", True),
        ("{}.all(k, false)", True),
        ("[].exists(x, true)", False),
        ("[].exists_one(x, true)", False),
        ("[].map(x, x)", []),
        ("[].filter(x, true)", []),
    ],
    "all and exists swallow errors as && and || do, exists_one does not": [
        ("[0, 1].all(x, 1 / x > 1)", False),
        ("[0, 1].exists(x, 1 / x == 1)", True),
        ("[0, 2].exists(x, 1 / x == 1)", FAILS),
        ("[0, 1].exists_one(x, 1 / x == 1)", FAILS),
    ],
    "a macro's variable hides what is outside, and ends with it": [
        ("[1, 2].map(x, [x].map(y, x + y))", [[2], [4]]),
        ("[1].map(x, [2].map(x, x))", [[2]]),
        ("{'a': 1}.filter(k, true)", ["a"]),
    ],
    "conversions keep to their range": [
        ("int(9.2233720368547758e18)", FAILS),
        ("int(-9223372036854775808.0)", FAILS),
        ("int(-9.3e18)", FAILS),
        ("int(-0.5)", 0),
        ("uint(-0.5)", FAILS),
        ("uint(1.8446744073709552e19)", FAILS),
        ("uint('18446744073709551616')", FAILS),
        ("int('0x1F')", FAILS),
        ("bool('tRuE')", FAILS),
        ("bool('True') && bool('t') && !bool('0')", True),
        ("double('-inf')", -math.inf),
        ("bytes('a') + b'b' == b'ab'", True),
        ("string(b'\\xff')", FAILS),
    ],
    "timestamps end with the years 1 and 9999, durations with 64 bits of nanoseconds": [
        ("timestamp('0001-01-01T00:00:00Z') < timestamp('9999-12-31T23:59:59.999999999Z')", True),
        ("timestamp('9999-12-31T23:59:59Z') + duration('1s')", FAILS),
        ("duration('2562047h')  < duration('2562047h1s')", True),
        ("duration('99999999h') == duration('1s')", FAILS),
    ],
    "leniently: operands of && and || are returned": [("true && 'a'", "a"), ("false || null", None), ("!-1", False)],
    "leniently: what is out of reach is missing": [
        ("[1, 2][2] == null", True),
        ("[1, 2][-1] == null", True),
        ("[1, 2]['0'] == null", True),
        ("{'a': 1}[1] == null", True),
    ],
    "leniently: mixed numbers compute": [("1 + 2u", 3), ("7u / 2", 3.5), ("7 % 2u", 1), ("'a' + null", "anull")],
}


@pytest.mark.parametrize(
    ("source", "expected"),
    [pytest.param(*row, id=f"{rule}: {row[0]}") for rule, rows in RULES.items() for row in rows],
)
def test_the_edges_of_a_rule(source: str, expected: object) -> None:
    check(source, expected)


# What is not supported, and what is said: (expression, code, remedy).
NOT_SUPPORTED: dict[str, list[tuple[str, str, str]]] = {
    "the extension for texts": [
        ("'a'.charAt(0)", "unknown_function", "matches('pattern')"),
        ("'a'.indexOf('a')", "unknown_function", "contains('part')"),
        ("'a'.lastIndexOf('a')", "unknown_function", "matches('pattern')"),
        ("'a'.lowerAscii()", "unknown_function", "lowercase(x)"),
        ("'a'.upperAscii()", "unknown_function", "uppercase(x)"),
        ("'a'.replace('a', 'b')", "unknown_function", "matches('pattern')"),
        ("'a,b'.split(',')", "unknown_function", "matches('pattern')"),
        ("'abc'.substring(1)", "unknown_function", "matches('pattern')"),
        ("' a '.trim()", "unknown_function", "matches('pattern')"),
        ("['a'].join(',')", "unknown_function", "matches('pattern')"),
        ("'%s'.format(['a'])", "unknown_function", "matches('pattern')"),
    ],
    "the extensions for lists, sets and maths": [
        ("math.greatest(1, 2)", "unknown_function", "a > b ? a : b"),
        ("math.least(1, 2)", "unknown_function", "a < b ? a : b"),
        ("math.abs(-1)", "unknown_function", "x < 0 ? -x : x"),
        ("lists.range(3)", "unknown_function", "exists, all, filter and map"),
        ("[1].distinct()", "unknown_function", "exists, all, filter and map"),
        ("[[1]].flatten()", "unknown_function", "exists, all, filter and map"),
        ("[2, 1].sort()", "unknown_function", "exists, all, filter and map"),
        ("[1].first()", "unknown_function", "list[0]"),
        ("[1].last()", "unknown_function", "size(list) - 1"),
        ("base64.encode(b'a')", "unknown_function", "text"),
    ],
    "optional values": [
        ("event.?data", "bad_expression", "equals null"),
        ("event[?'data']", "bad_expression", "operator is missing"),
        ("optional.of(1)", "unknown_function", "equals null"),
        ("optional.none()", "unknown_function", "equals null"),
    ],
    "macros with two variables, and variables": [
        ("[1].all(i, v, v > i)", "bad_expression", "list.all(x, x > 1)"),
        ("[1].transformList(i, v, v)", "unknown_function", "list.map(x, …)"),
        ("[1].existsOne(x, true)", "unknown_function", "exists_one"),
        ("cel.bind(x, 1, x)", "unknown_function", "no variables of their own"),
        ("[1].reduce(a, b, 0)", "unknown_function", "exists, all, filter and map"),
    ],
    "messages": [
        ("Foo{a: 1}", "bad_expression", "messages"),
        ("google.protobuf.Duration{seconds: 1}", "bad_expression", "messages"),
        (".event.data.n", "bad_expression", "operator is missing"),
    ],
    "other languages": [
        ("Math.max(1, 2)", "unknown_function", "a > b ? a : b"),
        ("min(1, 2)", "unknown_function", "a < b ? a : b"),
        ("abs(-1)", "unknown_function", "x < 0 ? -x : x"),
        ("sum([1])", "unknown_function", "exists, all, filter and map"),
        ("x => x", "bad_expression", "macro"),
        ("1 << 2", "bad_expression", "operator is missing"),
        ("0b11", "bad_expression", "0x2a"),
        ("1_000", "bad_expression", "0x2a"),
        ("10L", "bad_expression", "42u"),
        ("f'{event.data.n}'", "bad_expression", "join texts with +"),
        ("'a' 'b'", "bad_expression", "join texts with +"),
        ("event.data.'x'", "bad_expression", "write ['x']"),
        ("event.data.user-id == 'x'", "unknown_variable", 'event.data["user-id"]'),
        ("event.data.the-user-id == 'x'", "unknown_variable", "no variable"),
    ],
    "texts that end nowhere": [
        ("'a", "bad_expression", "close it with '"),
        ("'''abc", "bad_expression", "close it with '''"),
        ("'a\nb'", "bad_expression", "on the same line"),
    ],
    "? binds loosest: a condition as the condition's answer needs brackets": [
        ("true ? false ? 1 : 2 : 3", "bad_expression", "operator is missing"),
    ],
}


@pytest.mark.parametrize(
    ("source", "code", "remedy"),
    [pytest.param(*row, id=f"{rule}: {row[0]}") for rule, rows in NOT_SUPPORTED.items() for row in rows],
)
def test_what_is_not_supported_is_refused_with_a_remedy(source: str, code: str, remedy: str) -> None:
    with pytest.raises(BadDeclaration) as refused:
        compile_expression(source, option="if_")
    assert refused.value.code == code
    assert "^" in refused.value.what
    assert refused.value.why
    assert remedy in f"{refused.value.do} {refused.value.what}"
