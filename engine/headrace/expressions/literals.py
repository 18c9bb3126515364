"""Read the literals of an expression: numbers, texts with escapes, bytes.

Source: CEL language definition, "String and Bytes Values". One departure: `\\u` and `\\U` do not stand in bytes.
"""

from __future__ import annotations

import re
from typing import Final

from headrace.expressions.values import Int, Uint

DIGITS_MAX: Final = 100  # zeros in front and all
_ESCAPE = re.compile(r"\\(?:[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(.))", re.DOTALL)
_ESCAPED: Final = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "\\": "\\", "?": "?", '"': '"', "'": "'", "`": "`",
}  # fmt: skip


class BadLiteral(Exception):
    """A literal that looks right and is not; `at` is the place in the source, `do` the remedy."""

    def __init__(self, at: int, what: str, do: str = "") -> None:
        super().__init__(what)
        self.at = at
        self.do = do


def read_int(literal: str, at: int) -> Int:
    """Read a decimal or hexadecimal int; its range is checked where it is used, because a minus may precede it."""
    if len(literal) > DIGITS_MAX:
        raise BadLiteral(at, f"a number has at most {DIGITS_MAX} digits")
    return Int(literal, 16 if literal[:2] in ("0x", "0X") else 10)


def read_uint(literal: str, at: int) -> Uint:
    """Read a decimal or hexadecimal number that ends in u."""
    return Uint(read_int(literal[:-1], at))


def read_text(literal: str, at: int) -> str:
    """Give the text between the quotes, escapes resolved unless it is raw."""
    body, raw, begins = _between_quotes(literal)
    if raw or "\\" not in body:
        return body

    def resolve(found: re.Match[str]) -> str:
        two, four, eight, octal, single = found.groups()
        digits = two or four or eight
        code = int(digits, 16) if digits else int(octal, 8) if octal else None
        if code is None:
            if single not in _ESCAPED:
                do = f"write \\\\{single} for a backslash, or put an r in front of the quotes: r'\\{single}'"
                raise BadLiteral(at + begins + found.start(), f"there is no escape \\{single}", do)
            return _ESCAPED[single]
        if code > 0x10FFFF:
            raise BadLiteral(at + begins + found.start(), f"{code:#x} is no Unicode code point")
        return chr(code)

    resolved = _ESCAPE.sub(resolve, body)
    if any("\ud800" <= character <= "\udfff" for character in resolved):
        # Two \u escapes may spell one character beyond the basic plane, as in JSON.
        try:
            return resolved.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            raise BadLiteral(at, "half of a surrogate pair is no character") from None
    return resolved


def read_bytes(literal: str, at: int) -> bytes:
    """Give the octets of a literal that begins with b: escapes are octets, everything else its UTF-8."""
    body, raw, begins = _between_quotes(literal[1:])
    if raw:
        return body.encode()
    octets = bytearray()
    end = 0
    for found in _ESCAPE.finditer(body):
        octets += body[end : found.start()].encode()
        two, four, eight, octal, single = found.groups()
        if four or eight or (single and single not in _ESCAPED):
            raise BadLiteral(at + 1 + begins + found.start(), f"there is no escape {found.group()} in bytes")
        octets += bytes([int(two, 16) if two else int(octal, 8)]) if two or octal else _ESCAPED[single].encode()
        end = found.end()
    return bytes(octets + body[end:].encode())


def _between_quotes(literal: str) -> tuple[str, bool, int]:
    raw = literal[0] in "rR"
    quoted = literal[raw:]
    width = 3 if quoted[:3] in ('"""', "'''") and len(quoted) >= 6 else 1
    return quoted[width:-width], raw, raw + width
