"""Commands and groups of them: lazily imported, with the nearest name for a wrong one, and errors in four parts."""

from __future__ import annotations

import os
import traceback
from importlib import import_module
from typing import IO, Any

import click

from headrace.cli.nearest import did_you_mean
from headrace.errors import HeadraceError


class Refusal(click.ClickException):
    """A `HeadraceError` on its way to the terminal."""

    def __init__(self, error: HeadraceError) -> None:
        super().__init__(error.what)
        self.error = error

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the four parts; the traceback too where HEADRACE_LOG_LEVEL is debug."""
        show_error(self.error, file)


def show_error(error: HeadraceError, file: IO[Any] | None = None) -> None:
    """Print an error in its four parts, to standard error unless another file is given."""
    if os.environ.get("HEADRACE_LOG_LEVEL", "").lower() == "debug":
        click.echo("".join(traceback.format_exception(error)).rstrip(), file=file, err=True)
    first, _, rest = str(error).partition("\n")
    click.echo(click.style(first, fg="red", bold=True), file=file, err=True)
    if rest:
        click.echo(rest, file=file, err=True)


def _name_source(mistake: click.BadParameter) -> None:
    """Say of a value that did not come from the command line where it did come from."""
    option, ctx = mistake.param, mistake.ctx
    if not isinstance(option, click.Option) or ctx is None or option.name is None:
        return
    source = ctx.get_parameter_source(option.name)
    if source is click.core.ParameterSource.ENVIRONMENT:
        names = [option.envvar] if isinstance(option.envvar, str) else list(option.envvar or ())
        mistake.param_hint = f"the variable {next((name for name in names if os.environ.get(name)), '')}"
    elif source is click.core.ParameterSource.DEFAULT_MAP:
        mistake.param_hint = f"{option.name.replace('_', '-')} in headrace.toml"


class Group(click.Group):
    """A group whose commands are imported when they are asked for: name → "module:attribute" of this room."""

    def __init__(self, *args: Any, places: dict[str, str] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._places = places or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the commands in the order in which they were given."""
        return [*self._places, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        place = self._places.get(cmd_name)
        if place is None:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = place.partition(":")
        command = getattr(import_module(f"headrace.cli.{module}"), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or name the one that is nearest."""
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None and not ctx.resilient_parsing:
            ctx.fail(f"There is no command {name!r}.{did_you_mean(name, self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what goes wrong with a code of ours is printed in four parts."""
        try:
            return super().invoke(ctx)
        except click.BadParameter as mistake:
            _name_source(mistake)
            raise
        except HeadraceError as error:
            raise Refusal(error) from error
        except KeyboardInterrupt:
            ctx.exit(130)
