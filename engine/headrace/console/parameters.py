"""What a request asks for: its query parameters, checked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from starlette.requests import Request

from headrace.console.event_queries import EventFilter, Place
from headrace.console.moments import parse_since
from headrace.console.run_queries import STATUSES, RunFilter
from headrace.errors import BadRequest
from headrace.functions.mistakes import nearest
from headrace.records.ids import is_ulid

LIMIT_MAX = 1_000
LIMIT_DEFAULT = 50
_TEXT_MAX = 1_024
_WORDS_MAX = 50


def invalid(name: str, value: str, why: str, do: str) -> BadRequest:
    """Make the error for a parameter that makes no sense."""
    return BadRequest("parameter_invalid", f"{name} is {value[:60]!r}", why=why, do=do)


def refuse_unknown(request: Request, *known: str) -> None:
    """Refuse parameters that are none of these: one that is misspelt would ask for everything in silence."""
    for name in request.query_params:
        if name not in known:
            meant = nearest(name, known)
            raise BadRequest(
                "parameter_unknown",
                f"there is no parameter {name[:60]!r} here",
                why=f"this list takes: {', '.join(known)}",
                do=f"did you mean {meant}?" if meant else "leave it out",
            )


def read_limit(request: Request, default: int = LIMIT_DEFAULT) -> int:
    """Read `limit=`: how many rows are wanted."""
    text = request.query_params.get("limit", "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= LIMIT_MAX):
        raise invalid("limit", text, f"limit is a number from 1 to {LIMIT_MAX}", "use cursor= to go on behind a page")
    return int(text)


def read_text(request: Request, name: str) -> str:
    """Read a parameter that is any text."""
    text = request.query_params.get(name, "")
    if len(text) > _TEXT_MAX:
        raise invalid(name, text, f"it has {len(text)} characters; {_TEXT_MAX} are allowed", "check the value")
    return text


def read_words(request: Request, *names: str) -> tuple[str, ...]:
    """Read a parameter that may be given several times, or as words with commas between; `names` are its spellings."""
    words = [word for name in names for text in request.query_params.getlist(name) for word in text.split(",")]
    words = [word.strip() for word in words if word.strip()]
    if len(words) > _WORDS_MAX or any(len(word) > _TEXT_MAX for word in words):
        raise invalid(names[0], ",".join(words), f"at most {_WORDS_MAX} can be asked for at once", "ask for fewer")
    return tuple(words)


def read_since(request: Request, now_ms: int, name: str = "since") -> int:
    """Read a moment; 0 if it is not given."""
    text = read_text(request, name)
    return parse_since(text, now_ms, name=name) if text else 0


def read_run_filter(request: Request, now_ms: int) -> RunFilter:
    """Read which runs are wanted: `function=`, `status=`, `event_id=`, `since=`."""
    return RunFilter(
        read_words(request, "function", "function_id"),
        _known(read_words(request, "status"), STATUSES),
        read_text(request, "event_id"),
        read_since(request, now_ms),
    )


def _known(words: Iterable[str], known: Sequence[str]) -> tuple[str, ...]:
    by_lower = {word.lower(): word for word in known}
    found = []
    for word in words:
        if word.lower() not in by_lower:
            raise invalid("status", word, "there is no such status", f"one or more of {', '.join(known)}")
        found.append(by_lower[word.lower()])
    return tuple(found)


def read_event_filter(request: Request, now_ms: int) -> EventFilter:
    """Read which events are wanted: `name=`, `since=` (or the protocol's `received_after=`, `received_before=`)."""
    since_ms = read_since(request, now_ms) or read_since(request, now_ms, "received_after")
    return EventFilter(read_text(request, "name"), since_ms, read_since(request, now_ms, "received_before"))


def read_run_cursor(request: Request) -> str:
    """Read `cursor=` of a list of runs: the run id of the last row."""
    cursor = request.query_params.get("cursor", "")
    if cursor and not is_ulid(cursor):
        raise _bad_cursor(cursor)
    return cursor


def read_event_cursor(request: Request) -> Place | None:
    """Read `cursor=` of a list of events: the internal id of the last row, and which row of that id it was."""
    cursor = request.query_params.get("cursor", "")
    if not cursor:
        return None
    event_id, _, number = cursor.partition(".")
    if not is_ulid(event_id) or not (number.isascii() and (number or "0").isdigit() and len(number) < 19):
        raise _bad_cursor(cursor)
    return Place(event_id, int(number or 0))


def read_number_cursor(request: Request) -> int:
    """Read `cursor=` of a list that is in the order of its rows."""
    cursor = request.query_params.get("cursor", "")
    if cursor and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
        raise _bad_cursor(cursor)
    return int(cursor or 0)


def _bad_cursor(cursor: str) -> BadRequest:
    return invalid("cursor", cursor, "a cursor comes from the answer before", "leave it out to begin with the newest")
