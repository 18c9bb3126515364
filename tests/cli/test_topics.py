"""`headrace topics` and `doctor` on a real Kafka. Goal: what could lose state is seen before a node starts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from headrace.cli.doctor import not_writable
from tests.cli.conftest import Run


@pytest.fixture
def where(kafka_bootstrap: str) -> tuple[str, ...]:
    """Name the broker and topics of this test's own."""
    return ("--kafka", kafka_bootstrap, "--prefix", f"t{uuid4().hex[:12]}")


@pytest.mark.kafka
def test_topics_are_created_once_and_checked(run: Run, where: tuple[str, ...]) -> None:
    missing = run("topics", "check", *where)
    assert missing.exit_code == 1
    assert "[topics_missing] 8 topics are not there" in missing.output
    created = run("topics", "create", *where, "--partitions", "3")
    assert created.exit_code == 0, created.output
    assert created.output.count("created") == 8
    checked = run("topics", "check", *where)
    assert (checked.exit_code, checked.output.count("created")) == (0, 0)
    as_json = json.loads(run("topics", "check", *where, "--json").stdout)
    assert as_json["partitions"] == 3
    assert {row["name"].rpartition(".")[2] for row in as_json["data"]} >= {"events", "commands", "changelog", "dead"}
    other = run("topics", "create", *where, "--partitions", "4")
    assert (other.exit_code, "[topic_partitions]" in other.output) == (1, True)


@pytest.mark.kafka
def test_a_changelog_that_expires_is_found(run: Run, where: tuple[str, ...], kafka_bootstrap: str) -> None:
    run("topics", "create", *where, "--partitions", "1")
    entry = ConfigEntry("retention.ms", "1000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, f"{where[3]}.changelog", incremental_configs=[entry])
    client = AdminClient({"bootstrap.servers": kafka_bootstrap})
    for done in client.incremental_alter_configs([resource]).values():
        done.result(30)
    checked = run("topics", "check", *where)
    assert checked.exit_code == 1
    assert "retention.ms is 1000" in checked.output
    sick = run("doctor", *where)
    assert sick.exit_code == 1
    assert "retention.ms is 1000" in sick.output


@pytest.mark.kafka
def test_the_doctor_finds_nothing_wrong_with_a_good_cluster(run: Run, where: tuple[str, ...]) -> None:
    run("topics", "create", *where, "--partitions", "3")
    healthy = run("doctor", *where, "--json", "--url", "http://127.0.0.1:9")
    assert healthy.exit_code == 0, healthy.output
    states = {row["what"]: (row["state"], row["said"]) for row in json.loads(healthy.stdout)["data"]}
    assert states["Kafka"][0] == "ok"
    assert "3 partitions" in states["topics"][1]
    assert states["node"] == ("note", "none runs at http://127.0.0.1:9")


def test_the_doctor_needs_no_kafka_unless_one_is_named(run: Run) -> None:
    quiet = run("doctor", "--url", "http://127.0.0.1:9")
    assert quiet.exit_code == 0, quiet.output
    named = run("doctor", "--url", "http://127.0.0.1:9", "--kafka", "127.0.0.1:9", "--json")
    assert named.exit_code == 1
    (bad,) = [row for row in json.loads(named.stdout)["data"] if row["state"] == "bad"]
    assert bad["what"] == "Kafka"
    assert "127.0.0.1:9" in bad["said"]


@pytest.fixture
def stranger() -> Iterator[None]:
    """Act as a user who owns nothing, where the tests run as one who may do everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65_534)
    yield
    os.seteuid(0)


@pytest.mark.usefixtures("stranger")
def test_a_folder_that_cannot_be_written_to_is_found() -> None:
    assert not_writable(Path("/no/such/folder")) == (
        "this user may not write in /; make it writable, or name another folder with --data-dir"
    )
    assert "may not write in /usr;" in not_writable(Path("/usr"))
    assert not_writable(Path("/tmp/no/such/folder/yet")) == ""


def test_the_doctor_looks_whether_the_data_directory_can_be_made(run: Run) -> None:
    Path("file").write_text("in the way")
    for folder, said in (("file/data", "cannot be made"), ("file", "file is no folder")):
        result = run("doctor", "--url", "http://127.0.0.1:9", "--json", HEADRACE_DATA_DIR=folder)
        if folder == "file":  # refused with the options already
            assert result.exit_code == 2
            continue
        assert result.exit_code == 1
        (bad,) = [row for row in json.loads(result.stdout)["data"] if row["state"] == "bad"]
        assert (bad["what"], said in bad["said"]) == ("data directory", True)
    fine = run("doctor", "--url", "http://127.0.0.1:9", "--json")
    assert "is made at the first start" in fine.stdout
    assert not Path(".headrace").exists()


def test_rights_are_listed_as_commands(run: Run) -> None:
    result = run("topics", "acls", "--kafka", "kafka-1:9092", "--prefix", "shop", "--principal", "User:ada")
    commands = [line for line in result.output.splitlines() if not line.startswith("#")]
    assert commands
    assert all(line.startswith("kafka-acls.sh --bootstrap-server kafka-1:9092 ") for line in commands)
    assert all("User:ada" in line for line in commands)
    rows = json.loads(run("topics", "acls", "--json").stdout)["data"]
    assert len(rows) == len(commands)


@pytest.mark.parametrize(
    ("principal", "meant"),
    [("ada", "User:ada"), (":ada", "User:ada"), ("User:", "User:headrace"), ("", "User:headrace"), ("a b:c", "User:c")],
)
def test_a_principal_is_written_as_kafka_writes_it(run: Run, principal: str, meant: str) -> None:
    result = run("topics", "acls", "--principal", principal)
    assert result.exit_code == 2
    assert "TYPE:NAME" in result.output
    assert meant in result.output


@pytest.mark.parametrize("principal", ["User:ada", "User:*", "Group:nodes", "User:CN=ada,O=shop"])
def test_every_kind_of_principal_is_taken(run: Run, principal: str) -> None:
    rows = json.loads(run("topics", "acls", "--json", "--principal", principal).stdout)["data"]
    assert {row["principal"] for row in rows} == {principal}
