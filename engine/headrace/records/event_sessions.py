"""Sessions: what an event's `meta` says of the groups that the runs it starts belong to.

`meta.sessions` is what its sender wrote, `meta.propagated_sessions` what an SDK took over from the run that sent it.
They become one map from keys to ids: the sender's own win, null takes one away that was taken over (or all of them),
and what was taken over fills up to `SESSIONS_MAX`, in the order of the keys. Source: the SDK protocol page, section
1.1, and its server.
"""

from __future__ import annotations

import msgspec

from headrace.errors import BadRequest

SESSIONS_MAX = 5  # of one event
KEY_BYTES_MAX = 128
ID_BYTES_MAX = 512
_OWN, _TAKEN_OVER = "sessions", "propagated_sessions"
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_Ids = dict[str, str | None]


def with_sessions(event: bytes) -> bytes:
    """Write an event whose `meta` has its sessions in one map; one without any is given back as it is.

    Raises BadRequest for sessions that break the rules.
    """
    if b'"meta"' not in event:
        return event
    fields = _OBJECT.decode(event)
    told = fields.get("meta")
    if told is None:
        return event
    merged = merged_meta(bytes(told))
    if merged == bytes(told):
        return event
    if merged == b"{}":
        del fields["meta"]
    else:
        fields["meta"] = msgspec.Raw(merged)
    return msgspec.json.encode(fields)


def merged_meta(meta: bytes) -> bytes:
    """Put the sessions of a `meta` together; whatever else it holds stays. Raises BadRequest."""
    try:
        fields = _OBJECT.decode(meta)
    except msgspec.MsgspecError:
        return meta  # somebody else's
    if _OWN not in fields and _TAKEN_OVER not in fields:
        return meta
    own = _ids(fields.pop(_OWN, None), _OWN)
    taken_over = _ids(fields.pop(_TAKEN_OVER, None), _TAKEN_OVER) or {}
    sessions = {} if own is None else {key: value for key, value in own.items() if value is not None}
    inherited = sorted(key for key in taken_over if own is not None and key not in own)
    sessions |= {key: taken_over[key] or "" for key in inherited[: max(SESSIONS_MAX - len(sessions), 0)]}
    _check(sessions)
    if sessions:
        fields[_OWN] = msgspec.Raw(msgspec.json.encode(sessions))
    return msgspec.json.encode(fields)


def _ids(raw: msgspec.Raw | None, name: str) -> _Ids | None:
    """Read one of the maps: {} where there is none, None for a null; numbers become texts."""
    if raw is None:
        return {}
    try:
        found = _OBJECT.decode(raw) if bytes(raw) != b"null" else None
    except msgspec.MsgspecError:
        raise _refused(f"meta.{name} is no object") from None
    return None if found is None else {key: _id(key, bytes(value)) for key, value in found.items()}


def _id(key: str, value: bytes) -> str | None:
    if value == b"null":
        return None
    if value[:1] == b'"':
        return msgspec.json.decode(value, type=str)
    if value[:1] in b"-0123456789":
        return value.decode()  # as it is written
    raise _refused(f"the session {key[:60]!r} is neither a text nor a number")


def _check(sessions: dict[str, str]) -> None:
    if len(sessions) > SESSIONS_MAX:
        raise _refused(f"the event has {len(sessions)} sessions; {SESSIONS_MAX} are allowed")
    for key, value in sessions.items():
        if not 0 < len(key.encode()) <= KEY_BYTES_MAX or not 0 < len(value.encode()) <= ID_BYTES_MAX:
            raise _refused(
                f"the session {key[:60]!r} has a key of {len(key.encode())} bytes and an id of {len(value.encode())}"
            )


def _refused(what: str) -> BadRequest:
    return BadRequest(
        "event_sessions_invalid",
        what,
        why=f"a key has 1 to {KEY_BYTES_MAX} bytes, an id 1 to {ID_BYTES_MAX}, and an event {SESSIONS_MAX} of them",
        do='send "meta": {"sessions": {"user": "u-1"}}, or no meta',
    )
