"""What users import, frozen. Goal: no public name comes or goes unnoticed, and importing it is cheap."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import headrace
from tests.house.licences import runtime_distributions

# A name that goes breaks somebody; a name that comes has to be kept. Both need an entry in CHANGELOG.md.
PUBLIC_NAMES = [
    "App",
    "Backoff",
    "Batch",
    "CancelOn",
    "Concurrency",
    "Context",
    "Cron",
    "Debounce",
    "DuplicateStep",
    "Event",
    "Idempotency",
    "Middleware",
    "NestedStep",
    "NonRetriableError",
    "OnEvent",
    "Priority",
    "RateLimit",
    "Retries",
    "RetryAfterError",
    "Singleton",
    "StepError",
    "Throttle",
    "Timeouts",
    "Wait",
    "__version__",
]

_REPORT = """
import json, sys
before = set(sys.modules)
import headrace
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_the_public_names_are_these() -> None:
    assert sorted(headrace.__all__) == sorted(PUBLIC_NAMES)
    assert len(set(headrace.__all__)) == len(headrace.__all__)


def test_every_public_name_is_there_and_is_listed() -> None:
    for name in PUBLIC_NAMES:
        assert getattr(headrace, name) is not None
    assert set(PUBLIC_NAMES) <= set(dir(headrace))


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(headrace, "NoSuchName")


def test_public_classes_are_documented() -> None:
    undocumented = [name for name in PUBLIC_NAMES if not (getattr(headrace, name).__doc__ or "").strip()]
    assert not undocumented


def test_importing_the_package_loads_none_of_its_rooms_and_no_dependency() -> None:
    command = [sys.executable, "-c", _REPORT]
    loaded = json.loads(subprocess.run(command, check=True, capture_output=True, cwd=Path("/")).stdout)
    rooms = {name for name in loaded if name.startswith("headrace.")} - {"headrace.version"}
    assert not rooms
    dependencies = {module for name in runtime_distributions() for module in _top_modules(name)}
    assert "confluent_kafka" in dependencies, "the dependencies were not found"
    assert not {name.partition(".")[0] for name in loaded} & dependencies


def _top_modules(name: str) -> set[str]:
    modules = [file for file in distribution(name).files or [] if file.suffix in {".py", ".so"}]
    tops = {module.parts[0].removesuffix(".py").partition(".")[0] for module in modules}
    return {top for top in tops if top.isidentifier()}
