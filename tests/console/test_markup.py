"""HTML from Python. Goal: no text of a stranger is ever anything but text."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.console.markup import Html, join, tag, text


class Seen(HTMLParser):
    """What a browser would see."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data


@given(st.text(), st.text())
def test_any_text_is_text_in_content_and_in_attributes(content: str, value: str) -> None:
    seen = Seen(tag("p", content, title=value))
    assert seen.tags == [("p", {"title": str(seen.tags[0][1]["title"])})]
    assert "<" not in tag("p", content, title=value)[2:-3].replace("&lt;", "").removesuffix("<")


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "' onmouseover='alert(1)",
        "</title><script>",
        "<!--",
        "]]>",
        "&lt;script&gt;",
        "javascript:alert(1)",
    ],
)
def test_hostile_texts_show_as_they_are(hostile: str) -> None:
    seen = Seen(tag("p", hostile, title=hostile))
    assert seen.words == hostile
    assert seen.tags == [("p", {"title": hostile})]


def test_marks_that_hide_or_turn_text_show_as_escapes() -> None:
    assert text("a\x00b\u202ec\u2066d\ud800e\x1b[31m") == "a\\x00b\\u202ec\\u2066d\\ud800e\\x1b[31m"
    assert text("tab\tand\nline") == "tab\tand\nline"


def test_html_stays_html_and_lists_are_gone_through() -> None:
    assert join("a<", Html("<b>"), None, False, [1, [tag("i", "x")]]) == "a&lt;<b>1<i>x</i>"
    assert tag("input", name="n", required=True, disabled=False, value=None) == '<input name="n" required>'
    assert tag("rect", x=0, text_anchor="end", class_="a") == '<rect x="0" text-anchor="end" class="a"/>'


def test_what_is_no_part_of_a_page_is_a_mistake() -> None:
    with pytest.raises(TypeError):
        join(object())
