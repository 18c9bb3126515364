"""The repository speaks of itself alone. Goal: no line names a path of one machine or a host of packages."""

from __future__ import annotations

import re

import pytest

from tests.house.sources import repository_files

# Put together from pieces, so that this file does not hold what it forbids.
_HOSTS = [
    "pypi" + ".org",
    "python" + "hosted.org",
    "maven" + ".org",
    "maven." + "apache.org",
    "npm" + "js.org",
    "npm" + "js.com",
    "golang" + ".org",
    "crates" + ".io",
    "docker" + ".io",
    "deb.debian" + ".org",
]
_PATHS = [
    "/" + "work",
    "/tmp/" + "hr",
    "/tmp/" + "house",
    "/tmp/" + "bash_jobs",
    "/" + "root",
    "/opt/" + "wheels",
]
# Folders that lie beside the repository where it is planned; a reader of the repository has none of them.
_BESIDE = ["shared/" + name for name in ("design", "api", "model", "field", "protocol", "hooks")]

FORBIDDEN = re.compile(
    "|".join(
        [
            r"(?<![\w./-])(?:" + "|".join(map(re.escape, _PATHS)) + r")(?![\w-])",
            r"(?<![\w-])(?:" + "|".join(map(re.escape, _HOSTS)) + r")(?![\w-])",
            r"(?<![\w-])(?:" + "|".join(map(re.escape, _BESIDE)) + r")(?![\w])",
        ]
    )
)


def forbidden_words(text: str) -> list[tuple[int, str]]:
    """List (line, what it holds) for each forbidden word of a text."""
    lines = enumerate(text.splitlines(), 1)
    return [(number, match.group()) for number, line in lines for match in FORBIDDEN.finditer(line)]


def test_no_line_of_the_repository_names_a_workplace_or_a_package_host() -> None:
    found = []
    looked_at = 0
    for path in repository_files():
        content = path.read_bytes()
        looked_at += 1
        if b"\0" in content[:8192]:
            continue
        for line, word in forbidden_words(content.decode("utf-8", "replace")):
            found.append(f"{path}:{line}: {word}")
    assert not found, "\n".join(found)
    assert looked_at > 20, "the repository was not found"


@pytest.mark.parametrize("word", [*_PATHS, *_HOSTS, *_BESIDE])
def test_a_planted_word_is_found(word: str) -> None:
    for text in (
        word,
        f"see `{word}/main` for more",
        f"ok\nhttps://files.{word}/x" if word in _HOSTS else f"({word})",
    ):
        assert forbidden_words(text)


@pytest.mark.parametrize(
    "text",
    [
        "the work/life balance of http://localhost:8288/workers",
        "GET /v1/work-items",
        "a chroot, the root of the tree, /roots",
        "https://docs.python.org/3/library",
        "https://kafka.apache.org/protocol",
        "shared/protocols and shared state",
    ],
)
def test_ordinary_words_pass(text: str) -> None:
    assert forbidden_words(text) == []
