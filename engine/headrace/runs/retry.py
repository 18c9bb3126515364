"""How long until the next attempt."""

from __future__ import annotations

from hashlib import blake2b

from headrace.records.definitions import Backoff, Definition
from headrace.records.rows import Failure
from headrace.state import Turn

RETRY_DELAY_MS_MAX = 24 * 3_600_000
# What users of SDKs know: after the first failed attempt, the second, … ; the last one from then on.
_SDK_DELAYS_S = (15, 30, 60, 120, 300, 600, 1_200, 2_400, 3_600, 7_200)
_SDK_JITTER_MS = 30_000
_FALLBACK = Definition("", "", "", [])


def definition_of(turn: Turn, function_id: str) -> Definition:
    """Read the definition that the partition knows; one that was removed meanwhile leaves the defaults."""
    return turn.definition(function_id) or _FALLBACK


def retry_delay_ms(backoff: Backoff, attempt: int, failure: Failure, salt: str) -> int:
    """Return the wait after the failed `attempt` (from 0): what the user's error says, else the back-off's.

    The jitter is drawn from a hash of `salt` and the attempt: the same everywhere, different for every run and step.
    """
    if failure.retry_after_ms >= 0:
        return min(failure.retry_after_ms, RETRY_DELAY_MS_MAX)
    drawn = int.from_bytes(blake2b(f"{salt}\0{attempt}".encode(), digest_size=4).digest()) / 0x1_0000_0000
    if backoff.type == "sdk":
        return 1_000 * _SDK_DELAYS_S[min(attempt, len(_SDK_DELAYS_S) - 1)] + int(_SDK_JITTER_MS * drawn)
    if backoff.type == "fixed":
        delay = backoff.base_ms
    elif backoff.type == "linear":
        delay = backoff.base_ms * (attempt + 1)
    else:
        delay = backoff.base_ms << min(attempt, 40)
    delay = min(delay, backoff.max_ms)
    return int(delay * (1 + backoff.jitter * drawn))
