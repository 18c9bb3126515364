"""`headrace events`, `event`: what was sent."""

from __future__ import annotations

from typing import Any

import click

from headrace.cli.options import client_options, json_option, list_options


@click.command()
@click.option("--name", metavar="NAME", help="Only events of this name.")
@list_options()
@client_options()
@json_option()
@click.pass_context
def events(
    ctx: click.Context,
    name: str | None,
    since: str | None,
    limit: int,
    cursor: str | None,
    url: str | None,
    api_key: str | None,
    as_json: bool,
) -> None:
    """List events, newest first."""
    from headrace.cli.client import client_for
    from headrace.cli.filters import no_events
    from headrace.cli.tables import moment, print_json, print_table, short

    query = {"name": name, "since": since, "limit": limit, "cursor": cursor}
    client = client_for(ctx, url, api_key)
    answer = client.get("/v1/events", query)
    if as_json:
        print_json(answer)
        return
    if not answer["data"] and (name or since or cursor):
        click.echo(no_events(client, {"--name": name, "--since": since, "--cursor": cursor}))
        return
    print_table(
        ("EVENT", "NAME", "RECEIVED", "OWN ID", "DATA"),
        (
            (
                row["internal_id"],
                row["name"],
                moment(row.get("received_at")),
                _own_id(row),
                short(row.get("data"), 60),
            )
            for row in answer["data"]
        ),
        "No events. Send one: headrace send NAME JSON",
    )
    if answer.get("cursor"):
        click.echo(f"\nThere are more: --cursor {answer['cursor']}")


@click.command()
@click.argument("event_id", metavar="ID")
@client_options()
@json_option()
@click.pass_context
def event(ctx: click.Context, event_id: str, url: str | None, api_key: str | None, as_json: bool) -> None:
    """Show one event (its internal id, or the one that its sender gave) and the runs that it started."""
    from urllib.parse import quote

    from headrace.cli.client import client_for
    from headrace.cli.tables import duration, moment, print_json, print_pairs, print_table

    client = client_for(ctx, url, api_key)
    answer = client.get(f"/v1/events/{quote(event_id, safe='')}")
    row = answer["data"]
    started = client.get(f"/v1/events/{quote(row['internal_id'], safe='')}/runs")["data"]
    if as_json:
        print_json({**answer, "data": {**row, "runs": started}})
        return
    print_pairs(
        [
            ("event", row["internal_id"]),
            ("name", row["name"]),
            ("own id", _own_id(row)),
            ("same id", ", ".join(other["internal_id"] for other in row.get("same_id") or ())),
            ("received", moment(row.get("received_at"), precise=True)),
            ("time", moment(row.get("ts"), precise=True)),
            ("key", row.get("key")),
            ("data", row.get("data")),
        ]
    )
    click.echo()
    print_table(
        ("RUN", "FUNCTION", "STATUS", "PHASE", "TOOK"),
        (
            (
                found["run_id"],
                found["function_id"],
                found["status"],
                found.get("phase") or "",
                duration(found.get("run_started_at"), found.get("ended_at")),
            )
            for found in started
        ),
        "It started no run.",
    )
    verdicts = row.get("verdicts") or []
    if verdicts:
        click.echo()
        print_table(
            ("NOT STARTED", "CODE", "WHY"),
            ((one["function_id"], one.get("code"), one.get("explanation")) for one in verdicts),
            "",
        )


def _own_id(row: dict[str, Any]) -> str:
    own = row.get("id") or ""
    return "" if own == row["internal_id"] else str(own)
