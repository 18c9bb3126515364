"""`headrace check`: looks for mistakes in apps before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headrace.errors import BadDeclaration
    from headrace.functions import Function


@click.command()
@click.argument("targets", nargs=-1, required=True, metavar="APP.py | MODULE:APP …")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON, one a line.")
@click.pass_context
def check(ctx: click.Context, targets: tuple[str, ...], as_json: bool) -> None:
    """Look for mistakes in apps: options, expressions, cron lines, ids, and side effects outside steps.

    Imports the apps, starts nothing. Ends with status 1 if it finds something.
    """
    import msgspec

    from headrace.cli.groups import show_error

    found, functions = check_targets(targets)
    for mistake in found:
        if as_json:
            parts = ("code", "what", "why", "do", "where")
            click.echo(msgspec.json.encode({part: getattr(mistake, part) for part in parts}).decode())
        else:
            show_error(mistake)
    if found:
        click.echo(f"{len(found)} mistake{'' if len(found) == 1 else 's'} in {functions} functions", err=True)
        ctx.exit(1)
    if not as_json:
        click.echo(f"{functions} function{'' if functions == 1 else 's'}, no mistakes")


def check_targets(targets: Iterable[str]) -> tuple[list[BadDeclaration], int]:
    """Find the mistakes of apps, in the order of their places; and count the functions without any declared wrongly."""
    from headrace.cli.loading import Loader
    from headrace.errors import BadDeclaration
    from headrace.functions.mistakes import COLLECTED

    found = COLLECTED.begin()
    functions: list[Function] = []
    try:
        functions = list(Loader(list(targets)).load().functions.values())
    except BadDeclaration as mistake:
        # An app that could not be declared at all is no surprise where other mistakes have been found already.
        if not (mistake.code == "app_missing" and found):
            found.append(mistake)
    finally:
        COLLECTED.end()
    mistakes = [*found, *_review(functions)]
    return sorted(mistakes, key=_place), len(functions)


def _review(functions: Iterable[Function]) -> list[BadDeclaration]:
    from headrace.functions.reviewing import review_source

    lines: dict[str, set[int]] = {}
    for function in functions:
        path, _, line = function.place.rpartition(":")
        if path and line.isdecimal():
            lines.setdefault(path, set()).add(int(line))
    found: list[BadDeclaration] = []
    for path, begins in lines.items():
        try:
            source = Path(path).read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            continue  # made by exec, or in an archive
        found += review_source(source, path, begins)
    return found


def _place(mistake: BadDeclaration) -> tuple[str, int]:
    path, _, line = mistake.where.rpartition(":")
    return path, int(line) if line.isdecimal() else 0
