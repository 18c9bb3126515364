"""The object that the rest of the engine holds: what it reads, its equality, its limits, what it costs to have."""

from __future__ import annotations

import subprocess
import sys
from types import MappingProxyType

import pytest

from headrace.errors import BadDeclaration, BadRecord
from headrace.expressions import compile_expression
from headrace.expressions.expression import BUDGET, COMPILED_MAX, DEPTH_MAX, SOURCE_CHARS_MAX, _compiled
from headrace.expressions.operators import LENGTH_MAX
from tests.expressions.worked import BINDINGS, NOW_MS

PATHS = [
    ("event.data.userId", {"event.data.userId"}),
    ("event.data.total > 100 && event.data.kind == 'x'", {"event.data.total", "event.data.kind"}),
    ("event.data.a == async.data.b", {"event.data.a", "async.data.b"}),
    ("event['data'].foo != '' && event.data['bar'] != true", {"event.data.foo", "event.data.bar"}),
    ("event.data['user-id']", {'event.data["user-id"]'}),
    ("event.data['a\"b']", {'event.data["a\\"b"]'}),
    ("event.data.items[0].sku", {"event.data.items[0].sku"}),
    ("event.data[event.data.key].x", {"event.data", "event.data.key"}),
    ("has(event.data.a)", {"event.data.a"}),
    ("event.data.tags.exists(t, t.id == event.data.id)", {"event.data.tags", "event.data.id"}),
    ("event.data.tags.exists(event, event.id == 1)", {"event.data.tags"}),
    ("event.data.tags.map(x, x > 1, [x, event.id])", {"event.data.tags", "event.id"}),
    ("event.data.name.startsWith('x') ? event.id : event.ts", {"event.data.name", "event.id", "event.ts"}),
    ("lowercase(event.data.a) in [event.data.b]", {"event.data.a", "event.data.b"}),
    ("json_parse(event.data.a).b.c", {"event.data.a"}),
    ("{event.data.a: event.data.b}", {"event.data.a", "event.data.b"}),
    ("!(-event.data.a > 1)", {"event.data.a"}),
    ("event", {"event"}),
    ("event == async", {"event", "async"}),
    ("type(event.data.a) == int", {"event.data.a"}),
    ("1 + 2 == 3", set()),
]


@pytest.mark.parametrize(("source", "paths"), PATHS)
def test_the_paths_it_reads(source: str, paths: set[str]) -> None:
    expression = compile_expression(source)
    assert expression.paths == paths
    for path in paths:  # each is an expression itself
        assert compile_expression(path).paths == {path}


FUNCTIONS = [
    ("event.data.a == 1 && event.data.b in [1]", set()),
    ("int(event.data.a) == 1", {"int"}),
    ("has(event.data.a) && event.data.b.exists(x, x.startsWith('a'))", {"has", "exists", "startsWith"}),
]


@pytest.mark.parametrize(("source", "functions"), FUNCTIONS)
def test_the_functions_it_calls(source: str, functions: set[str]) -> None:
    assert compile_expression(source).functions == functions


EQUALITIES = [
    ("event.data.id == async.data.id", ("event.data.id", "async.data.id")),
    ("async.data.orderId == event.data.id", ("event.data.id", "async.data.orderId")),
    ("event.data.id == async.data.id && async.data.total > 5", ("event.data.id", "async.data.id")),
    ("async.data.total > 5 && event.data.id == async.data.id", ("event.data.id", "async.data.id")),
    ("async.data.ok && (event.id == async.data.id && true)", ("event.id", "async.data.id")),
    ("(event.data.id) == (async.data.id)", ("event.data.id", "async.data.id")),
    ("event.a == async.a && event.b == async.b", ("event.a", "async.a")),
    ("event.data['user-id'] == async.user.id", ('event.data["user-id"]', "async.user.id")),
    ("event.data.ids[0] == async.data.id", ("event.data.ids[0]", "async.data.id")),
    # none: the equality need not hold, or does not join the two sides
    ("event.data.id == async.data.id || true", None),
    ("!(event.data.id == async.data.id)", None),
    ("event.data.id != async.data.id", None),
    ("event.data.id == event.data.other", None),
    ("async.data.id == async.data.other", None),
    ("async.data.id == 'x'", None),
    ("event.data.id == lowercase(async.data.id)", None),
    ("event.data.id == async.data[event.data.key]", None),
    ("event.data.ids.exists(x, x == async.data.id)", None),
    ("(event.data.id == async.data.id) == true", None),
    ("event.data.id == async.data.id ? true : false", None),
    ("true", None),
]


@pytest.mark.parametrize(("source", "pair"), EQUALITIES)
def test_the_equality_that_waits_are_found_by(source: str, pair: tuple[str, str] | None) -> None:
    assert compile_expression(source).equality() == pair


def test_the_sides_of_an_equality_have_other_names_elsewhere() -> None:
    expression = compile_expression("run.id == signal.run", variables=("run", "signal"))
    assert expression.equality("run", "signal") == ("run.id", "signal.run")
    assert expression.equality("signal", "run") == ("signal.run", "run.id")
    assert expression.equality() is None


@pytest.mark.parametrize(
    ("stored", "arriving", "matched"),
    [
        ({"id": "a"}, {"id": "a"}, True),
        ({"id": 1}, {"id": 1.0}, True),
        ({"id": {"a": [1]}}, {"id": {"a": [1]}}, True),
        ({"id": "a"}, {"id": "b"}, False),
        ({"id": 1}, {"id": "1"}, False),
        ({"id": 1}, {"id": True}, False),
        ({}, {}, False),
        ({"id": "a"}, {}, False),
        ({}, {"id": "a"}, False),
        ({"id": None}, {}, False),
        ({}, {"id": None}, False),
    ],
)
def test_match_asks_for_both_sides(stored: dict[str, object], arriving: dict[str, object], matched: bool) -> None:
    expression = compile_expression("event.data.id == async.data.id")
    assert expression.matches({"event": {"data": stored}, "async": {"data": arriving}}, NOW_MS) is matched


def test_source_and_repr() -> None:
    expression = compile_expression(" event.data.a == 1 ")
    assert expression.source == " event.data.a == 1 "
    assert repr(expression) == "Expression(' event.data.a == 1 ')"


@pytest.mark.parametrize("bindings", [{}, {"event": None}, {"event": []}, {"event": "x"}, {"event": {"data": 5}}])
def test_any_bindings_will_do(bindings: dict[str, object]) -> None:
    assert compile_expression("event.data.a == null && async.data.b == null").matches(bindings, NOW_MS)
    assert compile_expression("size(event.data.a) == 0").matches(bindings, NOW_MS)
    assert not compile_expression("event.data.a").matches(bindings, NOW_MS)


def test_bindings_are_read_and_never_written() -> None:
    frozen = MappingProxyType(BINDINGS)
    source = "event.data.list.exists(event, event == 2) && now() == now() && event.data.n == 5"
    assert compile_expression(source).matches(frozen, NOW_MS)


def test_what_is_no_json_is_no_match_and_says_so() -> None:
    class Stranger:
        def __eq__(self, other: object) -> bool:
            raise OSError("no comparison")

        __hash__ = None  # type: ignore[assignment]

    expression = compile_expression("event.data.a == [event.data.b]")
    bindings: dict[str, object] = {"event": {"data": {"a": [Stranger()], "b": Stranger()}}}
    assert expression.matches(bindings, NOW_MS) is False
    with pytest.raises(BadRecord, match="OSError: no comparison"):
        expression.evaluate(bindings, NOW_MS)
    with pytest.raises(BadRecord, match="Stranger is no JSON value"):
        compile_expression("event.data.b || 1").evaluate(bindings, NOW_MS)


def test_data_nested_too_deep_is_no_match_and_says_so() -> None:
    def nested() -> object:
        value: object = 1
        for _ in range(100_000):
            value = [value]
        return value

    expression = compile_expression("event.data.a == event.data.b")
    bindings: dict[str, object] = {"event": {"data": {"a": nested(), "b": nested()}}}
    assert expression.matches(bindings, NOW_MS) is False
    with pytest.raises(BadRecord, match="RecursionError"):
        expression.evaluate(bindings, NOW_MS)


def test_a_failure_names_the_expression_and_has_four_parts() -> None:
    with pytest.raises(BadRecord) as failed:
        compile_expression("event.data.text < 5").evaluate(BINDINGS, NOW_MS)
    error = failed.value
    assert error.code == "expression_failed"
    assert error.what == "the expression 'event.data.text < 5' has no value: string < int has no answer"
    assert error.why
    assert error.do


def test_compiled_once_and_kept_within_a_bound() -> None:
    assert compile_expression("event.data.once == 1") is compile_expression("event.data.once == 1")
    trigger = compile_expression("event.data.once == 1", variables=("event",))
    assert trigger is not compile_expression("event.data.once == 1")
    assert _compiled.cache_info().maxsize == COMPILED_MAX


def test_the_length_is_limited() -> None:
    fits = "'" + "x" * (SOURCE_CHARS_MAX - 2) + "'"
    assert compile_expression(fits).evaluate({}, 0) == "x" * (SOURCE_CHARS_MAX - 2)
    with pytest.raises(BadDeclaration, match=f"if_ has {SOURCE_CHARS_MAX + 1} characters"):
        compile_expression(fits + " ")


@pytest.mark.parametrize(
    ("before", "after"),
    [("!", ""), ("1 + ", ""), ("[", "]"), ("size([", "])"), ("[1].map(x, ", ")"), ("true ? 1 : ", "")],
)
def test_the_nesting_is_limited_and_all_below_the_limit_can_be_evaluated(before: str, after: str) -> None:
    levels = {"size([": (DEPTH_MAX - 1) // 2, "[1].map(x, ": DEPTH_MAX - 2}.get(before, DEPTH_MAX - 1)
    deepest = before * levels + "1" + after * levels
    assert compile_expression(deepest).evaluate({}, 0) is not None
    with pytest.raises(BadDeclaration, match="nested"):
        compile_expression(before * DEPTH_MAX + "1" + after * DEPTH_MAX)


def test_parentheses_and_chains_do_not_count_as_nesting() -> None:
    assert compile_expression("(" * 1_000 + "1" + ")" * 1_000).evaluate({}, 0) == 1
    assert compile_expression(" && ".join(["true"] * 1_000)).matches({}, 0)
    assert compile_expression("||".join(["false"] * 1_000) + "||true").matches({}, 0)


COSTLY = [
    "event.list.all(a, event.list.all(b, a == b || true))",
    "event.list.map(a, a).exists(a, event.list.exists(b, event.list.exists(c, false)))",
    "event.list.all(a, a in event.list)",
    "event.list.all(a, [a] in event.list || true)",
    "event.list.all(a, event.text == event.other || true)",
    "event.list.all(a, event.text < event.other || true)",
    "event.list.all(a, event.text != event.other + '' || true)",
    "event.list.all(a, event.list == event.list)",
    "event.list.all(a, [event.list] == [event.list])",
    "event.list.map(a, event.text + 'x')",
    "event.list.map(a, event.list + [1])",
    "event.list.all(a, event.text.contains('zz') || true)",
    "event.list.all(a, event.text != lowercase(event.text) || true)",
    "event.list.all(a, event.short.matches('(a|b)*c(a|b){20}d') || true)",
    "['ab', 'cd']" + ".map(x, [x + x, x + x])" * 40,
    "[[1], [2]]" + ".map(x, [x + x, x + x])" * 40,
]


@pytest.mark.parametrize("source", COSTLY)
def test_the_work_of_an_evaluation_is_limited(source: str) -> None:
    event = {"list": list(range(20_000)), "text": "ab" * 200_000, "short": "ab" * 2_000}
    event["other"] = "".join(["ab"] * 200_000)  # equal, and another object
    with pytest.raises(BadRecord, match=f"more than {BUDGET} steps|made more than {LENGTH_MAX}"):
        compile_expression(source).evaluate({"event": event}, NOW_MS)


def test_what_plus_makes_is_limited() -> None:
    half = "x" * (LENGTH_MAX // 2)
    expression = compile_expression("size(event.a + event.a + event.b) > 0")
    assert expression.matches({"event": {"a": half, "b": ""}}, NOW_MS)
    with pytest.raises(BadRecord, match=f"made more than {LENGTH_MAX}"):
        expression.evaluate({"event": {"a": half, "b": "x"}}, NOW_MS)


def test_ordinary_work_is_within_the_limits() -> None:
    event = {"list": [{"id": n, "name": f"item {n}"} for n in range(20_000)], "text": "ab" * 200_000}
    for source in (
        "event.list.exists(i, i.id == 19999 && i.name.endsWith('19999'))",
        "event.list.filter(i, i.name.matches('^item [0-9]$')).size() == 10",
        "event.list.map(i, i.id).size() == 20000",
        "event.text.contains('ba') && size(event.text + 'x') == 400001",
        "event.list == event.list",
        "'zz' in event.list || true",
    ):
        assert compile_expression(source).matches({"event": event}, NOW_MS), source


def test_no_and_or_or_hides_that_the_budget_is_used_up() -> None:
    event = {"list": list(range(20_000))}
    source = "event.list.all(a, event.list.all(b, true)) || true"
    assert compile_expression(source).matches({"event": event}, NOW_MS) is False
    with pytest.raises(BadRecord, match="steps"):
        compile_expression(source).evaluate({"event": event}, NOW_MS)


def test_importing_the_room_imports_neither_the_parser_nor_the_compiler() -> None:
    program = (
        "import sys, headrace.expressions as room; "
        "heavy = [name for name in sys.modules if name.endswith(('lark', '.compiler', '.pattern', '.grammar'))]; "
        "assert not heavy, heavy; "
        "assert room.parse_duration_ms('1s') == 1000; "
        "room.compile_expression('event.data.a == 1'); "
        "assert 'lark' in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=60)
