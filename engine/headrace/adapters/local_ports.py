"""Which ports of this machine somebody listens on."""

from __future__ import annotations

import errno
import select
import socket
from collections.abc import Sequence

_WAIT_S = 0.1


def open_ports(ports: Sequence[int]) -> list[int]:
    """Tell which of these ports of loopback take connections; blocks for a tenth of a second at most.

    On Linux a port is refused or taken at once; elsewhere the answer comes a moment later.
    """
    found: list[int] = []
    waiting: dict[socket.socket, int] = {}
    try:
        for port in ports:
            probe = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            probe.setblocking(False)
            result = probe.connect_ex(("127.0.0.1", port))
            if result in (errno.EINPROGRESS, errno.EWOULDBLOCK):
                waiting[probe] = port
                continue
            probe.close()
            if result == 0:
                found.append(port)
        if waiting:
            _, connected, _ = select.select([], list(waiting), [], _WAIT_S)
            found += [waiting[one] for one in connected if not one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)]
    finally:
        for probe in waiting:
            probe.close()
    return sorted(found)
