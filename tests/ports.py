"""Ports for what has to know its own before it listens."""

from __future__ import annotations

import random
import socket
from contextlib import suppress

_given: set[int] = set()


def free_port() -> int:
    """Never the same twice, and below those that the system gives to clients: one that looks for a server that is down may
    be given its very port."""
    for port in random.sample(range(20_000, 32_000), 1000):
        if port not in _given:
            with socket.socket() as probe, suppress(OSError):
                probe.bind(("127.0.0.1", port))
                _given.add(port)
                return port
    raise OSError("no port is free")
