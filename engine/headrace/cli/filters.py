"""Why a list with filters is empty: which of them names something that is not there, and what was meant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.cli.client import Client
from headrace.cli.nearest import did_you_mean, nearest
from headrace.errors import BadRequest


def full_function_id(client: Client, named: str) -> str | None:
    """Find the full id of the one function whose own id was named; None for a full id, for none and for several."""
    functions = _functions(client)
    if any(row["id"] == named for row in functions):
        return None
    found = [row["id"] for row in functions if _own_id(row) == named]
    return found[0] if len(found) == 1 else None


def no_runs(client: Client, given: Mapping[str, str | None]) -> str:
    """Say that no run fits the filters (by their options), and what may be wrong with them."""
    said = f"No runs match {_written(given)}."
    if given.get("--function"):
        said += _about_function(client, given["--function"] or "")
    if given.get("--event"):
        said += _about_event(client, given["--event"] or "")
    return said


def no_events(client: Client, given: Mapping[str, str | None]) -> str:
    """Say that no event fits the filters (by their options), and which name was perhaps meant."""
    name = given.get("--name") or ""
    # Names of events are whatever was sent; those that functions wait for are the ones worth naming.
    rows = _functions(client) if name else []
    known = sorted({trigger["event"] for row in rows for trigger in row.get("triggers") or () if trigger.get("event")})
    said = f"No events match {_written(given)}."
    return said if name in known else said + did_you_mean(name, known)


def _about_function(client: Client, named: str) -> str:
    functions = _functions(client)
    ids = [row["id"] for row in functions]
    if named in ids:
        return ""
    several = [row["id"] for row in functions if _own_id(row) == named]
    if several:
        return f" Several functions have that id of their own: {', '.join(several)}"
    if not ids:
        return " No function is declared."
    # Whoever leaves out the app misspells the function's own id.
    own = {_own_id(row): row["id"] for row in functions}
    near = nearest(named, ids) or own.get(nearest(named, own) or "")
    return " There is no such function." + (f" Did you mean {near!r}?" if near else "")


def _about_event(client: Client, event_id: str) -> str:
    from urllib.parse import quote

    try:
        client.get(f"/v1/events/{quote(event_id, safe='')}")
    except BadRequest as refused:
        if refused.status != 404:
            raise
        return f" {refused.what[:1].upper()}{refused.what[1:]}: {refused.why}" if refused.why else f" {refused.what}"
    return ""


def _functions(client: Client) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = client.get("/v1/functions")["data"]
    return rows


def _own_id(row: Mapping[str, Any]) -> str:
    app, full = row.get("app") or "", str(row["id"])
    return full.removeprefix(f"{app}-") if app else full


def _written(given: Mapping[str, str | None]) -> str:
    return " ".join(f"{option} {value}" for option, value in given.items() if value)
