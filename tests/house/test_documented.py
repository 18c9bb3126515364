"""What the documents show must exist: commands with their options, make targets, Python that compiles."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from headrace.cli.commands import headrace as cli

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "examples").glob("*/README.md")),
]
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")


def shown(page: Path) -> list[str]:
    """List everything that a page shows as typed: inline code, and the lines of blocks without a language."""
    text = page.read_text()
    blocks = [body for language, body in _FENCED.findall(text) if language in ("", "sh", "bash")]
    lines = [line for body in blocks for line in body.splitlines()]
    return lines + _INLINE.findall(_FENCED.sub("", text))


def commands(page: Path) -> list[list[str]]:
    """List the invocations of `headrace` on a page, as words."""
    found = []
    for line in shown(page):
        match = re.search(r"(?:^|[ /])headrace ([a-z].*)$", line)
        if match and not re.match(r"[a-z]+[.=]", match[1]):
            try:
                found.append(shlex.split(match[1], comments=True))
            except ValueError:
                continue  # a sentence with an apostrophe, not a command
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_every_command_shown_exists_with_its_options(page: Path) -> None:
    for words in commands(page):
        command: click.Command = cli
        context = click.Context(cli, info_name="headrace")
        rest = list(words)
        while rest and isinstance(command, click.Group):
            word = rest.pop(0)
            below = command.get_command(context, word)
            assert below is not None, f"{page.name} shows `headrace {' '.join(words)}`, there is no {word!r}"
            command = below
        known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        for word in rest:
            option = word.partition("=")[0]
            if re.fullmatch(r"--[a-z-]+", option):
                assert option in known or option == "--help", (
                    f"{page.name}: `headrace {' '.join(words)}` has no {option}"
                )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_every_make_target_shown_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for line in shown(page):
        match = re.match(r"make ([a-z-]+)", line)
        if match:
            assert match[1] in targets, f"{page.name} shows `{line}`, the Makefile has no {match[1]}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_python_that_is_shown_compiles(page: Path) -> None:
    for language, body in _FENCED.findall(page.read_text()):
        if language == "python":
            wrapped = body if "await " not in body or "def " in body else f"async def shown():\n{_indented(body)}"
            compile(wrapped, page.name, "exec")


def test_every_command_has_its_place_on_the_page_of_the_command_line() -> None:
    headings = re.findall(r"^## headrace (.+)$", (ROOT / "docs" / "command-line.md").read_text(), re.MULTILINE)
    assert sorted(name for heading in headings for name in heading.split(", ")) == sorted(
        cli.list_commands(click.Context(cli))
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_every_page_that_is_named_exists(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def _indented(body: str) -> str:
    return "".join(f"    {line}\n" for line in body.splitlines())
