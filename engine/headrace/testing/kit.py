"""TestApp: what `with app.test() as t` gives. One process of the real engine in memory, driven by the test."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import timedelta
from types import TracebackType
from typing import Any, Protocol

import msgspec

from headrace.adapters.memory_store import MemoryStores
from headrace.errors import BadRequest
from headrace.expressions import parse_duration_ms
from headrace.functions import Event, Function, check_injected, event_json, event_of
from headrace.functions.correlation import partition_of_digest, signal_digest
from headrace.records.commands import CancelRun, Travelling
from headrace.records.events import HEADER_ID
from headrace.records.ids import derive_ulid, entropy, partition_of
from headrace.records.invoked import invoked_event
from headrace.records.rows import KnownEvent, Start
from headrace.records.waits import NOBODY_WAITS, SendSignal
from headrace.runs import run_id_of
from headrace.testing.ledger import Ledger
from headrace.testing.stubs import Stub, Stubs
from headrace.testing.views import RunView, Verdict
from headrace.testing.world import World
from headrace.worker.layout import Limits

_PARTITIONS = 2
_DAY_MS = 86_400_000
# Runs show at once, and nothing looks at its watch every second: a virtual month is over in a moment.
_LIMITS = Limits(announce_after_ms=0, advert_ms=_DAY_MS, snapshot_check_ms=_DAY_MS, wake_ms=_DAY_MS)
_REBALANCE_S = 5.0


class AnApp(Protocol):
    """What is used of an App here."""

    @property
    def id(self) -> str: ...

    @property
    def functions(self) -> Mapping[str, Function]: ...


class TestApp:
    """An app under test, or several. Use it in a `with` statement."""

    __test__ = False  # for pytest, which takes classes of such a name for tests

    def __init__(self, *apps: AnApp, always_replay: bool | None = None, evict: str | None = None) -> None:
        """Make a cluster in memory for these apps.

        Every run is replayed at each step boundary, so that code which is not the same each time shows; with
        `always_replay=False` its code stays in memory, as it does in a node with room. `evict="always"` and "never" say
        the same; HEADRACE_EVICT does where nothing is given.
        """
        self._apps = list(apps)
        self._functions()  # what is declared wrongly is said before anything is begun
        if always_replay is None:
            always_replay = (evict or os.environ.get("HEADRACE_EVICT") or "always") == "always"
        self._evict_always = always_replay
        self._stubs = Stubs(self._apps)
        self.world = World(partitions=_PARTITIONS, limits=_LIMITS)
        self._ledger = Ledger(self.world.cluster, self.world.topics.history)
        self._stores = MemoryStores()
        self._sent = 0
        self._processes = 0

    def __enter__(self) -> TestApp:
        self._begin()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            member = self.member
            if error is None and not member.ended:
                member.stop(lambda: None)
                self.world.wait(lambda: member.stopped, what="the end of the process")
        finally:
            self.world.close()

    # --- what happens -------------------------------------------------------------------------------------------

    def send(
        self,
        event: str | Event | Mapping[str, Any],
        data: Mapping[str, Any] | None = None,
        *,
        id: str = "",
        ts: int = 0,
        key: str | None = None,
        unchecked: bool = False,
    ) -> str:
        """Send an event and let everything happen that takes no time; returns its internal id.

        `t.send("order/created", {"orderId": "7"})`, or an Event, or a dict of that shape. Without a key an event with
        an id is keyed by it, as at the HTTP door. Raises BadRequest for what is no event, and for what does not fit the
        model that an app has for it; `unchecked` sends that all the same, as a producer of Kafka's can.
        """
        if isinstance(event, str):
            event = Event(event, dict(data or {}), id, ts, key)
        elif data is not None or id or ts or key is not None:
            raise BadRequest(
                "event_given_twice",
                "send got an event and fields of an event beside it",
                why="data, id, ts and key belong to an event that is given by its name",
                do='write t.send(Event("order/created", {…}, id="7")) or t.send("order/created", {…}, id="7")',
            )
        json, key_bytes = event_json(event)
        if not unchecked:
            self._check(json)
        if key_bytes is None:
            given_id = msgspec.json.decode(json).get("id")
            key_bytes = given_id.encode() if given_id else None
        self._sent += 1
        event_id = derive_ulid(self.now_ms, b"sent\0%d" % self._sent)
        partition = self._sent % _PARTITIONS if key_bytes is None else partition_of(key_bytes, _PARTITIONS)
        self.world.cluster.append(
            self.world.topics.events, partition, json, key_bytes, [(HEADER_ID, event_id.encode())]
        )
        self._pass(0)
        return event_id

    def advance(self, duration: str | int | float | timedelta) -> None:
        """Let time pass: "30m", "1h30m", a timedelta, or seconds."""
        self._pass(parse_duration_ms(duration) / 1000)

    def crash(self) -> None:
        """Kill the process in the middle of everything, and start it again on the same disk."""
        self.member.crash()
        self._begin()

    def rebalance(self) -> None:
        """Have a partition taken away and given back."""
        self.world.cluster.rebalance()
        self.world.advance(0)
        self.world.wait_ready()
        self.world.advance(0)

    def reload(self, *apps: AnApp) -> None:
        """Replace the code by that of other apps, as a change of the file does."""
        self._apps = list(apps)
        declared: list[bool] = []
        self.member.reload(self._functions(), lambda: declared.append(True))
        self.world.wait(lambda: bool(declared), what="the new definitions")
        self.world.advance(0)

    def cancel(self, run: RunView, reason: str = "cancelled by the test") -> None:
        """Cancel a run, as the console does."""
        self._order(run.partition, CancelRun(run.id, reason))

    def signal(self, name: str, data: Any = None) -> RunView:
        """Send a signal, as `POST /v1/signals` does; gives the run that goes on. LookupError if none waits for it."""
        self._sent += 1
        signal_id = derive_ulid(self.now_ms, b"signal\0%d" % self._sent)
        target = partition_of_digest(signal_digest(name), _PARTITIONS)
        self._order(target, SendSignal(signal_id, name, msgspec.json.encode(data)))
        (verdict,) = self._ledger.verdicts(signal_id)
        if verdict.status == NOBODY_WAITS:
            raise LookupError(f"{verdict.explanation}; runs so far: {self.runs or 'none'}")
        return self._ledger.view(verdict.run_id)

    def invoke(self, function: str, data: Mapping[str, Any] | None = None) -> RunView:
        """Start a run of a function, by its full id or its own, whatever its triggers say; as `headrace invoke`."""
        full = [known for known in self._functions() if known in self._full(function)]
        if not full:
            raise LookupError(f"no function {function!r}; functions: {sorted(self._functions())}")
        self._sent += 1
        event_id = derive_ulid(self.now_ms, b"invoked\0%d" % self._sent)
        event = invoked_event(event_id, msgspec.json.encode(data or {}), {"fn_id": full[0]}, self.now_ms)
        run_id = run_id_of(entropy(event_id.encode()), full[0], self.now_ms)
        self._order(partition_of(run_id.encode(), _PARTITIONS), Start(full[0], run_id, [event], self.now_ms))
        return self._ledger.view(run_id)

    def stub(self, step_id: str, instead: Any, *, function: str = "") -> Stub:
        """Do something else in place of a step's callable, from now on: `t.stub("charge", {"paid": True})`.

        A callable is called with the step's arguments, an exception is raised, everything else is what the step gives.
        `function` is the id of the only function that is meant. What is given back counts: `stub.calls`.
        """
        return self._stubs.put(step_id, instead, function)

    # --- what can be seen ---------------------------------------------------------------------------------------

    @property
    def now_ms(self) -> int:
        """The time, in milliseconds since 1970."""
        return self.world.cluster.clock.wall_ms()

    def runs_of(self, function: str) -> list[RunView]:
        """List the runs of a function, the oldest first; by its full id ("shop-process-order") or its own."""
        full = self._full(function)
        return [run for run in self._ledger.runs() if run.function_id in full]

    def run_of(self, function: str) -> RunView:
        """Give the newest run of a function; raises LookupError if there is none."""
        runs = self.runs_of(function)
        if not runs:
            raise LookupError(
                f"no run of {function!r}; runs so far: {self._ledger.runs() or 'none'}; "
                f"functions: {sorted(self._functions())}"
            )
        return runs[-1]

    @property
    def runs(self) -> list[RunView]:
        """Every run, the oldest first."""
        return self._ledger.runs()

    def verdicts(self, event_id: str) -> list[Verdict]:
        """List what stages have decided about an event that `send` gave this id: dropped (and by which limit), or held.

        Each has `function_id`, `code` ("rate_limited", "held_throttled", …) and `explanation`; the oldest comes first.
        """
        return [Verdict(v.function_id, v.code or v.status, v.explanation) for v in self._ledger.verdicts(event_id)]

    def events(self, name: str = "") -> list[Event]:
        """List the events on the events topic, sent and published ones, or those of one name; unreadable ones not."""
        return [event for event in self._events() if name in ("", event.name)]

    @property
    def told(self) -> list[tuple[str, str]]:
        """What the process has told its operator: (code, sentence)."""
        return [(code, sentence) for _, code, sentence in self.world.told()]

    # --- inside -------------------------------------------------------------------------------------------------

    @property
    def member(self) -> Any:
        """The process that is alive."""
        return self.world.members["kit"]

    def _full(self, function: str) -> set[str]:
        return {function, *(f"{app.id}-{function}" for app in self._apps)}

    def _order(self, partition: int, command: Travelling) -> None:
        written: list[bool] = []
        self.member.node.order(partition, command, written.append)
        self.world.wait(lambda: bool(written), what="the command")
        self._pass(0)

    def _check(self, json: bytes) -> None:
        fields = msgspec.json.decode(json, type=dict[str, Any])
        for function in self._functions().values():
            function.shared.models.check_at_door(fields["name"], fields.get("data"))

    def _pass(self, seconds: float) -> None:
        self.world.advance(seconds)
        self._ledger.read()  # so that runs of one millisecond are told in the order of what caused them

    def _functions(self) -> dict[str, Function]:
        functions = {function.id: function for app in self._apps for function in app.functions.values()}
        for function in functions.values():
            check_injected(function)
        return functions

    def _begin(self) -> None:
        member = self.world.start("kit", self._functions(), stores=self._stores, evict_always=self._evict_always)
        member.execution.use_stand_ins(self._stubs.stand_in)
        self.world.wait_ready()
        self.world.advance(0)

    def _events(self) -> Iterator[Event]:
        for partition in range(_PARTITIONS):
            for record in self.world.cluster.records(self.world.topics.events, partition):
                try:
                    fields = msgspec.json.decode(record.value or b"", type=dict[str, Any])
                    name, ts = str(fields["name"]), int(fields.get("ts") or record.timestamp_ms)
                except (msgspec.MsgspecError, KeyError, TypeError, ValueError):
                    continue
                given = str(fields.get("id") or "")
                internal = dict(record.headers or ()).get(HEADER_ID) or b""
                yield event_of(
                    KnownEvent(internal.decode(), name, record.value or b"", ts, record.timestamp_ms, given, record.key)
                )
