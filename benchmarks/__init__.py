"""Measures Headrace on an embedded Kafka: `make bench`. See `docs/benchmarks.md` for what each figure means."""
