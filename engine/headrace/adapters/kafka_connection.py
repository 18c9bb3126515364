"""Whether Kafka can be reached, said in four parts when it cannot."""

from __future__ import annotations

import threading
import time
from typing import NamedTuple

from confluent_kafka import KafkaError, KafkaException

from headrace.adapters.kafka_admin import admin
from headrace.adapters.kafka_settings import KafkaSettings
from headrace.errors import HeadraceError, LogUnavailable, NotReady

# What waiting does not mend: a person has to change a setting or a permission first.
_SETTING_ERRORS = frozenset(
    {
        KafkaError._AUTHENTICATION,
        KafkaError._SSL,
        KafkaError._INVALID_ARG,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.UNSUPPORTED_SASL_MECHANISM,
        KafkaError.ILLEGAL_SASL_STATE,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)
_POLL_S = 0.25


class Cluster(NamedTuple):
    """The Kafka cluster that answered."""

    cluster_id: str
    brokers: tuple[str, ...]


class _Complaints:
    """The last things a client said about its connections; they arrive on another thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._text = ""
        self._code: int | None = None

    def __call__(self, error: KafkaError) -> None:
        with self._lock:
            # "all brokers down" follows the reason and says less than it.
            if error.code() != KafkaError._ALL_BROKERS_DOWN or not self._text:
                self._text, self._code = error.str(), error.code()

    def last(self) -> tuple[str, int | None]:
        with self._lock:
            return self._text, self._code


def check_connection(settings: KafkaSettings, timeout_ms: int) -> Cluster:
    """Ask the cluster who it is; blocks for `timeout_ms` at most.

    Errors: NotReady when a setting is wrong (address, TLS, SASL, unknown name), LogUnavailable when nobody answers.
    """
    deadline = time.monotonic() + timeout_ms / 1000
    complaints = _Complaints()
    with admin(settings, complaints) as client:
        while True:
            try:
                metadata = client.list_topics(timeout=max(0.05, min(_POLL_S, deadline - time.monotonic())))
            except KafkaException as problem:
                client.poll(0)  # the client hands out its complaints here
                text, code = complaints.last()
                if code in _SETTING_ERRORS or time.monotonic() >= deadline:
                    raise _unreachable(settings, timeout_ms, text or problem.args[0].str(), code) from None
                continue
            brokers = sorted(metadata.brokers.values(), key=lambda broker: broker.id)
            return Cluster(str(metadata.cluster_id), tuple(f"{broker.host}:{broker.port}" for broker in brokers))


def _unreachable(settings: KafkaSettings, timeout_ms: int, text: str, code: int | None) -> HeadraceError:
    if code == KafkaError._RESOLVE:
        return LogUnavailable(
            "kafka_unknown_host",
            f"no address was found for the Kafka broker {settings.bootstrap} in {timeout_ms} ms",
            why=text,
            do="check the host name given with --kafka or HEADRACE_KAFKA, and the network's name service",
        )
    if code in _SETTING_ERRORS:
        return NotReady(
            "kafka_refused",
            f"the Kafka broker at {settings.bootstrap} refuses this client",
            why=text,
            do="check security.protocol, sasl.* and ssl.* in the Kafka settings file or the HEADRACE_KAFKA_… variables",
        )
    return LogUnavailable(
        "kafka_unreachable",
        f"no Kafka broker answered at {settings.bootstrap} in {timeout_ms} ms",
        why=text,
        do="start the broker (`headrace kafka` starts one here) or give its address with --kafka HOST:PORT",
    )
