"""Time-outs of waits are held, after a claim, until every partition has told what came before it.

What a partition decides about may have come to any other one. After a stop of all of them each has events to read that
came while nobody ran, and a partition that finds its own logs read has not been told yet what the others will find. So
a new owner asks all of them; each answers when it has itself applied what stood in its logs at its own claim, behind
everything that it forwards from there.

This is memory, as the hold of all timers after a claim is: the next owner asks anew, under its own claim.
"""

from __future__ import annotations

from headrace.records.commands import TakenUp
from headrace.records.rows import Timer, TimerKind, timer_key
from headrace.records.waits import CatchUpAsked, CaughtUp
from headrace.state import Turn
from headrace.worker.overlay import Overlay

_KIND = 8  # where a timer's key says its kind
_CLAIM_BYTES = 8


class HeldWaits:
    """Which partitions have not answered, and the time-outs that are due meanwhile."""

    def __init__(self, state: Overlay) -> None:
        self._state = state
        self._missing: set[int] = set()
        self._claim = -1
        self._aside: list[bytes] = []

    def needed(self) -> bool:
        """Whether anybody has ever waited for an event that this partition decides about or forwards."""
        return next(iter(self._state.waiting.shapes.scan(b"")), None) is not None

    def begin(self, claim: int, others: set[int]) -> None:
        """Hold them until these partitions have answered."""
        self._claim = claim
        self._missing = others

    def puts_aside(self, key: bytes) -> bool:
        """Keep a due timer for later, if it is one that has to wait."""
        if not self._missing or key[_KIND] != TimerKind.WAIT:
            return False
        self._aside.append(key)
        return True

    def answered(self, claim: int, partition: int) -> None:
        """Take an answer; with the last one, what was put aside is due again."""
        if claim != self._claim:
            return  # to an owner before
        self._missing.discard(partition)
        if not self._missing:
            for key in self._aside:
                self._state.timers.push(key)
            self._aside = []


def ask_others(turn: Turn, held: HeldWaits, command: TakenUp) -> None:
    """Ask every other partition to say when it has told all that came before."""
    others = set(range(turn.partitions)) - {turn.partition}
    held.begin(command.claim, others)
    for partition in sorted(others):
        turn.command(partition, CatchUpAsked(turn.partition, command.claim))


def take_question(turn: Turn, command: CatchUpAsked) -> None:
    """Answer by a timer that is due at once: none fires before what stood in the logs at the claim is applied."""
    asked_by = command.partition.to_bytes(4, "big") + command.claim.to_bytes(_CLAIM_BYTES, "big")
    timer = Timer(TimerKind.CAUGHT_UP, step=asked_by)
    turn.state.timers.put(timer_key(turn.now_ms, TimerKind.CAUGHT_UP, step=asked_by), timer)


def tell_caught_up(turn: Turn, timer: Timer, due_ms: int) -> None:
    """Answer, behind everything that was forwarded before."""
    partition, claim = timer.step[:-_CLAIM_BYTES], timer.step[-_CLAIM_BYTES:]
    answer = CaughtUp(turn.partition, int.from_bytes(claim, "big"))
    turn.command(int.from_bytes(partition, "big"), answer)
