"""Files and functions stay small. Goal: the second idea in a file is noticed on the day it moves in."""

from __future__ import annotations

from tests.house.sizes import EXCUSED_FILES, EXCUSED_FUNCTIONS, long_files, long_functions
from tests.house.sources import Source, engine_sources

SOURCES = engine_sources()


def test_no_file_is_longer_than_one_idea() -> None:
    found = {place: lines for place, lines in long_files(SOURCES).items() if place not in EXCUSED_FILES}
    assert not found, "split these, or excuse them with a reason in tests/house/sizes.py"


def test_no_function_is_longer_than_one_idea() -> None:
    found = {name: lines for name, lines in long_functions(SOURCES).items() if name not in EXCUSED_FUNCTIONS}
    assert not found, "split these, or excuse them with a reason in tests/house/sizes.py"


def test_every_excuse_is_still_needed_and_has_a_reason() -> None:
    assert not set(EXCUSED_FILES) - set(long_files(SOURCES))
    assert not set(EXCUSED_FUNCTIONS) - set(long_functions(SOURCES))
    assert all([*EXCUSED_FILES.values(), *EXCUSED_FUNCTIONS.values()])


def test_planted_giants_are_found() -> None:
    body = "        x = 1\n" * 70
    text = f"class A:\n    if True:\n      async def f(self):\n{body}    def g(self):\n        return 1\n"
    place = "engine/headrace/worker/planted.py"
    giant = Source("headrace.worker.planted", text, place)
    assert long_functions([giant]) == {"headrace.worker.planted.A.f": 71}
    assert long_functions([Source("m", "def f():\n" + "    x = 1\n" * 69)]) == {}
    assert long_functions([Source("m", "def f():\n    def g():\n" + "        x = 1\n" * 70)]) == {
        "m.f": 72,
        "m.f.g": 71,
    }
    assert long_files([giant]) == {}
    assert long_files([Source("m", "x = 1\n" * 401, place)]) == {"worker/planted.py": 401}
    assert long_files([Source("m", "x = 1\n" * 400, place)]) == {}
