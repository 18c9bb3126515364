"""`headrace invoke`: start a run of a function, whatever its triggers say."""

from __future__ import annotations

import click

from headrace.cli.options import client_options, json_option


@click.command()
@click.argument("function", metavar="FN")
@click.argument("data", metavar="[JSON]", default="{}")
@client_options()
@json_option()
@click.pass_context
def invoke(ctx: click.Context, function: str, data: str, url: str | None, api_key: str | None, as_json: bool) -> None:
    """Start a run of the function FN (full id: app-function) with JSON as its data ("-" reads it from standard input).

    Its triggers do not matter; its limits do. Prints the run's id.

    headrace invoke shop-process-order '{"orderId": "7"}'
    """
    from urllib.parse import quote

    from headrace.cli.client import client_for
    from headrace.cli.send import read_data
    from headrace.cli.tables import print_json

    path = f"/v1/functions/{quote(function, safe='')}/invoke"
    answer = client_for(ctx, url, api_key).post(path, {"data": read_data(data)})
    if as_json:
        print_json(answer)
    else:
        click.echo(answer["data"]["run_id"])
