"""What to say about an expression that cannot work: where it goes wrong, why, and what was probably meant."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Final

from headrace.errors import BadDeclaration

# Runs of signs that other languages have.
_SIGNS: Final = {
    "===": "write ==",
    "!==": "write !=",
    "=": "one = assigns in other languages; write == to compare",
    "=>": "write >= for an order; a function over a list is a macro: list.exists(x, x > 1)",
    "=<": "write <=",
    "<>": "write !=",
    "&": "write && for and",
    "|": "write || for or",
    "??": "write ||, which gives the right side when the left is missing, null, 0, false or empty",
    "?.": "write a plain point: a path that is not there is no error, it equals null",
    ".?": "write a plain point: a path that is not there is no error, it equals null",
    "**": "there is no power; multiply",
    "//": "// begins a comment; write / to divide",
    "~=": "write text.matches('pattern')",
    "=~": "write text.matches('pattern')",
    ":=": "expressions have no variables of their own; write == to compare",
    "++": "expressions change nothing; write + 1",
    "--": "expressions change nothing; write - 1",
    "+=": "expressions change nothing; write +",
    "-=": "expressions change nothing; write -",
    "...": "there is no spread; join lists with +",
    "..": "there are no ranges; write x >= 1 && x <= 9",
    "`": "write texts in single or double quotes and join them with +",
    ";": "one expression, without ; at the end",
    "$": "paths begin with event, and nothing is interpolated; join texts with +",
    "@": "paths begin with event",
    "#": "comments begin with //",
    "\\": "escapes belong into quotes",
    "^": "write != between two bools; there is no power",
    "~": "there are no bit operations",
    "“": 'write straight quotes: "text"',
    "”": 'write straight quotes: "text"',
    "‘": "write straight quotes: 'text'",
    "’": "write straight quotes: 'text'",
}
_WORDS: Final = {
    "and": "write &&",
    "or": "write ||",
    "not": "write ! in front: !(a in b)",
    "is": "write ==",
    "eq": "write ==",
    "ne": "write !=",
    "gt": "write >",
    "lt": "write <",
    "like": "write text.matches('pattern') or text.contains('part')",
    "between": "write x >= 1 && x <= 9",
    "if": "write condition ? one : other",
    "then": "write condition ? one : other",
    "else": "write condition ? one : other",
    "typeof": "write type(x) == string",
    "instanceof": "write type(x) == string",
    "contains": "write text.contains('part'), or item in list",
    "matches": "write text.matches('pattern')",
    "startswith": "write text.startsWith('beginning')",
    "endswith": "write text.endsWith('end')",
    "for": "write list.map(x, …), list.filter(x, …), list.exists(x, …) or list.all(x, …)",
    "lambda": "write list.exists(x, x > 1)",
    "function": "write list.exists(x, x > 1)",
    "new": "write date('2026-01-31') or timestamp('2026-01-31T00:00:00Z')",
    "return": "write the value alone",
    "let": "expressions have no variables of their own",
    "const": "expressions have no variables of their own",
    "var": "expressions have no variables of their own",
    "await": "expressions compute from the event alone",
}
_VARIABLES: Final = {
    "None": "write null", "nil": "write null", "NULL": "write null", "Null": "write null", "undefined": "write null",
    "True": "write true", "TRUE": "write true", "False": "write false", "FALSE": "write false",
    "JSON": "write json_parse(text)", "Date": "write now() or date(x)", "Math": "there is no Math",
    "NaN": "write double('NaN')", "this": "paths begin with event", "ctx": "paths begin with event",
    "self": "paths begin with event", "steps": "steps cannot be read in an expression",
}  # fmt: skip
_CALLS: Final = {
    "len": "size(x)", "length": "size(x)", "count": "size(x)", "str": "string(x)", "String": "string(x)",
    "toString": "string(x)", "float": "double(x)", "Number": "double(x)", "parseFloat": "double(x)",
    "parseInt": "int(x)", "Boolean": "bool(x)", "isNaN": "type(x) == double", "lower": "lowercase(x)",
    "toLowerCase": "lowercase(x)", "lowerAscii": "lowercase(x)", "upper": "uppercase(x)",
    "toUpperCase": "uppercase(x)", "upperAscii": "uppercase(x)", "includes": "text.contains('part'), or item in list",
    "include": "text.contains('part'), or item in list", "indexOf": "text.contains('part'), or item in list",
    "has": "has(event.data.field), or 'field' in map", "hasOwnProperty": "'field' in map",
    "test": "text.matches('pattern')", "match": "text.matches('pattern')", "search": "text.matches('pattern')",
    "some": "list.exists(x, …)", "any": "list.exists(x, …)", "find": "list.exists(x, …)", "every": "list.all(x, …)",
    "get": "a plain path; what is missing equals null", "isEmpty": "size(x) == 0", "parse": "json_parse(text)",
    "atob": "b64decode(text)", "Date": "date(x)", "getTime": "int(date(x)), in seconds", "getYear": "getFullYear()",
    "getDay": "getDayOfWeek()", "concat": "a + b", "exists": "list.exists(x, …), or path != null",
    "min": "a < b ? a : b", "least": "a < b ? a : b", "max": "a > b ? a : b", "greatest": "a > b ? a : b",
    "abs": "x < 0 ? -x : x", "first": "list[0]", "last": "list[size(list) - 1]", "transformList": "list.map(x, …)",
    "isinstance": "type(x) == string",
}  # fmt: skip
_TEXTS: Final = "texts are compared, joined and matched, not taken apart: text.matches('pattern')"
_LISTS: Final = "lists are looked through with exists, all, filter and map, and not computed with"
_OPTIONAL: Final = "nothing is optional here: a path that is missing is no error, it equals null"
_NONE: Final = {
    **dict.fromkeys(("trim", "replace", "split", "substring", "slice", "charAt", "format", "join", "quote"), _TEXTS),
    **dict.fromkeys(("lastIndexOf", "encode"), _TEXTS),
    **dict.fromkeys(("sum", "reduce", "sort", "sorted", "distinct", "flatten", "reverse", "range"), _LISTS),
    **dict.fromkeys(("of", "none", "ofNonZeroValue", "orValue", "optMap", "hasValue"), _OPTIONAL),
    "bind": "expressions have no variables of their own",
}
_EVENT_FIELDS: Final = frozenset({"name", "data", "id", "ts", "user", "v"})
_SIGN = re.compile(r"[=!<>&|?+\-*/%^~:.;$@#`\\]+|[“”‘’]")
_WORD = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_CLOSED = re.compile(r"""(?:'''.*?'''|\"\"\".*?\"\"\"|'(?!'')[^'\n]*'|"(?!"")[^"\n]*")""", re.DOTALL)
_HYPHENS = re.compile(r"([A-Za-z_]\w*(?:\.\w+)*)\.(\w+(?:-\w+)+)", re.ASCII)


def marked(source: str, at: int, width: int = 1) -> str:
    """Show the line of the source that holds the place, with the place marked under it."""
    begins = source.rfind("\n", 0, at) + 1
    ends = source.find("\n", at)
    line = source[begins : ends if ends >= 0 else len(source)].replace("\t", " ")
    column = at - begins
    if len(line) > 96:
        cut = max(0, column - 60)
        line, column = line[cut : cut + 96], column - cut
    return f"    {line}\n    {' ' * column}{'^' * max(1, min(width, len(line) - column))}"


def mistake(
    option: str,
    source: str,
    at: int,
    what: str,
    *,
    width: int = 1,
    why: str = "",
    do: str = "",
    code: str = "bad_expression",
) -> BadDeclaration:
    """Make the error for a place in an expression."""
    return BadDeclaration(
        code,
        f"{option}: {what}\n{marked(source, at, width)}",
        why=why or "expressions are CEL: comparisons, &&, ||, !, in, ?:, arithmetic, functions and macros",
        do=do or "correct the marked place",
    )


def syntax_mistake(option: str, source: str, at: int | None) -> BadDeclaration:
    """Explain why the parser stopped at a place; None is the end of the source."""
    end = len(source.rstrip())
    at = end if at is None else at
    sign = next((found for found in _SIGN.finditer(source) if found.start() <= at < found.end()), None)
    if sign is not None:
        for run in (sign[0], sign[0][at - sign.start() :], source[at]):
            if run in _SIGNS:
                begins = at if run != sign[0] else sign.start()
                return mistake(option, source, begins, f"there is no {run} here", width=len(run), do=_SIGNS[run])
    for word in _words_around(source, at):
        hint = _WORDS.get(word[0].lower())
        if hint is not None:
            return mistake(option, source, word.start(), f"there is no {word[0]!r} here", width=len(word[0]), do=hint)
    if at >= end:
        return _ends_early(option, source, end)
    if source[at] in "\"'":
        return _text_mistake(option, source, at)
    if source[at] == "{":
        do = 'messages do not exist here; a map is {"key": value} and stands where a value may stand'
        return mistake(option, source, at, "unexpected {", do=do)
    if source[at] in "=!":
        return mistake(option, source, at, f"unexpected {source[at]}", do="compare with == or !=")
    found = _WORD.match(source, at)
    unexpected = found[0] if found else source[at]
    do = "an operator is missing in front of it, or a bracket or comma is wrong before it"
    if found and source[:at][-1:].isdigit():
        do = "numbers are written 42, 0x2a, 4.2, 4.2e3 and 42u"
    return mistake(option, source, at, f"unexpected {unexpected}", width=len(unexpected), do=do)


def _text_mistake(option: str, source: str, at: int) -> BadDeclaration:
    closed = _CLOSED.match(source, at)
    if closed is not None:
        text = closed[0]
        do = f"write [{text}], without a point" if source[:at].endswith(".") else "join texts with +"
        return mistake(option, source, at, f"unexpected {text}", width=len(text), do=do)
    quotes = source[at] * 3
    if source[at - 2 : at + 1] == quotes:  # two of them were read as an empty text
        return mistake(option, source, at - 2, "this text is never closed", width=3, do=f"close it with {quotes}")
    return mistake(option, source, at, "this text is never closed", do=f"close it with {source[at]} on the same line")


def _words_around(source: str, at: int) -> Iterable[re.Match[str]]:
    """Give the word at the place and the one before it, outside quotes as far as words can tell."""
    words = [word for word in _WORD.finditer(source) if word.start() <= at]
    for word in reversed(words[-2:]):
        if source[word.start() - 1 : word.start()] not in ("'", '"', ".") and source[word.end() :][:1] not in (
            "'",
            '"',
        ):
            yield word


def _ends_early(option: str, source: str, end: int) -> BadDeclaration:
    if not end:
        return mistake(option, source, 0, "the expression is empty", do="write a comparison, or leave the option out")
    opened = [bracket for bracket in "([{" if source.count(bracket) > source.count(")]}"["([{".index(bracket)])]
    closing = "".join(")]}"["([{".index(bracket)] for bracket in opened)
    do = f"close it with {closing}" if closing else "something must follow the last sign"
    if "?" in source and not closing:
        do += "; a condition is written condition ? one : other"
    return mistake(option, source, end, "the expression ends too early", do=do)


def unknown_variable(option: str, source: str, at: int, name: str, variables: Collection[str]) -> BadDeclaration:
    """Explain a name that is no variable."""
    known = ", ".join(variables)
    do = _VARIABLES.get(name, "")
    why = f"the variables here are: {known}"
    if name == "async":
        why += "; async is the arriving event, which only waits and cancellations have"
        do = "read the triggering event: event.data.…"
    elif not do and name in _EVENT_FIELDS and "event" in variables:
        do = f"did you mean event.{name}?"
    hyphens = _HYPHENS.search(source[: at + len(name)]) if source[:at].endswith("-") else None
    if hyphens is not None and hyphens.end() == at + len(name):
        do = f'write {hyphens[1]}["{hyphens[2]}"] for the field, or spaces around the minus'
    if not do:
        near = _nearest(name, variables)
        do = f"did you mean {near}?" if near else f"begin the path with {known}; put texts in quotes: '{name}'"
    return mistake(
        option, source, at, f"there is no variable {name}", width=len(name), why=why, do=do, code="unknown_variable"
    )


def unknown_function(
    option: str, source: str, at: int, name: str, kind: str, known: Collection[str], others: Collection[str]
) -> BadDeclaration:
    """Explain a call of something that is no function or method; `others` are the names of the other kind."""
    if name in others:
        do = f"write x.{name}(…)" if kind == "function" else f"write {name}(…), without anything in front"
    elif name in _CALLS:
        do = f"write {_CALLS[name]}"
    elif name in _NONE:
        do = _NONE[name]
    else:
        near = _nearest(name, [*known, *others], 0.75)
        do = f"did you mean {near}?" if near else f"use one of the {kind}s that there are"
    return mistake(
        option, source, at, f"there is no {kind} {name}", width=len(name), do=do, code="unknown_function",
        why=f"the {kind}s are: {', '.join(sorted(known))}",
    )  # fmt: skip


def _nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    import difflib

    by_lower = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.lower(), list(by_lower), n=1, cutoff=cutoff)
    return by_lower[near[0]] if near else ""
