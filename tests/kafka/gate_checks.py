"""What must hold of limits on concurrency, by the leases on the changelog and by what the code that ran has seen.

Gates are named here by a rule of the tests' own: the digest of scope, owner, expression and key.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from tests.kafka.apps.gates import KEY, ONE, TOGETHER, TWO
from tests.kafka.cluster_checks import Witnessed
from tests.kafka.cluster_logs import Changelog, Published

CLAIMS = b"g"
ALL_TABLES = b"gjGh"  # claims, places in queues, turns, what a pause holds
_GATE_BYTES = 16
_CLOCK_MS = 20  # how far the broker's and the node's idea of one moment may be apart

Gate = tuple[str, str]  # (function, key), or ("", "") for the limit that all share
LIMITS = {"gates-one": ONE, "gates-two": TWO, "": TOGETHER}


class Lease(NamedTuple):
    """One run's slot at one gate."""

    gate: Gate
    run: str
    from_ms: int
    until_ms: int
    place: int  # of the commit that gave it, among those of its partition


@dataclass
class Span:
    """One piece of work, as the code saw it; one that was cut off ended with its process."""

    run: str
    function: str
    key: str
    n: int
    pid: int
    began_ns: int
    at_ms: int
    ended_ns: int | None = None


def gates_of(keys: Iterable[str]) -> dict[bytes, Gate]:
    """Name the gates of both functions for these keys."""
    named = {_digest("app", "gates", "", ""): ("", "")}
    for function in ("gates-one", "gates-two"):
        named.update({_digest("function", function, KEY, key): (function, key) for key in keys})
    return named


def _digest(scope: str, owner: str, expression: str, key: str) -> bytes:
    seed = "\0".join((scope, owner, expression, key))
    return blake2b(seed.encode(), digest_size=_GATE_BYTES).digest()


def check_leases(changelog: Changelog, named: Mapping[bytes, Gate], limits: Mapping[str, int]) -> list[Lease]:
    """No commit leaves more slots given out than the limit has; the leases that there were, all of them over."""
    held: defaultdict[Gate, dict[str, tuple[int, int]]] = defaultdict(dict)
    leases = []
    for place, commit in enumerate(changelog.written):
        touched = set()
        for key, value in commit.rows:
            if key[:1] != CLAIMS:
                continue
            gate, run = named[key[1 : 1 + _GATE_BYTES]], key[1 + _GATE_BYTES :].decode()
            touched.add(gate)
            if _is_slot(value):
                held[gate].setdefault(run, (commit.at_ms, place))
            elif run in held[gate]:
                from_ms, given_at = held[gate].pop(run)
                leases.append(Lease(gate, run, from_ms, commit.at_ms, given_at))
        for gate in touched:
            given, limit = held[gate], limits[gate[0]]
            assert len(given) <= limit, f"{len(given)} slots of {limit} are given out at {gate}: {sorted(given)}"
    lost = {gate: runs for gate, runs in held.items() if runs}
    assert not lost, f"slots that nobody gave back: {lost}"
    return leases


def _is_slot(value: bytes | None) -> bool:
    """Tell whether a row of claims is a slot; one that waits says where it stands in the queue."""
    return value is not None and not [*msgspec.msgpack.decode(value), b""][1]


def spans_of(witnessed: Witnessed, died_ns: Mapping[int, int]) -> list[Span]:
    """Read what the code saw, in the order in which it began; what a dead process had in hand ended with it."""
    spans: list[Span] = []
    open_spans: dict[tuple[Any, ...], Span] = {}
    lines = [line for line in witnessed.lines if line["kind"] in ("begin", "end")]
    for line in sorted(lines, key=lambda line: line["at_ns"]):
        name = (line["pid"], line["run"], line["piece"])
        if line["kind"] == "begin":
            where = line["run"], line["function"], line["key"], line["n"], line["pid"]
            open_spans[name] = span = Span(*where, line["at_ns"], line["at_ms"])
            spans.append(span)
        else:
            open_spans.pop(name).ended_ns = line["at_ns"]
    for (pid, _, _), span in open_spans.items():
        span.ended_ns = died_ns.get(pid)
        assert span.ended_ns is not None, f"it never ended, and its process was not killed: {span}"
    return spans


def check_spans(spans: Iterable[Span], limits: Mapping[str, int]) -> dict[str, int]:
    """No more pieces of work run at once than the limits allow; how many did at most, for each kind of limit."""
    moments = [(span.began_ns, 1, span) for span in spans] + [(span.ended_ns or 0, 0, span) for span in spans]
    running: Counter[Gate] = Counter()
    most: Counter[str] = Counter()
    for at_ns, begins, span in sorted(moments, key=lambda moment: moment[:2]):
        for gate in ((span.function, span.key), ("", "")):
            running[gate] += 1 if begins else -1
            most[gate[0]] = max(most[gate[0]], running[gate])
            limit = limits[gate[0]]
            assert running[gate] <= limit, f"{running[gate]} at once at {gate}, which has {limit}: {span} at {at_ns}"
    return dict(most)


def check_leased(spans: Iterable[Span], leases: Iterable[Lease]) -> None:
    """Whatever began had a slot at both of its gates then."""
    of_run: defaultdict[tuple[str, Gate], list[Lease]] = defaultdict(list)
    for lease in leases:
        of_run[lease.run, lease.gate].append(lease)
    for span in spans:
        for gate in ((span.function, span.key), ("", "")):
            held = of_run[span.run, gate]
            assert any(lease.from_ms - _CLOCK_MS <= span.at_ms <= lease.until_ms + _CLOCK_MS for lease in held), (
                f"no lease at {gate}: {span}, leases {held}"
            )


def check_order(
    spans: Iterable[Span], leases: Iterable[Lease], events: Iterable[Published], limits: Mapping[str, int]
) -> None:
    """Runs of a key get their slots in the order in which their events stand on the log, and begin in it.

    Those that have their slots at the same time may begin in any order: a run that begins passes as many as its limit
    leaves room for besides it.
    """
    logged: defaultdict[str, list[int]] = defaultdict(list)
    for event in sorted(events, key=lambda event: (event.partition, event.offset)):
        logged[(event.key or b"").decode()].append(event.n)
    begun: defaultdict[Gate, dict[int, None]] = defaultdict(dict)
    numbers: dict[str, int] = {}
    for span in spans:
        begun[span.function, span.key].setdefault(span.n)
        numbers[span.run] = span.n
    granted: defaultdict[Gate, dict[int, int]] = defaultdict(dict)
    for lease in sorted(leases, key=lambda lease: lease.place):
        granted[lease.gate].setdefault(numbers[lease.run], lease.place)
    for gate, order in begun.items():
        rank = {n: place for place, n in enumerate(logged[gate[1]])}
        given = sorted(granted[gate], key=lambda n: (granted[gate][n], rank[n]))  # what one commit gives is at once
        assert given == logged[gate[1]], f"slots are given out of order at {gate}: {given}"
        waiting = given
        for n in order:
            passed = waiting.index(n)
            assert passed < limits[gate[0]], f"begun out of order at {gate}: {n} before {waiting[:passed]}"
            waiting.remove(n)


def left_at_gates(changelog: Changelog) -> list[bytes]:
    """List the rows of gates."""
    return [key for rows in changelog.rows.values() for key in rows if key[:1] in (b"g", b"j", b"G", b"h")]
