"""`headrace apps`: which apps the cluster knows, and what is wrong with them."""

from __future__ import annotations

import click

from headrace.cli.options import client_options, json_option


@click.command()
@client_options()
@json_option()
@click.pass_context
def apps(ctx: click.Context, url: str | None, api_key: str | None, as_json: bool) -> None:
    """List the apps that the cluster knows: those of SDKs, and those whose code the nodes load."""
    from headrace.cli.client import client_for
    from headrace.cli.tables import moment, print_json, print_table

    answer = client_for(ctx, url, api_key).get("/v1/apps")
    if as_json:
        print_json(answer)
        return
    rows = [
        (
            app["name"] or "(not known yet)",
            app["url"] or {"connect": "connected workers", "loaded": "loaded by nodes"}.get(app["method"], ""),
            " ".join(part for part in (app["sdk"], app["framework"]) if part),
            len(app["functions"]),
            moment(app["synced_at"]),
            app["error"] or "",
        )
        for app in answer["data"]
    ]
    print_table(
        ("APP", "ADDRESS", "SDK", "FUNCTIONS", "SYNCED", "ERROR"),
        rows,
        "No apps yet: headrace dev app.py, or headrace dev -u http://localhost:3000/api/inngest.",
    )
