"""Poking: apps of SDKs are asked, again and again, to register what they have now. Source: the SDK protocol page, 2.2.

What arrives at `/fn/register` meanwhile is what counts: an app may answer that all is well although it was refused. Of
the answer only a failure is noted, and only when it is news: apps that do not change cause no records on Kafka.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import msgspec

from headrace.adapters.http_client import HttpAnswer, NoAnswer, NotReached
from headrace.errors import BadRequest, HeadraceError
from headrace.functions.sdk_urls import normal_url
from headrace.intake.app_records import apps_of
from headrace.intake.discovery import Asks, Discovery
from headrace.intake.registrations import Registrations

_TIMEOUT_S = 10.0
_BYTES_MAX = 1 << 20
_AT_ONCE = 16
UNREACHABLE = "unreachable"
_BY_STATUS = {401: "unauthorized", 403: "forbidden", 404: "url_not_found"}
# What SDKs answer with 400, and how the protocol names it.
_BY_MESSAGE = (
    ("Your signing key is invalid", "invalid_signing_key"),
    ("No functions registered", "no_functions"),
    ("function is invalid", "invalid_function"),
    ("You didn't specify your workspace's signing key", "missing_signing_key"),
    ("No INNGEST_ENV branch name found", "missing_branch_env_name"),
)
NOT_REGISTERED = (
    "the app answered and did not register here; it may be set to another server (INNGEST_DEV, INNGEST_BASE_URL)"
)


@dataclass(frozen=True)
class PokingRules:
    """Which apps are asked, and how often. `sign` gives the signature header's value for a canonical body.

    `forget`: addresses that were given to an earlier start, and never registered, are forgotten.
    """

    urls: tuple[str, ...] = ()
    poll: bool = True  # also those that are registered and answer
    interval_s: float = 5.0
    sign: Callable[[bytes], str] | None = None
    forget: bool = False


class Poker:
    """Asks the apps of `rules`, those that are found, and those that the cluster knows."""

    def __init__(
        self,
        registrations: Registrations,
        known: Callable[[], Mapping[bytes, bytes]],
        http: Asks,
        rules: PokingRules,
        tell: Callable[[str, str], None],
        discovery: Discovery | None = None,
    ) -> None:
        self._registrations = registrations
        self._known = known
        self._http = http
        self._rules = rules
        self._tell = tell
        self._discovery = discovery
        self._urls = dict.fromkeys(normal_url(url) for url in rules.urls)
        self._answered: set[str] = set()  # of these, the ones that have registered since this began
        self._silent: set[str] = set()  # answered last, and did not register
        self._forgets = rules.forget
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            try:
                await self.round()
            except Exception as error:  # Kafka, most likely: what could not be noted is noted in the next round
                code = error.code if isinstance(error, HeadraceError) else "poking_failed"
                self._tell(code, f"apps cannot be looked after: {type(error).__name__}: {error}")
            await asyncio.sleep(self._rules.interval_s)

    async def add(self, url: str) -> None:
        """Ask the app at an address that somebody names, now and from now on.

        Errors: BadRequest if there is none, or if it does not register here.
        """
        url = normal_url(url)
        self._urls[url] = None
        await self._poke(url, [url])
        app = self._registrations.at(url)
        if app is None or not app.name or app.error:
            raise BadRequest(
                "app_not_synced",
                f"the app at {url[:200]} has not registered: {app.error if app else NOT_REGISTERED}",
                why="a server of Inngest's knows an app once that has told its functions",
                do="start the app, and see that it is set to this server (INNGEST_DEV, INNGEST_BASE_URL)",
            )

    async def round(self) -> None:
        """Ask every app once that is to be asked now."""
        if self._forgets:
            await self._registrations.forget_addresses(self._urls)
            self._forgets = False
        apps = [app for app in apps_of(self._known()).values() if not app.removed and app.method == "serve"]
        if self._discovery is not None and not self._registrations.synced:
            for url in await self._discovery.find():
                if url not in self._urls:
                    self._urls[url] = None
                    self._tell("app_found", f"an app answers at {url}")
        due = {app.url for app in apps if app.name and (self._rules.poll or app.error)}
        due.update(url for url in self._urls if self._rules.poll or url not in self._answered)
        ended = await asyncio.gather(*(self._poke(url, due) for url in sorted(due)), return_exceptions=True)
        failed = next((one for one in ended if isinstance(one, BaseException)), None)
        if failed is not None:
            raise failed

    async def _poke(self, url: str, due: Collection[str]) -> None:
        before = dict(self._registrations.heard)
        async with self._places:
            error = await self._ask(url)
        heard = {one for one, count in self._registrations.heard.items() if count > before.get(one, 0)}
        app = self._registrations.at(url)
        is_known = app is not None and bool(app.name)
        if url in heard and not is_known:  # it was refused, and nobody knows it yet
            await self._registrations.note_address(url, error)
        elif url in heard:
            self._answered.add(url)  # what it registered, or why that was refused, is known by now
        elif not error and (is_known or url in self._answered or heard.difference(due)):
            self._answered.add(url)  # with another node; or under the address that it has for others
        elif not error and url not in self._silent:
            self._silent.add(url)  # perhaps with another node, and this one is about to hear of that
        else:
            await self._registrations.note_address(url, error or NOT_REGISTERED)

    async def _ask(self, url: str) -> str:
        body = msgspec.json.encode({"url": url})
        headers = {"content-type": "application/json", "x-inngest-server-kind": self._registrations.rules.kind}
        if self._rules.sign is not None:
            headers["x-inngest-signature"] = self._rules.sign(body)
        try:
            answer = await self._http.request("PUT", url, headers, body, timeout_s=_TIMEOUT_S, bytes_max=_BYTES_MAX)
        except (NotReached, NoAnswer):
            return UNREACHABLE
        except HeadraceError as error:  # an address that may not be asked
            return error.what
        return error_of(answer)


def error_of(answer: HttpAnswer) -> str:
    """Name what an app's answer means for it; "" for a good one."""
    if answer.status < 400:
        return ""
    if answer.status >= 500:
        return "internal_server_error"
    if answer.status in _BY_STATUS:
        return _BY_STATUS[answer.status]
    message = _message_of(answer.body)
    named = next((name for part, name in _BY_MESSAGE if part in message), "")
    return named or message or f"http_{answer.status}"


def _message_of(body: bytes) -> str:
    try:
        fields = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    if not isinstance(fields, dict):
        return ""
    found = next((fields[name] for name in ("message", "error", "code") if isinstance(fields.get(name), str)), "")
    return str(found)[:500]
