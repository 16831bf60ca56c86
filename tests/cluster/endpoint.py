"""The agent's endpoint as tests ask it: one request at a time, byte by byte, without a client
library between."""

from __future__ import annotations

import http.client
import json
import socket
from dataclasses import dataclass
from typing import Any, Iterable, Mapping
from urllib.parse import quote

from tests.cluster.agent import Agent

ANSWER_S = 30  # a generous end, where no rule says how long an answer may take


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    @property
    def etag(self) -> str:
        return self.headers["etag"].removeprefix("W/").strip('"')

    @property
    def error_code(self) -> str | None:
        return self.headers.get("x-error-code")

    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    address: str,
    method: str,
    target: str,
    headers: Mapping[str, str] | None = None,
    body: bytes | Iterable[bytes] | None = None,
    timeout_s: float = ANSWER_S,
) -> Reply:
    """One request on a connection of its own; redirects are not followed. `address` is HOST:PORT
    or a URL, `target` goes out as it stands."""
    host, _, port = address.removeprefix("http://").rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=timeout_s)
    try:
        return ask_on(connection, method, target, headers, body)
    finally:
        connection.close()


def ask_on(
    connection: http.client.HTTPConnection,
    method: str,
    target: str,
    headers: Mapping[str, str] | None = None,
    body: bytes | Iterable[bytes] | None = None,
) -> Reply:
    """The same on an open connection, which stays open if the server agrees."""
    connection.request(method, target, body, dict(headers or {}))
    answer = connection.getresponse()
    named = {name.lower(): value for name, value in answer.getheaders()}
    return Reply(answer.status, named, answer.read())


def file_path(repo: str, path: str, revision: str = "main", type: str = "model") -> str:
    prefix = "" if type == "model" else f"{type}s/"
    return f"/{prefix}{quote(repo)}/resolve/{quote(revision, safe='')}/{quote(path)}"


def api_path(repo: str, rest: str = "", type: str = "model") -> str:
    return f"/api/{type}s/{quote(repo)}{rest}"


def bearer(token: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


def connect(agent: Agent, timeout_s: float = ANSWER_S) -> socket.socket:
    host, _, port = agent.endpoint.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=timeout_s)


def counted(agent: Agent, name: str) -> float:
    """The one line of /metrics that begins so."""
    text = ask(agent.endpoint, "GET", "/metrics").body.decode()
    (line,) = [line for line in text.splitlines() if line.startswith(name)]
    return float(line.rpartition(" ")[2])
