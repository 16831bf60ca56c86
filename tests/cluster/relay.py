"""A TCP relay in front of an agent's peer port: keeps every byte that passes, and holds a rate.

An agent that is told to advertise the relay's address is reached through it alone."""

from __future__ import annotations

import socket
import threading
import time

from tests.cluster.agent import Agent

_CHUNK_BYTES = 64 * 1024


class Relay:
    """Listens at once; `close` ends every connection. Thread safe."""

    def __init__(self, target: str, keep: bool = False, rate: int | None = None) -> None:
        """`target` is HOST:PORT; `keep` what passes, for `passed`; `rate` is in bytes per second,
        of all connections and both ways together."""
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._keep, self.rate = keep, rate
        self._lock = threading.Lock()
        self._streams: list[bytearray] = []  # one a connection and direction
        self._sockets: list[socket.socket] = []
        self._free_at = 0.0
        self._closed = False
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def passed(self) -> list[bytes]:
        """What has passed so far: each connection's bytes, each direction by itself."""
        with self._lock:
            return [bytes(stream) for stream in self._streams]

    def close(self) -> None:
        with self._lock:
            self._closed = True
            ended = [self._listener, *self._sockets]
        for each in ended:
            _end(each)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self._target, timeout=10)
                far.settimeout(None)
            except OSError:
                near.close()  # the agent does not listen: so it looks from outside
                continue
            with self._lock:
                self._sockets += [near, far]
                closed = self._closed
            if closed:
                _end(near), _end(far)
                return
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        stream = bytearray()
        with self._lock:
            self._streams.append(stream)
        try:
            while data := source.recv(_CHUNK_BYTES):
                if self._keep:
                    with self._lock:
                        stream += data
                self._hold_rate(len(data))
                sink.sendall(data)
        except OSError:
            pass
        _end(source), _end(sink)

    def _hold_rate(self, size: int) -> None:
        if not self.rate:
            return
        with self._lock:
            self._free_at = max(self._free_at, time.monotonic()) + size / self.rate
            wait = self._free_at - time.monotonic()
        time.sleep(max(0.0, wait))  # this is what makes the link slow


def put_between(
    agents: list[Agent], keep: bool = False, rate: int | None = None
) -> dict[str, Relay]:
    """Puts a relay in front of each agent, before they are started; by the agents' names."""
    relays = {agent.name: Relay(agent.listen, keep, rate) for agent in agents}
    for agent in agents:
        agent.options = [*agent.options, "--advertise", relays[agent.name].address]
        agent.join = [relay.address for name, relay in relays.items() if name != agent.name]
    return relays


def _end(side: socket.socket) -> None:
    try:
        side.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    side.close()
