"""The side of a node where apps of SDKs come: what they register, how they are asked to, what they have started."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.routing import BaseRoute

from headrace.adapters.local_ports import open_ports
from headrace.cli.logs import tell
from headrace.cli.plan import Plan
from headrace.console.apps import AppsList
from headrace.errors import NotReady
from headrace.execution.sdk.signing import canonical, sign
from headrace.intake.dev_answers import DevAnswers
from headrace.intake.discovery import Discovery
from headrace.intake.invocations import GiveOrder, Invocations
from headrace.intake.poking import Poker, PokingRules
from headrace.intake.refusals import Refusals
from headrace.intake.registrations import RegistrationRules, Registrations, WriteRecords

if TYPE_CHECKING:
    from headrace.cli.assembly import Assembly

_LOOK_S = 0.05


class AppsSide:
    """The parts, wired; `start` begins to ask apps, once it is known which functions there are."""

    def __init__(
        self, plan: Plan, parts: Assembly, partitions: int, write: WriteRecords, order: GiveOrder, refusals: Refusals
    ) -> None:
        self._parts = parts
        self._plan = plan
        node, clock = parts.node, parts.clock
        known = node.definitions.values
        rules = RegistrationRules(plan.dev, plan.retry_interval_ms, plan.allow_private)
        self.registrations = Registrations(known, write, clock, tell, rules, is_read=lambda: node.joined)
        self._invocations = Invocations(order, node.definitions.function_ids, partitions, clock, refusals)
        self._dev = DevAnswers(known, dev=plan.dev, start_options=_start_options(plan))
        self._list = AppsList(known, clock, self.registrations.turned_away.values)
        self._asking: asyncio.Task[None] | None = None
        self._poker: Poker | None = None

    def routes(self) -> list[BaseRoute]:
        """List the routes."""
        parts = (self.registrations, self._invocations, self._dev, self._list)
        return [route for part in parts for route in part.routes()]

    def start(self) -> None:
        """Ask apps to register, from now on."""
        self._asking = asyncio.create_task(self._ask(), name="poking")

    async def stop(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            self._asking.cancel()
            with suppress(asyncio.CancelledError):
                await self._asking

    async def _ask(self) -> None:
        while not self._parts.node.joined:
            await asyncio.sleep(_LOOK_S)
        plan = self._plan
        discovery = None
        if plan.discovery:
            discovery = Discovery(
                self._parts.http,
                open_ports,
                more_ports=_port_variable(os.environ),
                without=(plan.port, plan.gateway_port),
            )
        signer = _signer(plan.keys.signing)
        rules = PokingRules(plan.sdk_urls, plan.poll, plan.poll_interval_s, signer, forget=plan.dev)
        known = self._parts.node.definitions.values
        self._poker = Poker(self.registrations, known, self._parts.http, rules, tell, discovery)
        await self._poker.run()

    async def sync(self, url: str) -> None:
        """Have the app at an address register. Errors: BadRequest if it does not, NotReady while a node starts."""
        if self._poker is None:
            raise NotReady("apps_not_read", "this node is still reading which apps there are", do="ask again")
        await self._poker.add(url)

    async def remove(self, name: str) -> None:
        """Forget an app of an SDK: its functions start no more runs; those that live go on."""
        await self.registrations.forget(name)


def _signer(key: str) -> Callable[[bytes], str] | None:
    return partial(_sign, key) if key else None


def _sign(key: str, body: bytes) -> str:
    return sign(key, canonical(body), int(time.time()))


def _port_variable(environment: Mapping[str, str]) -> list[int]:
    """Give the port that programs here are told to listen on, if there is such a variable."""
    text = environment.get("PORT", "")
    return [int(text)] if text.isascii() and text.isdigit() and 0 < int(text[:6]) < 65536 else []


def _start_options(plan: Plan) -> dict[str, Any]:
    return {
        "urls": list(plan.sdk_urls),
        "autodiscover": plan.discovery,
        "poll": plan.poll,
        "poll_interval": plan.poll_interval_s,
        "retry_interval": (plan.retry_interval_ms or 0) / 1000,
    }
