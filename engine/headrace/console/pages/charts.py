"""Small charts as SVG. Places are attributes, not styles: the pages' policy allows no style in the text."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.console.function_queries import Counts
from headrace.console.markup import Html, tag
from headrace.console.pages.words import count_text

_HEIGHT = 100


def bar_chart(series: Sequence[Counts], *, label: str, small: bool = False) -> Html:
    """Show runs that ended over time: one bar for each stretch, failed ones at the top of it."""
    highest = max((c.completed + c.failed + c.cancelled for c in series), default=0)
    width = 10
    bars = []
    for place, counts in enumerate(series):
        base = float(_HEIGHT)
        for kind, number in (
            ("completed", counts.completed),
            ("cancelled", counts.cancelled),
            ("failed", counts.failed),
        ):
            if not number:
                continue
            # Whatever happened at all can be seen, however much happened at other times.
            height = max(number / highest * (_HEIGHT - 4), 4.0)
            base -= height
            bars.append(
                tag("rect", x=place * width + 1, y=f"{base:.2f}", width=width - 2, height=f"{height:.2f}", class_=kind)
            )
    total = sum(c.completed + c.failed + c.cancelled for c in series)
    failed = sum(c.failed for c in series)
    return tag(
        "svg",
        tag("title", f"{label}: {count_text(total)} in all, {count_text(failed)} failed"),
        tag("line", x1=0, x2=len(series) * width, y1=_HEIGHT - 0.5, y2=_HEIGHT - 0.5, class_="ground"),
        bars,
        viewBox=f"0 0 {len(series) * width} {_HEIGHT}",
        preserveAspectRatio="none",
        role="img",
        class_="bars small" if small else "bars",
    )
