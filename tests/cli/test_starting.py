"""What is refused before anything starts. Goal: a node that cannot run says why at once, and touches nothing."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.cli.front import access_of, allowed_hosts
from headrace.cli.keys import Keys
from headrace.cli.listening import take_port
from headrace.cli.plan import Plan
from headrace.errors import NotReady
from tests.cli.conftest import Run

APP = 'from headrace import App\n\napp = App("parcel")\n'
# Nobody listens there: whoever gets as far as Kafka fails the test by its error.
NO_KAFKA = ("--kafka", "127.0.0.1:9")


@pytest.fixture
def taken() -> Iterator[int]:
    """Listen on a port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.mark.parametrize("command", ["dev", "start"])
def test_without_an_app_it_serves_those_of_sdks(run: Run, command: str, taken: int) -> None:
    result = run(command, "--port", str(taken), *NO_KAFKA)
    assert result.exit_code == 1
    assert "[port_taken]" in result.output  # it got so far


def test_an_address_that_only_this_network_knows_is_refused_in_production(run: Run, taken: int) -> None:
    urls = ("-u", "https://shop.example/api/inngest", "-u", "http://10.0.0.7:3000/api/inngest")
    result = run("start", *urls, "--port", str(taken), *NO_KAFKA)
    assert "[app_address_private] --sdk-url http://10.0.0.7:3000/api/inngest is a private address" in result.output
    assert "HEADRACE_ALLOW_PRIVATE_APPS=1" in result.output
    allowed = run("start", *urls, "--port", str(taken), *NO_KAFKA, HEADRACE_ALLOW_PRIVATE_APPS="1")
    assert "[port_taken]" in allowed.output
    assert "[port_taken]" in run("dev", *urls, "--port", str(taken), *NO_KAFKA).output


def test_options_of_other_servers_are_taken_and_said_to_mean_nothing(run: Run, taken: int) -> None:
    words = ("--tick", "10", "--queue-workers", "7", "--no-discovery", "--no-poll", "--retry-interval", "1")
    result = run("dev", *words, "-p", str(taken), *NO_KAFKA)
    assert "[port_taken]" in result.output
    assert result.output.count("--tick and --queue-workers: no queue is polled here") == 1


@pytest.mark.parametrize("command", ["dev", "start"])
def test_apps_may_stand_in_the_file(run: Run, command: str) -> None:
    Path("headrace.toml").write_text('apps = ["nowhere.py"]\n')
    result = run(command)
    assert result.exit_code == 1
    assert "[app_not_found] nowhere.py" in result.output


@pytest.mark.parametrize("command", ["dev", "start"])
def test_an_app_that_cannot_be_loaded_is_told_with_its_line(run: Run, command: str) -> None:
    Path("app.py").write_text("x = 1\n1 / 0\n")
    result = run(command, "app.py", *NO_KAFKA)
    assert result.exit_code == 1
    assert "[app_unloadable]" in result.output
    assert f"where: {Path('app.py').resolve()}:2" in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize("command", ["dev", "start"])
def test_a_port_that_is_taken_is_told_before_anything_starts(run: Run, command: str, taken: int) -> None:
    Path("app.py").write_text(APP)
    result = run(command, "app.py", "--port", str(taken), *NO_KAFKA)
    assert result.exit_code == 1
    assert f"[port_taken] 127.0.0.1:{taken} is in use" in result.output
    assert f"--port {taken + 1}" in result.output
    assert not Path(".headrace").exists()


@pytest.mark.parametrize("command", ["dev", "start"])
def test_beyond_loopback_keys_are_required(run: Run, command: str) -> None:
    Path("app.py").write_text(APP)
    result = run(command, "app.py", "--host", "0.0.0.0", *NO_KAFKA, HEADRACE_EVENT_KEYS="e", HEADRACE_API_KEYS="a")
    assert result.exit_code == 1
    assert "[keys_missing]" in result.output
    assert "HEADRACE_SIGNING_KEY is not set" in result.output


@pytest.mark.parametrize("wait", ["nan", "inf", "-inf", "1e300", "0", "-1", "86401", "soon"])
@pytest.mark.parametrize("place", ["flag", "file"])
def test_a_retry_interval_is_a_time_to_wait(run: Run, wait: str, place: str) -> None:
    Path("app.py").write_text(APP)
    if place == "file" and wait != "soon":
        Path("headrace.toml").write_text(f"retry-interval = {wait}\n")
        result = run("dev", "app.py", *NO_KAFKA)
    else:
        result = run("dev", "app.py", f"--retry-interval={wait}", *NO_KAFKA)
    assert result.exit_code == 2
    assert "is no number from 0.01 to 86400." in result.output
    assert "retry-interval" in result.output


def test_the_port_of_a_kafka_that_is_not_started_here_is_refused(run: Run) -> None:
    Path("app.py").write_text(APP)
    result = run("dev", "app.py", "--kafka-port", "9093", *NO_KAFKA)
    assert result.exit_code == 2
    assert "--kafka-port is for the Kafka that dev starts" in result.output


def test_a_level_that_is_none_is_refused(run: Run) -> None:
    Path("app.py").write_text(APP)
    result = run("dev", "app.py", *NO_KAFKA, HEADRACE_LOG_LEVEL="verbose")
    assert "[log_level_unknown]" in result.output


def test_a_bound_port_is_kept_and_an_unknown_host_is_told(taken: int) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    bound = take_port("127.0.0.1", free)
    with pytest.raises(NotReady) as caught:
        take_port("127.0.0.1", free)
    assert caught.value.code == "port_taken"
    bound.close()
    with pytest.raises(NotReady) as caught:
        take_port("host.invalid", 8288)
    assert caught.value.code == "host_unusable"


def plan(host: str, hosts: str = "") -> Plan:
    """Make a plan that listens there."""
    variables = {"HEADRACE_ALLOWED_HOSTS": hosts} if hosts else {}
    return Plan(("app.py",), None, "p", host, 8288, Path("d"), None, 4, Keys(), variables)


def test_a_node_answers_to_the_names_it_has() -> None:
    assert allowed_hosts(plan("127.0.0.1")) == []
    assert allowed_hosts(plan("127.0.0.1", "shop.test, proxy.test")) == ["shop.test", "proxy.test"]
    beyond = allowed_hosts(plan("10.1.2.3", "shop.test"))
    assert {"shop.test", "10.1.2.3", socket.gethostname()} <= set(beyond)
    assert "*" not in beyond


def test_keys_are_asked_for_beyond_loopback_whatever_name_is_used() -> None:
    keys = Keys(("e1",), ("a1",), "signkey-prod-00ff", "signkey-prod-11")
    beyond, here = access_of(keys, "0.0.0.0"), access_of(keys, "127.0.0.1")
    assert (beyond.key_needed({"host": "localhost"}), here.key_needed({"host": "localhost"})) == (True, False)
    assert here.key_needed({"host": "shop.test"})
    assert here.key_needed({"host": "localhost", "x-forwarded-for": "192.0.2.7"})
    assert beyond.event_keys.holds("e1")
    assert not beyond.event_keys.holds("a1")
    for token in ("a1", "signkey-prod-00ff", "signkey-prod-11"):
        assert beyond.bearer_holds(f"Bearer {token}")
    assert not beyond.bearer_holds("Bearer e1")


def test_urls_are_what_people_and_programs_can_use() -> None:
    assert plan("127.0.0.1").url == plan("127.0.0.1").local_url == "http://127.0.0.1:8288"
    assert plan("::1").url == "http://[::1]:8288"
    assert plan("0.0.0.0").local_url == "http://127.0.0.1:8288"
