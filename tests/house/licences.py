"""Which distributions Headrace pulls in, and under which licences they are."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from typing import Protocol

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.house.sources import ROOT

# SPDX identifiers under which a dependency may be embedded in anything.
PERMISSIVE = frozenset(
    {
        "0BSD",
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "ISC",
        "MIT",
        "MIT-0",
        "PSF-2.0",
        "Python-2.0",
        "Unlicense",
        "Zlib",
    }
)
# A dependency under MPL-2.0 (copyleft by file: it may be used as it is) only if named here, with the reason.
NAMED_MPL: dict[str, str] = {}

# What older metadata says in words: the last part of a "License ::" classifier, or the License field.
_WORDS = {
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "apache-2.0": "Apache-2.0",
    "bsd": "BSD-3-Clause",
    "bsd license": "BSD-3-Clause",
    "bsd-2-clause": "BSD-2-Clause",
    "bsd-3-clause": "BSD-3-Clause",
    "isc": "ISC",
    "isc license": "ISC",
    "isc license (iscl)": "ISC",
    "mit": "MIT",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "mpl-2.0": "MPL-2.0",
    "psf-2.0": "PSF-2.0",
    "python software foundation license": "PSF-2.0",
    "the unlicense (unlicense)": "Unlicense",
}


def declared_requirements(extra: str = "") -> list[Requirement]:
    """Read what pyproject.toml asks for at run time, or what one extra adds to it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lines = project["optional-dependencies"][extra] if extra else project["dependencies"]
    return [Requirement(line) for line in lines]


def runtime_distributions() -> list[str]:
    """Name everything that `pip install headrace`, without extras, brings onto this machine."""
    return closure(declared_requirements())


def closure(requirements: Iterable[Requirement]) -> list[str]:
    """Follow requirements through the metadata of what is installed; AssertionError for what is missing."""
    seen: set[tuple[str, str]] = set()
    waiting = [(requirement, "") for requirement in requirements]
    while waiting:
        requirement, asked_by_extra = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": asked_by_extra}):
            continue
        name = canonicalize_name(requirement.name)
        try:
            lines = distribution(name).requires or []
        except PackageNotFoundError:
            raise AssertionError(f"{requirement} is required and not installed: run make setup") from None
        for extra in {"", *requirement.extras}:
            if (name, extra) not in seen:
                seen.add((name, extra))
                waiting += [(Requirement(line), extra) for line in lines]
    return sorted({name for name, _ in seen})


class Metadata(Protocol):
    """The part of a distribution's metadata that is read here."""

    def get_all(self, name: str, failobj: list[str], /) -> list[str]:
        """List the values of a field, or give `failobj` back."""


def licence_of(metadata: Metadata) -> str:
    """Say under which licence a distribution is: an SPDX expression, or "unknown: …" and what they say.

    The License-Expression field (PEP 639) is believed first, then the classifiers (several: all of them
    apply), then the License field when it is a name and not the whole text.
    """
    if expressions := metadata.get_all("License-Expression", []):
        return expressions[0]
    classifiers = [line for line in metadata.get_all("Classifier", []) if line.startswith("License ::")]
    words = [line.rpartition("::")[2].strip() for line in classifiers if not line.endswith("OSI Approved")]
    words = words or metadata.get_all("License", ["nothing stated"])
    return " AND ".join(_WORDS.get(word.strip().lower(), f"unknown: {word[:60]!r}") for word in sorted(words))


def is_permissive(expression: str, *, mpl: bool = False) -> bool:
    """Decide whether an SPDX expression lets us take a permissive licence.

    Of an OR one side is enough, of an AND all are needed; `mpl` accepts MPL-2.0 as well.
    """
    accepted = PERMISSIVE | {"MPL-2.0"} if mpl else PERMISSIVE
    if expression.startswith("unknown"):
        return False
    tokens = re.findall(r"\(|\)|[^\s()]+", expression)
    verdict, rest = _any_of(tokens, accepted)
    return verdict and not rest


def _any_of(tokens: list[str], accepted: frozenset[str]) -> tuple[bool, list[str]]:
    verdict, tokens = _all_of(tokens, accepted)
    while tokens and tokens[0].upper() == "OR":
        other, tokens = _all_of(tokens[1:], accepted)
        verdict = verdict or other
    return verdict, tokens


def _all_of(tokens: list[str], accepted: frozenset[str]) -> tuple[bool, list[str]]:
    verdict, tokens = _one(tokens, accepted)
    while tokens and tokens[0].upper() == "AND":
        other, tokens = _one(tokens[1:], accepted)
        verdict = verdict and other
    return verdict, tokens


def _one(tokens: list[str], accepted: frozenset[str]) -> tuple[bool, list[str]]:
    if not tokens:
        return False, []
    if tokens[0] == "(":
        verdict, rest = _any_of(tokens[1:], accepted)
        closed = bool(rest) and rest[0] == ")"
        return verdict and closed, rest[1:]
    verdict, rest = tokens[0] in accepted, tokens[1:]
    if rest and rest[0].upper() == "WITH":
        # An exception only adds to what is permitted, but no licence of ours has one: read it first.
        return False, rest[2:]
    return verdict, rest
