"""The options of a function: those there are, those to come, and what people type instead."""

from __future__ import annotations

from collections.abc import Iterable

from headrace.errors import BadDeclaration
from headrace.functions.mistakes import nearest

AVAILABLE = ("name", "trigger", "triggers", "retries", "on_failure")
# Part of the public interface, and not in this version. Refused: a limit that is silently not kept does harm.
LATER = (
    "concurrency",
    "throttle",
    "rate_limit",
    "debounce",
    "batch",
    "priority",
    "singleton",
    "idempotency",
    "cancel_on",
    "timeouts",
    "on_exhausted",
    "start_from",
    "middleware",
    "history",
)
_ALIASES = {
    "max_runtime": "timeouts.finish",
    "timeout": "timeouts.finish",
    "max_duration": "timeouts.finish",
    "start_timeout": "timeouts.start",
    "ttl": "timeouts.start",
    "event": "trigger",
    "events": "triggers",
    "on": "trigger",
    "cron": "triggers",
    "max_attempts": "retries",
    "max_retries": "retries",
    "attempts": "retries",
    "retry": "retries",
    "backoff": "retries",
    "batch_events": "batch",
    "ratelimit": "rate_limit",
    "cancel": "cancel_on",
    "cancellation": "cancel_on",
    "on_error": "on_failure",
    "failure": "on_failure",
    "limit": "concurrency",
    "max_concurrency": "concurrency",
    "fn_name": "name",
    "title": "name",
}


def check_options(names: Iterable[str], where: str) -> None:
    """Refuse every option that is not there, naming the nearest one that is."""
    for name in names:
        if name in LATER:
            raise BadDeclaration(
                "option_not_available",
                f"the option {name!r} is not in this version",
                why="an option that is not kept must not be accepted",
                do=f"remove it; there are: {', '.join(AVAILABLE)}",
                where=where,
            )
        if name not in AVAILABLE:
            raise _unknown(name, where)


def _unknown(name: str, where: str) -> BadDeclaration:
    meant = nearest(name, (*AVAILABLE, *LATER), _ALIASES)
    do = f"did you mean {meant}?" if meant else "remove it"
    if meant.partition(".")[0] in LATER:
        do += " (it is not in this version)"
    return BadDeclaration(
        "option_unknown",
        f"there is no option {name!r}",
        why=f"a function takes: {', '.join(AVAILABLE)}",
        do=do,
        where=where,
    )
