"""What calls of language models cost about, as Inngest's server had it in August 2026: dollars for a million tokens.

An estimate, for people who look at a run: discounts, cached tokens and later prices are not in it. A model that is not
listed has none.
"""

from __future__ import annotations

import re

_DATE = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8}|latest)$")
_DIGITS = 6
# Input, output.
_PRICES: dict[str, tuple[float, float]] = {
    "claude-3-7-sonnet": (3, 15),
    "claude-3-haiku": (0.25, 1.25),
    "claude-3-opus": (15, 75),
    "claude-haiku-4-5": (1, 5),
    "claude-opus-4": (15, 75),
    "claude-opus-4-1": (15, 75),
    "claude-opus-4-5": (5, 25),
    "claude-opus-4-6": (5, 25),
    "claude-opus-4-7": (5, 25),
    "claude-opus-4-8": (5, 25),
    "claude-opus-5": (5, 25),
    "claude-sonnet-4": (3, 15),
    "claude-sonnet-4-5": (3, 15),
    "claude-sonnet-4-6": (3, 15),
    "claude-sonnet-5": (2, 10),
    "command-r": (0.15, 0.6),
    "command-r-plus": (2.5, 10),
    "deepseek-chat": (0.28, 0.42),
    "deepseek-reasoner": (0.28, 0.42),
    "gemini-2.0-flash": (0.1, 0.4),
    "gemini-2.0-flash-lite": (0.075, 0.3),
    "gemini-2.5-flash": (0.3, 2.5),
    "gemini-2.5-flash-lite": (0.1, 0.4),
    "gemini-2.5-pro": (1.25, 10),
    "gemini-3-flash-preview": (0.5, 3),
    "gemini-3-pro-preview": (2, 12),
    "gemini-3.1-flash-lite": (0.25, 1.5),
    "gemini-3.1-pro-preview": (2, 12),
    "gemini-3.5-flash": (1.5, 9),
    "gpt-3.5-turbo": (0.5, 1.5),
    "gpt-4": (30, 60),
    "gpt-4-turbo": (10, 30),
    "gpt-4.1": (2, 8),
    "gpt-4.1-mini": (0.4, 1.6),
    "gpt-4.1-nano": (0.1, 0.4),
    "gpt-4o": (2.5, 10),
    "gpt-4o-mini": (0.15, 0.6),
    "gpt-5": (1.25, 10),
    "gpt-5-mini": (0.25, 2),
    "gpt-5-nano": (0.05, 0.4),
    "gpt-5-pro": (15, 120),
    "gpt-5.1": (1.25, 10),
    "gpt-5.2": (1.75, 14),
    "gpt-5.2-pro": (21, 168),
    "gpt-5.4": (2.5, 15),
    "gpt-5.4-mini": (0.75, 4.5),
    "gpt-5.4-nano": (0.2, 1.25),
    "gpt-5.4-pro": (30, 180),
    "gpt-5.5": (5, 30),
    "gpt-5.5-pro": (30, 180),
    "o1": (15, 60),
    "o3": (2, 8),
    "o3-mini": (1.1, 4.4),
    "o3-pro": (20, 80),
    "o4-mini": (1.1, 4.4),
}


def estimated_cost(model: str, input_tokens: int, output_tokens: int) -> float | None:
    """Estimate what a call has cost, in dollars; None for a model without a known price.

    A model may be told with its provider before it ("openai/…") and the date of its version behind.
    """
    name = model.lower().rpartition("/")[2]
    prices = _PRICES.get(name) or _PRICES.get(_DATE.sub("", name))
    if prices is None:
        return None
    return round((input_tokens * prices[0] + output_tokens * prices[1]) / 1_000_000, _DIGITS)
