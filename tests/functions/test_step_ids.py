"""Step ids: what may be one."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.functions.errors import StepMisuse
from headrace.functions.step_ids import check_step_id


@pytest.mark.parametrize("step_id", ["a", "load order 7", "größe", "✓", "a" * 256, "x#1"])
def test_taken(step_id: str) -> None:
    check_step_id(step_id)


@pytest.mark.parametrize("step_id", ["", "a\0b", "a" * 257, "\ud800", 7, None, b"load", ("a",)])
def test_refused(step_id: Any) -> None:
    with pytest.raises(StepMisuse) as caught:
        check_step_id(step_id)
    assert caught.value.code == "step_id_invalid"
