"""Real agents on limited links: holders of a repo, and nodes that want it. New for each round."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping

from tests.bench.links import LimitedNetwork, Line
from tests.bench.repos import Repo
from tests.cluster.agent import Agent
from tests.cluster.cache_tree import sha256_of
from tests.cluster.harness import make_key
from tests.cluster.network import Namespace
from tests.cluster.waiting import wait_until

PEERS, ENDPOINT, SWARM = 8376, 8377, 8378
# A holder hashes what it finds in the background: on a busy machine that waits.
MEET_S, RUN_S = 180, 900
SLOWER = 10


@dataclass(frozen=True)
class Plan:
    """`slow`: the last wanter has a tenth of the others' link. `zones`: the second half of the
    wanters hangs on a bridge of its own, joined to the first by one link. `swarm`: the repo is
    public, and where several nodes want it, it goes by the swarm."""

    wanters: int
    holders: int = 1
    keyed: bool = True
    slow: bool = False
    zones: bool = False
    swarm: bool = False


class Site:
    """A context manager. Holders are h1 …, wanters n1 …"""

    def __init__(self, folder: Path, repo: Repo, plan: Plan, line: Line) -> None:
        self.folder, self.repo, self.plan = folder, repo, plan
        self.network = LimitedNetwork(plan.keyed, line)
        self.nodes: dict[str, Namespace] = {}
        self.agents: dict[str, Agent] = {}
        self.holders = [f"h{number + 1}" for number in range(plan.holders)]
        self.wanters = [f"n{number + 1}" for number in range(plan.wanters)]
        self._stack = ExitStack()

    def __enter__(self) -> "Site":
        try:
            self._stack.enter_context(self.network)
            self.folder.mkdir()
            self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self._stack.callback(self._end)
            self._build()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _end(self) -> None:
        for agent in self.agents.values():
            if agent.running:
                agent.kill9()

    def _build(self) -> None:
        if self.plan.zones:
            self.network.join("west", "east")
        key = make_key(self.folder / "key") if self.plan.keyed else None
        for name in (*self.holders, *self.wanters):
            slower = SLOWER if self.plan.slow and name == self.wanters[-1] else 1
            self.nodes[name] = self.network.add(name, self._bridge(name), slower)
        for name in self.nodes:
            self.agents[name] = agent = Agent(
                name,
                self.folder / name,
                listen=f"{self._address(name)}:{PEERS}",
                endpoint=f"127.0.0.1:{ENDPOINT}",
                join=[f"{self._address(one)}:{PEERS}" for one in self.holders if one != name],
                key_file=key,
                prefix=self.nodes[name].prefix,
            )
            agent.options = self._options(agent)
            if name in self.holders:
                self.repo.show_in(agent.hub_cache)
        for agent in self.agents.values():
            agent.start()
        for agent in self.agents.values():
            agent.wait_ready(MEET_S)
        for name, agent in self.agents.items():
            wait_until(lambda: self._knows(name), MEET_S, f"{name} sees all nodes and all copies")

    def _options(self, agent: Agent) -> list[str]:
        options = ["--zone", self._bridge(agent.name)] if self.plan.zones else []
        if self.plan.swarm:
            options += ["--swarm", f"{self._address(agent.name)}:{SWARM}", "--swarm-nodes", "2"]
            config = agent.folder / "roost.toml"
            config.write_text(
                f'[[root]]\npath = "{agent.hub_cache}"\nlayout = "hub"\nvisibility = "public"\n'
            )
            options += ["--config", str(config)]
        return options

    def _bridge(self, name: str) -> str:
        if not self.plan.zones:
            return "lan"
        return "east" if name in self.wanters[len(self.wanters) // 2 :] else "west"

    def _address(self, name: str) -> str:
        return self.network.address(self.nodes[name])

    def _knows(self, name: str) -> bool:
        nodes = self.agents[name].nodes()
        count = len(self.repo.sizes)
        return (
            set(nodes) == set(self.agents)
            and all(node["state"] in ("ready", "warming") for node in nodes.values())
            and all(nodes[one]["check_bytes_left"] == 0 for one in self.holders)
            and all(
                self.agents[name].files_at(one, self.repo.name) == count for one in self.holders
            )
        )

    # -- one run -----------------------------------------------------------------------------------

    def order(self, by: str, nodes: list[str]) -> dict[str, Any]:
        job: dict[str, Any] = self.agents[by].roost_json(
            "warm",
            self.repo.name,
            *("--nodes", ",".join(nodes), "--from", "cluster"),
            timeout_s=RUN_S,
        )
        assert job["state"] == "done", job
        return job

    def order_and_go_on(self, by: str, nodes: list[str]) -> str:
        """The job's id."""
        done = self.agents[by].roost(
            "warm",
            self.repo.name,
            *("--nodes", ",".join(nodes), "--from", "cluster", "--no-wait", "--quiet"),
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def job(self, by: str, id: str) -> dict[str, Any]:
        document: dict[str, Any] = self.agents[by].roost_json("jobs", id)
        return document

    def sent_counts(self) -> dict[str, int]:
        counts = {name: self.network.sent(self.nodes[name]) for name in self.holders}
        if self.plan.zones:
            counts["crossed"] = self.network.crossed("east")
        return counts

    def sent_since(self, before: Mapping[str, int]) -> tuple[int, int]:
        """Of all holders, by their interfaces; and over the boundary."""
        now = self.sent_counts()
        crossed = now.pop("crossed", 0) - before.get("crossed", 0)
        return sum(now[name] - before[name] for name in now), crossed

    def told(self) -> int:
        """Content bytes that the holders that still run say that they sent."""
        running = [name for name in self.holders if self.agents[name].running]
        return sum(self.agents[name].nodes()[name]["peer_bytes_out"] for name in running)

    def arrived(self, name: str) -> bool:
        return len(self.repo.blobs_in(self.agents[name].hub_cache)) == len(
            set(self.repo.digests.values())
        )

    def seconds_of(self, began: float, names: list[str]) -> dict[str, float]:
        return {
            name: self.repo.arrived(self.agents[name].hub_cache) - began for name in names
        }

    def assert_right(self, names: list[str]) -> None:
        for name in names:
            for blob in self.repo.blobs_in(self.agents[name].hub_cache):
                assert sha256_of(blob) == blob.name, f"{blob} of {name} is wrong"
