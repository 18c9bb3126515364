"""`headrace dev`: apps, a node and a Kafka in one process, and the code reloaded as it changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from headrace.cli.options import (
    PORT,
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
from headrace.cli.quantities import Seconds
from headrace.cli.settings import variables_of

if TYPE_CHECKING:
    from headrace.cli.plan import Plan

DEFAULT_PARTITIONS = 4
RETRY_INTERVAL_S_MAX = 86_400
POLL_INTERVAL_S = 5.0


@click.command()
@click.argument("apps", nargs=-1, metavar="[APP.py | module:app]...")
@listen_options()
@sdk_options(POLL_INTERVAL_S)
@click.option(
    "--no-discovery",
    is_flag=True,
    envvar=variables_of("HEADRACE_NO_DISCOVERY"),
    help="Do not look for apps of SDKs on this machine; it is done where no app and no --sdk-url is named.",
)
@click.option(
    "--no-poll",
    is_flag=True,
    envvar=variables_of("HEADRACE_NO_POLL"),
    help="Ask apps of SDKs only until they have registered.",
)
@key_options()
@kafka_options(embedded=True)
@click.option(
    "--kafka-port",
    type=PORT,
    help="Of the Kafka that is started here, on 127.0.0.1 [the last one; at first 9092 or a free one].",
)
@data_dir_option()
@partitions_option(DEFAULT_PARTITIONS)
@click.option(
    "--retry-interval",
    type=Seconds(0.01, RETRY_INTERVAL_S_MAX),
    metavar="SECONDS",
    envvar=variables_of("HEADRACE_RETRY_INTERVAL"),
    help="Wait this long before every retry, whatever functions say (up to a day).",
)
@click.option("--reload/--no-reload", default=True, show_default=True, help="Load the code again when it changes.")
@click.pass_context
def dev(ctx: click.Context, /, **_given: object) -> None:
    """Run apps here, with a Kafka of their own: everything in one process. Apps of Inngest's SDKs are served as well.

    headrace dev app.py

    headrace dev -u http://localhost:3000/api/inngest
    """
    from headrace.cli.logs import set_up_logging

    plan = plan_dev(ctx)
    set_up_logging(plan.variables)
    read_sdk_options(ctx).tell()
    # Stale bytecode would be run when a file changes twice within a second.
    import sys

    sys.dont_write_bytecode = True
    from headrace.cli.serving import serve

    ctx.exit(serve(plan))


def plan_dev(ctx: click.Context) -> Plan:
    """Gather what was given on the command line, in the environment and in the file. Errors: click.UsageError."""
    from headrace.adapters.kafka_settings import KafkaSettings
    from headrace.cli.keys import Keys
    from headrace.cli.plan import Plan

    given = ctx.params
    kafka, retry_interval = given["kafka"], given["retry_interval"]
    if kafka and given["kafka_port"] and ctx.get_parameter_source("kafka_port") is ParameterSource.COMMANDLINE:
        raise click.UsageError(f"--kafka-port is for the Kafka that dev starts, and {kafka} is named as Kafka.", ctx)
    targets, sdk = named_apps(ctx, given["apps"]), read_sdk_options(ctx)
    variables = {**file_settings(ctx).variables("dev"), **given_keys(ctx)}
    return Plan(
        targets=targets,
        kafka=KafkaSettings.load(kafka, variables) if kafka else None,
        prefix=given["prefix"],
        host=given["host"],
        port=given["port"],
        data_dir=given["data_dir"],
        partitions=given["partitions"],
        default_partitions=DEFAULT_PARTITIONS,
        keys=Keys.load(variables),
        variables=variables,
        retry_interval_ms=None if retry_interval is None else round(retry_interval * 1000),
        reload=given["reload"],
        dev=True,
        kafka_port=given["kafka_port"],
        sdk_urls=sdk.urls,
        poll=not given["no_poll"],
        poll_interval_s=sdk.poll_interval_s or POLL_INTERVAL_S,
        discovery=not (given["no_discovery"] or targets or sdk.urls),
        connect_port=sdk.gateway_port,
    )
