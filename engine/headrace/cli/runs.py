"""`headrace runs`, `run`, `cancel`: what became of what was sent."""

from __future__ import annotations

from typing import Any

import click

from headrace.cli.options import client_options, json_option, list_options

_STATUSES = ("Scheduled", "Running", "Completed", "Failed", "Cancelled", "Skipped")


@click.command()
@click.option("--function", metavar="ID", help="Only this function's (app-function, or its own id).")
@click.option("--status", type=click.Choice(_STATUSES, case_sensitive=False), help="Only those that are so.")
@click.option("--event", "event_id", metavar="ID", help="Only those that this event started.")
@list_options()
@client_options()
@json_option()
@click.pass_context
def runs(
    ctx: click.Context,
    function: str | None,
    status: str | None,
    event_id: str | None,
    since: str | None,
    limit: int,
    cursor: str | None,
    url: str | None,
    api_key: str | None,
    as_json: bool,
) -> None:
    """List runs, newest first."""
    from headrace.cli.client import client_for
    from headrace.cli.filters import full_function_id, no_runs
    from headrace.cli.tables import print_json, print_table

    query = {
        "function": function,
        "status": status,
        "event_id": event_id,
        "since": since,
        "limit": limit,
        "cursor": cursor,
    }
    client = client_for(ctx, url, api_key)
    answer = client.get("/v1/runs", query)
    if function and not answer["data"]:
        full = full_function_id(client, function)
        if full is not None:
            function = full
            answer = client.get("/v1/runs", {**query, "function": full})
    if as_json:
        print_json(answer)
        return
    given = {"--function": function, "--status": status, "--event": event_id, "--since": since, "--cursor": cursor}
    if not answer["data"] and any(given.values()):
        click.echo(no_runs(client, given))
        return
    print_table(
        ("RUN", "FUNCTION", "STATUS", "PHASE", "STARTED", "TOOK", "RESULT"),
        map(_run_row, answer["data"]),
        "No runs. Send an event: headrace send NAME JSON",
    )
    _say_more(answer.get("cursor"))


@click.command()
@click.argument("run_id", metavar="ID")
@client_options()
@json_option()
@click.pass_context
def run(ctx: click.Context, run_id: str, url: str | None, api_key: str | None, as_json: bool) -> None:
    """Show one run with its steps."""
    from urllib.parse import quote

    from headrace.cli.client import client_for
    from headrace.cli.tables import print_json

    answer = client_for(ctx, url, api_key).get(f"/v1/runs/{quote(run_id, safe='')}")
    if as_json:
        print_json(answer)
    else:
        _show_run(answer["data"])


@click.command()
@click.argument("run_id", required=False)
@click.option("--function", metavar="ID", help="Instead of one run, those of this function (full id: app-function)…")
@click.option("--after", metavar="TIME", help='… made after this time, or so long ago: "2h", "2026-01-31T12:00:00Z"…')
@click.option("--before", metavar="TIME", help="… and before that one [now] …")
@click.option("--if", "expression", metavar="CEL", help='… and matching, as in "event.data.total > 100".')
@client_options()
@click.pass_context
def cancel(
    ctx: click.Context,
    run_id: str | None,
    function: str | None,
    after: str | None,
    before: str | None,
    expression: str | None,
    url: str | None,
    api_key: str | None,
) -> None:
    """Cancel a run, or many: their code is interrupted, nothing of them is tried again."""
    from urllib.parse import quote

    from headrace.cli.client import client_for

    if (run_id is None) == (function is None):
        raise click.UsageError("Give the id of a run, or --function.")
    if run_id is not None:
        if after or before or expression:
            raise click.UsageError("--after, --before and --if go with --function.")
        client_for(ctx, url, api_key).delete(f"/v1/runs/{quote(run_id, safe='')}")
        click.echo(f"{run_id} is told to stop")
        return
    wanted = {"function_id": function, "started_after": after, "started_before": before, "if": expression}
    body = {name: value for name, value in wanted.items() if value is not None}
    answer = client_for(ctx, url, api_key).post("/v1/cancellations", body)
    click.echo(f"every partition is told to stop the runs of {answer['data']['function_id']}: {answer['data']['id']}")


def _run_row(row: dict[str, Any]) -> tuple[object, ...]:
    from headrace.cli.tables import duration, moment, short

    error = row.get("error")
    result = error_text(error) if error else row.get("output")
    return (
        row["run_id"],
        row["function_id"],
        row["status"],
        row.get("phase") or "",
        moment(row.get("run_started_at")),
        duration(row.get("run_started_at"), row.get("ended_at")),
        short(result, 60),
    )


def _show_run(row: dict[str, Any]) -> None:
    from headrace.cli.tables import duration, moment, print_pairs, print_table, short

    error = row.get("error")
    print_pairs(
        [
            ("run", row["run_id"]),
            ("function", row["function_id"]),
            ("status", row["status"]),
            ("phase", row.get("phase")),
            ("events", ", ".join(row.get("event_ids") or ())),
            ("started", moment(row.get("run_started_at"), precise=True)),
            ("ended", moment(row.get("ended_at"), precise=True)),
            ("took", duration(row.get("run_started_at"), row.get("ended_at"))),
            ("output", None if error or row.get("output") is None else short(row["output"], 2_000)),
            ("error", error_text(error) if error else None),
            ("code", row.get("code")),
            ("why", row.get("explanation")),
            ("do", row.get("action")),
        ]
    )
    if isinstance(error, dict) and error.get("stack"):
        click.echo("\n" + str(error["stack"]).rstrip())
    steps = row.get("steps") or []
    if steps:
        click.echo()
        print_table(("STEP", "KIND", "STATUS", "ATTEMPTS", "STARTED", "TOOK", "RESULT"), map(_step_row, steps), "")


def _step_row(step: dict[str, Any]) -> tuple[object, ...]:
    from headrace.cli.tables import duration, moment, short

    error = step.get("error")
    return (
        step.get("name") or step["id"],
        step.get("op") or "",
        step.get("status") or "",
        step.get("attempts") if step.get("attempts") is not None else "",
        moment(step.get("started_at"), precise=True),
        duration(step.get("started_at"), step.get("ended_at")),
        short(error_text(error) if error else step.get("output"), 60),
    )


def error_text(error: Any) -> str:
    """Write an error as the API gives it in one line."""
    if not isinstance(error, dict):
        return str(error)
    name, message = error.get("name") or "", error.get("message") or ""
    return f"{name}: {message}" if name and message else name or message


def _say_more(cursor: str | None) -> None:
    if cursor:
        click.echo(f"\nThere are more: --cursor {cursor}")
