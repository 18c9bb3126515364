"""Serves one node from its start to its end: Kafka, the node, HTTP, reloads, and the way out in good order."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import sys
import threading
from collections.abc import Callable, Coroutine, Mapping
from contextlib import ExitStack, closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

from headrace.adapters.data_folder import DataFolder
from headrace.adapters.embedded_kafka import EmbeddedKafka
from headrace.adapters.kafka_connection import check_connection
from headrace.adapters.kafka_settings import KafkaSettings
from headrace.adapters.kafka_topics import TopicsFound, ensure_topics
from headrace.cli.assembly import Assembly, NodeSettings, assemble, with_retry_interval
from headrace.cli.banner import print_banner
from headrace.cli.front import Front, NodeStatus
from headrace.cli.groups import show_error
from headrace.cli.listening import take_port
from headrace.cli.loading import Loaded, Loader
from headrace.cli.logs import tell
from headrace.cli.peers import Peers
from headrace.cli.plan import Plan
from headrace.cli.processes import stop_with_parent
from headrace.cli.reloading import FileWatch
from headrace.cli.restoring import RestoreWatch, standing_of
from headrace.cli.stopping import Stop, aside, interruptible, leave
from headrace.errors import BadDeclaration, HeadraceError, LogUnavailable, NotReady
from headrace.functions import Function

_KAFKA_PORT = 9092  # where everybody looks for one
_HANDOVER_S = 5.0  # a restart overlaps its predecessor by that much at most
_DRAIN_S = 30.0
_LOOK_S = 0.5
_AWAIT_QUIETLY_MS = 1_000
_AWAIT_MS = 30_000
# A live run is some fifteen objects that all survive a collection, so Python's usual threshold of 700 goes through the
# same ones again and again: a quarter of a busy node's time.
_GC_THRESHOLDS = (100_000, 10, 20)


def serve(plan: Plan) -> int:
    """Serve the node until it is told to stop; the exit status. Raises HeadraceError for what is in the way."""
    plan.keys.check(plan.host)
    # Functions that send events by HTTP send them here, unless they are told otherwise.
    os.environ.setdefault("HEADRACE_URL", plan.local_url)
    loader = Loader(plan.targets)
    with interruptible():
        loaded = loader.load()
    with ExitStack() as held:
        bound = held.enter_context(closing(take_port(plan.host, plan.port))) if plan.http else None
        folder = held.enter_context(closing(DataFolder(plan.data_dir, wait_s=_HANDOVER_S)))
        return _run(Serving(plan, loader, loaded, folder, bound).run())


def _run(main: Coroutine[Any, Any, int]) -> int:
    loops: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    with suppress(ImportError):  # there is none for Windows
        import uvloop

        loops = uvloop.new_event_loop
    runner = asyncio.Runner(loop_factory=loops)
    try:
        status = runner.run(main)
    except HeadraceError as error:
        if not _threads_linger():
            runner.close()
            raise
        show_error(error)
        leave(1)
    if _threads_linger():
        leave(status)
    runner.close()
    return status


def _threads_linger() -> bool:
    """Say whether user code still blocks a thread: Python would wait for it, for as long as it likes."""
    return any(
        thread.is_alive() and not thread.daemon and thread is not threading.main_thread()
        for thread in threading.enumerate()
    )


class Serving:
    """One node while it is served."""

    def __init__(
        self, plan: Plan, loader: Loader, loaded: Loaded, folder: DataFolder, bound: socket.socket | None
    ) -> None:
        self._plan = plan
        self._loader = loader
        self._loaded = loaded
        self._folder = folder
        self._bound = bound
        self._kafka: EmbeddedKafka | None = None
        self._files: FileWatch | None = None
        self._was_ready = False

    async def run(self) -> int:
        """Start everything, wait for the stop, stop everything; the exit status."""
        # The client's threads hand over to the loop many times a second. At Python's usual 5 ms a busy loop kept an
        # acknowledged commit waiting for 69 ms in one of ten cases, at 1 ms for 12.
        sys.setswitchinterval(0.001)
        loop = asyncio.get_running_loop()
        stop = self._stop = Stop(loop)
        stop.listen()
        stop_with_parent(loop, stop.ask)
        try:
            settings = await self._start_kafka()
            if settings is not None:
                found = await stop.unless(partial(self._ensure_topics, settings))
                if found is not None:
                    await self._serve(settings, found)
        finally:
            await self._stop_kafka()
        if stop.error is not None:
            raise stop.error
        return stop.status

    # --- Kafka --------------------------------------------------------------------------------------------------

    async def _start_kafka(self) -> KafkaSettings | None:
        plan = self._plan
        if plan.kafka is not None:
            return plan.kafka
        kafka = self._kafka = EmbeddedKafka(
            self._folder.path / "kafka",
            plan.kafka_port,
            first_port=_KAFKA_PORT,
            told=partial(tell, "kafka_folder_awaited"),
        )

        def start() -> str:
            kafka.start()
            return kafka.bootstrap

        bootstrap = await self._stop.unless(start)
        return None if bootstrap is None else KafkaSettings.load(bootstrap, plan.variables)

    def _ensure_topics(self, settings: KafkaSettings) -> TopicsFound:
        plan = self._plan
        if self._kafka is None:
            try:
                check_connection(settings, _AWAIT_QUIETLY_MS)
            except LogUnavailable as error:
                tell("kafka_awaited", f"{error.what}: {error.why}; waiting for it for {_AWAIT_MS // 1000} s")
                check_connection(settings, _AWAIT_MS)
        return ensure_topics(settings, plan.prefix, plan.partitions, default_partitions=plan.default_partitions)

    async def _stop_kafka(self) -> None:
        if self._kafka is not None:
            await aside(asyncio.get_running_loop(), self._kafka.stop)

    # --- the node -----------------------------------------------------------------------------------------------

    async def _serve(self, settings: KafkaSettings, found: TopicsFound) -> None:
        plan, folder = self._plan, self._folder
        for warning in found.warnings:
            tell("topic_warning", warning)
        node_settings = NodeSettings.load(
            settings,
            plan.prefix,
            plan.instance_id or folder.node_id,
            plan.variables,
            signing_key=plan.keys.signing,
            dev=plan.dev,
        )
        functions = self._functions(self._loaded)
        parts = assemble(node_settings, found, folder, functions, self._tell)
        peers = Peers(node_settings.instance_id, plan.host, parts.node.adverts, parts.sdk)
        parts.callers.update(ws=peers, wss=peers)
        front = None
        status = NodeStatus(parts.node, parts.membership, node_settings.instance_id)
        restore_watch = RestoreWatch(asyncio.get_running_loop(), parts.clock, lambda: standing_of(parts.node.owned))
        try:
            remove = plan.dev or node_settings.remove_functions
            parts.node.start(_apps(self._loaded), _definitions(functions), remove=remove)
            if not plan.dev:  # a node of dev is alone
                await peers.start()
            if self._bound is not None:
                front = Front(plan, settings, found, folder, parts, status, peers)
                await front.start(self._bound)
            if plan.reload:
                self._files = FileWatch(
                    asyncio.get_running_loop(), self._loader.files, lambda changed: self._reload(parts, changed)
                )
            print_banner(plan, settings, found, node_settings.instance_id, functions)
            gc.set_threshold(*_GC_THRESHOLDS)
            if not plan.dev:
                # What is there now stays; looking through it again and again would stall turns.
                gc.collect()
                gc.freeze()
            await self._watch(parts, status)
        finally:
            restore_watch.close()
            await self._stop_node(parts, front, peers)

    async def _watch(self, parts: Assembly, status: NodeStatus) -> None:
        """Look after what cannot speak for itself, until the stop."""
        while not self._stop.asked:
            parts.renew_dead()
            if not self._was_ready and status.ready()[0]:
                self._was_ready = True
                owned, rows = parts.node.owned, parts.node.partition_rows()
                tell("ready", f"this node runs {len(owned)} of {len(rows)} partitions")
            if self._kafka is not None:
                try:
                    self._kafka.raise_if_dead()
                except HeadraceError as error:
                    self._stop.ask(error)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), _LOOK_S)

    def _tell(self, code: str, sentence: str) -> None:
        tell(code, sentence)
        if code == "expelled":
            self._stop.ask(
                NotReady(
                    "expelled",
                    "this node is no longer a member of its group",
                    why=sentence,
                    do="give each node an --instance-id and a --data-dir of its own, and start it again",
                )
            )

    async def _stop_node(self, parts: Assembly, front: Front | None, peers: Peers) -> None:
        if self._files is not None:
            self._files.close()
        tell("stopping", "executions in flight are finished or handed over; a second signal stops at once")
        if front is not None:
            front.begin_drain()
        left = asyncio.Event()
        parts.node.stop(left.set)
        try:
            await asyncio.wait_for(left.wait(), _DRAIN_S)
        except TimeoutError:
            tell("drain_overdue", f"the group was not left within {_DRAIN_S:.0f} s; the session's end will do that")
            parts.node.close()
        if front is not None:
            await front.stop()
        await peers.stop()
        await parts.http.close()
        parts.close()
        # What the appenders still reported is taken by the loop now.
        await asyncio.sleep(0)
        tell("stopped", "everything is let go")

    # --- reload -------------------------------------------------------------------------------------------------

    def _reload(self, parts: Assembly, changed: frozenset[Path]) -> None:
        names = ", ".join(sorted(path.name for path in changed))
        before = self._loaded
        try:
            self._loaded = self._loader.load()
        except BadDeclaration as error:
            tell("reload_failed", f"{names} changed and cannot be used; the code from before goes on")
            show_error(error)
            return
        finally:
            if self._files is not None:
                self._files.watch(self._loader.files)
        functions = self._functions(self._loaded)
        parts.execution.load_functions(functions)
        apps = list(dict.fromkeys([*_apps(before), *_apps(self._loaded)]))
        parts.node.declare(
            apps, _definitions(functions), lambda: tell("reloaded", f"{names}: {len(functions)} functions")
        )

    def _functions(self, loaded: Loaded) -> Mapping[str, Function]:
        interval_ms = self._plan.retry_interval_ms
        return loaded.functions if interval_ms is None else with_retry_interval(loaded.functions, interval_ms)


def _apps(loaded: Loaded) -> list[str]:
    return list(dict.fromkeys(app.id for app in loaded.apps))


def _definitions(functions: Mapping[str, Function]) -> dict[str, Any]:
    return {function_id: function.definition for function_id, function in functions.items()}
