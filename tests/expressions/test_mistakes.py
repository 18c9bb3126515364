"""What is said about expressions that cannot work: the place, and what was probably meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from headrace.errors import BadDeclaration
from headrace.expressions import compile_expression, match_expression


def refusal(source: str, variables: tuple[str, ...] = ("event", "async")) -> BadDeclaration:
    """Compile what does not compile, and give the error."""
    with pytest.raises(BadDeclaration) as refused:
        compile_expression(source, variables=variables, option="if_")
    assert refused.value.why
    assert refused.value.do
    return refused.value


SYNTAX = [
    # (expression, what is marked, what the remedy says)
    ("event.a === 1", "===", "write =="),
    ("event.a !== 1", "!==", "write !="),
    ("event.a = 1", "=", "write == to compare"),
    ("event.a =< 1", "=<", "write <="),
    ("event.a <> 1", "<>", "write !="),
    ("event.list => x", "=>", "write >="),
    ("event.a and event.b", "and", "write &&"),
    ("event.a AND event.b", "AND", "write &&"),
    ("event.a or event.b", "or", "write ||"),
    ("not event.a", "not", "write !"),
    ("event.a not in event.b", "not", "write !"),
    ("event.a & event.b", "&", "write &&"),
    ("event.a | event.b", "|", "write ||"),
    ("event.a ?? 1", "??", "write ||"),
    ("event.a?.b == 1", "?.", "plain point"),
    ("event.a ** 2", "**", "multiply"),
    ("event.a is null", "is", "write =="),
    ("event.a like 'x%'", "like", "matches"),
    ("event.a between 1", "between", "x >= 1"),
    ("if event.a then 1", "if", "condition ? one : other"),
    ("'x' if event.a else 'y'", "if", "condition ? one : other"),
    ("typeof event.a == 'string'", "typeof", "type(x) == string"),
    ("`x` == event.a", "`", "quotes"),
    ("${event.a}", "$", "interpolated"),
    ("event.a == 1;", ";", "without ;"),
    ("event.a == 1 # note", "#", "//"),
    ("event.a == “x”", "“", "straight quotes"),
    ("event..a", "..", "ranges"),
    ("event.a ^ event.b", "^", "!="),
    ("event.a += 1", "+=", "write +"),
    ("event.a in (1, 2)", ",", "operator is missing"),
    ("event.a == 'x", "'", "close it with '"),
    ('"x', '"', 'close it with "'),
    ("event.a)", ")", "operator is missing"),
    ("Foo{a: 1}", "{", "messages"),
    ("event.a event.b", "event", "operator is missing"),
    ("[,]", ",", "operator is missing"),
    ("!= 3", "!", "== or !="),
    ("event.5", ".5", "operator is missing"),
]


@pytest.mark.parametrize(("source", "shown", "do"), SYNTAX)
def test_the_place_is_marked_and_the_remedy_is_named(source: str, shown: str, do: str) -> None:
    error = refusal(source)
    assert error.code == "bad_expression"
    first, line, marks = error.what.split("\n")
    assert first.startswith("if_: ")
    assert line == "    " + source
    begins = marks.index("^")
    assert line[begins:].startswith(shown)
    assert shown.startswith(line[begins : len(marks)])
    assert do in error.do


ENDS = [
    ("", "empty"),
    ("   ", "empty"),
    ("// only a comment", "something must follow"),
    ("event.a ==", "something must follow"),
    ("event.a &&", "something must follow"),
    ("event.", "something must follow"),
    ("(event.a", "close it with )"),
    ("event.a || (event.b && (event.c)", "close it with )"),
    ("event.a[1", "close it with ]"),
    ("{'a': 1", "close it with }"),
    ("event.a ? 1", "condition ? one : other"),
]


@pytest.mark.parametrize(("source", "says"), ENDS)
def test_an_expression_that_ends_too_early(source: str, says: str) -> None:
    assert says in str(refusal(source))


def test_a_mark_stands_under_the_right_line() -> None:
    error = refusal("event.data.a == 1 &&\n\tevent.data.b = 2 &&\n event.data.c == 3")
    assert error.what.split("\n")[1:] == ["     event.data.b = 2 &&", "                  ^"]


def test_a_long_line_is_cut_around_the_mark() -> None:
    error = refusal("event.data.a == 1 && " * 20 + "event.data.b = 2")
    _, line, marks = error.what.split("\n")
    assert len(line) <= 100
    assert line[marks.index("^")] == "="


LITERALS = [
    (r"event.a.matches('^\d+$')", r"\d", r"write \\d"),
    ("'a\\qb'", "\\q", "r'"),
    (r"'\ud800'", "'", "marked place"),
    (r"'\U00110000'", r"\U", "marked place"),
    (r"b'\u0041'", r"\u", "marked place"),
    ("9223372036854775808", "9", "double"),
    ("event.a == 9223372036854775808", "9", "double"),
    ("event.a in [9223372036854775808]", "9", "double"),
    ("event.a < 18446744073709551616u", "1", "double"),
    ("-9223372036854775809", "-", "double"),
    ("9" * 5000, "9", "marked place"),
]


@pytest.mark.parametrize(("source", "shown", "do"), LITERALS)
def test_literals_that_are_none(source: str, shown: str, do: str) -> None:
    error = refusal(source)
    _, line, marks = error.what.split("\n")
    assert line[marks.index("^") :].startswith(shown)
    assert do in error.do


NAMES = [
    ("evnt.data.a", "unknown_variable", "did you mean event?"),
    ("Event.data.a", "unknown_variable", "did you mean event?"),
    ("asnyc.data.a == 1", "unknown_variable", "did you mean async?"),
    ("data.total > 5", "unknown_variable", "did you mean event.data?"),
    ("name == 'x'", "unknown_variable", "did you mean event.name?"),
    ("event.data.kind == premium", "unknown_variable", "'premium'"),
    ("event.data.a == None", "unknown_variable", "write null"),
    ("event.data.a == undefined", "unknown_variable", "write null"),
    ("event.data.a == True", "unknown_variable", "write true"),
    ("steps.first.ok", "unknown_variable", "steps cannot be read"),
    ("event.data.list.exists(x, y == 1)", "unknown_variable", "begin the path"),
    ("event.data.list.exists(x, true) && x", "unknown_variable", "begin the path"),
    ("event.data[key]", "unknown_variable", "begin the path"),
    ("let == 1", "unknown_variable", "begin the path"),
    ("len(event.data.list)", "unknown_function", "size(x)"),
    ("lower(event.data.a)", "unknown_function", "lowercase(x)"),
    ("lowercse(event.data.a)", "unknown_function", "did you mean lowercase?"),
    ("event.data.a.startswith('x')", "unknown_function", "did you mean startsWith?"),
    ("event.data.a.toLowerCase()", "unknown_function", "lowercase(x)"),
    ("event.data.a.includes('x')", "unknown_function", "contains"),
    ("event.data.a.some(x, true)", "unknown_function", "list.exists"),
    ("event.data.a.lowercase()", "unknown_function", "write lowercase("),
    ("contains(event.data.a, 'x')", "unknown_function", "write x.contains("),
    ("exists(event.data.a, x, true)", "unknown_function", "write x.exists("),
    ("event.has('a')", "unknown_function", "has(event.data.field)"),
    ("frobnicate(event.data.a)", "unknown_function", "functions that there are"),
    ("event.data.a.getFullYaer()", "unknown_function", "did you mean getFullYear?"),
]


@pytest.mark.parametrize(("source", "code", "do"), NAMES)
def test_unknown_names_get_the_nearest(source: str, code: str, do: str) -> None:
    error = refusal(source)
    assert error.code == code
    assert do in error.do
    assert "^" in error.what


def test_the_arriving_event_is_no_variable_of_a_trigger() -> None:
    error = refusal("event.data.id == async.data.id", variables=("event",))
    assert error.code == "unknown_variable"
    assert "waits and cancellations" in error.why


CALLS = [
    ("lowercase()", "lowercase() takes 1 argument, not 0"),
    ("lowercase('a', 'b')", "lowercase() takes 1 argument, not 2"),
    ("now(1)", "now() takes 0 arguments, not 1"),
    ("'a'.contains()", "contains() takes 1 argument, not 0"),
    ("now().getHours('UTC', 1)", "getHours() takes 0 to 1 arguments, not 2"),
    ("matches('a')", "matches() takes 2 arguments, not 1"),
    ("has()", "has() takes one path"),
    ("has(event)", "has() takes one path"),
    ("has(event.a, event.b)", "has() takes one path"),
    ("has(size('a'))", "has() takes one path"),
    ("has(event.list[0])", "has() takes one path"),
    ("event.list.map(x)", "map() takes a variable of its own"),
    ("event.list.exists(x.y, true)", "exists() takes a variable of its own"),
    ("event.list.all(true)", "all() takes a variable of its own"),
    ("event.list.filter(x, true, true)", "filter() takes a variable of its own"),
    ("event.a.matches('(?=a)')", "lookahead"),
    ("event.a.matches('(a)\\\\1')", "backreferences"),
    ("matches(event.a, '(')", "a ( has no )"),
]


@pytest.mark.parametrize(("source", "what"), CALLS)
def test_calls_that_cannot_be_made(source: str, what: str) -> None:
    assert what in refusal(source).what


@pytest.mark.parametrize("source", [None, 5, b"event.a", ["event.a"]])
def test_an_expression_is_a_text(source: object) -> None:
    assert "an expression is a text" in refusal(source).why  # type: ignore[arg-type]


def test_the_option_is_named() -> None:
    with pytest.raises(BadDeclaration, match=r"concurrency\.key: there is no variable evnt"):
        compile_expression("evnt.a", option="concurrency.key")


MATCHES = [
    ("data.orderId", "event.data.orderId == async.data.orderId"),
    (" data.orderId ", "event.data.orderId == async.data.orderId"),
    ("data.a.b_c.d1", "event.data.a.b_c.d1 == async.data.a.b_c.d1"),
    ("user.id", "event.user.id == async.user.id"),
    ("id", "event.id == async.id"),
    ("data.user-id", 'event.data["user-id"] == async.data["user-id"]'),
    ("data.in", "event.data.in == async.data.in"),
]


@pytest.mark.parametrize(("path", "source"), MATCHES)
def test_match_is_written_as_an_expression(path: str, source: str) -> None:
    assert match_expression(path) == source
    left, right = source.split(" == ")
    assert compile_expression(source).equality() == (left, right)


REFUSED_MATCHES = [
    ("orderId", 'did you mean wait.match="data.orderId"?'),
    ("order.id", 'did you mean wait.match="data.order.id"?'),
    ("event.data.id", 'did you mean wait.match="data.id"?'),
    ("async.data.id", 'did you mean wait.match="data.id"?'),
    ("", "data.orderId"),
    ("data.", "data.orderId"),
    ("data..a", "data.orderId"),
    ("data.a == 1", "if_="),
    ("data.items[0]", "if_="),
    ("data.1a", "if_="),
    ('data.a"b', "if_="),
    (None, "data.orderId"),
]


@pytest.mark.parametrize(("path", "do"), REFUSED_MATCHES)
def test_match_is_refused(path: str, do: str) -> None:
    with pytest.raises(BadDeclaration) as refused:
        match_expression(path, option="wait.match")
    assert refused.value.code == "bad_match"
    assert refused.value.what.startswith(f"wait.match is {path!r}")
    assert do in refused.value.do


def assert_compiled_or_explained(source: str) -> None:
    try:
        expression = compile_expression(source)
    except BadDeclaration as refused:
        explanation = refused
    else:
        assert expression.matches({"event": {}, "async": {}}, 0) in (True, False)
        return
    assert "^" in explanation.what
    assert explanation.why
    assert explanation.do


PIECES = [
    "event", "async", ".", "data", "(", ")", "[", "]", "{", "}", ",", "?", ":", "+", "-", "*", "/", "%", "!", "=", "<",
    ">", "&&", "||", "&", "|", "==", "in", " ", "'", '"', "'a'", "1", "1.5", "x", "has", "size", "exists", "null",
    "true", "and", "not", "\\", "`", "\n", "é", "b'", "r'", "//", "0x", "5u", "now()", ".map(x, ",
]  # fmt: skip


@given(some.lists(some.sampled_from(PIECES), max_size=12).map("".join))
def test_whatever_is_written_compiles_or_is_explained(source: str) -> None:
    assert_compiled_or_explained(source)


@given(some.text(max_size=30))
def test_no_text_is_a_crash(source: str) -> None:
    assert_compiled_or_explained(source)
