"""Puts a node together from its real parts: Kafka, RocksDB, the system's clock, user code in this process."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import msgspec

from headrace.adapters.data_folder import DataFolder
from headrace.adapters.http_client import HttpClient
from headrace.adapters.kafka_appender import AppenderLimits, KafkaAppender
from headrace.adapters.kafka_membership import KafkaMembership
from headrace.adapters.kafka_partitions import KafkaPartitions
from headrace.adapters.kafka_reader import KafkaReader
from headrace.adapters.kafka_settings import KafkaSettings
from headrace.adapters.kafka_topics import TopicsFound
from headrace.adapters.rocksdb_store import RocksStores
from headrace.adapters.system_clock import SystemClock
from headrace.cli.joining import HeardMembership
from headrace.cli.logs import tell
from headrace.cli.run_limits import read_run_limits
from headrace.execution import InProcess
from headrace.execution.by_kind import ByKind
from headrace.execution.sdk.endpoint_caller import EndpointCaller
from headrace.execution.sdk.gateway import perform_gateway
from headrace.execution.sdk.http_caller import HttpCaller
from headrace.execution.sdk.sdk_execution import SdkExecution
from headrace.execution.sdk.seams import AppCaller
from headrace.execution.seams import Settings
from headrace.functions import Function
from headrace.functions.targets import check_target
from headrace.records.definitions import Backoff, Definition, decode_definition
from headrace.records.limits import DEFAULTS, RunLimits
from headrace.worker.layout import Limits, Topics
from headrace.worker.node import Means, Node
from headrace.worker.surroundings import Surroundings

_CLOSE_MS = 5_000
# Nobody waits for history, and a command to another partition bears this much for a fuller batch.
_OUTBOX = AppenderLimits(linger_ms=2, compression="lz4")


@dataclass(frozen=True)
class NodeSettings:
    """What makes one node: where its Kafka is, its name, and the switches of the environment."""

    kafka: KafkaSettings
    prefix: str
    instance_id: str
    skip_expired: bool = False  # HEADRACE_SKIP_EXPIRED=1
    evict_always: bool = False  # HEADRACE_EVICT=always
    remove_functions: bool = False  # HEADRACE_REMOVE_FUNCTIONS=1
    limits: RunLimits = DEFAULTS  # HEADRACE_MAX_…
    signing_key: str = field(default="", repr=False)  # signs calls of SDKs' apps; "": they are not signed
    allow_private: bool = True  # whether apps and fetch steps may be at private addresses
    checkpoints: bool = False  # whether apps may report steps in the middle of a call

    @classmethod
    def load(
        cls,
        kafka: KafkaSettings,
        prefix: str,
        instance_id: str,
        variables: Mapping[str, str],
        *,
        signing_key: str = "",
        dev: bool = False,
    ) -> NodeSettings:
        """Take the switches from the environment."""
        return cls(
            kafka,
            prefix,
            instance_id,
            variables.get("HEADRACE_SKIP_EXPIRED", "") in ("1", "true", "yes"),
            variables.get("HEADRACE_EVICT", "") == "always",
            variables.get("HEADRACE_REMOVE_FUNCTIONS", "") in ("1", "true", "yes"),
            read_run_limits(variables),
            signing_key,
            allow_private=dev or variables.get("HEADRACE_ALLOW_PRIVATE_APPS", "") in ("1", "true", "yes"),
            checkpoints=True,
        )


@dataclass(frozen=True)
class Assembly:
    """A node and its parts, on the loop that is running."""

    node: Node
    membership: HeardMembership
    execution: InProcess
    sdk: SdkExecution
    callers: dict[str, AppCaller]  # by the scheme of the address
    endpoints: EndpointCaller  # one of them
    http: HttpClient
    commits: KafkaAppender
    outbox: KafkaAppender
    reader: KafkaReader
    restore_reader: KafkaReader
    stores: RocksStores
    partitions: KafkaPartitions
    clock: SystemClock
    topics: Topics

    def renew_dead(self) -> None:
        """Ask the producers whether they are alive, and replace one that is not: it would never send again."""
        for appender in (self.commits, self.outbox):
            # With nothing to send only a dead producer fails.
            appender.send([], partial(_renew_if_dead, appender))

    def close(self) -> None:
        """Send what is still queued and let everything go; blocks for some seconds at most. The node has stopped."""
        self.execution.close()
        self.outbox.close(_CLOSE_MS)
        self.commits.close(_CLOSE_MS)
        self.reader.close()
        self.restore_reader.close()
        self.partitions.close()
        self.stores.close()


def _renew_if_dead(appender: KafkaAppender, failed: int | None) -> None:
    if failed is not None:
        tell("producer_renewed", "a producer had a fatal error and is replaced")
        appender.renew()


def assemble(
    settings: NodeSettings,
    found: TopicsFound,
    folder: DataFolder,
    functions: Mapping[str, Function],
    told: Callable[[str, str], None],
) -> Assembly:
    """Make a node of real parts on the running loop; nothing is read or joined before `node.start`."""
    loop = asyncio.get_running_loop()
    topics, clock = Topics(settings.prefix), SystemClock()
    in_process = Settings(output_bytes_max=settings.limits.step_output_bytes)
    execution = InProcess(functions, loop, clock, evict_always=settings.evict_always, settings=in_process)
    lookup = _Lookup()
    http, callers, endpoints, sdk = _reach_apps(settings, loop, clock, lookup, told)
    commits = KafkaAppender(settings.kafka, loop, name="kafka-commits")
    outbox = KafkaAppender(settings.kafka, loop, limits=_OUTBOX, name="kafka-outbox")
    # Kafka checks rights on groups by their name, also for readers that join none.
    group = f"{settings.prefix}-readers"
    reader = KafkaReader(settings.kafka, loop, group=group, name="kafka-inputs")
    restore_reader = KafkaReader(settings.kafka, loop, group=group, name="kafka-restore")
    stores = RocksStores(folder.stores)
    partitions = KafkaPartitions(settings.kafka, loop)
    around = Surroundings(
        settings.instance_id,
        found.partitions,
        topics,
        Limits(runs=settings.limits),
        loop,
        clock,
        commits,
        outbox,
        reader,
        ByKind(execution, sdk),
        partitions,
    )
    name = settings.instance_id
    member = KafkaMembership(settings.kafka, loop, group=settings.prefix, instance_id=name, topic=topics.commands)
    membership = HeardMembership(member)
    means = Means(
        membership,
        stores,
        partitions,
        restore_reader,
        found.topics[topics.changelog].topic_id,
        found.topics[topics.events].topic_id,
        found.topics[topics.events].partitions,
        settings.skip_expired,
        lambda: str(uuid.uuid4()),
        random.random,
        told,
    )
    node = Node(around, means)
    lookup.node = node
    return Assembly(
        node,
        membership,
        execution,
        sdk,
        callers,
        endpoints,
        http,
        commits,
        outbox,
        reader,
        restore_reader,
        stores,
        partitions,
        clock,
        topics,
    )


def _reach_apps(
    settings: NodeSettings,
    loop: asyncio.AbstractEventLoop,
    clock: SystemClock,
    lookup: _Lookup,
    told: Callable[[str, str], None],
) -> tuple[HttpClient, dict[str, AppCaller], EndpointCaller, SdkExecution]:
    """Make what calls apps of SDKs."""
    http = HttpClient(
        None if settings.allow_private else lambda host, found: check_target(_url_of(host), found, allow_private=False)
    )
    caller = HttpCaller(http, clock, settings.signing_key)
    endpoints = EndpointCaller(caller.ask, clock, settings.signing_key)
    callers: dict[str, AppCaller] = {"http": caller, "https": caller}
    callers.update({"endpoint+http": endpoints, "endpoint+https": endpoints})
    perform = partial(perform_gateway, ask=caller.ask)
    known = lookup.of_sdks
    sdk = SdkExecution(loop, clock, lookup.definition, callers, perform, told, known, checkpoints=settings.checkpoints)
    return http, callers, endpoints, sdk


class _Lookup:
    """Reads definitions from what the node knows; the node is made after what asks."""

    def __init__(self) -> None:
        self.node: Node | None = None
        self._decoded: dict[str, tuple[int, Definition]] = {}

    def of_sdks(self) -> bool:
        """Tell whether there is any function of an SDK, or was."""
        return self.node is not None and self.node.definitions.of_sdks

    def definition(self, function_id: str) -> Definition | None:
        """Give the newest definition of a function."""
        known = None if self.node is None else self.node.definitions.known.get(function_id.encode())
        offset, value = known or (0, None)
        if value is None:
            return None
        decoded = self._decoded.get(function_id)
        if decoded is None or decoded[0] != offset:
            decoded = self._decoded[function_id] = (offset, decode_definition(value))
        return decoded[1]


def _url_of(host: str) -> str:
    return f"http://[{host}]" if ":" in host else f"http://{host}"


def with_retry_interval(functions: Mapping[str, Function], interval_ms: int) -> dict[str, Function]:
    """Give every function the same wait before each retry, whatever it declares: nobody waits an hour in dev."""
    backoff = Backoff("fixed", interval_ms, interval_ms, 0.0)
    return {
        function_id: replace(function, definition=msgspec.structs.replace(function.definition, backoff=backoff))
        for function_id, function in functions.items()
    }
