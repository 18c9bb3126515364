"""`headrace start`: a node, or several, on a Kafka that is there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headrace.cli.options import (
    data_dir_option,
    file_settings,
    given_keys,
    kafka_options,
    key_options,
    listen_options,
    named_apps,
    partitions_option,
    read_sdk_options,
    sdk_options,
)
from headrace.cli.quantities import WholeNumber

if TYPE_CHECKING:
    from headrace.cli.plan import Plan

DEFAULT_PARTITIONS = 16
ASK_AGAIN_S = 5.0


@click.command()
@click.argument("apps", nargs=-1, metavar="[module:app]...")
@kafka_options()
@listen_options()
@sdk_options()
@key_options()
@data_dir_option()
@partitions_option(DEFAULT_PARTITIONS)
@click.option(
    "--processes",
    type=WholeNumber(1, 256),
    default=1,
    show_default=True,
    help="Run so many nodes under one parent; the first serves HTTP.",
)
@click.option(
    "--instance-id",
    metavar="ID",
    help="The node's name in its group; no two may have the same [a uuid kept in the data directory].",
)
@click.option("--no-http", is_flag=True, hidden=True, help="Of the nodes beside the first.")
@click.pass_context
def start(ctx: click.Context, /, **_given: object) -> None:
    """Run a node of a cluster: the same command on every machine. Apps of Inngest's SDKs are served as well.

    headrace start shop.functions:app --kafka kafka-1:9092
    """
    from headrace.cli.logs import set_up_logging
    from headrace.cli.processes import PIPE_VARIABLE

    plan = plan_start(ctx)
    # Where several write to one terminal, each line says who.
    set_up_logging(plan.variables, node=plan.data_dir.name if PIPE_VARIABLE in os.environ else "")
    sdk = read_sdk_options(ctx)
    sdk.tell()
    plan.keys.check(plan.host)
    check_urls(sdk.urls, allow_private=plan.allow_private)
    given = ctx.params
    if given["processes"] > 1:
        shared = {f"--{name}": given[name] for name in ("kafka", "prefix", "host", "port", "partitions")}
        arguments = [*plan.targets, *_words(shared), *sdk.words()]
        # Keys go by the environment: command lines are seen by others.
        environment = {**os.environ, **given_keys(ctx)}
        ctx.exit(_run_several(arguments, plan.data_dir, given["processes"], plan.instance_id, environment))
    from headrace.cli.serving import serve

    ctx.exit(serve(plan))


def plan_start(ctx: click.Context) -> Plan:
    """Gather what was given on the command line, in the environment and in the file."""
    from headrace.adapters.kafka_settings import KafkaSettings
    from headrace.cli.keys import Keys
    from headrace.cli.plan import Plan

    given, sdk = ctx.params, read_sdk_options(ctx)
    variables = {**file_settings(ctx).variables("start"), **given_keys(ctx)}
    return Plan(
        targets=named_apps(ctx, given["apps"]),
        kafka=KafkaSettings.load(given["kafka"], variables),
        prefix=given["prefix"],
        host=given["host"],
        port=given["port"],
        data_dir=given["data_dir"],
        partitions=given["partitions"],
        default_partitions=DEFAULT_PARTITIONS,
        keys=Keys.load(variables),
        variables=variables,
        instance_id=given["instance_id"],
        http=not given["no_http"],
        sdk_urls=sdk.urls,
        poll=sdk.poll_interval_s is not None,
        poll_interval_s=sdk.poll_interval_s or ASK_AGAIN_S,
        connect_port=sdk.gateway_port,
        allow_private=variables.get("HEADRACE_ALLOW_PRIVATE_APPS", "") in ("1", "true", "yes"),
    )


def _words(options: Mapping[str, object]) -> list[str]:
    """Write options as a command line has them; those without a value are left out."""
    return [word for name, value in options.items() if value for word in (name, str(value))]


def _run_several(
    arguments: list[str], data_dir: Path, processes: int, instance_id: str | None, environment: Mapping[str, str]
) -> int:
    from headrace.adapters.data_folder import make_private
    from headrace.cli.processes import node_commands, run_processes

    make_private(data_dir)
    return run_processes(node_commands(arguments, data_dir, processes, instance_id), environment)


def check_urls(urls: tuple[str, ...], *, allow_private: bool) -> None:
    """Refuse addresses of apps that only this machine or its network knows, unless they are allowed; NotReady."""
    from headrace.errors import NotReady
    from headrace.functions.sdk_urls import is_private, normal_url

    private = [] if allow_private else [url for url in urls if is_private(normal_url(url))]
    if private:
        raise NotReady(
            "app_address_private",
            f"--sdk-url {private[0]} is a private address",
            why="in production a node calls no address that only its own network knows, unless it is told to",
            do="set HEADRACE_ALLOW_PRIVATE_APPS=1 where apps are in this network, or name a public address",
        )
