"""Broadcasts: what every partition must know, as it stands on the functions topic under keys of its own.

A function's definition has the function's id as its key. Everything else has "~", its kind, "/" and a name: ids begin
with a letter or a digit, so the two never meet. The topic is compacted: the newest record of a key is what counts.
"""

from __future__ import annotations

MARK = b"~"


def broadcast_key(kind: str, name: str) -> bytes:
    """Make the record key of something of this kind: `~limits/shop-process-order`."""
    return f"~{kind}/{name}".encode()


def split_broadcast_key(key: bytes) -> tuple[str, str]:
    """Take a record key apart into kind and name; the kind of a definition is ""."""
    if not key.startswith(MARK):
        return "", key.decode("utf-8", "replace")
    kind, _, name = key[1:].decode("utf-8", "replace").partition("/")
    return kind, name
