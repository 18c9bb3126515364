"""`headrace start`: a node, or several, on a Kafka that is there."""

from __future__ import annotations

import os
from pathlib import Path

import click

from headrace.cli.options import (
    data_dir_option,
    file_settings,
    kafka_options,
    listen_options,
    partitions_option,
    require_apps,
)
from headrace.cli.quantities import WholeNumber

DEFAULT_PARTITIONS = 16


@click.command()
@click.argument("apps", nargs=-1, metavar="[module:app]...")
@kafka_options()
@listen_options()
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
def start(
    ctx: click.Context,
    apps: tuple[str, ...],
    kafka: str | None,
    prefix: str,
    host: str,
    port: int,
    data_dir: Path,
    partitions: int | None,
    processes: int,
    instance_id: str | None,
    no_http: bool,
) -> None:
    """Run a node of a cluster: the same command on every machine.

    headrace start shop.functions:app --kafka kafka-1:9092
    """
    targets = require_apps(ctx, apps)
    from headrace.adapters.kafka_settings import KafkaSettings
    from headrace.cli.keys import Keys
    from headrace.cli.logs import set_up_logging
    from headrace.cli.plan import Plan
    from headrace.cli.processes import PIPE_VARIABLE, node_commands, run_processes

    variables = file_settings(ctx).variables("start")
    # Where several write to one terminal, each line says who.
    set_up_logging(variables, node=data_dir.name if PIPE_VARIABLE in os.environ else "")
    keys = Keys.load(variables)
    keys.check(host)
    if processes > 1:
        from headrace.adapters.data_folder import make_private

        make_private(data_dir)
        given = {"--kafka": kafka, "--prefix": prefix, "--host": host, "--port": port, "--partitions": partitions}
        arguments = [*targets, *(word for name, value in given.items() if value for word in (name, str(value)))]
        ctx.exit(run_processes(node_commands(arguments, data_dir, processes, instance_id)))
    from headrace.cli.serving import serve

    plan = Plan(
        targets=targets,
        kafka=KafkaSettings.load(kafka, variables),
        prefix=prefix,
        host=host,
        port=port,
        data_dir=data_dir,
        partitions=partitions,
        default_partitions=DEFAULT_PARTITIONS,
        keys=keys,
        variables=variables,
        instance_id=instance_id,
        http=not no_http,
    )
    ctx.exit(serve(plan))
