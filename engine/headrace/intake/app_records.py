"""Apps of SDKs as this node knows them: read from what stands on the functions topic."""

from __future__ import annotations

from collections.abc import Mapping

from headrace.errors import BadRecord
from headrace.records.broadcasts import split_broadcast_key
from headrace.records.definitions import Definition, decode_definition
from headrace.records.sdk_apps import APP, SdkApp, decode_app


def apps_of(known: Mapping[bytes, bytes]) -> dict[str, SdkApp]:
    """Give all apps by their names, and addresses that have not registered by themselves; those removed as well."""
    found: dict[str, SdkApp] = {}
    for key, value in known.items():
        if split_broadcast_key(key)[0] == APP:
            try:
                app = decode_app(value)
            except BadRecord:  # of a newer version: it is there, and nothing is known of it
                continue
            found[app.name or app.url] = app
    return found


def definitions_of(known: Mapping[bytes, bytes]) -> dict[str, Definition]:
    """Give the definitions of all functions, by their ids."""
    found: dict[str, Definition] = {}
    for key, value in known.items():
        kind, name = split_broadcast_key(key)
        if not kind:
            try:
                found[name] = decode_definition(value)
            except BadRecord:
                continue
    return found
