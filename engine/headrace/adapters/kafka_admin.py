"""Admin clients, and when they may end.

librdkafka aborts the process when a client is destroyed on one of its own threads. An admin client runs Python on such
a thread (it completes its futures there), and so the garbage collector may run there too, and destroy whatever client
has become garbage. Therefore every admin client is held here until it is let go of, in so many words, on another
thread: one that is forgotten costs some memory and three threads, not the process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from headrace.adapters.kafka_settings import KafkaSettings
from headrace.errors import NotReady

_open: set[AdminClient] = set()


def open_admin(settings: KafkaSettings, on_error: Callable[[KafkaError], None] | None = None) -> AdminClient:
    """Return an admin client, to be given to `shut_admin`; `on_error` hears, in its `poll`, of failing connections.

    Errors: NotReady when librdkafka does not know a setting or refuses its value.
    """
    own: dict[str, object] = {} if on_error is None else {"error_cb": on_error}
    try:
        client = AdminClient(settings.client(own, logged=False))  # type: ignore[arg-type]
    except (KafkaException, TypeError, ValueError) as problem:
        reason = problem.args[0]
        text = reason.str() if isinstance(reason, KafkaError) else str(problem)
        raise NotReady(
            "kafka_setting_refused",
            f"the Kafka client does not take these settings: {text}",
            why="settings are passed to librdkafka as they are; it knows the names in its CONFIGURATION page only",
            do="mend the name or the value in the Kafka settings file or in the HEADRACE_KAFKA_… variables",
        ) from None
    _open.add(client)
    return client


def shut_admin(client: AdminClient) -> None:
    """Let go of a client that has answered everything; not to be called from a callback of its futures."""
    _open.discard(client)


@contextmanager
def admin(settings: KafkaSettings, on_error: Callable[[KafkaError], None] | None = None) -> Iterator[AdminClient]:
    """Lend an admin client for a few questions that are waited for."""
    client = open_admin(settings, on_error)
    try:
        yield client
    finally:
        shut_admin(client)
