"""The events that start the cases, sent at once for all of them, so that their sleeps and waits pass side by side."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from tests.sdk.programs import SDKS

ODD_IDS = ["a step", "ünï ☃️ 名", "%$^&*(_+{|:<?", "line\nbreak", "constructor", "__proto__", "b:1", "a", "a", "x" * 500]

Datas = list[dict[str, Any]]


def _plain() -> dict[str, Datas]:
    cases = ("nothing", "plain_def", "steps", "loop", "sleep", "send_event", "large", "middleware", "sent_by_client")
    return {
        **{case: [{}] for case in cases},
        "plain": [{"name": "Ada"}],
        "odd_ids": [{"ids": ODD_IDS}],
        "sleep_until": [
            {"until": datetime.fromtimestamp(time.time() + 3, UTC).isoformat(timespec="milliseconds")},
            {"until": "2020-01-01T00:00:00+00:00"},
        ],
        "several_triggers": [{"n": 1}, {"n": 2}],
    }


def _failing() -> dict[str, Datas]:
    cases = ("retries", "step_retries", "retry_after", "retry_after_step", "non_retriable", "non_retriable_step")
    return {case: [{"of": case}] for case in (*cases, "exhausted", "step_failed", "step_caught", "parallel_failure")}


def _waiting() -> dict[str, Datas]:
    cases = ("wait_timeout", "invoke", "invoke_failure", "invoke_timeout", "invoke_missing")
    return {
        **{case: [{}] for case in (*cases, "cancel_timeout", "finish_late")},
        "wait_match": [{"id": "one"}, {"id": "two"}],
        "wait_if": [{"item": "lamp", "floor": 50}],
        "cancel_on": [{"id": "stopped"}, {"id": "left"}],
    }


def _limited() -> dict[str, Datas]:
    return {
        "batch": [{"n": n} for n in range(6)],
        "batch_timeout": [{"n": 1, "shop": "a"}, {"n": 2, "shop": "b"}, {"n": 3, "shop": "a"}],
        "rate_limit": [{"user": "a"}, {"user": "a"}, {"user": "b"}],
        "concurrency": [{"user": "a"}, {"user": "a"}, {"user": "b"}],
        "concurrency_plain": [{"user": "any"} for _ in range(5)],
        "priority": [{"n": 0}, {"n": 1}, {"n": 2}, {"n": 3}, {"n": 4, "vip": True}],
        "singleton_skip": [{"user": "a"}, {"user": "a"}, {"user": "b"}],
        "idempotency": [{"order": "o1"}, {"order": "o1"}, {"order": "o2"}],
    }


def _beside() -> dict[str, Datas]:
    return {case: [{}] for case in ("parallel", "parallel_kinds")}


# What is a matter of time is started when the crowd of the first events has gone.
LATER: dict[str, Datas] = {"groups_wait": [{}], "groups_race": [{}], "throttle": [{}, {}, {}]}


def openings(kind: str) -> dict[str, Datas]:
    """Give the data of each case's first events."""
    assert kind in SDKS
    only_typescript: dict[str, Datas] = {"race": [{}], "wait_signal": [{"signal": f"go-{kind}"}]}
    more = {} if kind == "python" else only_typescript
    return {**_plain(), **_failing(), **_waiting(), **_limited(), **_beside(), **more}
