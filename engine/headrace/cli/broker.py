"""`headrace kafka`: the embedded Kafka on its own, for nodes and producers in other processes."""

from __future__ import annotations

from pathlib import Path

import click

from headrace.cli.options import PORT, data_dir_option


@click.command()
@click.option("--port", type=PORT, default=9092, show_default=True, help="To listen on, on 127.0.0.1 only.")
@data_dir_option()
def kafka(port: int, data_dir: Path) -> None:
    """Run a real Kafka broker here, until Ctrl-C; its data stays in the data directory."""
    import signal
    from contextlib import suppress
    from threading import Event

    from headrace.adapters.embedded_kafka import EmbeddedKafka

    asked = Event()
    broker = EmbeddedKafka(data_dir / "kafka", port, told=lambda sentence: click.echo(sentence, err=True))

    def ask(*_: object) -> None:
        asked.set()
        if not broker.running:  # it is being started, or its folder is waited for: that is given up
            raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask)
    click.echo(f"Starting Kafka in {data_dir / 'kafka'} …", err=True)
    with suppress(KeyboardInterrupt), broker:
        click.echo(f"Kafka listens on {broker.bootstrap}. Ctrl-C stops it.")
        while not asked.wait(0.5):
            broker.raise_if_dead()
        click.echo("Stopping Kafka …", err=True)
