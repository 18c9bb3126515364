"""What a node says on standard error: one line for each thing, short on a terminal and `key=value` for programs."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TextIO

from headrace.cli.nearest import did_you_mean
from headrace.cli.repeats import Repeats, message_of
from headrace.errors import NotReady

LEVELS = ("debug", "info", "warning", "error")
logger = logging.getLogger("headrace.node")

# What the node tells is worth a warning unless it stands here.
_LEVEL_OF_CODE = {
    "claim_retried": logging.INFO,
    "app_synced": logging.INFO,
    "app_found": logging.INFO,
    "registration_note": logging.INFO,
    "option_ignored": logging.INFO,
    "reloaded": logging.INFO,
    "restoring": logging.INFO,
    "restored": logging.INFO,
    "stopping": logging.INFO,
    "stopped": logging.INFO,
    "started": logging.INFO,
    "ready": logging.INFO,
    "expelled": logging.ERROR,
    "source_stopped": logging.ERROR,
    "source_unreadable": logging.ERROR,
    "state_incomplete": logging.ERROR,
    "store_beyond_claim": logging.ERROR,
    "claim_not_found": logging.ERROR,
}
_CHATTY = ("asyncio", "uvicorn", "uvicorn.access", "headrace.kafka")
# Where lines of librdkafka come out: of this process's clients, and of those of the console's projection.
_TALKERS = ("headrace.kafka", "headrace.console")
_COLOURS = {"DEBUG": "2", "WARNING": "33", "ERROR": "31", "CRITICAL": "31"}


def set_up_logging(variables: Mapping[str, str], *, node: str = "") -> None:
    """Send every log line of this process to standard error, from HEADRACE_LOG_LEVEL (info) on.

    `node` is named in each line, where several nodes write to one terminal. Raises NotReady for an unknown level.
    """
    name = variables.get("HEADRACE_LOG_LEVEL", "info").lower()
    if name not in LEVELS:
        raise NotReady(
            "log_level_unknown",
            f"HEADRACE_LOG_LEVEL is {name!r}.{did_you_mean(name, LEVELS)}",
            why="a level says which lines of the log are written: it and those behind it in this list",
            do=f"choose one of {', '.join(LEVELS)}",
        )
    handler = _CurrentStandardError()
    handler.setFormatter(TerminalLines(node) if sys.stderr.isatty() else ProgramLines(node))
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(name.upper())
    logging.captureWarnings(True)
    quieten(() if name == "debug" else _CHATTY)


def quieten(chatty: Iterable[str]) -> None:
    """Let the clients of Kafka say a thing once in a while, and keep libraries' inner lives to themselves."""
    for talker in _TALKERS:
        talking = logging.getLogger(talker)
        for before in list(talking.filters):
            talking.removeFilter(before)
        talking.addFilter(_is_news)
        if chatty:
            talking.addFilter(Repeats())
    for library in chatty:
        logging.getLogger(library).setLevel(max(logging.WARNING, logging.getLogger().level))


def tell(code: str, sentence: str) -> None:
    """Log what the node has to say; `code` is what an alarm can be set on."""
    logger.log(_LEVEL_OF_CODE.get(code, logging.WARNING), "%s", sentence, extra={"code": code})


def _is_news(record: logging.LogRecord) -> bool:
    # A broker that has just started says so to the first producer; the client asks again by itself.
    return "Coordinator load in progress" not in message_of(record)


class _CurrentStandardError(logging.StreamHandler[TextIO]):
    """Writes to whatever standard error is now: while a progress bar is drawn, that is the bar's own."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


class ProgramLines(logging.Formatter):
    """One line of `key=value` pairs, whatever is in it."""

    def __init__(self, node: str = "") -> None:
        super().__init__()
        self._node = node

    def format(self, record: logging.LogRecord) -> str:
        """Write time, level, logger, code, message and traceback, quoted where they need to be."""
        at = datetime.fromtimestamp(record.created, UTC)
        pairs = [
            ("time", f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"),
            ("level", record.levelname.lower()),
            ("logger", record.name),
            ("node", self._node),
            ("code", getattr(record, "code", "")),
            ("run", getattr(record, "run_id", "")),
            ("function", getattr(record, "function_id", "")),
            ("message", _joined(message_of(record))),
            ("trace", _trace(self, record)),
        ]
        return " ".join(f"{name}={_quoted(value)}" for name, value in pairs if value or name == "message")


class TerminalLines(logging.Formatter):
    """Time, level and message, for people."""

    def __init__(self, node: str = "") -> None:
        super().__init__()
        self._node = f"{node} " if node else ""

    def format(self, record: logging.LogRecord) -> str:
        """Write one line, and the traceback below it if there is one."""
        at = datetime.fromtimestamp(record.created)
        colour = _COLOURS.get(record.levelname, "")
        code = getattr(record, "code", "")
        said = _joined(message_of(record))
        run = getattr(record, "run_id", "")
        about = f"[{code}] " if code else f"{getattr(record, 'function_id', '')} {run}: " if run else ""
        line = f"{at:%H:%M:%S} {self._node}{record.levelname.lower():7} {about}{said}"
        shown = f"\x1b[{colour}m{line}\x1b[0m" if colour else line
        trace = _trace(self, record)
        return f"{shown}\n{trace}" if trace else shown


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    return formatter.formatException(record.exc_info) if record.exc_info and record.exc_info[0] else ""


def _joined(text: str) -> str:
    """Put a message of several lines on one."""
    return " | ".join(" ".join(part.split()) for part in text.splitlines() if part.strip())


def _quoted(value: object) -> str:
    text = str(value)
    plain = bool(text) and text.isprintable() and not set(text) & set(' "=\\')
    return text if plain else json.dumps(text, ensure_ascii=False)
