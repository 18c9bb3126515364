"""What the app of an SDK registers: who it is, and its functions as definitions. Source: the SDK protocol page, 2.3.

Nothing of it is trusted: strangers send it. What the protocol refuses is refused in its words; what it does not know is
ignored.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import msgspec

from headrace.errors import BadRequest
from headrace.functions.sdk_fields import (
    as_object,
    list_of,
    number_of,
    object_of,
    read_object,
    refused,
    text_of,
)
from headrace.functions.sdk_limits import (
    read_batch,
    read_concurrency,
    read_debounce,
    read_idempotency,
    read_priority,
    read_rate_limit,
    read_singleton,
    read_throttle,
    read_timeouts,
)
from headrace.functions.sdk_triggers import read_cancels, read_triggers
from headrace.functions.sdk_urls import normal_url
from headrace.records.definitions import Backoff, Definition

SDK = "sdk"  # the kind of definitions
RETRIES_DEFAULT, RETRIES_MAX = 4, 20
FUNCTIONS_MAX = 2_000
_ID_MAX, _NAME_MAX, _FACT_MAX = 512, 1_024, 256
_SCHEMES = ("http", "https", "ws", "wss")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NAME_MISSING = "A function name is required"


@dataclass(frozen=True)
class Registration:
    """An app as it registered, checked. `notes` say what is kept in another way than it was said."""

    name: str
    url: str  # normalised; "" for one whose workers connect to us
    sdk: str
    framework: str
    version: str
    method: str  # serve | connect
    definitions: tuple[Definition, ...]
    notes: tuple[str, ...]
    checksum: str


def app_uuid(name: str) -> str:
    """Give the UUID by which the protocol's answers name an app."""
    return _uuid(b"headrace app\0", name)


@lru_cache(maxsize=4096)
def function_uuid(function_id: str) -> str:
    """Give the UUID by which the protocol's answers name a function."""
    return _uuid(b"headrace function\0", function_id)


def _uuid(space: bytes, name: str) -> str:
    """Make a UUID of a name: version 5 (RFC 9562)."""
    digest = bytearray(hashlib.sha1(space + name.encode("utf-8", "replace"), usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def read_registration(body: bytes, retry_interval_ms: int | None = None) -> Registration:
    """Read what an app sends to be registered. With `retry_interval_ms` every retry waits that long, and no longer.

    Errors: BadRequest, with the words of each mistake, for what the protocol refuses.
    """
    fields = read_object(body)
    name = text_of(fields, "appName")
    if not name:
        raise refused("App ID required", "functions are known by the id of their app", "give the client an id")
    _check_id(name, "The app ID")
    method = "connect" if text_of(fields, "deployType", text_of(fields, "deploy_type")) == "connect" else "serve"
    url = normal_url(text_of(fields, "url"))
    if urlsplit(url).scheme not in _SCHEMES or not urlsplit(url).netloc:
        raise refused(f"Invalid app URL {url[:200]!r}", "the app is called there", "serve it by http or https")
    notes: list[str] = []
    return Registration(
        name,
        url if method == "serve" else "",
        text_of(fields, "sdk")[:_FACT_MAX],
        text_of(fields, "framework")[:_FACT_MAX],
        text_of(fields, "appVersion")[:_FACT_MAX],
        method,
        tuple(_read_functions(name, list_of(fields, "functions"), _backoff(retry_interval_ms), notes)),
        tuple(notes),
        _checksum(fields),
    )


def _backoff(retry_interval_ms: int | None) -> Backoff:
    if retry_interval_ms is None:
        return Backoff("sdk")
    return Backoff("fixed", retry_interval_ms, retry_interval_ms, 0.0)


def _checksum(fields: dict[str, Any]) -> str:
    # What an SDK has noticed of itself is no part of what it registers.
    counted = {name: value for name, value in fields.items() if name != "featureobservations"}
    return hashlib.sha256(msgspec.json.encode(counted, order="sorted")).hexdigest()


def _read_functions(app: str, values: list[Any], backoff: Backoff, notes: list[str]) -> list[Definition]:
    if len(values) > FUNCTIONS_MAX:
        raise refused(f"The app has {len(values)} functions", f"an app may have {FUNCTIONS_MAX}", "make several apps")
    found: dict[str, Definition] = {}
    mistakes: list[BadRequest] = []
    for value in values:
        function_id = ""
        own: list[str] = []
        try:
            fields = as_object(value, "a function")
            function_id = text_of(fields, "id")
            definition = _read_function(app, fields, backoff, own)
            if definition.id in found:
                raise refused("duplicate function ID", "runs are kept under it", "give one of them another id")
        except BadRequest as mistake:
            mistakes.append(_of_function(mistake, function_id))
            continue
        found[definition.id] = definition
        notes += [f"{definition.id}: {note}" for note in own]
    if mistakes:
        raise BadRequest(
            "registration_invalid",
            "; ".join(mistake.what for mistake in mistakes),
            why="; ".join(dict.fromkeys(mistake.why for mistake in mistakes if mistake.why)),
            do="; ".join(dict.fromkeys(mistake.do for mistake in mistakes if mistake.do)),
        )
    return list(found.values())


def _of_function(mistake: BadRequest, function_id: str) -> BadRequest:
    if not function_id or mistake.what == _NAME_MISSING:
        return mistake
    return refused(f"{mistake.what} (function {function_id[:100]})", mistake.why, mistake.do)


def _read_function(app: str, fields: dict[str, Any], backoff: Backoff, notes: list[str]) -> Definition:
    name = text_of(fields, "name")[:_NAME_MAX]
    if not name:
        raise refused(
            _NAME_MISSING, f"the function {text_of(fields, 'id')[:100]!r} has none", "name it, or give it an id"
        )
    function_id = text_of(fields, "id")
    if not function_id:
        raise refused(f"A function ID is required for {name[:100]!r}", "runs are kept under it", "give it an id")
    _check_id(function_id, "The function ID")
    url, attempts = _read_step(name, fields)
    triggers, crons = read_triggers(list_of(fields, "triggers"), notes)
    batch = read_batch(object_of(fields, "batchEvents"))
    rate_limit = read_rate_limit(object_of(fields, "rateLimit"))
    rate_limit = read_idempotency(fields) or rate_limit
    return Definition(
        function_id,
        app,
        name,
        triggers,
        retries=RETRIES_DEFAULT if attempts is None else max(0, min(attempts, RETRIES_MAX)),
        backoff=backoff,
        kind=SDK,
        crons=crons,
        # A batch takes events in before they are counted; those that its condition leaves out are counted.
        rate_limit=rate_limit if batch is None or batch.expression else None,
        debounce=read_debounce(object_of(fields, "debounce")),
        batch=batch,
        singleton=read_singleton(object_of(fields, "singleton")),
        throttle=read_throttle(object_of(fields, "throttle")),
        concurrency=read_concurrency(fields.get("concurrency"), notes),
        priority=read_priority(fields),
        cancel_on=read_cancels(list_of(fields, "cancel")),
        timeouts=read_timeouts(object_of(fields, "timeouts")),
        url=url,
    )


def _read_step(name: str, fields: dict[str, Any]) -> tuple[str, int | None]:
    """Read the one step that every function has: where it is called, and how many retries it has."""
    steps = object_of(fields, "steps") or {}
    if len(steps) != 1:
        raise refused("Functions must contain one step", f"it has {len(steps)}", "use an SDK of this protocol")
    step = as_object(next(iter(steps.values())), "a step")
    if not text_of(step, "name"):
        raise refused("All steps must have a name")
    runtime = object_of(step, "runtime") or {}
    url = text_of(runtime, "url")
    if not url:
        raise refused(f"No SDK URL provided for function '{name[:100]}'", "it is called there")
    try:
        scheme = urlsplit(url).scheme
    except ValueError:
        raise refused("Steps must have a valid URI", f"it is {url[:200]!r}") from None
    if scheme not in _SCHEMES:
        raise refused(f"Non-supported step schema: {scheme}", f"the URL is {url[:200]!r}", "serve it by http or https")
    attempts = number_of(object_of(step, "retries") or {}, "attempts")
    return url, number_of(fields, "retries") if attempts is None else attempts


def _check_id(value: str, what: str) -> None:
    if len(value) <= _ID_MAX and not _CONTROL.search(value) and not value.startswith("~"):
        return
    raise refused(
        f"{what} {value[:100]!r} is invalid",
        f"an ID has 1 to {_ID_MAX} characters, none of them a control character, and does not begin with ~",
        "choose another one",
    )
