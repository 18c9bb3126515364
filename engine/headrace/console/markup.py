"""HTML from Python, escaped unless it is HTML already: there is no way to forget it.

tag("a", "Rock & roll", href="/x?a=1&b=2")   →   <a href="/x?a=1&amp;b=2">Rock &amp; roll</a>
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

_VOID = frozenset({"br", "hr", "img", "input", "link", "meta"})
_VOID_SHAPES = frozenset({"circle", "line", "path", "rect"})
# What browsers would show as something else than it is, or not at all; among them the marks that reverse a text.
_SHOWN_AS_ESCAPES = {
    **{code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if code not in (0x09, 0x0A, 0x0D)},
    **{code: f"\\u{code:04x}" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F)},
    **{code: f"\\u{code:04x}" for code in range(0xD800, 0xE000)},
}


class Html(str):
    """A text that is HTML already."""

    __slots__ = ()


def text(value: object) -> Html:
    """Escape a text; HTML stays as it is."""
    if isinstance(value, Html):
        return value
    return Html(escape(str(value).translate(_SHOWN_AS_ESCAPES)))


def join(*children: object) -> Html:
    """Put children together: texts are escaped, None is nothing, lists are gone through."""
    return Html("".join(_flat(children)))


def _flat(children: Iterable[object]) -> Iterable[str]:
    for child in children:
        if child is None or child is False:
            continue
        if isinstance(child, str | int | float):
            yield text(child)
        elif isinstance(child, Iterable):
            yield from _flat(child)
        else:
            raise TypeError(f"cannot be a part of a page: {child!r}")


def tag(name: str, /, *children: object, **attributes: object) -> Html:
    """Make an element. In attributes' names a trailing underscore is dropped and others become hyphens.

    An attribute that is None or False is left out, one that is True has no value.
    """
    written = "".join(
        f" {_attribute(key)}" if value is True else f' {_attribute(key)}="{text(value)}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _VOID:
        return Html(f"<{name}{written}>")
    if name in _VOID_SHAPES:
        return Html(f"<{name}{written}/>")
    return Html(f"<{name}{written}>{join(*children)}</{name}>")


def _attribute(name: str) -> str:
    return name.rstrip("_").replace("_", "-")
