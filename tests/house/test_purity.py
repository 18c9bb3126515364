"""The pure rooms are pure. Goal: nothing that could differ between two nodes or replays gets in unseen."""

from __future__ import annotations

import pytest

from tests.house.purity import ALLOWED_MODULES, PURE_ROOMS, impurities
from tests.house.sources import ENGINE, Source, engine_sources

PURE_SOURCES = [source for source in engine_sources() if source.room in PURE_ROOMS]


@pytest.mark.parametrize("source", PURE_SOURCES, ids=lambda source: source.module)
def test_a_module_of_a_pure_room_is_pure(source: Source) -> None:
    assert not (found := impurities(source)), "\n".join(found)


def test_the_pure_rooms_exist() -> None:
    folders = {path.name for path in ENGINE.iterdir() if path.is_dir()}
    modules = {path.stem for path in ENGINE.glob("*.py")}
    assert not PURE_ROOMS - folders - modules


def test_every_exception_is_still_needed_and_has_a_reason() -> None:
    used = {
        (source.module, module)
        for source in PURE_SOURCES
        for module in {pair[1] for pair in ALLOWED_MODULES}
        if f"import {module}" in source.text or f"from {module}" in source.text
    }
    assert not set(ALLOWED_MODULES) - used
    assert all(ALLOWED_MODULES.values())


@pytest.mark.parametrize(
    "text",
    [
        "import time",
        "from time import monotonic",
        "import random",
        "import secrets",
        "from uuid import uuid4",
        "import os",
        "import os.path",
        "import sys",
        "import logging",
        "import asyncio",
        "import threading",
        "import socket",
        "import subprocess",
        "from pathlib import Path",
        "import urllib.request",
        "import urllib",
        "from confluent_kafka import Producer",
        "import rocksdict",
        "import starlette.requests",
        "def f():\n    import time\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import asyncio\n",
        "import importlib\n",
        "__import__('time')",
        "async def f(): pass",
        "async def f(x): return await x",
        "async def f(x): return [y async for y in x]",
        "open('a')",
        "print(1)",
        "key = hash('a') % 16",
        "x = id(y)",
        "eval('1')",
        "from datetime import datetime\ndatetime.now()",
        "from datetime import datetime\nclock = datetime.utcnow",
        "from datetime import datetime as moment, UTC\nmoment.now(UTC)",
        "import datetime\ndatetime.datetime.now(datetime.UTC)",
        "import datetime as d\nd.date.today()",
        "from datetime import datetime\ndatetime.fromtimestamp(0)",
        "def f(moment): return moment.astimezone()",
    ],
)
def test_a_planted_impurity_is_found(text: str) -> None:
    assert impurities(Source("headrace.runs.planted", text))


@pytest.mark.parametrize(
    "text",
    [
        "from datetime import UTC, date, datetime, timedelta\ndatetime.fromtimestamp(0, UTC).isoformat()",
        "from datetime import datetime, timezone\ndatetime.fromtimestamp(0, tz=timezone.utc)",
        "from urllib.parse import urlsplit",
        "from collections.abc import Iterator\nimport json, re, msgspec\nre.compile('a')",
        "from headrace.records.event import Event\nfrom . import steps\n",
        "def due(now_ms: int, timers): return [timer for timer in timers if timer.due_ms <= now_ms]",
        "def f(ctx): return ctx.now()",
        "def f(moment, zone): return moment.astimezone(zone)",
        "class Key:\n    def __hash__(self) -> int: return 1\n",
    ],
)
def test_what_is_pure_passes(text: str) -> None:
    assert impurities(Source("headrace.runs.planted", text)) == []
