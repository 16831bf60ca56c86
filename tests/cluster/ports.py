"""Free TCP ports. They lie below the range from which the system gives ports to clients."""

from __future__ import annotations

import os
import random
import socket

# Runs beside each other have a part each: ROOST_TEST_PORTS=FIRST-LAST.
_FIRST, _LAST = map(int, os.environ.get("ROOST_TEST_PORTS", "15000-32000").split("-"))
_given: set[int] = set()
_random = random.Random(os.getpid())


def free_port() -> int:
    """A port that nothing listens on now, and that this process has not given out before."""
    while True:
        port = _random.randrange(_FIRST, _LAST)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in _given:
            _given.add(port)
            return port
