"""The root of the command line: which commands there are, and the settings file that all of them read."""

from __future__ import annotations

import click

from headrace.cli.groups import Group
from headrace.version import __version__

_PLACES = {
    "dev": "dev:dev",
    "start": "start:start",
    "kafka": "broker:kafka",
    "topics": "topics:topics",
    "send": "send:send",
    "runs": "runs:runs",
    "run": "runs:run",
    "invoke": "invoke:invoke",
    "cancel": "runs:cancel",
    "pause": "limits:pause",
    "resume": "limits:resume",
    "limits": "limits:limits",
    "apps": "apps:apps",
    "events": "events:events",
    "event": "events:event",
    "why": "why:why",
    "check": "check:check",
    "doctor": "doctor:doctor",
}


@click.group(
    cls=Group,
    places=_PLACES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Settings: a flag beats its HEADRACE_… variable, the variable beats headrace.toml in this folder.",
)
@click.version_option(__version__, "--version", message="headrace %(version)s")
@click.pass_context
def headrace(ctx: click.Context) -> None:
    """Durable functions on Kafka.

    Try it: headrace dev app.py
    """
    import os

    from headrace.cli.settings import FileSettings, unknown_variables

    # The nodes of `start --processes` leave that to their parent.
    if "HEADRACE_PARENT_PIPE" not in os.environ:
        for name, meant in unknown_variables():
            note = f"note: the variable {name} is no setting and is ignored. Did you mean {meant}?"
            click.echo(click.style(note, fg="yellow"), err=True)
    found = FileSettings.read()
    ctx.obj = found
    ctx.default_map = found.default_map(headrace.list_commands(ctx))
