"""Names of an SDK's steps in the state: readable where the SDK says what its user called the step.

A step is known to the SDK by a hash of its user's id, and "id:n" for its n-th repeat. Where the two agree the state has
the id and the occurrence, as for any other step; otherwise "#" and the hash.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha1

from headrace.records.invoked import is_hash_name, step_hash
from headrace.records.rows import step_name

_BYTES_MAX = 255


@lru_cache(maxsize=16_384)
def name_of(hashed: str, step_id: str = "", occurrence: int = 0) -> bytes:
    """Name a step by its hash, and by what its user called it."""
    if 0 < len(step_id) <= _BYTES_MAX and "\0" not in step_id and step_id[0] != "#":
        name = _encoded(step_id, occurrence)
        if name is not None and step_hash(name) == hashed:
            return name
    return b"#" + hashed.encode("utf-8", "replace")


@lru_cache(maxsize=16_384)
def hash_of(name: bytes) -> str:
    """Give the hash that the SDK knows a step by."""
    return step_hash(name)


def shown(name: bytes) -> str:
    """Write a name for people."""
    return name.decode("utf-8", "replace").replace("\0", ":")


def _encoded(step_id: str, occurrence: int) -> bytes | None:
    try:
        name = step_name(step_id, max(occurrence, 0))
    except UnicodeEncodeError:  # half a surrogate pair
        return None
    return name if len(name) <= _BYTES_MAX and not is_hash_name(name) else None


def hash_text(text: str) -> str:
    """Hash a text as SDKs do."""
    return sha1(text.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()
