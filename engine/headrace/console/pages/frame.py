"""The frame around every page: head, navigation, state of the projection."""

from __future__ import annotations

from typing import NamedTuple

from headrace.console.lag_queries import Lag
from headrace.console.markup import Html, join, tag
from headrace.console.pages.parts import icon, lag_note, path
from headrace.version import __version__

_PLACES = (
    ("runs", "Runs", ()),
    ("events", "Events", ("events",)),
    ("functions", "Functions", ("functions",)),
    ("partitions", "Partitions", ("partitions",)),
    ("dead", "Dead letters", ("dead",)),
)


class Frame(NamedTuple):
    """What all pages of one application share: where it is mounted, and which version of its files it has."""

    root: str = ""
    files: str = ""

    def render(
        self,
        title: str,
        content: object,
        *,
        place: str = "",
        lag: Lag | None = None,
        live: bool = False,
    ) -> bytes:
        """Make a whole page; a `live` one renews its content by itself, with scripts or without."""
        head = tag(
            "head",
            tag("meta", charset="utf-8"),
            tag("title", f"{title} · Headrace"),
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("meta", name="color-scheme", content="light dark"),
            tag("link", rel="icon", type="image/svg+xml", href=self._file("icon.svg")),
            tag("link", rel="stylesheet", href=self._file("console.css")),
            tag("script", src=self._file("console.js"), defer=True),
            tag("noscript", tag("meta", http_equiv="refresh", content="5")) if live else None,
        )
        body = tag(
            "body",
            tag("a", "To the content", href="#content", class_="skip"),
            self._bar(place),
            tag(
                "main",
                tag("div", lag_note(lag) if lag is not None else None, id="lag", class_="lag-place"),
                tag("div", content, id="live", data_live=live),
                id="content",
            ),
        )
        return join(Html("<!doctype html>\n"), tag("html", head, body, lang="en")).encode()

    def _file(self, name: str) -> str:
        return path(self.root, "static", name, v=self.files)

    def _bar(self, place: str) -> Html:
        links = [
            tag("a", icon(name), words, href=path(self.root, *where), aria_current="page" if name == place else None)
            for name, words, where in _PLACES
        ]
        send = tag(
            "a",
            icon("send"),
            "Send event",
            href=path(self.root, "send"),
            class_="send",
            aria_current="page" if place == "send" else None,
        )
        return tag(
            "header",
            tag("a", icon("wheel"), tag("span", "Headrace"), href=path(self.root), class_="brand"),
            tag("nav", links, send, aria_label="Main"),
            tag("p", f"Version {__version__}", class_="version"),
            class_="bar",
        )
