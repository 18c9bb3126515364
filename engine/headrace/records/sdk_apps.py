"""Apps of SDKs, as they stand on the functions topic: `~app/<name>`, JSON, one record for each app that was synced.

The functions of such an app are definitions of the kind "sdk". An app that was removed stays as such: what is removed
from a compacted topic is forgotten after a day.
"""

from __future__ import annotations

import msgspec

from headrace.errors import BadRecord
from headrace.records.broadcasts import broadcast_key

APP = "app"


class SdkApp(msgspec.Struct, frozen=True, omit_defaults=True):
    """One app, as it registered last, or as it was tried to reach it."""

    name: str  # "" for an address that has not answered yet
    url: str  # where it is called and asked to register; "" for one whose workers connect to us
    sdk: str = ""  # such as "js:v4.18.1"
    framework: str = ""
    platform: str = ""
    version: str = ""  # the app's own, as its operator names it
    method: str = "serve"  # serve | connect
    functions: list[str] = []  # full ids
    checksum: str = ""  # of what it registered
    syncs: int = 0  # how often that changed
    synced_ms: int = 0
    error: str = ""  # why it cannot be reached, or what it registered was refused
    removed: bool = False


_DECODER = msgspec.json.Decoder(SdkApp)


def app_key(name: str) -> bytes:
    """Make the record key of an app."""
    return broadcast_key(APP, name)


def encode_app(app: SdkApp) -> bytes:
    """Write an app."""
    return msgspec.json.encode(app)


def decode_app(value: bytes) -> SdkApp:
    """Read an app; `BadRecord` for anything else."""
    try:
        return _DECODER.decode(value)
    except msgspec.MsgspecError as error:
        raise BadRecord(
            "app_unreadable",
            f"an app on the functions topic cannot be read: {error}",
            why="it was written by a newer version, or not by Headrace",
            do="upgrade this node, or sync the app anew",
        ) from None
