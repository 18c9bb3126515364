"""Run a pattern over a text in time proportional to the text.

The tree becomes a program of a few kinds of instructions; the set of instructions that a text has led to is a state;
what a state becomes on a character is worked out once and remembered. Remembering changes speed, never the answer,
and the limits depend on pattern and text alone, so that every node comes to the same result.

Source: R. Cox, "Regular Expression Matching Can Be Simple And Fast" and "… in the Wild".
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from headrace.expressions.pattern import (
    Assertion,
    BadPattern,
    Characters,
    Choice,
    Item,
    Repeat,
    Sequence,
    read_pattern,
)

PROGRAM_MAX: Final = 2_000  # instructions
WORK_MAX: Final = 1_000_000  # instructions times characters: most of a second if nothing can be remembered
REMEMBERED_MAX: Final = 10_000  # transitions; then forget and begin anew

_MATCH: Final = 0
# What stands before a place: nothing, a line's end, a letter of a word, anything else.
_NOTHING, _NEWLINE, _WORD, _OTHER = range(4)
_WORD_CHARACTERS: Final = frozenset("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz")


class TooCostly(Exception):
    """The text is too long for this pattern."""


class _State:
    __slots__ = ("ends", "following", "instructions", "previous")

    def __init__(self, instructions: frozenset[int], previous: int) -> None:
        self.instructions = instructions
        self.previous = previous
        self.following: dict[str, _State] = {}
        self.ends: bool | None = None


_MATCHED: Final = _State(frozenset(), _OTHER)


class Automaton:
    """A pattern made ready; `found_in` may be called any number of times."""

    __slots__ = ("_asserts", "_first", "_program", "_remembered", "_start", "_states")

    def __init__(self, source: str) -> None:
        # One instruction: (what it takes, where it goes). Taken: characters, a place, or None for a fork or the match.
        self._program: list[tuple[Characters | Assertion | None, tuple[int, ...]]] = [(None, ())]
        self._start = self._emit(read_pattern(source), _MATCH)
        self._asserts = any(isinstance(taken, Assertion) for taken, _ in self._program)
        self._states: dict[tuple[frozenset[int], int], _State] = {}
        self._remembered = 0
        self._first = self._state(frozenset({self._start}), _NOTHING)

    def work(self, text: str) -> int:
        """Give the most instructions that a test of this text can take."""
        return len(text) * len(self._program)

    def found_in(self, text: str) -> bool:
        """Tell whether the pattern matches anywhere in the text; raises TooCostly."""
        if self.work(text) > WORK_MAX:
            raise TooCostly(f"a text of {len(text)} characters is too long for a pattern of this size")
        state = self._first
        for character in text:
            state = state.following.get(character) or self._step(state, character)
            if state is _MATCHED:
                return True
        if state.ends is None:
            state.ends = _MATCH in self._reachable(state, None)
        return state.ends

    def _emit(self, item: Item, goes_to: int) -> int:
        """Append the instructions of an item that go on at `goes_to`; give the place of the first."""
        if isinstance(item, Characters | Assertion):
            return self._append(item, goes_to)
        if isinstance(item, Sequence):
            for inner in reversed(item.items):
                goes_to = self._emit(inner, goes_to)
            return goes_to
        if isinstance(item, Choice):
            return self._append(None, *(self._emit(inner, goes_to) for inner in item.items))
        return self._emit_repeat(item, goes_to)

    def _emit_repeat(self, repeat: Repeat, goes_to: int) -> int:
        if repeat.most is None:
            fork = self._append(None, goes_to)
            again = self._emit(repeat.item, fork)
            self._program[fork] = (None, (again, goes_to))
            goes_to = fork
        else:
            end = goes_to
            for _ in range(repeat.most - repeat.least):
                goes_to = self._append(None, self._emit(repeat.item, goes_to), end)
        for _ in range(repeat.least):
            goes_to = self._emit(repeat.item, goes_to)
        return goes_to

    def _append(self, taken: Characters | Assertion | None, *goes_to: int) -> int:
        if len(self._program) >= PROGRAM_MAX:
            raise BadPattern(f"it takes more than {PROGRAM_MAX} steps when its repetitions are written out")
        self._program.append((taken, goes_to))
        return len(self._program) - 1

    def _step(self, state: _State, character: str) -> _State:
        reachable = self._reachable(state, character)
        if _MATCH in reachable:
            following = _MATCHED
        else:
            instructions = {self._start}  # a match may begin anywhere
            for instruction in reachable:
                taken, goes_to = self._program[instruction]
                if isinstance(taken, Characters) and taken.has(character):
                    instructions.update(goes_to)
            following = self._state(frozenset(instructions), _kind(character) if self._asserts else _OTHER)
        if self._remembered >= REMEMBERED_MAX:
            self._forget()
        self._remembered += 1
        state.following[character] = following
        return following

    def _reachable(self, state: _State, character: str | None) -> set[int]:
        """Follow forks and places as far as they go without taking the character."""
        reachable: set[int] = set()
        pending = list(state.instructions)
        while pending:
            instruction = pending.pop()
            if instruction in reachable:
                continue
            taken, goes_to = self._program[instruction]
            if isinstance(taken, Assertion) and not _holds(taken.kind, state.previous, character):
                continue
            reachable.add(instruction)
            if not isinstance(taken, Characters):
                pending.extend(goes_to)
        return reachable

    def _state(self, instructions: frozenset[int], previous: int) -> _State:
        key = (instructions, previous)
        state = self._states.get(key)
        if state is None:
            state = self._states[key] = _State(instructions, previous)
        return state

    def _forget(self) -> None:
        for state in self._states.values():
            state.following = {}
        self._states = {(self._first.instructions, self._first.previous): self._first}
        self._remembered = 0


def _kind(character: str) -> int:
    if character == "\n":
        return _NEWLINE
    return _WORD if character in _WORD_CHARACTERS else _OTHER


def _holds(kind: str, previous: int, character: str | None) -> bool:
    if kind == "begin text":
        return previous == _NOTHING
    if kind == "begin line":
        return previous in (_NOTHING, _NEWLINE)
    if kind == "end text":
        return character is None
    if kind == "end line":
        return character is None or character == "\n"
    edge = (previous == _WORD) != (character is not None and character in _WORD_CHARACTERS)
    return edge == (kind == "word edge")


@lru_cache(maxsize=256)
def automaton(source: str) -> Automaton:
    """Make a pattern ready, or take it from the last 256; raises BadPattern."""
    return Automaton(source)
