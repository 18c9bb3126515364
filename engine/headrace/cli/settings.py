"""headrace.toml: the settings that neither a flag nor the environment gives.

    kafka = "kafka-1:9092"        # keys at the top are for every command
    data-dir = "data"
    apps = ["shop.functions:app"]

    [dev]                         # and those of a table for one
    port = 9000

Keys are the long names of the options; `_` may stand for `-`. The file is looked for in the working directory.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headrace.cli.nearest import did_you_mean, nearest
from headrace.errors import NotReady

FILE = Path("headrace.toml")
_BEGINNING = "HEADRACE_"
LIST = "a list of strings"
TEXT = "a string"
NUMBER = "a whole number"
DECIMAL = "a number"
FLAG = "true or false"

# What may stand in the file: the shape of the value, and the variable that beats it where no option does.
KEYS: dict[str, tuple[str, str]] = {
    "apps": (LIST, ""),
    "kafka": (TEXT, "HEADRACE_KAFKA"),
    "kafka-port": (NUMBER, ""),
    "kafka-config": (TEXT, "HEADRACE_KAFKA_CONFIG"),
    "prefix": (TEXT, "HEADRACE_PREFIX"),
    "data-dir": (TEXT, "HEADRACE_DATA_DIR"),
    "cache-dir": (TEXT, "HEADRACE_CACHE_DIR"),
    "partitions": (NUMBER, "HEADRACE_PARTITIONS"),
    "host": (TEXT, "HEADRACE_HOST"),
    "port": (NUMBER, "HEADRACE_PORT"),
    "event-keys": (LIST, "HEADRACE_EVENT_KEYS"),
    "signing-key": (TEXT, "HEADRACE_SIGNING_KEY"),
    "signing-key-fallback": (TEXT, "HEADRACE_SIGNING_KEY_FALLBACK"),
    "api-keys": (LIST, "HEADRACE_API_KEYS"),
    "log-level": (TEXT, "HEADRACE_LOG_LEVEL"),
    "processes": (NUMBER, ""),
    "instance-id": (TEXT, ""),
    "retry-interval": (DECIMAL, "HEADRACE_RETRY_INTERVAL"),
    "sdk-url": (LIST, "HEADRACE_SDK_URL"),
    "no-discovery": (FLAG, "HEADRACE_NO_DISCOVERY"),
    "no-poll": (FLAG, "HEADRACE_NO_POLL"),
    "poll-interval": (DECIMAL, "HEADRACE_POLL_INTERVAL"),
    "connect-gateway-port": (NUMBER, "HEADRACE_CONNECT_GATEWAY_PORT"),
    "connect-gateway-url": (TEXT, "HEADRACE_CONNECT_GATEWAY_URL"),
    "allow-private-apps": (FLAG, "HEADRACE_ALLOW_PRIVATE_APPS"),
    "reload": (FLAG, ""),
    "url": (TEXT, "HEADRACE_URL"),
    "allowed-hosts": (LIST, "HEADRACE_ALLOWED_HOSTS"),
    "max-steps": (NUMBER, "HEADRACE_MAX_STEPS"),
    "max-step-output-bytes": (NUMBER, "HEADRACE_MAX_STEP_OUTPUT_BYTES"),
    "max-run-state-bytes": (NUMBER, "HEADRACE_MAX_RUN_STATE_BYTES"),
    "max-sleep-ms": (NUMBER, "HEADRACE_MAX_SLEEP_MS"),
    "max-state-value-bytes": (NUMBER, "HEADRACE_MAX_STATE_VALUE_BYTES"),
}
# Variables that stand for no key of the file: switches of the node, and what one process tells another.
SWITCHES = ("HEADRACE_SKIP_EXPIRED", "HEADRACE_REMOVE_FUNCTIONS", "HEADRACE_EVICT", "HEADRACE_PARENT_PIPE")
# Variables of Inngest's server that stand for the same settings, where ours are not set.
OTHER_NAMES = {
    "HEADRACE_EVENT_KEYS": "INNGEST_EVENT_KEY",
    "HEADRACE_SIGNING_KEY": "INNGEST_SIGNING_KEY",
    "HEADRACE_SIGNING_KEY_FALLBACK": "INNGEST_SIGNING_KEY_FALLBACK",
    "HEADRACE_HOST": "INNGEST_HOST",
    "HEADRACE_PORT": "INNGEST_PORT",
    "HEADRACE_SDK_URL": "INNGEST_SDK_URL",
    "HEADRACE_NO_DISCOVERY": "INNGEST_NO_DISCOVERY",
    "HEADRACE_NO_POLL": "INNGEST_NO_POLL",
    "HEADRACE_POLL_INTERVAL": "INNGEST_POLL_INTERVAL",
    "HEADRACE_RETRY_INTERVAL": "INNGEST_RETRY_INTERVAL",
    "HEADRACE_CONNECT_GATEWAY_PORT": "INNGEST_CONNECT_GATEWAY_PORT",
}
SECRET_KEYS = ("event-keys", "signing-key", "signing-key-fallback", "api-keys")
TABLES = ("dev", "start")

_SHAPES: dict[str, tuple[type, ...]] = {TEXT: (str,), NUMBER: (int,), DECIMAL: (int, float), FLAG: (bool,)}


@dataclass(frozen=True)
class FileSettings:
    """What stands in the file: values by key at the top, and by table and key."""

    path: Path | None = None
    top: Mapping[str, Any] = field(default_factory=dict, repr=False)
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, path: Path = FILE) -> FileSettings:
        """Read the file, if there is one; raises NotReady, with the line, for what is no setting."""
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return cls()
        except (OSError, UnicodeDecodeError) as problem:
            raise NotReady(
                "settings_unreadable",
                f"{path} cannot be read: {problem}",
                why="a settings file in the working directory holds for every command started there",
                do=f"mend or remove {path}",
            ) from None
        try:
            content = tomllib.loads(text)
        except tomllib.TOMLDecodeError as problem:
            raise NotReady(
                "settings_malformed",
                f"{path} is not TOML: {problem}",
                why="the settings file is written in TOML, as in: port = 8288",
                do=f"mend or remove {path}",
                where=_place_of(path, str(problem)),
            ) from None
        tables = {name: content.pop(name) for name in TABLES if isinstance(content.get(name), dict)}
        found = cls(
            path,
            _checked(path, text, content, (*KEYS, *TABLES)),
            {name: _checked(path, text, table, KEYS) for name, table in tables.items()},
        )
        found._check_private()
        return found

    def value(self, key: str, command: str = "") -> Any:
        """Give the value for a key, the command's table first; None where there is none."""
        table = self.tables.get(command, {})
        return table[key] if key in table else self.top.get(key)

    def variables(self, command: str, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
        """Give the environment as it is with the file beneath it: what a variable sets, the file does not."""
        gathered = {}
        for key, (_, variable) in KEYS.items():
            value = self.value(key, command)
            if variable and value is not None:
                gathered[variable] = _written(value)
        # An empty variable sets nothing; click sees it so for options too.
        given = {name: value for name, value in environment.items() if value}
        others = {name: given[other] for name, other in OTHER_NAMES.items() if other in given}
        return {**gathered, **others, **given}

    def default_map(self, commands: Iterable[str]) -> dict[str, Any]:
        """Give click's defaults: for each command its parameters by their Python names."""
        gathered: dict[str, Any] = {}
        for command in commands:
            values = {**self.top, **self.tables.get(command, {})}
            gathered[command] = {key.replace("-", "_"): value for key, value in values.items()}
        # The commands of a group read the top of the file as those of the root do.
        top = {key.replace("-", "_"): value for key, value in self.top.items()}
        gathered["topics"] = dict.fromkeys(("create", "check", "acls"), top)
        return gathered

    def _check_private(self) -> None:
        held = [key for key in SECRET_KEYS if any(key in part for part in (self.top, *self.tables.values()))]
        if held and self.path is not None and os.name == "posix" and self.path.stat().st_mode & 0o077:
            raise NotReady(
                "settings_readable_by_others",
                f"{self.path} holds {', '.join(held)} and other users of this machine may read it",
                why="whoever has these keys can send events and cancel runs",
                do=f"chmod 600 {self.path}, or set {', '.join(KEYS[key][1] for key in held)} instead",
            )


def variables_of(name: str) -> list[str]:
    """List the variables that set what one of ours does, in the order in which they count."""
    return [name, *([OTHER_NAMES[name]] if name in OTHER_NAMES else [])]


def _written(value: Any) -> str:
    """Write a value of the file as a variable has it."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, list) else str(value)


def unknown_variables(environment: Mapping[str, str] = os.environ) -> list[tuple[str, str]]:
    """List the variables that are no setting but look like one that was misspelt, each with the one that was meant.

    Others are left alone: HEADRACE_KAFKA_… is Kafka's, and other tools set variables of their own (Kubernetes sets
    HEADRACE_SERVICE_HOST for a service of that name).
    """
    known = {variable.removeprefix(_BEGINNING) for _, variable in KEYS.values() if variable}
    known |= {switch.removeprefix(_BEGINNING) for switch in SWITCHES}
    found = []
    for name in sorted(environment):
        word = name.removeprefix(_BEGINNING)
        if word == name or word in known or word.startswith("KAFKA_"):
            continue
        # Compared without what all begin with: that would make them all alike.
        meant = nearest(word, known, likeness=0.7)
        if meant is not None:
            found.append((name, _BEGINNING + meant))
    return found


def _checked(path: Path, text: str, values: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    names = tuple(names)
    checked = {}
    for written, value in values.items():
        key = written.replace("_", "-")
        if key not in KEYS:
            raise NotReady(
                "setting_unknown",
                f"{path} has a key {written!r}, which is no setting.{did_you_mean(written, names)}",
                why="a setting that is not known would be ignored in silence",
                do="rename or remove it; docs/configuration.md lists them all",
                where=_line_of(path, text, written),
            )
        checked[key] = _shaped(path, text, written, value, KEYS[key][0])
    return checked


def _shaped(path: Path, text: str, written: str, value: Any, shape: str) -> Any:
    if shape == LIST:
        if isinstance(value, str):
            return [value]
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return value
    # A TOML boolean is an int to Python, but `port = true` is a mistake.
    elif isinstance(value, _SHAPES[shape]) and (shape == FLAG or not isinstance(value, bool)):
        return value
    secret = written.replace("_", "-") in SECRET_KEYS
    raise NotReady(
        "setting_misshapen",
        f"{written} in {path} is {'a ' + type(value).__name__ if secret else repr(value)}, not {shape}",
        do=f"give {written} {shape}",
        where=_line_of(path, text, written),
    )


def _line_of(path: Path, text: str, key: str) -> str:
    pattern = re.compile(rf"""^\s*["']?{re.escape(key)}["']?\s*[=.]|^\s*\[+\s*["']?{re.escape(key)}["']?\s*[\].]""")
    for number, line in enumerate(text.splitlines(), 1):
        if pattern.match(line):
            return f"{path}:{number}"
    return str(path)


def _place_of(path: Path, problem: str) -> str:
    line = re.search(r"line (\d+)", problem)
    return f"{path}:{line.group(1)}" if line else str(path)
