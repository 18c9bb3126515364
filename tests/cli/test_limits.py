"""docs/limits.md. Goal: it says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from headrace.cli.dev import RETRY_INTERVAL_S_MAX
from headrace.console.parameters import LIMIT_DEFAULT, LIMIT_MAX
from headrace.execution.seams import Settings
from headrace.functions.declare import ID_LENGTH_MAX, NAME_LENGTH_MAX
from headrace.functions.retries import RETRIES_MAX, read_retries
from headrace.functions.step_ids import STEP_ID_LENGTH_MAX
from headrace.functions.triggers import TRIGGERS_MAX
from headrace.intake.incoming import EVENTS_MAX
from headrace.records.events import EVENT_BYTES_MAX

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(
    ("page", "sentence"),
    [
        ("limits.md", f"1 to {ID_LENGTH_MAX} letters"),
        ("limits.md", f"1 to {NAME_LENGTH_MAX} printable"),
        ("limits.md", f"triggers of a function | 1 to {TRIGGERS_MAX}"),
        ("limits.md", f"0 to {RETRIES_MAX} ({read_retries(None, '')[0]} unless"),
        ("limits.md", f"its own {read_retries(None, '')[0]} retries"),
        ("limits.md", f"id of a step | 1 to {STEP_ID_LENGTH_MAX} characters"),
        ("limits.md", f"{Settings().output_bytes_max >> 20} MiB as it is recorded"),
        ("limits.md", f"one event | {EVENT_BYTES_MAX >> 20} MiB"),
        ("limits.md", f"events of one HTTP request | {EVENTS_MAX:,}"),
        ("limits.md", f"up to {LIMIT_MAX:,} rows ({LIMIT_DEFAULT} unless"),
        ("command-line.md", f"{LIMIT_DEFAULT} rows unless `--limit` (1 to {LIMIT_MAX})"),
        ("command-line.md", f"0.01 to {RETRY_INTERVAL_S_MAX}"),
    ],
)
def test_a_limit_is_what_the_page_says(page: str, sentence: str) -> None:
    assert sentence in re.sub(r"\s+", " ", (DOCS / page).read_text())
