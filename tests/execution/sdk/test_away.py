"""Apps that cannot be reached. Goal: somebody always tries, one at a time, and no run is left behind."""

from __future__ import annotations

import itertools

from headrace.adapters.virtual_loop import VirtualLoop
from headrace.execution.sdk.away import Away
from headrace.records.commands import AnyCommand, CodeMissing
from headrace.records.rows import Run, Step


class Wishes:
    """An owner of which nothing comes: its runs have ended, or are another node's by now."""

    partition = 0

    def __init__(self) -> None:
        self.tried: list[str] = []

    def time_ms(self) -> int:
        return 0

    def submit(self, command: AnyCommand) -> None:
        if isinstance(command, CodeMissing) and not command.missing:
            self.tried.append(command.run_id)

    def load(self, run_id: str) -> tuple[Run, dict[bytes, Step]] | None:
        return None


def test_where_nothing_comes_of_a_try_the_next_run_tries() -> None:
    with VirtualLoop() as loop:
        away, owner = Away(loop, lambda code, sentence: None), Wishes()
        for run_id in ("a", "b", "c"):
            away.add("app", owner, run_id, "refused", tried=run_id == "a")
        assert away.reason("app") == "refused"
        loop.advance(0.3)
        assert (owner.tried, away.reason("app")) == (["a"], ""), "while one tries, others may call as well"
        loop.advance(60)
        assert owner.tried == ["a", "b", "c"]


def test_tries_in_vain_come_less_and_less_often() -> None:
    with VirtualLoop() as loop:
        away, owner = Away(loop, lambda code, sentence: None), Wishes()
        away.add("app", owner, "a", "refused", tried=True)
        moments: list[float] = []
        for _ in range(9):
            seen = len(owner.tried)
            while len(owner.tried) == seen:
                loop.advance(0.05)
            moments.append(loop.time())
            away.add("app", owner, "a", "refused", tried=True)
        gaps = [round(later - sooner, 1) for sooner, later in itertools.pairwise(moments)]
        assert gaps == sorted(gaps)
        assert 14 < gaps[-1] < 16


def test_all_go_on_once_it_answers() -> None:
    with VirtualLoop() as loop:
        away, owner = Away(loop, lambda code, sentence: None), Wishes()
        for run_id in ("a", "b", "c"):
            away.add("app", owner, run_id, "refused", tried=True)
        away.reached("app")
        assert sorted(owner.tried) == ["a", "b", "c"]
        assert away.reason("app") == ""
