"""`/metrics`: what the node counts, and how far behind the console is, in Prometheus's text format."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from headrace.console.lag_queries import Lag

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# More of the node's own numbers: called at every scrape, on the loop.
Measure = Callable[[], Iterable[Metric]]


class _Once(Collector):
    """Hands out metrics that were made beforehand."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def render_metrics(registry: CollectorRegistry | None, measure: Measure | None, lag: Lag) -> bytes:
    """Write all metrics: those of the registry, what `measure` gives, and the projection's."""
    once = CollectorRegistry(auto_describe=False)
    once.register(_Once([*(measure() if measure is not None else ()), *_projection(lag)]))
    own = generate_latest(once)
    return own if registry is None else generate_latest(registry) + own


def _projection(lag: Lag) -> list[Metric]:
    rows = (
        ("running", "1 while the process that fills the console's database lives.", 1.0 if lag.running else 0.0),
        ("records_behind", "Records on the topics that the console has not read yet.", lag.records_behind),
        ("seconds_behind", "Age of the newest record read, while there are others behind it.", lag.seconds_behind),
        ("records_missed", "Records that had expired before the console could read them.", lag.missed),
        ("records_unreadable", "Records of the history topic that made no sense.", lag.unreadable),
    )
    return [GaugeMetricFamily(f"headrace_console_{name}", text, value=value) for name, text, value in rows]
