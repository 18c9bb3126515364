"""`POST /fn/register`: apps of SDKs say which functions they have. Source: the SDK protocol page, section 2.3.

A registration counts once its definitions stand on the functions topic and this node has read them back: an event that
is sent right after is routed by them. One that says what is known already writes nothing.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from headrace.adapters.seams import Clock
from headrace.errors import BadRequest, HeadraceError, LogUnavailable
from headrace.functions.sdk_config import SDK, Registration, app_uuid, read_registration
from headrace.functions.sdk_urls import is_private, normal_url
from headrace.intake.answers import json_answer, refusal
from headrace.intake.app_records import apps_of, definitions_of
from headrace.intake.body import read_body
from headrace.intake.refusals import Refusals
from headrace.records.definitions import Definition, encode_definition
from headrace.records.sdk_apps import SdkApp, app_key, encode_app

BODY_BYTES_MAX = 8 << 20
_ERROR_MAX = 1_000
_ADDRESSES_MAX = 1_000
_LOOK_S, _LOOKS = 0.05, 200
T = TypeVar("T")

# Write records to the functions topic (None: remove), in this order. Done once this node has read all of them back.
WriteRecords = Callable[[Sequence[tuple[bytes, bytes | None]]], Awaitable[None]]


@dataclass(frozen=True)
class RegistrationRules:
    """What a node takes: its kind, the wait that holds for all retries, and whether apps may be in private networks."""

    dev: bool = False
    retry_interval_ms: int | None = None
    allow_private: bool = True

    @property
    def kind(self) -> str:
        """Name the kind of server, as SDKs do."""
        return "dev" if self.dev else "cloud"


class Synced(NamedTuple):
    """What a registration came to."""

    app: SdkApp
    modified: bool


class Registrations:
    """The endpoints, and `sync` for apps that register otherwise. `known` is what stands on the functions topic."""

    def __init__(
        self,
        known: Callable[[], Mapping[bytes, bytes]],
        write: WriteRecords,
        clock: Clock,
        tell: Callable[[str, str], None],
        rules: RegistrationRules | None = None,
        *,
        is_read: Callable[[], bool] = lambda: True,
    ) -> None:
        self._known = known
        self._write = write
        self._clock = clock
        self._tell = tell
        self._is_read = is_read
        self._refusals = Refusals(tell, clock)
        self.rules = rules or RegistrationRules()
        self._turn = asyncio.Lock()
        self.synced = 0  # how often an app has registered here, with or without news
        self.heard: dict[str, int] = {}  # address → how often an app has registered from there, or tried to
        self.turned_away: dict[
            str, SdkApp
        ] = {}  # address → what has asked there, and is no app for the error that it has

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route("/fn/register", self.register, methods=["POST"]),
            Route("/fn/remove", self.remove, methods=["DELETE"]),
        ]

    async def register(self, request: Request) -> Response:
        """Answer `POST /fn/register`."""
        try:
            expected = request.headers.get("x-inngest-expected-server-kind", "")
            if expected not in ("", self.rules.kind):
                raise BadRequest(
                    "server_kind_mismatch",
                    f"Expected server kind {expected[:20]}, got {self.rules.kind}",
                    why="an app in dev mode registers with a dev server, any other one with a node of production",
                    do="set INNGEST_DEV for the app, or take it away",
                )
            body = await read_body(request, BODY_BYTES_MAX)
            platform = request.headers.get("x-inngest-platform", "")[:100]
            synced = await self.take(body, platform)
        except HeadraceError as error:
            self._refusals.note("registration_refused", f"a registration was refused: {error.what}", error.what[:200])
            return refusal(error)
        return json_answer(
            200,
            {
                "ok": True,
                "modified": synced.modified,
                "sync_id": str(uuid.uuid4()),
                "app_id": app_uuid(synced.app.name),
            },
        )

    async def take(self, body: bytes, platform: str = "") -> Synced:
        """Read a registration and bring it into force. Errors: BadRequest for one that is refused; LogUnavailable.

        Why an app was refused is noted with the app.
        """
        await self._await_read()
        name, url = _asker(body)
        self._hear(url)
        try:
            return await self.sync(read_registration(body, self.rules.retry_interval_ms), platform)
        except BadRequest as error:
            await self.note_error(name, url, error.what)
            raise

    async def _await_read(self) -> None:
        """Wait until this node knows what there is. Errors: LogUnavailable after ten seconds."""
        for _ in range(_LOOKS):
            if self._is_read():
                return
            await asyncio.sleep(_LOOK_S)
        raise LogUnavailable(
            "definitions_unread",
            "this node has not read yet which functions there are",
            why="it has just started, or Kafka is slow",
            do="register again in a moment",
        )

    async def sync(self, registration: Registration, platform: str = "") -> Synced:
        """Bring a registration into force. Errors: BadRequest for an app that cannot be; LogUnavailable."""
        async with self._turn:
            known = self._known()
            definitions = definitions_of(known)
            self._check(registration, definitions)
            before = apps_of(known).get(registration.name)
            records = _changes(registration, definitions, known)
            app = _app_of(registration, platform, before, self._clock.wall_ms())
            modified = bool(records) or before is None or _said(before) != _said(app)
            self.turned_away.pop(registration.url, None)
            if modified:
                await self._write([*records, *self._settled(known, app.url), (app_key(app.name), encode_app(app))])
                where = f"at {app.url}" if app.url else "by the connections of its workers"
                self._tell("app_synced", f"the app {app.name} has {len(app.functions)} functions, {where}")
                for note in registration.notes:
                    self._tell("registration_note", note)
        self.synced += 1
        return Synced(app if modified or before is None else before, modified)

    def _check(self, registration: Registration, definitions: Mapping[str, Definition]) -> None:
        declared = [one for one in definitions.values() if one.app == registration.name and one.kind != SDK]
        if declared:
            raise BadRequest(
                "app_declared_in_python",
                f"the app {registration.name!r} is declared by Python code that this cluster runs",
                status=409,
                why=f"it would take the place of {declared[0].id}, which nodes run themselves",
                do="give one of the two apps another id",
            )
        for one in registration.definitions:
            there = definitions.get(one.id)
            if there is not None and there.app != registration.name:
                raise BadRequest(
                    "function_of_another_app",
                    f"the function {one.id!r} belongs to the app {there.app!r}",
                    status=409,
                    why="runs are kept under the full id: app id, a dash, function id",
                    do="give the app or the function another id",
                )
        if self.rules.allow_private:
            return
        for url in (registration.url, *(one.url for one in registration.definitions)):
            if registration.method == "serve" and is_private(url):
                raise private_refused(url)

    async def note_error(self, name: str, url: str, error: str) -> None:
        """Note with an app why it cannot be used now; written if it says something new of an app that is known."""
        async with self._turn:
            app = apps_of(self._known()).get(name) if name else self.at(url)
            if app is None or app.removed:
                if url:
                    _bounded(self.turned_away)[url] = SdkApp(name, url, error=error[:_ERROR_MAX])
                return
            if app.error == error[:_ERROR_MAX]:
                return
            await self._write([_with_error(app, error)])
            self._tell("app_error", f"the app {app.name}, {app.url}: {error[:_ERROR_MAX]}")

    async def note_address(self, url: str, error: str) -> None:
        """Note why the app at an address that was asked to register cannot be used; written if it is news."""
        async with self._turn:
            app = self.at(url)
            app = SdkApp("", url) if app is None else app
            if not app.name and url in self.turned_away:
                error = self.turned_away[url].error
            if app.error == error[:_ERROR_MAX]:
                return
            await self._write([_with_error(app, error)])
            self._tell("app_error", f"the app {app.name or 'not known yet'}, {url}: {error[:_ERROR_MAX]}")

    async def forget_addresses(self, urls: Collection[str]) -> None:
        """Forget addresses that never registered, but these: an earlier start was given them."""
        async with self._turn:
            gone = [app for app in apps_of(self._known()).values() if not app.name and not app.removed]
            records = [_removed(app) for app in gone if app.url not in urls]
            if records:
                await self._write(records)

    def _settled(self, known: Mapping[bytes, bytes], url: str) -> list[tuple[bytes, bytes | None]]:
        """Remove what stood for the app while only its address was known."""
        return [_removed(app) for app in apps_of(known).values() if not app.name and app.url == url and not app.removed]

    def at(self, url: str) -> SdkApp | None:
        """Find the app that is at an address."""
        if not url:
            return None
        there = [app for app in apps_of(self._known()).values() if app.url == url and not app.removed]
        return next((app for app in there if app.name), there[0] if there else None)

    async def remove(self, request: Request) -> Response:
        """Answer `DELETE /fn/remove?url=`: the app's functions start no more runs; those that live go on."""
        written = request.query_params.get("url", "")
        try:
            async with self._turn:
                app = self.at(normal_url(written))
                if app is None:
                    raise BadRequest(
                        "app_unknown", f"App not found: {written[:200]}", status=404, do="see headrace apps"
                    )
                await self._forget(app)
        except HeadraceError as error:
            return refusal(error)
        return json_answer(200, {"ok": True})

    async def forget(self, name: str) -> None:
        """Forget an app by its name. Errors: BadRequest for one that is not there."""
        async with self._turn:
            app = apps_of(self._known()).get(name)
            if app is None or app.removed:
                raise BadRequest("app_unknown", f"App not found: {name[:200]}", status=404, do="see headrace apps")
            await self._forget(app)

    async def _forget(self, app: SdkApp) -> None:
        definitions = definitions_of(self._known())
        gone = [key for key, one in definitions.items() if one.app == app.name and one.kind == SDK]
        await self._write([*((key.encode(), None) for key in gone), _removed(app)])

    def _hear(self, url: str) -> None:
        heard = _bounded(self.heard)
        heard[url] = heard.get(url, 0) + 1


def private_refused(url: str) -> BadRequest:
    """Make the error for an app at an address that only this machine or its network knows."""
    return BadRequest(
        "app_address_private",
        f"the app's address {url[:200]!r} is private",
        status=400,
        why="whoever may register apps could have this node call what is hidden behind it",
        do="serve the app at a public address, or set HEADRACE_ALLOW_PRIVATE_APPS=1 where apps are in this network",
    )


def _asker(body: bytes) -> tuple[str, str]:
    """Tell who asks to be registered, as far as that can be read."""
    try:
        fields = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return "", ""
    lower = {key.lower(): value for key, value in fields.items()} if isinstance(fields, dict) else {}
    name, url = lower.get("appname"), lower.get("url")
    return name if isinstance(name, str) else "", normal_url(url) if isinstance(url, str) else ""


def _changes(
    registration: Registration, definitions: Mapping[str, Definition], known: Mapping[bytes, bytes]
) -> list[tuple[bytes, bytes | None]]:
    """List the records that make what is known what is registered."""
    wanted = {one.id: encode_definition(one) for one in registration.definitions}
    changes: list[tuple[bytes, bytes | None]] = [
        (key.encode(), None)
        for key, one in definitions.items()
        if one.app == registration.name and one.kind == SDK and key not in wanted
    ]
    changes += [(key.encode(), value) for key, value in wanted.items() if known.get(key.encode()) != value]
    return changes


def _app_of(registration: Registration, platform: str, before: SdkApp | None, now_ms: int) -> SdkApp:
    return SdkApp(
        registration.name,
        registration.url,
        registration.sdk,
        registration.framework,
        platform,
        registration.version,
        registration.method,
        sorted(one.id for one in registration.definitions),
        registration.checksum,
        1 if before is None else before.syncs + 1,
        now_ms,
    )


def _bounded(table: dict[str, T]) -> dict[str, T]:
    """Keep a table small whose keys come from strangers."""
    if len(table) >= _ADDRESSES_MAX:
        table.clear()
    return table


def _with_error(app: SdkApp, error: str) -> tuple[bytes, bytes | None]:
    return app_key(app.name or app.url), encode_app(msgspec.structs.replace(app, error=error[:_ERROR_MAX]))


def _removed(app: SdkApp) -> tuple[bytes, bytes | None]:
    removed = SdkApp(app.name, app.url, syncs=app.syncs, synced_ms=app.synced_ms, removed=True)
    return app_key(app.name or app.url), encode_app(removed)


def _said(app: SdkApp) -> SdkApp:
    return msgspec.structs.replace(app, syncs=0, synced_ms=0)
