"""Settings. Goal: a flag beats the environment, the environment beats the file; nothing is ignored in silence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from headrace.cli.settings import FileSettings, unknown_variables
from headrace.errors import NotReady
from tests.cli.conftest import Run


def write(text: str, mode: int = 0o600) -> Path:
    """Write headrace.toml into the working folder."""
    path = Path("headrace.toml")
    path.write_text(text)
    path.chmod(mode)
    return path


def bootstrap_of(run: Run, *arguments: str, **variables: str) -> str:
    """Tell which Kafka a command would talk to."""
    result = run("topics", "acls", *arguments, **variables)
    assert result.exit_code == 0, result.output
    return result.output.partition("--bootstrap-server ")[2].split()[0]


def test_a_flag_beats_the_environment_and_that_beats_the_file(run: Run) -> None:
    assert bootstrap_of(run) == "127.0.0.1:9092"
    write('kafka = "file:1"')
    assert bootstrap_of(run) == "file:1"
    assert bootstrap_of(run, HEADRACE_KAFKA="environment:2") == "environment:2"
    assert bootstrap_of(run, "--kafka", "flag:3", HEADRACE_KAFKA="environment:2") == "flag:3"


def test_an_empty_variable_sets_nothing(run: Run) -> None:
    write('kafka = "file:1"')
    assert bootstrap_of(run, HEADRACE_KAFKA="") == "file:1"
    assert FileSettings.read().variables("", {"HEADRACE_KAFKA": ""})["HEADRACE_KAFKA"] == "file:1"


def test_a_value_that_makes_no_sense_is_told_with_the_place_that_it_came_from(run: Run) -> None:
    flag = run("dev", "app.py", "--port", "abc")
    assert (flag.exit_code, "'--port'" in flag.output) == (2, True)
    variable = run("dev", "app.py", HEADRACE_PORT="abc")
    assert (variable.exit_code, "--port" in variable.output) == (2, False)
    assert "the variable HEADRACE_PORT: 'abc' is no whole number from 1 to 65535." in variable.output
    grouped = run("topics", "create", HEADRACE_PARTITIONS="0")
    assert "the variable HEADRACE_PARTITIONS: '0' is no whole number" in grouped.output
    write("[dev]\nport = 0\n")
    assert "port in headrace.toml: '0' is no whole number" in run("dev", "app.py").output


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("HEADRACE_PROT", "HEADRACE_PORT"),
        ("HEADRACE_KAFAK", "HEADRACE_KAFKA"),
        ("HEADRACE_API_KEY", "HEADRACE_API_KEYS"),
        ("HEADRACE_LOGLEVEL", "HEADRACE_LOG_LEVEL"),
        ("HEADRACE_SKIP_EXPIRE", "HEADRACE_SKIP_EXPIRED"),
    ],
)
def test_a_misspelt_variable_names_the_one_that_was_meant(run: Run, name: str, meant: str) -> None:
    result = run("topics", "acls", **{name: "1"})
    assert result.exit_code == 0
    assert result.stderr == f"note: the variable {name} is no setting and is ignored. Did you mean {meant}?\n"
    # What one process of several says, the others need not.
    assert run("topics", "acls", **{name: "1", "HEADRACE_PARENT_PIPE": "9"}).stderr == ""


@pytest.mark.parametrize(
    "name",
    [
        *("HEADRACE_KAFKA_SASL_USERNAME", "HEADRACE_KAFKA_CONFG", "HEADRACE_EVICT", "HEADRACE_REMOVE_FUNCTIONS"),
        *("HEADRACE_SERVICE_HOST", "HEADRACE_SERVICE_PORT", "HEADRACE_PORT_8288_TCP", "HEADRACE_PORT_8288_TCP_PORT"),
        *("HEADRACE_CACHE_DIR", "HEADRACE_CHROMIUM", "HEADRACE_SCREENSHOTS", "PORT", "XHEADRACE_PROT"),
    ],
)
def test_variables_of_kafka_and_of_other_tools_are_left_alone(name: str) -> None:
    assert unknown_variables({name: "1"}) == []


def test_every_variable_that_the_documents_name_is_known() -> None:
    page = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
    names = set(re.findall(r"HEADRACE_[A-Z_]+[A-Z]", page))
    assert {"HEADRACE_PORT", "HEADRACE_EVICT"} <= names
    assert unknown_variables(dict.fromkeys(names, "1")) == []


def test_a_table_beats_the_top_for_its_command() -> None:
    write('port = 1\nhost = "127.0.0.2"\n[dev]\nport = 2\n')
    found = FileSettings.read()
    assert (found.value("port"), found.value("port", "dev"), found.value("port", "start")) == (1, 2, 1)
    defaults = found.default_map(["dev", "start"])
    assert defaults["dev"] == {"port": 2, "host": "127.0.0.2"}
    assert defaults["start"] == {"port": 1, "host": "127.0.0.2"}


def test_keys_may_be_written_with_underscores_and_one_string_is_a_list_of_one() -> None:
    write('data_dir = "x"\napps = "shop:app"\nevent_keys = ["a", "b"]\n')
    found = FileSettings.read()
    assert found.value("data-dir") == "x"
    assert found.value("apps") == ["shop:app"]
    assert found.variables("dev", {})["HEADRACE_EVENT_KEYS"] == "a,b"
    assert found.variables("dev", {"HEADRACE_EVENT_KEYS": "c"})["HEADRACE_EVENT_KEYS"] == "c"


def test_an_unknown_key_names_the_nearest_and_its_line(run: Run) -> None:
    write("port = 1\n\npartitons = 8\n")
    result = run("topics", "acls")
    assert result.exit_code == 1
    assert "[setting_unknown]" in result.output
    assert "Did you mean 'partitions'?" in result.output
    assert "where: headrace.toml:3" in result.output


@pytest.mark.parametrize(
    ("text", "code", "part"),
    [
        ("port = 'x'", "setting_misshapen", "port in headrace.toml is 'x', not a whole number"),
        ("port = true", "setting_misshapen", "not a whole number"),
        ("reload = 1", "setting_misshapen", "not true or false"),
        ("apps = [1]", "setting_misshapen", "not a list of strings"),
        ("signing-key = 7", "setting_misshapen", "is a int, not a string"),
        ("[strat]\nport = 1", "setting_unknown", "Did you mean 'start'?"),
        ("[dev]\nprot = 1", "setting_unknown", "Did you mean 'port'?"),
        ("port = = 1", "settings_malformed", "where: headrace.toml:1"),
    ],
)
def test_what_is_no_setting_is_refused(text: str, code: str, part: str) -> None:
    write(text)
    with pytest.raises(NotReady) as caught:
        FileSettings.read()
    assert caught.value.code == code
    assert part in str(caught.value)


def test_keys_in_a_file_that_others_can_read_are_refused() -> None:
    write('api-keys = ["hush"]', mode=0o644)
    with pytest.raises(NotReady) as caught:
        FileSettings.read()
    assert caught.value.code == "settings_readable_by_others"
    assert "hush" not in str(caught.value)
    write('api-keys = ["hush"]', mode=0o600)
    found = FileSettings.read()
    assert found.value("api-keys") == ["hush"]
    assert "hush" not in repr(found)


def test_every_option_of_a_node_can_stand_in_the_file() -> None:
    from headrace.cli.dev import dev
    from headrace.cli.settings import KEYS
    from headrace.cli.start import start

    keys = {key.replace("-", "_") for key in KEYS}
    for command in (dev, start):
        names = {parameter.name for parameter in command.params if not getattr(parameter, "hidden", False)}
        assert names - keys == set()
