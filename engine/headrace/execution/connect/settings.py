"""The times and limits of workers' connections. Source: the SDK protocol page, sections 8 and 10."""

from __future__ import annotations

from typing import NamedTuple

PROTOCOL = "v0.connect.inngest.com"  # the WebSocket's sub-protocol
PATH = "/v0/connect"
FRAME_BYTES_MAX = 8 << 20  # that a worker may send: as much as an app may answer over HTTP
CAPACITY = 1000  # calls that an instance takes at a time, where it does not say


class ConnectSettings(NamedTuple):
    """All in milliseconds, but for the counts."""

    hello_ms: int = 5_000  # for a worker to introduce itself
    heartbeat_ms: int = 10_000  # between two heartbeats; whole seconds
    heartbeats_missed_max: int = 5  # then the connection is closed
    heartbeats_missed_healthy: int = 2  # more of them, and no calls are given to it
    lease_ms: int = 120_000  # for which a call is a worker's
    grace_ms: int = 5_000  # after it, for an answer that is on its way
    extend_ms: int = 30_000  # between two renewals of a lease; whole seconds
    # A worker that lost its connection is back within 1 to 6 seconds, and goes on with its calls. One that is dead is
    # never back, and waiting for its lease's end would keep its runs for two minutes.
    return_ms: int = 10_000
    # After a worker said that it takes nothing more: for the acknowledgement that may be on its way.
    pause_ms: int = 2_000
    # A heartbeat that comes so long after a call was sent is of a worker that has read it, or has dropped it.
    unheard_ms: int = 3_000
    given_max: int = 3  # times that a call is given to workers that do not acknowledge it
    apps_max: int = 100  # of one connection


def seconds_text(ms: int) -> str:
    """Write a duration as whole seconds ("30s"): one of the SDKs reads nothing else."""
    return f"{ms // 1000}s"
