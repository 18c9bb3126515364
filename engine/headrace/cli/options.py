"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from headrace.cli.quantities import MOMENT, WholeNumber
from headrace.cli.settings import FileSettings

F = TypeVar("F", bound=Callable[..., Any])
DEFAULT_URL = "http://127.0.0.1:8288"
PORT = WholeNumber(1, 65535)


def apply_all(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Put several options on a command, in the order in which `--help` shall show them."""

    def decorate(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def kafka_options(embedded: bool = False) -> Callable[[F], F]:
    """Say where Kafka is and how its topics are named."""
    default = "Kafka's address; without it one is started here" if embedded else "Kafka's address [127.0.0.1:9092]"
    return apply_all(
        click.option("--kafka", metavar="HOST:PORT", envvar="HEADRACE_KAFKA", help=f"{default}."),
        click.option(
            "--prefix", envvar="HEADRACE_PREFIX", default="headrace", show_default=True, help="Of all topics."
        ),
    )


def partitions_option(default: int) -> Callable[[F], F]:
    """Say how many partitions new topics get."""
    return click.option(
        "--partitions",
        type=WholeNumber(1, 10_000),
        envvar="HEADRACE_PARTITIONS",
        help=f"Of new topics [{default}]. Where topics exist their count is adopted, and another one is an error.",
    )


def data_dir_option(default: str = ".headrace") -> Callable[[F], F]:
    """Say where the node keeps its files."""
    return click.option(
        "--data-dir",
        type=click.Path(path_type=Path, file_okay=False),
        envvar="HEADRACE_DATA_DIR",
        default=default,
        show_default=True,
        help="Where this node keeps its files.",
    )


def listen_options() -> Callable[[F], F]:
    """Say where the node listens for HTTP."""
    return apply_all(
        click.option(
            "--host",
            envvar="HEADRACE_HOST",
            default="127.0.0.1",
            show_default=True,
            help="To listen on; beyond loopback keys are required.",
        ),
        click.option("--port", type=PORT, envvar="HEADRACE_PORT", default=8288, show_default=True),
    )


def client_options() -> Callable[[F], F]:
    """Say which node to ask, and with which key."""
    return apply_all(
        click.option("--url", metavar="URL", envvar="HEADRACE_URL", help=f"Of the node to ask [{DEFAULT_URL}]."),
        click.option("--api-key", metavar="KEY", help="Of the node's API [the first of HEADRACE_API_KEYS]."),
    )


def json_option() -> Callable[[F], F]:
    """Ask for the node's answer as it is."""
    return click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")


def file_settings(ctx: click.Context) -> FileSettings:
    """Give what headrace.toml says."""
    found = ctx.find_object(FileSettings)
    return found if found is not None else FileSettings()


def list_options() -> Callable[[F], F]:
    """Say how much of a list."""
    return apply_all(
        click.option(
            "--since",
            type=MOMENT,
            metavar="WHEN",
            help="Only newer ones: how long ago (15m, 2h, 7d) or a date or moment (UTC unless it names its zone).",
        ),
        click.option("--limit", type=WholeNumber(1, 1000), default=50, show_default=True),
        click.option("--cursor", metavar="CURSOR", help="Go on where the list before ended."),
    )


def require_apps(ctx: click.Context, apps: tuple[str, ...]) -> tuple[str, ...]:
    """Give the apps that were named, else those of headrace.toml; a usage error where there are none."""
    found = tuple(apps or file_settings(ctx).value("apps", ctx.info_name or "") or ())
    if not found:
        raise click.UsageError(f"Name an app: headrace {ctx.info_name} app.py (or apps = [...] in headrace.toml)", ctx)
    return found
