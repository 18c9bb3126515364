"""What `dev` and `start` have gathered from flags, environment and file: everything that a node needs to begin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from headrace.adapters.kafka_settings import KafkaSettings
from headrace.cli.keys import Keys, is_loopback


@dataclass(frozen=True)
class Plan:
    """One node to be served."""

    targets: tuple[str, ...]
    kafka: KafkaSettings | None  # None: start one in the data directory
    prefix: str
    host: str
    port: int
    data_dir: Path
    partitions: int | None  # None: whatever there is
    default_partitions: int
    keys: Keys
    variables: Mapping[str, str] = field(repr=False)
    instance_id: str | None = None
    retry_interval_ms: int | None = None
    reload: bool = False
    dev: bool = False
    http: bool = True
    kafka_port: int | None = None  # of the one that is started; None: the one that it had, or any
    sdk_urls: tuple[str, ...] = ()  # apps of SDKs that are asked to register
    poll: bool = True  # ask them again and again
    poll_interval_s: float = 5.0
    discovery: bool = False  # look for such apps on this machine
    connect_port: int | None = None  # of the gateway for workers that connect; None: the next port
    allow_private: bool = True  # such apps may be at addresses that only this network knows

    @property
    def gateway_port(self) -> int:
        """Tell the port for workers that connect; their SDKs take it for the next one."""
        return self.port % 65535 + 1 if self.connect_port is None else self.connect_port

    @property
    def url(self) -> str:
        """Tell where people find the node."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def local_url(self) -> str:
        """Tell where programs on this machine find it."""
        return self.url if is_loopback(self.host) else f"http://127.0.0.1:{self.port}"
