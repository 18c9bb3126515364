"""Cron triggers: a function that starts by the clock."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from headrace.errors import BadDeclaration
from headrace.functions.cron import parse_cron
from headrace.functions.mistakes import nearest
from headrace.functions.reading import Duration, invalid, placed, read_choice, read_duration_ms
from headrace.functions.shapes import option_shape
from headrace.records.definitions import CronTrigger

OVERLAPS = ("skip", "queue", "cancel-running")
CATCH_UPS = ("none", "last", "all")
JITTER_MS_MAX = 24 * 3_600_000
_ZONE_PREFIX = re.compile(r"(?:CRON_)?TZ=(\S+)\s+(.*)", re.DOTALL)
_FIELD = re.compile(r"[\d*/,\-?LW#A-Za-z]+")
_EXAMPLE = 'trigger=Cron("0 9 * * MON-FRI", timezone="Europe/Berlin")'
# Asked for by their own names by many, and too many to list: the ones that people write without a region.
_ZONES = {"utc": "UTC", "gmt": "UTC", "z": "UTC", "pst": "America/Los_Angeles", "est": "America/New_York"}


@option_shape
@dataclass(frozen=True, slots=True)
class Cron:
    """Start a function by the clock: a cron line of five fields ("0 9 * * *"), or a list of them.

    `timezone` is an IANA name (UTC without one; "TZ=Asia/Tokyo 0 9 * * *" says it in the line). `jitter` delays each
    start by up to this long. `overlap` says what happens while the last run still runs: "skip", "queue" or
    "cancel-running". `catch_up` says which of the starts that were missed while no node ran are made up for: "none",
    "last" or "all".
    """

    line: str | Sequence[str]
    timezone: str | None = None
    jitter: Duration | None = None
    overlap: str = "skip"
    catch_up: str = "none"


def read_cron(cron: Cron, where: str) -> list[CronTrigger]:
    """Read a cron trigger, one for each of its lines."""
    lines = list(cron.line) if isinstance(cron.line, list | tuple) else [cron.line]
    if not lines:
        raise invalid("a Cron has no line", "a line says when the function starts", f"write {_EXAMPLE}", where)
    jitter_ms = 0
    if cron.jitter is not None:
        jitter_ms = read_duration_ms(cron.jitter, "jitter", where, least_ms=0, most_ms=JITTER_MS_MAX)
    overlap = read_choice(cron.overlap, OVERLAPS, "overlap", where, {"cancel": "cancel_running", "wait": "queue"})
    catch_up = read_choice(cron.catch_up, CATCH_UPS, "catch_up", where, {"latest": "last", "one": "last"})
    found = []
    for line in lines:
        bare, zone = _zone_of(line, cron.timezone, where)
        found.append(CronTrigger(bare, zone, jitter_ms, overlap, catch_up))
    return found


def looks_like_cron(text: str) -> bool:
    """Tell whether a text that stands where an event's name belongs was meant as a cron line."""
    match = _ZONE_PREFIX.fullmatch(text)
    fields = (match[2] if match else text).split()
    return len(fields) in (5, 6) and all(_FIELD.fullmatch(field) for field in fields)


def _zone_of(line: object, timezone: object, where: str) -> tuple[str, str]:
    if not isinstance(line, str):
        raise invalid(f"a cron line is {line!r}", "it is a text of five fields", f"write {_EXAMPLE}", where)
    match = _ZONE_PREFIX.fullmatch(line.strip())
    if match and timezone is not None:
        raise invalid(
            f"the cron line {line!r} names a time zone, and timezone={timezone!r} another",
            "a line has one time zone",
            "remove one of them",
            where,
        )
    bare = " ".join((match[2] if match else line).split())
    zone = match[1] if match else timezone
    named = "" if zone is None else check_zone(zone, where)
    try:
        parse_cron(bare, named)
    except BadDeclaration as error:
        raise placed(error, where) from None
    return bare, named


def check_zone(zone: object, where: str) -> str:
    """Refuse what is no time zone; give its name."""
    try:
        if isinstance(zone, str) and zone and ZoneInfo(zone):
            return zone
    except (ValueError, OSError, KeyError):
        pass
    meant = ""
    if isinstance(zone, str):
        from zoneinfo import available_timezones

        last = {name.rpartition("/")[2].lower(): name for name in sorted(available_timezones(), reverse=True)}
        wanted = zone.strip().replace(" ", "_").lower()
        meant = _ZONES.get(wanted) or last.get(wanted.rpartition("/")[2]) or ""
        if not meant:
            close = nearest(wanted.rpartition("/")[2], last)
            meant = last.get(close, "")
    raise invalid(
        f"the time zone is {zone!r}",
        "time zones have the names of the IANA database",
        f"did you mean {meant!r}?" if meant else 'write timezone="Europe/Berlin"',
        where,
        "timezone_invalid",
    )
