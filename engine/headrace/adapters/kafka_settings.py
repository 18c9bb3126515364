"""How to reach Kafka: the bootstrap address and librdkafka's own settings, passed through.

Settings come from a file of `name=value` lines and from the environment, which beats the file:
HEADRACE_KAFKA_SASL_USERNAME is `sasl.username`. What the engine's correctness rests on (acks, offsets, group behaviour)
is refused, not overridden in silence. Names and meanings: librdkafka's CONFIGURATION.md.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from headrace.errors import NotReady

logger = logging.getLogger("headrace.kafka")

ENVIRONMENT_PREFIX = "HEADRACE_KAFKA_"
DEFAULT_BOOTSTRAP = "127.0.0.1:9092"

# Names in which librdkafka itself writes an underscore; everywhere else an underscore stands for a dot.
_UNDERSCORED = {"log.level": "log_level"}

# The engine sets these itself, and its invariants rest on them.
_OWN = frozenset(
    {
        "acks",
        "auto.offset.reset",
        "delivery.report.only.error",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.idempotence",
        "enable.partition.eof",
        "group.id",
        "group.instance.id",
        "group.protocol",
        "heartbeat.interval.ms",
        "isolation.level",
        "max.in.flight",
        "max.in.flight.requests.per.connection",
        "message.max.bytes",
        "check.crcs",
        "partition.assignment.strategy",
        "request.required.acks",
        "session.timeout.ms",
        "transactional.id",
    }
)

_SECRET_WORDS = ("password", "secret", "token", "pem", "jaas", "sasl.oauthbearer", "username", "key")


@dataclass(frozen=True)
class KafkaSettings:
    """Where Kafka is and how its clients are set up; `passthrough` are librdkafka settings, as text."""

    bootstrap: str = DEFAULT_BOOTSTRAP
    passthrough: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for name in sorted(self.passthrough):
            if name in _OWN:
                raise NotReady(
                    "kafka_setting_owned",
                    f"the Kafka setting {name} was given, but the engine sets it itself",
                    why="exactly-once ownership rests on the engine's own value",
                    do=f"remove {name} from the Kafka settings file and {environment_name(name)} from the environment",
                )

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={_shown(name, value)}" for name, value in sorted(self.passthrough.items()))
        return f"KafkaSettings({self.bootstrap}{', ' if shown else ''}{shown})"

    @classmethod
    def load(cls, bootstrap: str | None = None, environment: Mapping[str, str] | None = None) -> KafkaSettings:
        """Gather the settings; the argument (a flag) beats the environment, the environment beats the file.

        Errors: NotReady when the file named by HEADRACE_KAFKA_CONFIG cannot be read or a line of it is no setting.
        """
        environment = os.environ if environment is None else environment
        file = environment.get(f"{ENVIRONMENT_PREFIX}CONFIG")
        found = read_settings_file(Path(file)) if file else {}
        for name, value in environment.items():
            if name.startswith(ENVIRONMENT_PREFIX) and name != f"{ENVIRONMENT_PREFIX}CONFIG":
                found[setting_name(name)] = value
        listed = found.pop("bootstrap.servers", None)
        listed = found.pop("metadata.broker.list", listed)
        return cls(bootstrap or environment.get("HEADRACE_KAFKA") or listed or DEFAULT_BOOTSTRAP, found)

    def client(
        self, own: Mapping[str, object], defaults: Mapping[str, object] | None = None, *, logged: bool = True
    ) -> dict[str, object]:
        """Return the settings of one client: its `own` beat the passed-through ones, and these its `defaults`.

        `logged` sends librdkafka's log lines to the logger `headrace.kafka`; such a client must be polled.
        """
        # A client that backs off for ten seconds after a broker's restart costs ten seconds of every partition.
        gathered: dict[str, object] = {
            "reconnect.backoff.ms": 50,
            "reconnect.backoff.max.ms": 500,
            "log.connection.close": False,
            "client.id": "headrace",
            "allow.auto.create.topics": False,
        }
        gathered.update(defaults or {})
        gathered.update(self.passthrough)
        gathered["bootstrap.servers"] = self.bootstrap
        if logged:
            gathered["logger"] = logger
        else:
            gathered.setdefault("log_level", "0")
        gathered.update(own)
        return gathered


def setting_name(environment_name: str) -> str:
    """Return librdkafka's name for an environment variable: HEADRACE_KAFKA_SASL_USERNAME is sasl.username."""
    name = environment_name.removeprefix(ENVIRONMENT_PREFIX).lower().replace("_", ".")
    return _UNDERSCORED.get(name, name)


def environment_name(setting: str) -> str:
    """Return the environment variable that sets a librdkafka setting."""
    return ENVIRONMENT_PREFIX + setting.replace(".", "_").upper()


def read_settings_file(path: Path) -> dict[str, str]:
    """Read `name=value` lines; empty lines and lines that begin with # are skipped.

    Errors: NotReady, with file and line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise NotReady(
            "kafka_config_unreadable",
            f"the Kafka settings file {path} cannot be read: {problem}",
            do=f"mend the file, or unset {ENVIRONMENT_PREFIX}CONFIG",
        ) from None
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        name, separator, value = stripped.partition("=")
        if not separator or not name.strip():
            raise NotReady(
                "kafka_config_malformed",
                f"line {number} of the Kafka settings file is not of the form name=value",
                why="the file holds librdkafka settings, one a line",
                do="write for example: security.protocol=SASL_SSL",
                where=f"{path}:{number}",
            )
        found[name.strip()] = value.strip()
    return found


def _shown(name: str, value: str) -> str:
    return "***" if any(word in name for word in _SECRET_WORDS) else value
