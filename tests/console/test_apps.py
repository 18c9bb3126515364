"""`GET /v1/apps`. Goal: an operator sees every app, where it is, what it has, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headrace.console.apps import AppsList
from headrace.console.archive import prepare_archive
from headrace.records.definitions import Definition, EventTrigger, encode_definition
from headrace.records.sdk_apps import SdkApp, app_key, encode_app
from tests.console.archives import FixedClock, serve
from tests.console.asgi import ask

URL = "http://localhost:3000/api/inngest"


def listed(path: Path, *records: SdkApp | Definition, refused: Sequence[SdkApp] = ()) -> list[dict[str, Any]]:
    known: dict[bytes, bytes] = {b"~app/newer": b"?", b"~limits/shop-f": b"{}"}
    for one in records:
        if isinstance(one, SdkApp):
            known[app_key(one.name or one.url)] = encode_app(one)
        else:
            known[one.id.encode()] = encode_definition(one)
    prepare_archive(path)
    app = serve(path, routes=AppsList(lambda: known, FixedClock(), lambda: refused).routes())
    answer = ask(app, "GET", "/v1/apps")
    assert answer.status == 200
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


def test_apps_are_listed_with_what_is_wrong(tmp_path: Path) -> None:
    rows = listed(
        tmp_path / "a.db",
        SdkApp("shop", URL, "js:v4", "express", "vercel", "abc", "serve", ["shop-f"], "sum", 3, 1_700_000_000_000),
        SdkApp("worker", "", "py:v0.5", method="connect", functions=["worker-f"], error="unreachable"),
        SdkApp("gone", URL, removed=True),
        SdkApp("", "http://localhost:3001/x", error="unreachable"),
        Definition("mail-b", "mail", "b", [EventTrigger("a")]),
        Definition("mail-a", "mail", "a", [EventTrigger("a")]),
        Definition("shop-f", "shop", "f", [EventTrigger("a")], kind="sdk", url=URL),
    )
    assert [(row["name"], row["url"], row["method"], row["error"]) for row in rows] == [
        (None, "http://localhost:3001/x", "serve", "unreachable"),
        ("mail", None, "loaded", None),
        ("shop", URL, "serve", None),
        ("worker", None, "connect", "unreachable"),
    ]
    assert rows[1]["functions"] == ["mail-a", "mail-b"]
    assert rows[2] == {
        "name": "shop",
        "url": URL,
        "sdk": "js:v4",
        "framework": "express",
        "platform": "vercel",
        "version": "abc",
        "method": "serve",
        "functions": ["shop-f"],
        "error": None,
        "synced_at": "2023-11-14T22:13:20.000Z",
    }


def test_what_was_refused_and_is_not_known_is_listed_with_the_reason(tmp_path: Path) -> None:
    refused = [SdkApp("new", "http://a.example/x", error="App ID required"), SdkApp("shop", URL, error="older")]
    rows = listed(tmp_path / "a.db", SdkApp("shop", URL), refused=refused)
    assert [(row["name"], row["error"]) for row in rows] == [("new", "App ID required"), ("shop", None)]


def test_without_apps_the_list_is_empty(tmp_path: Path) -> None:
    assert listed(tmp_path / "a.db") == []
