"""Sends events with a plain Kafka producer, from a process of its own: `python -m benchmarks.producer`."""

from __future__ import annotations

import json
import sys
import time

from confluent_kafka import Producer

PADDING = "x" * 100
CUSTOMERS = 1_000
NUMBERED = ("bench/wait", "bench/answer")  # those whose number matters


def body(name: str, **data: object) -> bytes:
    """Make an event of about 200 bytes."""
    return json.dumps({"name": name, "data": {"orderId": 12345, "pad": PADDING, **data}}).encode()


def main() -> None:
    """Send `count` events of a name at `rate` a second (0: as fast as possible), keyed by one of 1,000 customers."""
    bootstrap, topic, name, count, rate = *sys.argv[1:4], int(sys.argv[4]), float(sys.argv[5])
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "linger.ms": 0 if 0 < rate < 1000 else 5,
            "queue.buffering.max.messages": 2_000_000,
            "acks": "all",
        }
    )
    producer.list_topics(topic, timeout=10)  # connected before the clock starts
    start = time.time()
    keys = [f"customer-{number}" for number in range(CUSTOMERS)]
    bodies = [body(name, customer=key) for key in keys]
    numbered = name in NUMBERED
    for number in range(count):
        customer = number % CUSTOMERS
        value = body(name, number=number) if numbered else bodies[customer]
        if rate:
            wait = start + number / rate - time.time()
            if wait > 0:
                producer.poll(0)
                time.sleep(wait)
            value = body(name, number=number, sent_ms=time.time() * 1000)
        while True:
            try:
                producer.produce(topic, value, key=keys[customer])
                break
            except BufferError:
                producer.poll(0.01)
        if rate or number % 1000 == 0:
            producer.poll(0)
    left = producer.flush(60)
    if left:
        sys.exit(f"{left} events were not taken by Kafka")
    print(json.dumps({"sent": count, "took_s": time.time() - start}))


if __name__ == "__main__":
    main()
