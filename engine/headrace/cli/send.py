"""`headrace send`: put an event in."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from headrace.cli.options import client_options, file_settings, json_option
from headrace.cli.quantities import WholeNumber


@click.command()
@click.argument("name")
@click.argument("data", metavar="[JSON]", default="{}")
@click.option("--id", "event_id", metavar="ID", help="Your own id: the same id again within 24 h starts nothing.")
@click.option("--ts", metavar="MS", type=WholeNumber(0), help="Its time, in milliseconds since 1970.")
@click.option("--key", metavar="KEY", help="The record key: events of one key are handled in order.")
@click.option("--event-key", metavar="KEY", help="Of the front door [the first of HEADRACE_EVENT_KEYS].")
@client_options()
@json_option()
@click.pass_context
def send(
    ctx: click.Context,
    name: str,
    data: str,
    event_id: str | None,
    ts: int | None,
    key: str | None,
    event_key: str | None,
    url: str | None,
    api_key: str | None,
    as_json: bool,
) -> None:
    """Send the event NAME with JSON as its data ("-" reads it from standard input).

    headrace send order/created '{"orderId": "7"}'
    """
    from urllib.parse import quote

    from headrace.cli.client import client_for
    from headrace.cli.keys import Keys
    from headrace.cli.tables import print_json

    event: dict[str, Any] = {"name": name, "data": read_data(data)}
    if event_id is not None:
        event["id"] = event_id
    if ts is not None:
        event["ts"] = ts
    keys = Keys.load(file_settings(ctx).variables("send")).event
    door = event_key or (keys[0] if keys else "cli")
    headers = {} if key is None else {"x-headrace-key": key}
    answer = client_for(ctx, url, api_key).post(f"/e/{quote(door, safe='')}", event, headers)
    if as_json:
        print_json(answer)
    else:
        click.echo("\n".join(answer["ids"]))


def read_data(text: str) -> dict[str, Any]:
    """Read an event's data: a JSON object, or "-" for standard input."""
    if text == "-":
        text = sys.stdin.read()
    try:
        data = json.loads(text)
    except json.JSONDecodeError as problem:
        raise click.BadParameter(
            f'{text[:60]!r} is not JSON ({problem}). In a shell, put it in single quotes: \'{{"orderId": "7"}}\'',
            param_hint="JSON",
        ) from None
    if not isinstance(data, dict):
        raise click.BadParameter(f'{text[:60]!r} is not an object. Wrap it: {{"value": …}}', param_hint="JSON")
    return data
