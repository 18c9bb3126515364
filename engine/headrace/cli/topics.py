"""`headrace topics`: create them, check them, list the rights that a node needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from headrace.cli.groups import Group
from headrace.cli.options import file_settings, json_option, kafka_options, partitions_option

if TYPE_CHECKING:
    from headrace.adapters.kafka_settings import KafkaSettings
    from headrace.adapters.kafka_topics import TopicsFound

_ASK_MS = 10_000


@click.group(cls=Group)
def topics() -> None:
    """Create and check the topics on Kafka."""


@topics.command()
@kafka_options()
@partitions_option(16)
@json_option()
@click.pass_context
def create(ctx: click.Context, kafka: str | None, prefix: str, partitions: int | None, as_json: bool) -> None:
    """Create the topics that are missing; check those that exist. Nodes do the same when they start."""
    from headrace.adapters.kafka_topics import ensure_topics

    settings = _settings(ctx, kafka)
    _show(ensure_topics(settings, prefix, partitions), as_json)


@topics.command()
@kafka_options()
@json_option()
@click.pass_context
def check(ctx: click.Context, kafka: str | None, prefix: str, as_json: bool) -> None:
    """Check that the topics are there and cannot lose state. Changes nothing; ends with status 1 if they can."""
    found = check_topics(_settings(ctx, kafka), prefix)
    _show(found, as_json)


@topics.command()
@kafka_options()
@click.option(
    "--principal",
    default="User:headrace",
    show_default=True,
    metavar="TYPE:NAME",
    callback=lambda _ctx, _option, value: check_principal(value),
    help="Whom the rights are for, as Kafka writes it.",
)
@json_option()
@click.pass_context
def acls(ctx: click.Context, kafka: str | None, prefix: str, principal: str, as_json: bool) -> None:
    """List the rights that a node needs where Kafka checks rights, and the commands that give them."""
    from headrace.adapters.kafka_acls import required_acls
    from headrace.cli.tables import print_json

    needed = required_acls(prefix, principal)
    if as_json:
        print_json({"data": [acl._asdict() for acl in needed]})
        return
    bootstrap = _settings(ctx, kafka).bootstrap
    for acl in needed:
        click.echo(f"# {acl.why}\n{acl.command(bootstrap)}")


def check_principal(principal: str) -> str:
    """Give a principal as Kafka reads it, a type and a name; a usage error for anything else."""
    kind, colon, name = principal.partition(":")
    if colon and kind.isalnum() and name.strip():
        return principal
    meant = f"User:{(name if colon else kind).strip() or 'headrace'}"
    raise click.BadParameter(f"{principal!r} is no principal: Kafka writes them TYPE:NAME, as in {meant}")


def check_topics(settings: KafkaSettings, prefix: str) -> TopicsFound:
    """Check the topics without creating any; raises NotReady for a missing one or a wrong setting."""
    from headrace.adapters.kafka_admin import admin
    from headrace.adapters.kafka_connection import check_connection
    from headrace.adapters.kafka_topic_plans import plan_topics
    from headrace.adapters.kafka_topics import ensure_topics
    from headrace.errors import NotReady

    cluster = check_connection(settings, _ASK_MS)
    with admin(settings) as client:
        there = client.list_topics(timeout=_ASK_MS / 1000).topics
    missing = [plan.name for plan in plan_topics(prefix, len(cluster.brokers)) if plan.name not in there]
    if missing:
        raise NotReady(
            "topics_missing",
            f"{len(missing)} topics are not there: {', '.join(missing)}",
            why="they are created by `headrace topics create`, or by the first node that starts",
            do=f"headrace topics create --kafka {settings.bootstrap} --prefix {prefix}",
        )
    # With every topic there, nothing is created.
    return ensure_topics(settings, prefix)


def _settings(ctx: click.Context, kafka: str | None) -> KafkaSettings:
    from headrace.adapters.kafka_settings import KafkaSettings

    return KafkaSettings.load(kafka, file_settings(ctx).variables("topics"))


def _show(found: TopicsFound, as_json: bool) -> None:
    from headrace.cli.tables import print_json, print_table

    if as_json:
        rows = [topic._asdict() for topic in found.topics.values()]
        print_json({"data": rows, "partitions": found.partitions, "warnings": list(found.warnings)})
        return
    print_table(
        ("TOPIC", "PARTITIONS", "REPLICAS", "KEPT", "NOTE"),
        (
            (
                topic.name,
                topic.partitions,
                topic.replicas,
                "for ever" if topic.retention_ms == -1 else f"{topic.retention_ms / 86_400_000:g} days",
                "created" if topic.created else "",
            )
            for topic in found.topics.values()
        ),
        "",
    )
    for warning in found.warnings:
        click.echo(click.style(f"note: {warning}", fg="yellow"), err=True)
