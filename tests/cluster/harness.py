"""Clusters for tests: several agents that know each other.

with Cluster(3, hub_url=hub.url) as (a, b, c):
    a.hf("download", "org/tiny", endpoint=hub.url)
    a.warm("org/tiny", "--nodes", "b,c")
"""

from __future__ import annotations

import shutil
import string
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Iterator

from tests.cluster.agent import READY_S, Agent, roost_binary
from tests.cluster.ports import free_port
from tests.cluster.waiting import wait_until

_MEET_S = 30


def make_key(path: Path) -> Path:
    """Writes a fresh cluster key, as `roost key` prints it."""
    done = subprocess.run([str(roost_binary()), "key"], capture_output=True, text=True, timeout=10)
    assert done.returncode == 0, done.stderr
    path.touch(0o600)
    path.write_text(done.stdout)
    return path


class Cluster:
    """n agents on loopback, named a, b, c ..., each joined to all others. A context manager.

    Everything lies in a folder of its own in /tmp, which goes away unless `keep` is set."""

    def __init__(
        self, n: int, hub_url: str = "none", key: bool = False, **agent_arguments: Any
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="roost-", dir="/tmp"))
        self.keep = False
        key_file = make_key(self.folder / "key") if key else None
        names = string.ascii_lowercase[:n]
        listens = {name: f"127.0.0.1:{free_port()}" for name in names}
        self.agents = [
            Agent(
                name,
                self.folder / name,
                hub_url=hub_url,
                listen=listens[name],
                join=[listen for other, listen in listens.items() if other != name],
                key_file=key_file,
                **agent_arguments,
            )
            for name in names
        ]

    def __iter__(self) -> Iterator[Agent]:
        return iter(self.agents)

    def __getitem__(self, name: str) -> Agent:
        return next(agent for agent in self.agents if agent.name == name)

    def start(self) -> "Cluster":
        """Starts all agents; afterwards every one of them sees every other."""
        for agent in self.agents:
            agent.start()
        for agent in self.agents:
            agent.wait_ready(READY_S)
        self.wait_together()
        return self

    def wait_together(self) -> None:
        """Until every running agent sees every running agent."""
        running = [agent for agent in self.agents if agent.running]
        for agent in running:
            wait_until(
                lambda: all(_present(agent.nodes().get(other.name)) for other in running),
                _MEET_S,
                f"agent {agent.name} sees all {len(running)} running agents",
            )

    def stop(self) -> None:
        """Ends every agent that still runs, in good order; fails if one can't."""
        failures = []
        for agent in self.agents:
            try:
                if agent.running:
                    agent.stop()
                agent.assert_sane()
            except AssertionError as failure:
                failures.append(str(failure))
        assert not failures, "\n".join(failures)

    def remove(self) -> None:
        """Kills what is left and removes the folder."""
        for agent in self.agents:
            if agent.running:
                agent.kill9()
        if not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> "Cluster":
        try:
            return self.start()
        except BaseException:
            self.remove()
            raise

    def __exit__(self, failure: object, *_: object) -> None:
        try:
            if failure is None:
                self.stop()
        finally:
            self.remove()


def _present(node: dict[str, Any] | None) -> bool:
    return node is not None and node["state"] not in ("gone", "suspected", "starting")
