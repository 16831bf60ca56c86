"""Many nodes whose clients ask for the same cold repo at once, and what left the hub meanwhile."""

from __future__ import annotations

import hashlib
import http.client
import os
import signal
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping, Sequence

from tests.clients.drive import Outcome, drive
from tests.cluster.agent import Agent
from tests.cluster.endpoint import bearer, file_path
from tests.cluster.waiting import wait_until
from tests.hub import Hub

MIB = 1 << 20
ESTABLISHED = "01"
CLIENT_S = 180  # a generous end: eight clients and ten agents on two cores
_READ_BYTES = 1 << 18


def made_bytes(name: str, size: int) -> bytes:
    """The same for the same name, and nothing else like it."""
    return hashlib.shake_128(name.encode()).digest(size)


# ---- Who asked the hub.


class SocketOwners:
    """Says which agent has the TCP connection from one port of loopback to another; None if none of
    them has.

    For `hub.ledger.who`: on loopback all have one address. Both ports count: the system gives a
    port to several connections if they lead to different places."""

    def __init__(self, agents: Sequence[Agent]) -> None:
        self._agents = agents

    def __call__(self, port: int, to_port: int) -> str | None:
        inode = _inode_of(port, to_port)
        for agent in self._agents if inode else ():
            if agent.process is not None and _has_socket(agent.process.pid, inode):
                return agent.name
        return None


def _inode_of(port: int, to_port: int) -> str:
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, state, *_, inode = line.split()[:10]
        if state == ESTABLISHED and (_port(local), _port(remote)) == (port, to_port):
            return inode
    return ""


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)


def _has_socket(pid: int, inode: str) -> bool:
    wanted = f"socket:[{inode}]"
    try:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            try:
                if os.readlink(descriptor) == wanted:
                    return True
            except OSError:
                continue  # closed meanwhile
    except OSError:
        pass  # the process has ended
    return False


def downloads_of(hub: Hub, path: str) -> list[dict[str, Any]]:
    """The hub's requests for the bytes of a file, in the order in which they came."""
    return [r for r in hub.requests if r["method"] == "GET" and r["path"].endswith(f"/{path}")]


def leader_of(hub: Hub, path: str) -> str | None:
    """The agent to which the hub is sending bytes of `path` now."""
    for entry in reversed(downloads_of(hub, path)):
        if entry["first_byte"] is not None and entry["ended"] is None and entry["who"]:
            return str(entry["who"])
    return None


def leaders_of(hub: Hub, paths: Sequence[str]) -> dict[str, str]:
    """By file, the agent that got the hub's latest bytes of it."""
    found = {}
    for path in paths:
        for entry in downloads_of(hub, path):
            if entry["who"] and entry["first_byte"] is not None:
                found[path] = str(entry["who"])
    return found


@dataclass(frozen=True)
class Lead:
    """The agent that holds the hub lease of a file, in the middle of its download."""

    agent: Agent
    path: str


def await_lead(hub: Hub, repo: str, agents: Sequence[Agent], sizes: Mapping[str, int]) -> Lead:
    """Waits until the hub has sent a third of a large file, and says to whom; of several files one
    whose leader leads no other, if there is one."""

    def middle() -> Lead | None:
        moving = {}
        for path, size in sizes.items():
            leader = leader_of(hub, path)
            if leader and size / 3 < hub.egress_of(repo, path) < size * 2 / 3:
                moving[path] = leader
        led = Counter(leaders_of(hub, list(sizes)).values())
        for path in sorted(moving, key=lambda path: (led[moving[path]], -sizes[path])):
            return Lead(next(a for a in agents if a.name == moving[path]), path)
        return None

    return wait_until(middle, CLIENT_S, f"the hub is in the middle of one of {list(sizes)}")


def next_byte_to_others(hub: Hub, path: str, name: str, after: float) -> float | None:
    """When (time.time()) the hub's first byte of `path` to another agent than `name` left, of a
    request that it began to answer after `after`."""
    times = [
        float(entry["first_byte"])
        for entry in downloads_of(hub, path)
        if entry["who"] != name and entry["first_byte"] and entry["first_byte"] > after
    ]
    return min(times, default=None)


# ---- Clients.

Client = Callable[[Agent, str, Sequence[str], "str | None"], Outcome]


def hub_client(agent: Agent, repo: str, paths: Sequence[str], token: str | None) -> Outcome:
    """The real snapshot_download of huggingface_hub 2.4, in this node's home."""
    place = {"home": agent.home, "repo": repo, "endpoint": agent.endpoint_url, "token": token}
    return drive("hub2", "snapshot", timeout_s=CLIENT_S, **place)


def plain_client(agent: Agent, repo: str, paths: Sequence[str], token: str | None) -> Outcome:
    """GETs over one connection; its patience is that of real clients: 10 s without a byte."""
    host, _, port = agent.endpoint.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    files = {}
    try:
        for path in paths:
            connection.request("GET", file_path(repo, path), headers=bearer(token))
            reply = connection.getresponse()
            digest = hashlib.sha256()
            while data := reply.read(_READ_BYTES):
                digest.update(data)
            if reply.status != 200:
                return Outcome(False, files, f"HTTP {reply.status}")
            files[path] = digest.hexdigest()
    except (OSError, http.client.HTTPException) as error:
        return Outcome(False, files, type(error).__name__, str(error))
    finally:
        connection.close()
    return Outcome(True, files)


class Wave:
    """Clients that start together, one a node. `outcomes` is filled as they end."""

    def __init__(
        self,
        client: Client,
        agents: Sequence[Agent],
        repo: str,
        paths: Sequence[str],
        tokens: Mapping[str, str] | None = None,
    ) -> None:
        self.outcomes: dict[str, Outcome] = {}
        start = threading.Barrier(len(agents))

        def run(agent: Agent) -> None:
            start.wait()
            try:
                outcome = client(agent, repo, paths, (tokens or {}).get(agent.name))
            except Exception as error:  # it belongs to this client's outcome, not to the thread
                outcome = Outcome(False, {}, type(error).__name__, str(error))
            self.outcomes[agent.name] = outcome

        self._threads = {
            agent.name: threading.Thread(target=run, args=(agent,), daemon=True)
            for agent in agents
        }
        for thread in self._threads.values():
            thread.start()

    def join(self, *names: str) -> dict[str, Outcome]:
        """Waits for the clients of these nodes, or all; their outcomes."""
        wanted = names or tuple(self._threads)
        deadline = time.monotonic() + CLIENT_S + 10
        for name in wanted:
            self._threads[name].join(max(0.0, deadline - time.monotonic()))
            assert name in self.outcomes, f"the client of {name} has not ended"
        return {name: self.outcomes[name] for name in wanted}


@contextmanager
def stopped(agent: Agent) -> Iterator[None]:
    """SIGSTOP, and SIGCONT at the end whatever happens."""
    assert agent.process is not None
    agent.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        agent.process.send_signal(signal.SIGCONT)
