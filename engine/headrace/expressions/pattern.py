"""Read a regular expression of RE2's syntax into a tree; refuse what RE2 refuses.

Python's `re` backtracks: "(a+)+$" on thirty letters takes minutes, and both pattern and text may come from an event.
So patterns are read here and run by `automaton.py` in time proportional to the text, which is RE2's promise too.
Greedy and lazy repetition are the same to a test that only asks whether there is a match.

Source: https://github.com/google/re2/wiki/Syntax. Left out: scripts (`\\p{Greek}`), because their tables are not in
Python; general categories (`\\p{Lu}`) are.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

PATTERN_CHARS_MAX: Final = 1_000
NESTING_MAX: Final = 50
REPEAT_MAX: Final = 1_000


class BadPattern(Exception):
    """A pattern that is no RE2 syntax, or too large."""


class Characters:
    """A set of characters: ranges of code points, general categories, or everything else."""

    __slots__ = ("categories", "folded", "negated", "ranges", "sets")

    def __init__(self, *, negated: bool = False, folded: bool = False) -> None:
        self.ranges: list[tuple[str, str]] = []
        self.categories: list[str] = []
        self.sets: list[Characters] = []
        self.negated = negated
        self.folded = folded

    def has(self, character: str) -> bool:
        """Tell whether a character belongs to the set."""
        variants = {character, character.lower(), character.upper()} if self.folded else (character,)
        return any(self._lists(variant) for variant in variants) != self.negated

    def _lists(self, character: str) -> bool:
        return (
            any(low <= character <= high for low, high in self.ranges)
            or any(unicodedata.category(character).startswith(category) for category in self.categories)
            or any(inner.has(character) for inner in self.sets)
        )


class Assertion:
    """A place between two characters: `^ $ \\A \\z \\b \\B`."""

    __slots__ = ("kind",)

    def __init__(self, kind: str) -> None:
        self.kind = kind


class Sequence:
    """One item after the other."""

    __slots__ = ("items",)

    def __init__(self, items: list[Item]) -> None:
        self.items = items


class Choice:
    """Any one of the items."""

    __slots__ = ("items",)

    def __init__(self, items: list[Item]) -> None:
        self.items = items


class Repeat:
    """The item, `least` to `most` times; no `most` means without end."""

    __slots__ = ("item", "least", "most")

    def __init__(self, item: Item, least: int, most: int | None) -> None:
        self.item = item
        self.least = least
        self.most = most


Item = Characters | Assertion | Sequence | Choice | Repeat

_PERL: Final = {"d": ["09"], "w": ["09", "AZ", "az", "__"], "s": ["\t\n", "\f\r", "  "]}
_POSIX: Final = {
    "alnum": ["09", "AZ", "az"], "alpha": ["AZ", "az"], "ascii": ["\0\x7f"], "blank": ["\t\t", "  "],
    "cntrl": ["\0\x1f", "\x7f\x7f"], "digit": ["09"], "graph": ["!~"], "lower": ["az"], "print": [" ~"],
    "punct": ["!/", ":@", "[`", "{~"], "space": ["\t\r", "  "], "upper": ["AZ"], "word": ["09", "AZ", "az", "__"],
    "xdigit": ["09", "AF", "af"],
}  # fmt: skip
_SINGLE: Final = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_CATEGORIES: Final = frozenset(
    {"L", "M", "N", "P", "S", "Z", "C"}
    | {"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po"}
    | {"Sm", "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Co", "Cs"}
)
_COUNTS = re.compile(r"\{(\d{1,9})(,(\d{1,9})?)?\}", re.ASCII)
_GROUP = re.compile(r"\(\?(?:P?<([A-Za-z_]\w*)>|([imsU]*)(-[imsU]+)?([:)]))", re.ASCII)


def read_pattern(source: str) -> Item:
    """Read a pattern; raises BadPattern, which says what RE2 lacks where people expect more."""
    if len(source) > PATTERN_CHARS_MAX:
        raise BadPattern(f"it has {len(source)} characters, more than {PATTERN_CHARS_MAX}")
    reader = _Reader(source)
    item = reader.choice(frozenset(), 0)
    if reader.at < len(source):
        raise BadPattern("a ) has no (")
    return item


class _Reader:
    """Walks over the pattern; every method reads one construct at `at` and moves behind it."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.at = 0

    def choice(self, flags: frozenset[str], nesting: int) -> Item:
        if nesting > NESTING_MAX:
            raise BadPattern(f"groups are nested more than {NESTING_MAX} deep")
        branches: list[list[Item]] = [[]]
        while self.at < len(self.source) and self.source[self.at] != ")":
            if self.source[self.at] == "|":
                self.at += 1
                branches.append([])
                continue
            changed = self.flag_group(flags)
            if changed is not None:
                flags = changed
                continue
            branches[-1].append(self.repeated(flags, nesting))
        items: list[Item] = [Sequence(branch) for branch in branches]
        return items[0] if len(items) == 1 else Choice(items)

    def flag_group(self, flags: frozenset[str]) -> frozenset[str] | None:
        found = _GROUP.match(self.source, self.at)
        if found is None or found[4] != ")":
            return None
        self.at = found.end()
        return (flags | set(found[2])) - set(found[3] or "")

    def repeated(self, flags: frozenset[str], nesting: int) -> Item:
        item = self.single(flags, nesting)
        counts = self.counts()
        if counts is None:
            return item
        if self.source[self.at : self.at + 1] == "?":
            self.at += 1
        if self.source[self.at : self.at + 1] in ("*", "+", "?") or _COUNTS.match(self.source, self.at):
            if self.source[self.at] == "+":
                raise BadPattern("RE2 has no possessive repetition (*+, ++, ?+)")
            raise BadPattern("a repetition follows a repetition")
        return Repeat(item, *counts)

    def counts(self) -> tuple[int, int | None] | None:
        character = self.source[self.at : self.at + 1]
        if character and character in "*+?":
            self.at += 1
            return (1 if character == "+" else 0), (1 if character == "?" else None)
        found = _COUNTS.match(self.source, self.at)
        if found is None:
            return None
        self.at = found.end()
        least = int(found[1])
        most = least if found[2] is None else int(found[3]) if found[3] else None
        if max(least, most or 0) > REPEAT_MAX or (most is not None and most < least):
            raise BadPattern(f"{found[0]} is no repetition: counts rise and end at {REPEAT_MAX}")
        return least, most

    def single(self, flags: frozenset[str], nesting: int) -> Item:
        character = self.source[self.at]
        if character in "*+?" or _COUNTS.match(self.source, self.at):
            raise BadPattern(f"there is nothing before {character} to repeat")
        if character == "(":
            return self.group(flags, nesting)
        if character == "[":
            return self.bracket(flags)
        self.at += 1
        if character == "\\":
            return self.escaped(flags)
        if character == ".":
            anything = Characters(negated=True)
            if "s" not in flags:
                anything.ranges.append(("\n", "\n"))
            return anything
        if character in "^$":
            side = "begin" if character == "^" else "end"
            return Assertion(f"{side} line" if "m" in flags else f"{side} text")
        return _one(character, flags)

    def group(self, flags: frozenset[str], nesting: int) -> Item:
        found = _GROUP.match(self.source, self.at)
        if found is not None:
            self.at = found.end()
            flags = (flags | set(found[2] or "")) - set(found[3] or "")
        elif self.source.startswith(("(?=", "(?!", "(?<=", "(?<!"), self.at):
            raise BadPattern("RE2 has no lookahead and no lookbehind: combine several matches() with && and !")
        elif self.source.startswith("(?", self.at):
            raise BadPattern(f"RE2 has no group {self.source[self.at : self.at + 3]!r}")
        else:
            self.at += 1
        item = self.choice(flags, nesting + 1)
        if self.at >= len(self.source):
            raise BadPattern("a ( has no )")
        self.at += 1
        return item

    def escaped(self, flags: frozenset[str]) -> Item:
        kind = self.source[self.at : self.at + 1]
        places = {"A": "begin text", "z": "end text", "b": "word edge", "B": "no word edge"}
        if kind in places and kind:
            self.at += 1
            return Assertion(places[kind])
        if kind == "Q":
            end = self.source.find("\\E", self.at)
            body = self.source[self.at + 1 : end if end >= 0 else None]
            self.at = len(self.source) if end < 0 else end + 2
            return Sequence([_one(character, flags) for character in body])
        named = self.named_set()
        if named is not None:
            return named
        return _one(self.escaped_character(), flags)

    def named_set(self) -> Characters | None:
        kind = self.source[self.at : self.at + 1]
        if kind and kind in "dswDSW":
            self.at += 1
            return _listed(_PERL[kind.lower()], negated=kind.isupper())
        if not kind or kind not in "pP":
            return None
        found = re.compile(r"[pP](?:\{(\^?)([A-Za-z_]+)\}|([A-Z]))").match(self.source, self.at)
        name = (found[2] or found[3]) if found else ""
        if found is None or name not in _CATEGORIES:
            raise BadPattern(f"\\{kind} knows the general categories of Unicode, such as \\p{{L}} and \\p{{Nd}}, only")
        self.at = found.end()
        named = Characters(negated=(kind == "P") != bool(found[1]))
        named.categories.append(name)
        return named

    def escaped_character(self) -> str:
        found = re.compile(r"x\{([0-9A-Fa-f]{1,6})\}|x([0-9A-Fa-f]{2})|(0[0-7]{0,2}|[1-7][0-7]{1,2})").match(
            self.source, self.at
        )
        if found is not None:
            self.at = found.end()
            code = int(found[3], 8) if found[3] else int(found[1] or found[2], 16)
            if code > 0x10FFFF:
                raise BadPattern(f"{code:#x} is no Unicode code point")
            return chr(code)
        character = self.source[self.at : self.at + 1]
        self.at += 1
        if character in _SINGLE:
            return _SINGLE[character]
        if character and "1" <= character <= "9":
            raise BadPattern(f"RE2 has no backreferences (\\{character})")
        if not character or character.isalnum() or not character.isascii():
            hint = "; the end of the text is \\z" if character == "Z" else ""
            raise BadPattern(f"there is no escape \\{character}{hint}")
        return character

    def bracket(self, flags: frozenset[str]) -> Characters:
        negated = self.source.startswith("[^", self.at)
        members = Characters(negated=negated, folded="i" in flags)
        self.at += 2 if negated else 1
        first = True
        while first or self.source[self.at : self.at + 1] != "]":
            if self.at >= len(self.source):
                raise BadPattern("a [ has no ]")
            first = False
            if not self.bracket_set(members):
                low = self.bracket_character()
                high = low
                if self.source[self.at : self.at + 1] == "-" and self.source[self.at + 1 : self.at + 2] not in (
                    "]",
                    "",
                ):
                    self.at += 1
                    high = self.bracket_character()
                if high < low:
                    raise BadPattern(f"the range {low}-{high} runs backwards")
                members.ranges.append((low, high))
        self.at += 1
        return members

    def bracket_set(self, members: Characters) -> bool:
        found = re.compile(r"\[:(\^?)(\w+):\]").match(self.source, self.at)
        if found is not None:
            if found[2] not in _POSIX:
                raise BadPattern(f"there is no class [:{found[2]}:]")
            self.at = found.end()
            members.sets.append(_listed(_POSIX[found[2]], negated=bool(found[1])))
            return True
        if self.source[self.at] == "\\":
            self.at += 1
            named = self.named_set()
            if named is not None:
                members.sets.append(named)
                return True
            self.at -= 1
        return False

    def bracket_character(self) -> str:
        character = self.source[self.at]
        self.at += 1
        return self.escaped_character() if character == "\\" else character


def _one(character: str, flags: frozenset[str]) -> Characters:
    return _listed([character * 2], folded="i" in flags)


def _listed(ranges: list[str], *, negated: bool = False, folded: bool = False) -> Characters:
    listed = Characters(negated=negated, folded=folded)
    listed.ranges.extend((ends[0], ends[1]) for ends in ranges)
    return listed
