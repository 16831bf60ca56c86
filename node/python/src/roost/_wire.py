"""One HTTP request to the agent, over a connection of its own.

An agent that is away must not cost a program more than 2 s, while an answer that a peer has to send
first may take much longer. So silence is not timed alone: after a second of it the agent is asked
for /livez on another connection, and has a second to answer.
"""

from __future__ import annotations

import http.client
import io
import json
import socket
import time
from typing import Any, Dict, Mapping, NamedTuple, Optional

SILENT_S = 1.0  # until an agent that says nothing is asked whether it lives
PROBE_S = 1.0  # until its answer to that must be here
PATIENCE_S = 120.0  # silence of a living agent, after which the request is given up
ANSWER_BYTES_MAX = 64 << 30
_LIVEZ_BYTES_MAX = 4096


class Address(NamedTuple):
    host: str
    port: int


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytearray


def is_agent(address: Address, deadline: float) -> bool:
    """Whether a roost agent answers there before `deadline` (time.monotonic). Never raises."""
    try:
        answer = _exchange(address, "GET", "/livez", b"", {}, _Deadline(deadline), _LIVEZ_BYTES_MAX)
        told = json.loads(answer.body)
        node = told.get("node") if isinstance(told, dict) else None
        return (
            answer.status == 200
            and told.get("live") is True
            and isinstance(node, str)
            and len(node) == 32
            and all(digit in "0123456789abcdef" for digit in node)
        )
    except (OSError, http.client.HTTPException, ValueError, RecursionError):
        return False


def ask(
    address: Address, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] = {}
) -> Answer:
    """OSError, HTTPException or ValueError if there was no whole answer."""
    return _exchange(address, method, path, body, headers, _Alive(address), ANSWER_BYTES_MAX)


class _Deadline:
    """Says how long one read or write may be silent; for /livez, whose end is fixed."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline

    def seconds(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the agent did not answer in time")
        return left

    def silence(self, since: float) -> None:
        self.seconds()


class _Alive:
    """The same for a request that may take its time while the agent lives."""

    def __init__(self, address: Address) -> None:
        self._address = address

    def seconds(self) -> float:
        return SILENT_S

    def silence(self, since: float) -> None:
        now = time.monotonic()
        if now - since > PATIENCE_S or not is_agent(self._address, now + PROBE_S):
            raise TimeoutError("the agent has fallen silent")


class _Patient(io.RawIOBase):
    """What http.client takes for its socket and for that socket's file."""

    def __init__(self, address: Address, rule: Any) -> None:
        super().__init__()
        self._rule = rule
        self._socket = socket.create_connection(address, timeout=min(rule.seconds(), SILENT_S * 2))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return int(self._patiently(self._socket.recv_into, buffer))

    def sendall(self, data: Any) -> None:
        view = memoryview(data).cast("B")
        while view:
            view = view[self._patiently(self._socket.send, view[: 1 << 20]) :]

    def _patiently(self, act: Any, *arguments: Any) -> Any:
        since = time.monotonic()
        while True:
            self._socket.settimeout(self._rule.seconds())
            try:
                return act(*arguments)
            except (socket.timeout, TimeoutError):
                self._rule.silence(since)

    def makefile(self, mode: str, *_: Any, **__: Any) -> io.BufferedReader:
        return io.BufferedReader(self, 1 << 16)

    def close(self) -> None:
        """Not yet: http.client closes its socket while it still reads from that socket's file."""

    def hang_up(self) -> None:
        self._socket.close()


class _Connection(http.client.HTTPConnection):
    """Straight to the agent: no proxy of the environment comes between."""

    def __init__(self, address: Address, rule: Any) -> None:
        super().__init__(address.host, address.port)
        self.patient = _Patient(address, rule)
        self.sock: Any = self.patient


def _exchange(
    address: Address,
    method: str,
    path: str,
    body: bytes,
    headers: Mapping[str, str],
    rule: Any,
    bytes_max: int,
) -> Answer:
    connection = _Connection(address, rule)
    try:
        try:
            connection.request(method, path, body or None, {"Connection": "close", **headers})
        except (BrokenPipeError, ConnectionResetError):
            pass  # who refuses a body may answer before it has all of it
        response = connection.getresponse()
        named: Dict[str, str] = {name.lower(): text for name, text in response.getheaders()}
        return Answer(response.status, named, _body(response, bytes_max))
    finally:
        connection.patient.hang_up()


def _body(response: http.client.HTTPResponse, bytes_max: int) -> bytearray:
    """Into one buffer that may be written, so that arrays can be views of it."""
    expected: Optional[int] = response.length
    if expected is not None and expected > bytes_max:
        raise ValueError(f"an answer of {expected} bytes")
    if expected is None:
        read = bytearray()
        while chunk := response.read(1 << 16):
            read += chunk
            if len(read) > bytes_max:
                raise ValueError("an answer without end")
        return read
    body = bytearray(expected)
    view, at = memoryview(body), 0
    while at < expected:
        count = response.readinto(view[at:])
        if not count:
            raise http.client.IncompleteRead(b"", expected - at)
        at += count
    return body
