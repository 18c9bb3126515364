"""Records that nobody can use, between good ones: they end on the dead-letter topic with the reason, the others run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.kafka.cluster import Cluster, until
from tests.kafka.cluster_checks import await_runs, check, history_of
from tests.kafka.cluster_logs import TopicLog

MIB = 1024 * 1024


def event(**fields: object) -> bytes:
    return json.dumps(fields).encode()


BAD: dict[str, list[bytes | None]] = {
    "event_not_json": [
        b"not json",
        b'{"name": "tick", "data": {"n": 1}',
        b'"a string"',
        b"[1, 2]",
        b'{"data": {}}',
        b'{"name": 7}',
        b'{"name":"tick","data":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"name": "tock", "data": {"n": NaN}}',
    ],
    "event_not_utf8": [b'{"name": "tick", "data": {"n": "\xff\xfe"}}'],
    "event_name_reserved": [event(name="inngest/function.failed", data={}), event(name="INNGEST/tick", data={})],
    "event_name_invalid": [event(name="", data={}), event(name="t" * 513, data={})],
    "event_data_invalid": [event(name="tick", data=[1]), event(name="tick", data="text")],
    "event_ts_invalid": [event(name="tock", data={}, ts=1), event(name="tock", data={}, ts=99_999_999_999_999)],
    "event_empty": [None, b""],
    "event_too_large": [event(name="tock", data={"ballast": "x" * 3 * MIB})],
}


def test_what_nobody_can_use_goes_to_the_dead_letters_and_others_go_on(kafka_bootstrap: str, tmp_path: Path) -> None:
    with Cluster(kafka_bootstrap, tmp_path, partitions=2) as cluster, history_of(cluster) as history:
        cluster.start("a")
        n = 0
        sent: dict[tuple[str, bytes | None], str] = {}
        for code, values in BAD.items():
            for number, value in enumerate(values):
                key = f"{code}-{number}"
                sent[key, value] = code
                cluster.send("tick", {"n": n}, key="good")
                cluster.send_raw(value, key)
                cluster.send("tick", {"n": n + 1}, key="good")
                n += 2
        cluster.flush()
        await_runs(cluster, history, {"flows-count": n}, 60)
        check(cluster, history)
        events = TopicLog(cluster.bootstrap, cluster.topic("events"))
        dead = TopicLog(cluster.bootstrap, cluster.topic("dead"))
        try:
            found = dead.read()
            until(lambda: found.extend(dead.read()) or len(found) >= len(sent), "all dead letters are there", 10)
            places = {(m.key(), m.value()): (m.partition(), m.offset()) for m in events.read()}
        finally:
            events.close()
            dead.close()
        assert len(found) == len(sent)
        for message in found:
            headers = {name: bytes(value).decode() for name, value in message.headers() or []}
            key, value = (message.key() or b"").decode(), message.value()
            whole = next(v for k, v in sent if k == key)
            if "headrace-truncated" in headers:
                assert int(headers["headrace-truncated"]) == len(whole or b"")
                assert value == (whole or b"")[:MIB]
            else:
                assert (value or None) == (whole or None)
            assert headers["headrace-code"] == sent[key, whole], key
            assert len(headers["headrace-reason"]) > 20
            assert headers["headrace-topic"] == cluster.topic("events")
            place = int(headers["headrace-partition"]), int(headers["headrace-offset"])
            assert place in {at for (k, _), at in places.items() if k == message.key()}


@pytest.mark.slow
def test_internal_topics_survive_records_that_are_not_the_engines_own(kafka_bootstrap: str, tmp_path: Path) -> None:
    with Cluster(kafka_bootstrap, tmp_path, partitions=2) as cluster, history_of(cluster) as history:
        node = cluster.start("a")
        for n in range(20):
            cluster.send("tick", {"n": n}, key=f"k{n}")
        cluster.flush()
        await_runs(cluster, history, {"flows-count": 20})
        for topic in ("commands", "changelog", "snapshots", "functions", "control"):
            for value in (b"stranger", b"", None, b"\xc1\xc1\xc1", b"\x01\xc1"):
                partitions = (0,) if topic in ("functions", "control") else (0, 1)
                for partition in partitions:
                    cluster.producer.produce(cluster.topic(topic), value, b"stranger", partition)
        cluster.flush()
        for n in range(20, 40):
            cluster.send("tick", {"n": n}, key=f"k{n}")
        cluster.flush()
        await_runs(cluster, history, {"flows-count": 40})
        node.kill()
        cluster.start("a")
        for n in range(40, 60):
            cluster.send("tick", {"n": n}, key=f"k{n}")
        cluster.flush()
        await_runs(cluster, history, {"flows-count": 60})
