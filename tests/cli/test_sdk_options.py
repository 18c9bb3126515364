"""Where settings for apps of SDKs come from. Goal: flags beat our variables, those Inngest's, and these the file."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from headrace.cli.apps_side import _port_variable
from headrace.cli.dev import dev, plan_dev
from headrace.cli.keys import Keys
from headrace.cli.options import SdkOptions, given_keys, key_options, read_sdk_options, sdk_options
from headrace.cli.plan import Plan
from headrace.cli.settings import FileSettings
from headrace.cli.start import plan_start, start
from tests.cli.conftest import Run


class Planned:
    """Gives what a command line plans to serve."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def __call__(self, command: str, *arguments: str, **variables: str) -> Plan:
        with self._monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            file = FileSettings.read()
            click_command, plan = {"dev": (dev, plan_dev), "start": (start, plan_start)}[command]
            defaults = file.default_map([command])[command]
            words = [*arguments, "--kafka", "127.0.0.1:9"]
            with click_command.make_context(command, words, obj=file, default_map=defaults) as ctx:
                return plan(ctx)


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> Planned:
    """Plan without serving."""
    return Planned(monkeypatch)


def test_a_dev_server_without_anything_looks_for_apps(planned: Planned) -> None:
    plan = planned("dev")
    assert (plan.targets, plan.sdk_urls, plan.discovery, plan.poll) == ((), (), True, True)
    assert (plan.poll_interval_s, plan.gateway_port, plan.allow_private) == (5.0, 8289, True)


@pytest.mark.parametrize("arguments", [("-u", "http://a.example"), ("app.py",), ("--no-discovery",)])
def test_it_looks_for_none_where_it_is_told_what_there_is(planned: Planned, arguments: tuple[str, ...]) -> None:
    assert not planned("dev", *arguments).discovery


def test_flags(planned: Planned) -> None:
    words = ("-u", "http://a.example", "--sdk-url", "http://b.example", "--no-poll", "--poll-interval", "2")
    keys = ("--event-key", "e1", "--event-key", "e2", "--signing-key", "signkey-test-00")
    fallback = ("--signing-key-fallback", "signkey-test-11")
    plan = planned("dev", *words, *keys, *fallback, "--connect-gateway-port", "9999")
    assert (plan.sdk_urls, plan.poll, plan.poll_interval_s) == (("http://a.example", "http://b.example"), False, 2.0)
    assert plan.gateway_port == 9999
    assert plan.keys == Keys(("e1", "e2"), (), "signkey-test-00", "signkey-test-11")


def test_variables_of_ours_beat_those_of_inngest(planned: Planned) -> None:
    theirs = {
        "INNGEST_EVENT_KEY": "e",
        "INNGEST_SIGNING_KEY": "signkey-test-00",
        "INNGEST_SIGNING_KEY_FALLBACK": "signkey-test-11",
        "INNGEST_SDK_URL": "http://a.example,http://b.example",
        "INNGEST_NO_DISCOVERY": "true",
        "INNGEST_NO_POLL": "1",
        "INNGEST_POLL_INTERVAL": "7",
        "INNGEST_RETRY_INTERVAL": "1",
        "INNGEST_PORT": "8300",
        "INNGEST_CONNECT_GATEWAY_PORT": "8400",
    }
    plan = planned("dev", **theirs)
    assert plan.keys == Keys(("e",), (), "signkey-test-00", "signkey-test-11")
    assert (plan.sdk_urls, plan.poll, plan.poll_interval_s) == (("http://a.example", "http://b.example"), False, 7.0)
    assert (plan.retry_interval_ms, plan.port, plan.gateway_port) == (1_000, 8300, 8400)
    ours = {
        "HEADRACE_EVENT_KEYS": "f,g",
        "HEADRACE_SIGNING_KEY": "signkey-test-22",
        "HEADRACE_SDK_URL": "http://c.example",
        "HEADRACE_PORT": "8301",
    }
    plan = planned("dev", **theirs, **ours)
    assert (plan.keys.event, plan.keys.signing, plan.sdk_urls, plan.port) == (
        ("f", "g"),
        "signkey-test-22",
        ("http://c.example",),
        8301,
    )
    assert planned("dev", "--event-key", "h", **theirs, **ours).keys.event == ("h",)


def test_the_file_stands_behind_all_of_them(planned: Planned) -> None:
    file = Path("headrace.toml")
    file.write_text(
        'sdk-url = ["http://a.example"]\npoll-interval = 3\nno-poll = true\nconnect-gateway-port = 8500\n'
        'event-keys = ["file"]\n[start]\nallow-private-apps = true\nsdk-url = "http://10.0.0.7/x"\n'
    )
    file.chmod(0o600)
    plan = planned("dev")
    assert (plan.sdk_urls, plan.poll, plan.poll_interval_s) == (("http://a.example",), False, 3.0)
    assert (plan.gateway_port, plan.keys.event) == (8500, ("file",))
    assert planned("dev", INNGEST_EVENT_KEY="env").keys.event == ("env",)
    assert planned("start").sdk_urls == ("http://10.0.0.7/x",)


def test_production_asks_again_only_where_something_is_wrong_unless_it_is_told_to(planned: Planned) -> None:
    plan = planned("start")
    assert (plan.poll, plan.poll_interval_s, plan.discovery, plan.allow_private) == (False, 5.0, False, False)
    assert planned("start", "--poll-interval", "60").poll


def test_a_wrong_value_of_a_variable_is_told_with_the_variables_name(run: Run) -> None:
    assert "the variable INNGEST_PORT: 'abc' is no whole number" in run("dev", INNGEST_PORT="abc").output


def test_several_nodes_are_given_keys_by_the_environment() -> None:
    @click.command()
    @sdk_options()
    @key_options()
    @click.pass_context
    def command(ctx: click.Context, /, **_: object) -> None:
        options = read_sdk_options(ctx)
        assert options == SdkOptions(("http://a.example",), 9.0, None, ())
        assert options.words() == ["--sdk-url", "http://a.example", "--poll-interval", "9.0"]
        assert given_keys(ctx) == {"HEADRACE_EVENT_KEYS": "a,b"}

    command.main(
        ["-u", "http://a.example", "--poll-interval", "9", "--event-key", "a", "--event-key", "b"],
        standalone_mode=False,
        obj=FileSettings(),
    )


@pytest.mark.parametrize(("text", "ports"), [("3999", [3999]), ("", []), ("0", []), ("70000", []), ("x", [])])
def test_the_port_that_programs_are_told_is_looked_at(text: str, ports: list[int]) -> None:
    assert _port_variable({"PORT": text}) == ports
