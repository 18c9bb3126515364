"""Imports in the engine point one way. Goal: a wrong import fails here, whichever way it is written."""

from __future__ import annotations

import pytest

from tests.house.imports import FREE, LEVELS, ROOMS, SIBLINGS, allowed_rooms, import_violations
from tests.house.sources import ENGINE, Source, engine_sources

SOURCES = engine_sources()


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.module)
def test_a_module_imports_only_what_the_table_allows(source: Source) -> None:
    assert not (found := import_violations(source)), "\n".join(found)


def test_every_room_of_the_house_is_in_the_table() -> None:
    rooms = {path.parent.name for path in ENGINE.glob("*/__init__.py")}
    rooms |= {path.stem for path in ENGINE.glob("*.py")} - {"__init__"}
    assert rooms <= ROOMS
    assert {"records", "routing", "worker", "cli"} <= rooms, "the engine was not found"


def test_the_table_is_the_one_that_was_decided() -> None:
    assert allowed_rooms("records") == {"records"} | FREE
    assert allowed_rooms("functions") == {"functions", "records", "expressions", "state"} | FREE
    for room in ("routing", "admission", "runs", "adapters"):
        assert allowed_rooms(room) == {room, "functions", "records", "expressions", "state"} | FREE
    assert allowed_rooms("worker") == ROOMS - {"console", "testing", "cli", "app", "headrace", "__main__"}
    assert "console" not in allowed_rooms("testing")
    assert "testing" not in allowed_rooms("console")
    assert "app" not in allowed_rooms("cli")
    assert allowed_rooms("headrace") == ROOMS - {"__main__"}
    assert allowed_rooms("errors") == {"errors"}


def test_the_steps_within_a_level_make_no_circle() -> None:
    assert all(any({*pair} <= level for level in LEVELS) for pair in SIBLINGS)
    assert not {source for source, _ in SIBLINGS} & {target for _, target in SIBLINGS}


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("headrace.runs.decide", "from headrace.admission.throttle import Throttle"),
        ("headrace.runs.decide", "import headrace.admission.throttle as throttle"),
        ("headrace.runs.decide", "from headrace import admission"),
        ("headrace.runs.decide", "from headrace.admission import batch, throttle"),
        ("headrace.runs.decide", "from ..admission import throttle"),
        ("headrace.runs.decide", "from .. import admission"),
        ("headrace.runs.decide", "import os, headrace.worker"),
        ("headrace.routing.match", "from headrace.runs import decide"),
        ("headrace.admission.batch", "from headrace.routing import match"),
        ("headrace.adapters.kafka", "from headrace.worker import turn"),
        ("headrace.records.event", "from headrace.functions import Trigger"),
        ("headrace.records.event", "from headrace.expressions import durations"),
        ("headrace.records.event", "import headrace"),
        ("headrace.records.event", "from headrace import Event"),
        ("headrace.records.event", "from headrace import *"),
        ("headrace.intake.webhook", "def f():\n    from headrace.execution import call\n"),
        ("headrace.worker.turn", "async def f():\n    if True:\n        import headrace.console.api\n"),
        (
            "headrace.worker.turn",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from headrace.cli import x\n",
        ),
        ("headrace.worker.turn", "import importlib\nimportlib.import_module('headrace.app')"),
        (
            "headrace.worker.turn",
            "from importlib import import_module\nimport_module('..console', __package__)",
        ),
        ("headrace.worker.turn", "__import__('headrace.testing')"),
        ("headrace.console.api", "from headrace.testing import world"),
        ("headrace.cli.start", "from headrace.app import App"),
        ("headrace.errors", "from headrace.records import event"),
        ("headrace.version", "import headrace.errors"),
        ("headrace.state", "from headrace.functions import Limit"),
        ("headrace.worker.turn", "from tests.simulation import world"),
        ("headrace.utils", "import json"),
        ("headrace.utils.text", "import json"),
    ],
)
def test_a_planted_violation_is_found(module: str, text: str) -> None:
    assert len(import_violations(Source(module, text))) == 1


def test_a_package_resolves_its_relative_imports_from_itself() -> None:
    text = "from . import claim\nfrom .. import console\n"
    found = import_violations(Source("headrace.worker", text, is_package=True))
    assert len(found) == 1
    assert ":2: imports headrace.console" in found[0]


@pytest.mark.parametrize(
    ("module", "text"),
    [
        (
            "headrace.runs.decide",
            "import json\nfrom headrace.records.event import Event\nfrom . import steps\n",
        ),
        (
            "headrace.runs.decide",
            "from headrace.runs.steps import Step\nfrom headrace.errors import BadRecord\n",
        ),
        ("headrace.state", "from headrace.records.rows import Row"),
        ("headrace.worker.turn", "from headrace import runs, routing, admission, execution\n"),
        ("headrace.console.api", "from headrace.version import __version__\n"),
        (
            "headrace.app",
            "def test():\n    from headrace.testing import world\n    from headrace.cli import main\n",
        ),
        ("headrace", "from importlib import import_module\nimport_module('headrace.app')\n"),
    ],
)
def test_an_allowed_import_passes(module: str, text: str) -> None:
    assert import_violations(Source(module, text)) == []
