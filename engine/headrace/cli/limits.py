"""`headrace limits`, `pause`, `resume`: what changes while everything runs, without a deploy."""

from __future__ import annotations

from typing import Any

import click

from headrace.cli.options import client_options, json_option

_RUN_ID_LENGTH = 26
_COLUMNS = ("FUNCTION", "LIMIT", "NUMBER", "KEY", "SCOPE", "SET LIVE")


@click.group(invoke_without_command=True)
@client_options()
@json_option()
@click.pass_context
def limits(ctx: click.Context, url: str | None, api_key: str | None, as_json: bool) -> None:
    """List the limits that are in force, and what is paused; `set` and `reset` change them at once.

    headrace limits set shop-process-order --concurrency 5
    """
    if ctx.invoked_subcommand is not None:
        return
    from headrace.cli.client import client_for
    from headrace.cli.tables import print_json, print_table

    answer = client_for(ctx, url, api_key).get("/v1/limits")
    if as_json:
        print_json(answer)
        return
    rows = [row for found in answer["data"] for row in _limit_rows(found)]
    print_table(_COLUMNS, rows, "No function has a limit.")


@limits.command("set")
@click.argument("function", metavar="FN")
@click.option("--concurrency", type=click.IntRange(min=1), metavar="N", help="So many runs execute at once…")
@click.option("--key", metavar="CEL", default="", help="… for each value of this expression (as it is declared) …")
@click.option(
    "--scope", type=click.Choice(["function", "app", "account"]), default="function", help="… and this scope."
)
@click.option("--throttle", type=click.IntRange(min=1), metavar="N", help="So many starts in the throttle's period.")
@click.option(
    "--rate-limit", type=click.IntRange(min=1), metavar="N", help="So many starts in the rate limit's period."
)
@click.option("--period", metavar="DURATION", help='The period of what is set: "1m".')
@client_options()
@click.pass_context
def set_limits(
    ctx: click.Context,
    function: str,
    concurrency: int | None,
    key: str,
    scope: str,
    throttle: int | None,
    rate_limit: int | None,
    period: str | None,
    url: str | None,
    api_key: str | None,
) -> None:
    """Change the limits of the function FN (full id: app-function) at once, until they are reset."""
    from headrace.cli.tables import print_table

    body: dict[str, Any] = {}
    if concurrency is not None:
        body["concurrency"] = [{"limit": concurrency, "key": key, "scope": scope}]
    for name, limit in (("throttle", throttle), ("rate_limit", rate_limit)):
        if limit is not None:
            body[name] = {"limit": limit} if period is None else {"limit": limit, "period": period}
    if not body:
        raise click.UsageError("Give --concurrency, --throttle or --rate-limit.")
    answer = _client(ctx, url, api_key).post(f"/v1/functions/{_quoted(function)}/limits", body)
    print_table(_COLUMNS, _limit_rows(answer["data"]), "It has no limits.")


@limits.command("reset")
@click.argument("function", metavar="FN")
@client_options()
@click.pass_context
def reset_limits(ctx: click.Context, function: str, url: str | None, api_key: str | None) -> None:
    """Let what the function FN declares be in force again."""
    answer = _client(ctx, url, api_key).delete(f"/v1/functions/{_quoted(function)}/limits")
    click.echo(f"{answer['data']['function_id']} has the limits again that it declares")


@click.command()
@click.argument("function", metavar="FN")
@click.option("--key", metavar="VALUE", help="Only runs with this value of the concurrency key.")
@client_options()
@click.pass_context
def pause(ctx: click.Context, function: str, key: str | None, url: str | None, api_key: str | None) -> None:
    """Let new runs of the function FN (full id: app-function) wait; those that have begun go on."""
    body = {} if key is None else {"key": key}
    answer = _client(ctx, url, api_key).post(f"/v1/functions/{_quoted(function)}/pause", body)
    click.echo(f"{_named(answer['data'])} is paused: its new runs wait (headrace runs --status Scheduled shows them)")


@click.command()
@click.argument("what", metavar="FN|RUN")
@click.option("--key", metavar="VALUE", help="Only runs with this value of the concurrency key.")
@client_options()
@click.pass_context
def resume(ctx: click.Context, what: str, key: str | None, url: str | None, api_key: str | None) -> None:
    """Let a paused function go on (full id: app-function), or a parked run."""
    client = _client(ctx, url, api_key)
    if len(what) == _RUN_ID_LENGTH and what.isalnum() and what.isupper():
        client.post(f"/v1/runs/{_quoted(what)}/resume", {})
        click.echo(f"{what} is told to go on")
        return
    body = {} if key is None else {"key": key}
    answer = client.post(f"/v1/functions/{_quoted(what)}/resume", body)
    click.echo(f"{_named(answer['data'])} is resumed")


def _limit_rows(found: dict[str, Any]) -> list[tuple[object, ...]]:
    from headrace.expressions import format_duration

    name = found["function_id"]
    rows: list[tuple[object, ...]] = []
    if found["paused"]:
        rows.append((name, "paused", "", "", "", "yes"))
    rows += [(name, "paused", "", key, "", "yes") for key in found["paused_keys"]]
    for limit in found["limits"]:
        number = str(limit["limit"])
        if limit.get("period_ms"):
            number += f" in {format_duration(limit['period_ms'])}"
        live = "yes" if limit["live"] else ""
        rows.append((name, limit["kind"], number, limit["key"] or "", limit.get("scope", ""), live))
    return rows


def _named(answer: dict[str, Any]) -> str:
    return str(answer["function_id"]) if answer["key"] is None else f"{answer['function_id']}, key {answer['key']!r},"


def _client(ctx: click.Context, url: str | None, api_key: str | None) -> Any:
    from headrace.cli.client import client_for

    return client_for(ctx, url, api_key)


def _quoted(name: str) -> str:
    from urllib.parse import quote

    return quote(name, safe="")
