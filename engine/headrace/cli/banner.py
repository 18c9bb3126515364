"""What is printed once a node is up: where everything is, and which functions it runs."""

from __future__ import annotations

from collections.abc import Mapping
from os.path import relpath
from typing import TYPE_CHECKING

import click

from headrace.cli.logs import tell
from headrace.version import __version__

if TYPE_CHECKING:
    from headrace.adapters.kafka_settings import KafkaSettings
    from headrace.adapters.kafka_topics import TopicsFound
    from headrace.cli.plan import Plan
    from headrace.functions import Function


def print_banner(
    plan: Plan, kafka: KafkaSettings, found: TopicsFound, instance_id: str, functions: Mapping[str, Function]
) -> None:
    """Print it for people in dev; elsewhere it is one line of the log."""
    if not plan.dev:
        where = f"on {plan.url}, " if plan.http else ""
        tell(
            "started",
            f"headrace {__version__} {where}Kafka {kafka.bootstrap}, prefix {plan.prefix}, "
            f"{found.partitions} partitions, node {instance_id}, functions: {', '.join(functions) or 'those of SDKs'}",
        )
        return
    from headrace.cli.tables import print_pairs, print_table

    own = plan.kafka is None
    click.echo(f"{click.style('headrace', bold=True)} {__version__}\n")
    print_pairs(
        [
            ("Dashboard", plan.url),
            ("Kafka", kafka.bootstrap + (" (started here)" if own else "")),
            ("Data", f"{plan.data_dir}, {found.partitions} partitions"),
            ("SDK apps", _sdk_apps(plan)),
        ]
    )
    click.echo()
    if not plan.targets:
        click.echo("Functions are listed as their apps register: headrace apps.\nCtrl-C stops it.\n")
        return
    print_table(
        ("FUNCTION", "STARTED BY", "RETRIES", "FROM"),
        (
            (
                function.id,
                ", ".join(trigger.event for trigger in function.definition.triggers),
                function.definition.retries,
                _near(function.place),
            )
            for function in functions.values()
        ),
        "No functions yet: write @app.function(…) and save.",
    )
    event = next((trigger.event for f in functions.values() for trigger in f.definition.triggers), "order/created")
    port = "" if plan.port == 8288 else f" --url {plan.url}"
    click.echo(f"\nSend an event:  headrace send {event} '{{}}'{port}\nCtrl-C stops it.\n")


def _sdk_apps(plan: Plan) -> str:
    """Say which apps of SDKs are asked to register."""
    if plan.sdk_urls:
        return ", ".join(plan.sdk_urls)
    return "looked for on this machine's usual ports" if plan.discovery else ""


def _near(place: str) -> str:
    """Write a place from where the user stands."""
    file, _, line = place.rpartition(":")
    near = relpath(file) if file else place
    return place if near.startswith("..") else f"{near}:{line}"
