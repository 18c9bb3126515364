"""`headrace why`: what became of an event, for each function, and why."""

from __future__ import annotations

import click

from headrace.cli.options import client_options, json_option


@click.command()
@click.argument("event_id", metavar="EVENT_ID")
@client_options()
@json_option()
@click.pass_context
def why(ctx: click.Context, event_id: str, url: str | None, api_key: str | None, as_json: bool) -> None:
    """Tell for each function what it did with an event (its internal id, or its sender's), and why.

    An event starts a run, waits in a stage, was dropped by a limit, or is not what the function waits for.
    """
    from urllib.parse import quote

    from headrace.cli.client import client_for
    from headrace.cli.tables import print_json, print_table

    answer = client_for(ctx, url, api_key).get(f"/v1/events/{quote(event_id, safe='')}/why")
    if as_json:
        print_json(answer)
        return
    print_table(
        ("FUNCTION", "OUTCOME", "RUN", "WHY"),
        (
            (
                reason["function_id"],
                reason["outcome"],
                reason.get("run_id") or "",
                "; ".join(part for part in (reason["explanation"], reason.get("action")) if part),
            )
            for reason in answer["data"]
        ),
        "No function is known here.",
    )
