"""Patterns of `matches`: RE2's syntax, in time proportional to the text."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as some

from headrace.expressions import automaton as automata
from headrace.expressions.automaton import PROGRAM_MAX, WORK_MAX, Automaton, TooCostly, automaton
from headrace.expressions.pattern import NESTING_MAX, PATTERN_CHARS_MAX, BadPattern

FOUND = [
    ("", "", True),
    ("", "abc", True),
    ("b", "abc", True),
    ("d", "abc", False),
    ("a.c", "abc", True),
    ("a.c", "a\nc", False),
    ("(?s)a.c", "a\nc", True),
    ("(?s:a.)c", "a\nc", True),
    ("(?s-s)a.c", "a\nc", False),
    ("^b", "abc", False),
    ("^a", "abc", True),
    ("c$", "abc", True),
    ("b$", "abc", False),
    ("c$", "abc\n", False),  # unlike Python
    ("(?m)c$", "abc\nd", True),
    ("(?m)^d", "abc\nd", True),
    ("^d", "abc\nd", False),
    (r"\Aa.c\z", "abc", True),
    (r"(?m)\Ad", "abc\nd", False),
    (r"(?m)c\z", "abc\nd", False),
    (r"\bcat\b", "a cat!", True),
    (r"\bcat\b", "concat", False),
    (r"\Bcat", "concat", True),
    (r"\Bcat", "cat", False),
    (r"\b", "", False),
    (r"\B", "", True),
    (r"\bé", "é", False),  # words are ASCII
    ("^$", "", True),
    ("^$", "a", False),
    ("a|b|c", "xxc", True),
    ("^(a|bc)$", "bc", True),
    ("(|a)b", "b", True),
    ("a*", "", True),
    ("^a+$", "aaa", True),
    ("^a?b$", "b", True),
    ("^a{2}$", "aa", True),
    ("^a{2}$", "aaa", False),
    ("^a{2,}$", "aaaa", True),
    ("^a{1,2}$", "aaa", False),
    ("^a{0}$", "", True),
    ("^(ab){1,2}c$", "ababc", True),
    ("^a{,2}$", "a{,2}", True),  # a literal, as in RE2
    ("x{2", "x{2", True),
    ("a{x}", "a{x}", True),
    ("^a+?b*?c??$", "aab", True),
    ("^(a*)*$", "aaa", True),
    ("^(a|a*)*b$", "aaab", True),
    ("[abc]", "xb", True),
    ("[^abc]", "abc", False),
    ("[^abc]", "\n", True),
    ("[a-c]", "b", True),
    ("[]a]", "]", True),
    ("[^]a]", "]", False),
    ("[a-]", "-", True),
    ("[-a]", "-", True),
    (r"[\]]", "]", True),
    (r"[\w-]", "-", True),
    (r"[\d\s]", " ", True),
    (r"[^\d\s]", " ", False),
    (r"[\D]", "5", False),
    (r"[\x41-\x43]", "B", True),
    ("[[:alpha:]]", "5b", True),
    ("[[:^alpha:]]", "b", False),
    ("[[:digit:]a]", "5", True),
    ("[[:punct:]]", "~", True),
    (r"^\d\D\s\S\w\W$", "5a b_!", True),
    (r"\d", "٣", False),  # digits are ASCII
    (r"\s", "\v", False),
    (r"\pL", "é", True),
    (r"\p{Lu}", "é", False),
    (r"\p{Lu}", "É", True),
    (r"\PL", "é", False),
    (r"\p{^L}", "é", False),
    (r"\P{^L}", "é", True),
    (r"[\pN_]", "٣", True),
    (r"\a\f\t\n\r\v", "\a\f\t\n\r\v", True),
    (r"\x41\x{1F600}\101\0", "A😀A\0", True),
    (r"\.\*\+\?\(\)\[\]\{\}\|\^\$\\\-\/", ".*+?()[]{}|^$\\-/", True),
    (r"\Qa.b*\E+", "a.b***", True),
    (r"\Qa.b", "a.b", True),
    (r"\Q\E", "", True),
    ("(?i)AbC", "xaBcx", True),
    ("(?i:a)b", "Ab", True),
    ("(?i:a)b", "AB", False),
    ("(?i)[a-c]", "B", True),
    ("(?i)[^a]", "A", False),
    ("(?i)É", "é", True),
    ("a(?i)b", "aB", True),
    ("(a(?i)b)c", "aBC", False),
    ("(?i)a(?-i)b", "Ab", True),
    ("(?i)a(?-i)b", "AB", False),
    ("(?P<year>[0-9]{4})", "in 2026", True),
    ("(?<year>[0-9]{4})", "in 202", False),
    ("(?:ab)+", "xabab", True),
    ("(?U)a+", "a", True),
    (r"^[^@\s]+@[a-z0-9.-]+\.[a-z]{2,}$", "someone@example.com", True),
    (r"^[^@\s]+@[a-z0-9.-]+\.[a-z]{2,}$", "someone@example", False),
    (r"^[a-z\d]{0,10}$", "nope", True),
]


@pytest.mark.parametrize(("pattern", "text", "found"), FOUND)
def test_found(pattern: str, text: str, found: bool) -> None:
    assert Automaton(pattern).found_in(text) is found


REFUSED = [
    (r"(a)\1", "backreferences"),
    (r"[\1]", "backreferences"),
    ("(?=a)", "lookahead"),
    ("(?!a)", "lookahead"),
    ("(?<=a)", "lookbehind"),
    ("(?<!a)", "lookbehind"),
    ("(?P=name)", "no group"),
    ("(?P>name)", "no group"),
    ("(?>a)", "no group"),
    ("(?#note)", "no group"),
    ("(?x)a", "no group"),
    ("(?(1)a|b)", "no group"),
    ("a++", "possessive"),
    ("a*+", "possessive"),
    ("a**", "follows a repetition"),
    ("a{2}{3}", "follows a repetition"),
    ("a+{2}", "follows a repetition"),
    ("*a", "nothing before"),
    ("(+a)", "nothing before"),
    ("a|*", "nothing before"),
    ("{2}", "nothing before"),
    ("(", "no )"),
    ("(a", "no )"),
    ("a)", "no ("),
    ("[", "no ]"),
    ("[a", "no ]"),
    ("[]", "no ]"),
    ("[a-", "no ]"),
    ("[^", "no ]"),
    ("[\\", "no escape"),
    ("[z-a]", "backwards"),
    ("[[:foo:]]", "no class"),
    ("a{2,1}", "no repetition"),
    ("a{1001}", "no repetition"),
    ("a{999999999}", "no repetition"),
    (r"\Z", r"\z"),
    (r"\q", "no escape"),
    (r"\é", "no escape"),
    ("\\", "no escape"),
    (r"\p{Greek}", "general categories"),
    (r"\pX", "general categories"),
    (r"\p", "general categories"),
    (r"\x{110000}", "code point"),
    (r"\x4", "no escape"),
    ("(a{100}){100}", "steps"),
    ("((a{30}){30}){30}", "steps"),
    ("(" * (NESTING_MAX + 1) + ")" * (NESTING_MAX + 1), "nested"),
    ("a" * (PATTERN_CHARS_MAX + 1), "characters"),
]


@pytest.mark.parametrize(("pattern", "says"), REFUSED)
def test_refused(pattern: str, says: str) -> None:
    with pytest.raises(BadPattern, match=re.escape(says)):
        Automaton(pattern)


def test_the_deepest_nesting_is_read() -> None:
    assert Automaton("(" * NESTING_MAX + "a" + ")" * NESTING_MAX).found_in("a")


# Patterns that mean the same to Python's re, which backtracks: small ones, on short texts.
ATOMS = some.sampled_from(["a", "b", "c", ".", "[ab]", "[^a]", r"\w", r"\D", r"\s", r"\b", r"\B", "^", "$", "(?:)"])
PATTERNS = some.recursive(
    ATOMS,
    lambda inner: some.one_of(
        some.tuples(inner, inner).map("".join),
        some.tuples(inner, inner).map(lambda pair: f"(?:{pair[0]}|{pair[1]})"),
        some.tuples(inner, some.sampled_from(["*", "+", "?", "*?", "{2}", "{1,3}", "{2,}"])).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        ),
    ),
    max_leaves=8,
)


@given(PATTERNS, some.text(alphabet="abc1 \n-é", max_size=8))
def test_the_same_as_python_where_both_have_the_same_rules(pattern: str, text: str) -> None:
    assume(text or r"\B" not in pattern)  # Python up to 3.13 finds no \B in an empty text
    in_python = re.compile(pattern.replace("$", r"\Z"), re.ASCII)
    assert Automaton(pattern).found_in(text) is (in_python.search(text) is not None)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("(a+)+$", "a" * 50_000 + "b"),
        ("^(a|a)*$", "a" * 50_000 + "b"),
        ("(a*)*b$", "a" * 50_000),
        ("^(([a-z])+.)+[A-Z]([a-z])+$", "a" * 50_000),
        ("a?" * 30 + "a" * 30 + "$", "a" * 29),
        (".*.*.*.*x", "a" * 50_000),
    ],
)
def test_no_pattern_is_a_catastrophe(pattern: str, text: str) -> None:
    began = time.process_time()
    assert Automaton(pattern).found_in(text) is False
    assert time.process_time() - began < 5  # a backtracking engine takes longer than the universe is old


def test_the_work_of_one_search_is_bounded_by_pattern_and_text_alone() -> None:
    ready = Automaton("abc")
    longest = "x" * (WORK_MAX // ready.work("x"))
    assert not ready.found_in(longest)
    with pytest.raises(TooCostly):
        ready.found_in(longest + "x" * ready.work("x"))


def test_what_is_remembered_is_bounded_and_forgetting_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "".join(chr(0x4E00 + n) for n in range(500)) + "ab"
    assert Automaton("(a|b)+$").found_in(text)
    monkeypatch.setattr(automata, "REMEMBERED_MAX", 7)
    forgetful = Automaton(r"\bx|(a|b)+$")
    for _ in range(3):
        assert forgetful.found_in(text)
        assert not forgetful.found_in(text + "c")
        assert len(forgetful._states) <= 8
        assert forgetful._remembered <= 7


def test_a_pattern_is_made_ready_once() -> None:
    assert automaton("a+b") is automaton("a+b")
    assert automaton.cache_info().maxsize == 256


def test_the_program_has_a_limit() -> None:
    assert Automaton("a{999}").found_in("a" * 999)
    with pytest.raises(BadPattern, match=str(PROGRAM_MAX)):
        Automaton("(ab){1000}")
