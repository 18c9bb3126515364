"""What the cluster knows of apps and functions now, as tools ask for it: the functions topic, as the node read it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import msgspec

from headrace.errors import BadRecord
from headrace.functions.sdk_config import app_uuid, function_uuid
from headrace.records.broadcasts import split_broadcast_key
from headrace.records.definitions import Definition, decode_definition
from headrace.records.sdk_apps import APP, SdkApp, decode_app

# What stands on the functions topic, by record key (`worker.node.Node.definitions.values`).
Known = Callable[[], Mapping[bytes, bytes]]
FAILURE_SUFFIX = "-failure"  # of the function that SDKs register for another one's `onFailure`


class App(NamedTuple):
    """An app with the functions that it has now; `sdk` is None for one whose code the nodes load."""

    name: str
    sdk: SdkApp | None
    functions: list[Definition]

    @property
    def id(self) -> str:
        """Its UUID; of one that has not answered yet it is made of its address."""
        return str(app_uuid(self.name or (self.sdk.url if self.sdk else "")))


class Shown(NamedTuple):
    """Apps by name (of one without a name: by address) and functions by full id, as they are at one moment."""

    apps: dict[str, App]
    functions: dict[str, Definition]

    def app_of(self, definition: Definition) -> App:
        """Give the app of a function."""
        return self.apps.get(definition.app) or App(definition.app, None, [definition])

    def find_app(self, wanted: str) -> App | None:
        """Find an app by its name or its UUID."""
        return self.apps.get(wanted) or next((app for app in self.apps.values() if app.id == wanted.lower()), None)

    def find_function(self, wanted: str) -> Definition | None:
        """Find a function by its full id or its UUID."""
        found = self.functions.get(wanted)
        if found is None and len(wanted) == 36:
            found = next((one for one in self.functions.values() if str(function_uuid(one.id)) == wanted.lower()), None)
        return found


class Catalog:
    """Reads apps and functions; what has not changed is not decoded again."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._definitions: dict[bytes, tuple[bytes, Definition]] = {}
        self._apps: dict[bytes, tuple[bytes, SdkApp]] = {}

    def look(self) -> Shown:
        """Give all there are now; on the node's loop."""
        known = self._known()
        functions = {one.id: one for one in self._read_definitions(known)}
        apps: dict[str, App] = {}
        for sdk in self._read_apps(known):
            if not sdk.removed:
                apps[sdk.name or sdk.url] = App(sdk.name, sdk, [])
        for function_id in sorted(functions):
            definition = functions[function_id]
            if definition.app not in apps:
                apps[definition.app] = App(definition.app, None, [])
            apps[definition.app].functions.append(definition)
        return Shown(dict(sorted(apps.items())), functions)

    def _read_definitions(self, known: Mapping[bytes, bytes]) -> Iterator[Definition]:
        read: dict[bytes, tuple[bytes, Definition]] = {}
        for key, value in known.items():
            if split_broadcast_key(key)[0]:
                continue
            before = self._definitions.get(key)
            try:
                read[key] = before if before is not None and before[0] == value else (value, decode_definition(value))
            except (BadRecord, msgspec.MsgspecError):
                continue  # a newer version's; the node says so in its log
            yield read[key][1]
        self._definitions = read

    def _read_apps(self, known: Mapping[bytes, bytes]) -> Iterator[SdkApp]:
        read: dict[bytes, tuple[bytes, SdkApp]] = {}
        for key, value in known.items():
            if split_broadcast_key(key)[0] != APP:
                continue
            before = self._apps.get(key)
            try:
                read[key] = before if before is not None and before[0] == value else (value, decode_app(value))
            except BadRecord:
                continue
            yield read[key][1]
        self._apps = read
