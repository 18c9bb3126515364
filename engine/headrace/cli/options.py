"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from headrace.cli.keys import listed
from headrace.cli.quantities import MOMENT, Seconds, WholeNumber
from headrace.cli.settings import FileSettings, variables_of

F = TypeVar("F", bound=Callable[..., Any])
DEFAULT_URL = "http://127.0.0.1:8288"
PORT = WholeNumber(1, 65535)
POLL_INTERVAL_S_MAX = 86_400
_KEY_VARIABLES = {
    "event_keys": "HEADRACE_EVENT_KEYS",
    "signing_key": "HEADRACE_SIGNING_KEY",
    "signing_key_fallback": "HEADRACE_SIGNING_KEY_FALLBACK",
}


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
            envvar=variables_of("HEADRACE_HOST"),
            default="127.0.0.1",
            show_default=True,
            help="To listen on; beyond loopback keys are required.",
        ),
        click.option("--port", "-p", type=PORT, envvar=variables_of("HEADRACE_PORT"), default=8288, show_default=True),
    )


def sdk_options(poll_interval: float | None = None) -> Callable[[F], F]:
    """Say where apps of SDKs are, and how they are looked after. Without an interval only what fails is asked again."""
    default = "only apps that fail" if poll_interval is None else f"{poll_interval:g}"
    return apply_all(
        click.option(
            "--sdk-url",
            "-u",
            "sdk_url",
            multiple=True,
            metavar="URL",
            envvar=variables_of("HEADRACE_SDK_URL"),
            help="Of an app of an Inngest SDK, such as http://localhost:3000/api/inngest; several may be given.",
        ),
        click.option(
            "--poll-interval",
            type=Seconds(0.1, POLL_INTERVAL_S_MAX),
            metavar="SECONDS",
            envvar=variables_of("HEADRACE_POLL_INTERVAL"),
            help=f"Ask these apps so often what they have [{default}].",
        ),
        click.option(
            "--connect-gateway-port",
            type=PORT,
            envvar=variables_of("HEADRACE_CONNECT_GATEWAY_PORT"),
            help="For workers of SDKs that connect to this node [the port above --port].",
        ),
        # What a server of Inngest needs to be told, and this one does not.
        click.option("--tick", type=WholeNumber(0, 1_000_000), hidden=True),
        click.option("--queue-workers", type=WholeNumber(0, 1_000_000), hidden=True),
    )


def key_options() -> Callable[[F], F]:
    """Give keys on the command line."""
    return apply_all(
        click.option(
            "--event-key",
            "event_keys",
            multiple=True,
            metavar="KEY",
            help="That may send events; several may be given. Others see it in the list of processes:"
            " HEADRACE_EVENT_KEYS is not seen.",
        ),
        click.option("--signing-key", metavar="KEY", help="Signs what passes between this node and apps of SDKs."),
        click.option("--signing-key-fallback", metavar="KEY", help="The one before it, while keys are changed."),
    )


def given_keys(ctx: click.Context) -> dict[str, str]:
    """Give the keys that stand on the command line, as the variables that they take the place of."""
    given: dict[str, str] = {}
    for name, variable in _KEY_VARIABLES.items():
        value = ctx.params.get(name)
        if value and ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            given[variable] = ",".join(value) if isinstance(value, tuple | list) else str(value)
    return given


@dataclass(frozen=True)
class SdkOptions:
    """What was given of `sdk_options`; `ignored` are options that mean nothing here."""

    urls: tuple[str, ...]
    poll_interval_s: float | None
    gateway_port: int | None
    ignored: tuple[str, ...]

    def words(self) -> list[str]:
        """Write them as a command line has them."""
        words = [word for url in self.urls for word in ("--sdk-url", url)]
        if self.poll_interval_s is not None:
            words += ["--poll-interval", str(self.poll_interval_s)]
        if self.gateway_port is not None:
            words += ["--connect-gateway-port", str(self.gateway_port)]
        return words

    def tell(self) -> None:
        """Say once which options are ignored."""
        if self.ignored:
            from headrace.cli.logs import tell

            tell("option_ignored", f"{' and '.join(self.ignored)}: no queue is polled here, there is nothing to set")


def read_sdk_options(ctx: click.Context) -> SdkOptions:
    """Give what was given; a variable may hold several addresses with commas between them."""
    given = ctx.params
    return SdkOptions(
        tuple(url for one in given["sdk_url"] for url in listed(one)),
        given["poll_interval"],
        given["connect_gateway_port"],
        tuple(f"--{name.replace('_', '-')}" for name in ("tick", "queue_workers") if given[name] is not None),
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


def named_apps(ctx: click.Context, apps: tuple[str, ...]) -> tuple[str, ...]:
    """Give the apps that were named, else those of headrace.toml; with none, only apps of SDKs are served."""
    return tuple(apps or file_settings(ctx).value("apps", ctx.info_name or "") or ())
