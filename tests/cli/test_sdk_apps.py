"""Apps of SDKs on a node that serves nothing else. Goal: one flag, or none, and they are found, synced and run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import pytest
from click.testing import CliRunner

from headrace.cli.commands import headrace
from tests.cli.sdk_app import PretendedApp, pretended_app
from tests.cli.served import Served, free_port

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
_open = build_opener(ProxyHandler({})).open


def apps(served: Served) -> dict[str, dict[str, Any]]:
    """Give the apps that the node knows, by name; an address without one by itself."""
    return {app["name"] or app["url"]: app for app in served.get("/v1/apps")["data"]}


def synced(served: Served, name: str = "shop", **wanted: Any) -> Callable[[], dict[str, Any] | None]:
    """Make a condition: the app is there, and is as it is wanted."""

    def look() -> dict[str, Any] | None:
        app = apps(served).get(name)
        return app if app and all(app[key] == value for key, value in wanted.items()) else None

    return look


def test_an_app_that_is_named_is_synced_run_and_synced_again(tmp_path: Path) -> None:
    port, own = free_port(), free_port()
    server = f"http://127.0.0.1:{port}"
    arguments = ("dev", "-u", f"http://localhost:{own}/api/inngest", "--poll-interval", "0.2", "--tick", "10")
    with Served(tmp_path, *arguments, port=port) as served:
        served.until_ready()
        served.wait(synced(served, f"http://localhost:{own}/api/inngest", error="unreachable"), "it to be missed")
        with pretended_app(own, server) as app:
            served.wait(synced(served, error=None, functions=["shop-charge"]), "the app to be synced")
            assert list(apps(served)) == ["shop"]
            assert app.asked[0]["x-inngest-server-kind"] == "dev"
            assert served.wait(lambda: app.answers, "the answer")[0]["modified"] is True
            served.wait(lambda: len(app.answers) > 2, "it to be asked again")
            assert [answer["modified"] for answer in app.answers[1:]] == [False] * len(app.answers[1:])
            run = served.run_of(served.send("cart/paid", n=1), status="Completed")
            assert (run["function_id"], run["output"]) == ("shop-charge", {"done": True})
            app.functions = {"charge": "cart/paid", "void": "cart/void"}
            served.wait(synced(served, functions=["shop-charge", "shop-void"]), "its change to be noticed")
            served.run_of(served.send("cart/void", n=1), status="Completed")
            shown = served.get("/dev")
            assert [one["id"] for one in shown["functions"]] == ["shop-charge", "shop-void"]
            listed = CliRunner().invoke(headrace, ["apps", "--url", served.url])
            assert "shop" in listed.output
            assert app.url in listed.output
        served.wait(synced(served, error="unreachable"), "its end to be noticed")
        assert "--tick: no queue is polled here" in served.printed
        assert served.stop() == 0


def test_an_event_right_behind_a_registration_starts_what_was_registered(tmp_path: Path) -> None:
    with (
        Served(tmp_path, "dev", "--no-discovery", "--no-poll") as served,
        pretended_app(free_port(), served.url) as app,
    ):
        served.until_ready()
        for number in range(5):
            app.functions = {f"f{number}": f"cart/{number}"}
            assert app.register() == 200
            served.run_of(served.send(f"cart/{number}", n=number), status="Completed")


def test_an_app_is_found_by_itself(tmp_path: Path) -> None:
    own = free_port()
    with Served(tmp_path, "dev", "--poll-interval", "0.2", PORT=str(own)) as served:
        served.until_ready()
        with pretended_app(own, served.url):
            served.wait(synced(served, error=None), "the app to be found")
            served.until_printed("an app answers at http://localhost:")


def refused(app: PretendedApp, key: str) -> dict[str, Any]:
    """Register with a key that is refused."""
    app.key = key
    assert app.register() == 401
    return app.answers[-1]


def test_in_production_keys_are_checked_and_private_addresses_allowed_by_name_alone(tmp_path: Path) -> None:
    own = free_port()
    signing = "signkey-prod-00ff"
    keys = ("--event-key", "front", "--event-key", "side", "--signing-key", signing)
    with Served(tmp_path, "dev", "--no-discovery") as kafka:
        broker = kafka.until_printed(r"Kafka\s+(127\.0\.0\.1:\d+)")[1]
        kafka.until_ready()
        start = ("start", "--kafka", broker, "--prefix", "prod", "--partitions", "2", "--data-dir", "prod", *keys)
        with Served(tmp_path, *start, "-u", f"http://localhost:{own}/api/inngest") as denied:
            assert denied.ended() == 1
            assert "[app_address_private]" in denied.printed
        with Served(tmp_path, *start, HEADRACE_ALLOW_PRIVATE_APPS="1") as served, pretended_app(own, served.url) as app:
            served.until_ready()
            answer = refused(app, "signkey-prod-0000")
            assert (answer["error"], answer["status"]) == ("Authentication failed", 401)
            served.until_printed("POST /fn/register came with a wrong key")
            app.key = signing
            assert app.register() == 200
            with pytest.raises(HTTPError) as wrong:
                _open(Request(f"{served.url}/e/other", json.dumps({"name": "a"}).encode(), method="POST"), timeout=10)
            with wrong.value:
                assert wrong.value.code == 401
                told = json.loads(wrong.value.read())
                assert (told["error"], told["status"]) == ("Event key not found", 401)
            with pytest.raises(HTTPError) as nothing:
                served.get("/dev")
            nothing.value.close()
            assert nothing.value.code == 404
            assert signing not in served.printed


def test_any_node_takes_a_registration_for_all(tmp_path: Path) -> None:
    with Served(tmp_path, "dev", "--no-discovery") as kafka:
        broker = kafka.until_printed(r"Kafka\s+(127\.0\.0\.1:\d+)")[1]
        kafka.until_ready()
        start = ("start", "--kafka", broker, "--prefix", "two", "--partitions", "2")
        with (
            Served(tmp_path, *start, "--data-dir", "one", HEADRACE_ALLOW_PRIVATE_APPS="1") as one,
            Served(tmp_path, *start, "--data-dir", "two", HEADRACE_ALLOW_PRIVATE_APPS="1") as two,
            pretended_app(free_port(), one.url) as app,
        ):
            one.until_ready()
            two.until_ready()
            assert app.register() == 200
            two.wait(synced(two, functions=["shop-charge"]), "the other node to know the app")
            app.server = two.url
            assert app.register() == 200
            assert [answer["modified"] for answer in app.answers] == [True, False]
            app.functions = {}
            assert app.register() == 200
            one.wait(synced(one, functions=[]), "the first node to know of the change")
            app.functions = {"charge": "cart/paid"}
            assert app.register() == 200
            one.wait(synced(one, functions=["shop-charge"]), "its functions to be back")
            for number in range(4):
                one.run_of(one.send("cart/paid", n=number), status="Completed")
