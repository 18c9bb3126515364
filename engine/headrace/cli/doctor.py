"""`headrace doctor`: looks at everything that a node needs, and says what is in the way."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from headrace.cli.options import client_options, data_dir_option, file_settings, json_option, kafka_options
from headrace.errors import HeadraceError, LogUnavailable
from headrace.version import __version__

if TYPE_CHECKING:
    from headrace.adapters.kafka_settings import KafkaSettings
    from headrace.cli.client import Client

_ASK_MS = 5_000


class Finding(NamedTuple):
    """One thing that was looked at: `state` is ok, note (worth knowing) or bad (a node would not run)."""

    what: str
    state: str
    said: str


@click.command()
@kafka_options()
@data_dir_option()
@client_options()
@json_option()
@click.pass_context
def doctor(
    ctx: click.Context,
    kafka: str | None,
    prefix: str,
    data_dir: Path,
    url: str | None,
    api_key: str | None,
    as_json: bool,
) -> None:
    """Look at everything that a node needs. Changes nothing; ends with status 1 if something is in the way."""
    from headrace.adapters.kafka_settings import DEFAULT_BOOTSTRAP, KafkaSettings
    from headrace.cli.client import client_for
    from headrace.cli.keys import Keys
    from headrace.cli.tables import print_json, print_table

    file = file_settings(ctx)
    variables = file.variables("doctor")
    settings = KafkaSettings.load(kafka, variables)
    named = kafka is not None or settings.bootstrap != DEFAULT_BOOTSTRAP
    findings = [
        Finding("headrace", "ok", f"{__version__} on Python {platform.python_version()}, {sys.platform}"),
        Finding("settings file", "ok", str(file.path) if file.path else "none (headrace.toml is looked for here)"),
        *look(lambda: _keys(Keys.load(variables)), "keys"),
        *look(lambda: _data_dir(data_dir), "data directory"),
        *look(_embedded, "embedded Kafka"),
        *look(lambda: _kafka(settings, prefix, named), "Kafka"),
        *look(lambda: _node(client_for(ctx, url, api_key)), "node"),
    ]
    if as_json:
        print_json({"data": [finding._asdict() for finding in findings]})
    else:
        print_table(("WHAT", "STATE", "SAID"), findings, "")
    ctx.exit(1 if any(finding.state == "bad" for finding in findings) else 0)


def look(check: Callable[[], Iterator[Finding]], what: str) -> Iterator[Finding]:
    """Look at one thing; an error of ours is a finding too."""
    try:
        yield from check()
    except HeadraceError as error:
        yield Finding(what, "bad", str(error))


def _keys(keys: object) -> Iterator[Finding]:
    names = ("event", "api", "signing")
    there = [name for name in names if getattr(keys, name)]
    missing = [name for name in names if name not in there]
    said = f"set: {', '.join(there) or 'none'}"
    yield Finding("keys", "ok", said + (f"; only loopback without: {', '.join(missing)}" if missing else ""))


def _data_dir(path: Path) -> Iterator[Finding]:
    from headrace.adapters.data_folder import MIB, DataFolder

    lacking = not_writable(path)
    if lacking:
        yield Finding("data directory", "bad", lacking)
        return
    if not path.exists():
        yield Finding("data directory", "ok", f"{path} is made at the first start")
        return
    try:
        folder = DataFolder(path)
    except HeadraceError as error:
        # A node that runs here is no illness.
        yield Finding("data directory", "note" if error.code == "data_folder_in_use" else "bad", error.what)
        return
    free_bytes = folder.free_bytes()
    yield Finding("data directory", "ok", f"{path}, node {folder.node_id}, {free_bytes // MIB:,} MiB free")
    folder.close()


def not_writable(path: Path) -> str:
    """Say why this user cannot make or fill a folder; "" if nothing is known to be in the way."""
    above = path.absolute()
    while not os.path.lexists(above):
        above = above.parent
    if not above.is_dir():
        return f"{path} cannot be made: {above} is no folder" if above != path.absolute() else f"{path} is no folder"
    # What counts is as whom this process acts; not every system can ask that.
    if os.access(above, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        return ""
    return f"this user may not write in {above}; make it writable, or name another folder with --data-dir"


def _embedded() -> Iterator[Finding]:
    from headrace.adapters.embedded_kafka_artifacts import find_java

    try:
        runtime = find_java()
    except HeadraceError as error:
        yield Finding("embedded Kafka", "note", f"{error.what}; `headrace dev` needs it, `headrace start` does not")
        return
    yield Finding("embedded Kafka", "ok", f"Java {runtime.release}, for `headrace dev`")


def _kafka(settings: KafkaSettings, prefix: str, named: bool) -> Iterator[Finding]:
    from headrace.adapters.kafka_connection import check_connection
    from headrace.cli.topics import check_topics

    try:
        cluster = check_connection(settings, _ASK_MS if named else 500)
    except LogUnavailable as error:
        if named:
            raise
        yield Finding("Kafka", "note", f"{error.what}; none was named with --kafka, and dev starts its own")
        return
    yield Finding("Kafka", "ok", f"cluster {cluster.cluster_id}, brokers {', '.join(cluster.brokers)}")
    try:
        found = check_topics(settings, prefix)
    except HeadraceError as error:
        yield Finding("topics", "note" if error.code == "topics_missing" else "bad", str(error))
        return
    yield Finding("topics", "ok", f"{prefix}.*, {found.partitions} partitions, fixed since they were created")
    for warning in found.warnings:
        yield Finding("topics", "note", warning)


def _node(client: Client) -> Iterator[Finding]:
    try:
        rows = client.get("/v1/partitions")["data"]
    except LogUnavailable:
        yield Finding("node", "note", f"none runs at {client.url}")
        return
    running = sum(row["state"] == "running" for row in rows)
    owners = len({row["owner"] for row in rows if row["owner"]})
    state = "ok" if running == len(rows) else "note"
    yield Finding("node", state, f"{client.url}: {running} of {len(rows)} partitions run, on {owners} node(s)")
    try:
        client.get("/ready")
    except HeadraceError as error:
        yield Finding("node", "note", f"{client.url} is not ready: {error.what}")
