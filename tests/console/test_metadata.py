"""What is kept beside runs, put together. Goal: each update does what it says; a model's call is told its cost."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from headrace.console.metadata import Note, put_together


def kept(*updates: dict[str, Any]) -> dict[str, Any]:
    notes = [
        Note("r", "step", "s", 0, 0, number, msgspec.json.encode([one]).decode()) for number, one in enumerate(updates)
    ]
    return {entry.kind: msgspec.json.decode(msgspec.json.encode(entry.values)) for entry in put_together(notes)}


def test_updates_merge_set_add_and_delete() -> None:
    first = {"kind": "a", "values": {"x": 1, "y": 1}}
    assert kept(first, {"kind": "a", "op": "merge", "values": {"y": 2}}) == {"a": {"x": 1, "y": 2}}
    assert kept(first, {"kind": "a", "op": "set", "values": {"y": 2}}) == {"a": {"y": 2}}
    assert kept(first, {"kind": "a", "op": "add", "values": {"y": 2, "z": 3}}) == {"a": {"x": 1, "y": 3, "z": 3}}
    assert kept(first, {"kind": "a", "op": "delete", "values": {"y": None}}) == {"a": {"x": 1}}


@pytest.mark.parametrize(
    ("values", "cost"),
    [
        ({"request_model": "gpt-5.4-nano", "input_tokens": 1_000, "output_tokens": 2_000}, 0.0027),
        ({"request_model": "?", "response_model": "gpt-5.4-nano-2026-03-17", "input_tokens": 18}, 0.000004),
        ({"response_model": "OpenAI/GPT-4o-2024-08-06", "output_tokens": 1_000}, 0.01),
        ({"request_model": "claude-sonnet-4-5-20250929", "input_tokens": 1_000_000}, 3.0),
        ({"request_model": "gpt-5.4-nano", "input_tokens": 1_000, "estimated_cost": 7}, 7),
        ({"request_model": "gpt-5.4-nano", "input_tokens": 1_000_000, "estimated_cost": None}, 0.2),
        ({"request_model": "our-own-gpt-4o", "input_tokens": 1_000}, None),
        ({"request_model": 3, "input_tokens": 1_000}, None),
        ({"input_tokens": 1_000}, None),
    ],
)
def test_a_call_of_a_known_model_is_told_what_it_has_cost_about(values: dict[str, Any], cost: float | None) -> None:
    assert kept({"kind": "inngest.ai", "values": values})["inngest.ai"].get("estimated_cost") == cost


def test_other_kinds_are_left_as_they_are() -> None:
    values = {"request_model": "gpt-5.4-nano", "input_tokens": 1_000}
    assert kept({"kind": "userland.ai", "values": values}) == {"userland.ai": values}
