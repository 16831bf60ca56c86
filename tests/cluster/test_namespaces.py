"""Three nodes with networks of their own: two interfaces on one, IPv6 alone on another, the key
on."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

import pytest

from tests.clients import load
from tests.clients.run import client_environment
from tests.clients.setup import model_folder, python
from tests.cluster.agent import Agent
from tests.cluster.cache_tree import assert_nothing_torn, tree_digest
from tests.cluster.harness import make_key
from tests.cluster.network import Namespace, Network
from tests.cluster.waiting import wait_until
from tests.hub.process import HubProcess

pytestmark = pytest.mark.root

PEERS, ENDPOINT = 8376, 8377
HUB_NAME = "hub.test"
ADDRESSES = {"a": ("10.99.0.1", "fd99::1"), "b": ("10.99.0.2", "fd99::2"), "c": (None, "fd99::3")}


@dataclass
class Site:
    hub: HubProcess
    agents: dict[str, Agent]

    @property
    def hub_url(self) -> str:
        return f"http://{HUB_NAME}:{self.hub.port}"


@pytest.fixture
def site() -> Iterator[Site]:
    """a has IPv4 and IPv6. b has its default network, which nobody else reaches, and a second
    interface on the others' one. c has IPv6 alone. The hub has both; everybody knows it by the same
    name."""
    folder = Path(tempfile.mkdtemp(prefix="roost-", dir="/tmp"))
    agents: dict[str, Agent] = {}
    with Network(hosts={HUB_NAME: ["10.99.0.254", "fd99::fe"]}) as network:
        hub_node = network.node("hub", {"lan": ["10.99.0.254/24", "fd99::fe/64"]})
        nodes = {
            "a": network.node("a", {"lan": ["10.99.0.1/24", "fd99::1/64"]}),
            "b": network.node(
                "b", {"storage": ["10.50.0.2/24"], "lan": ["10.99.0.2/24", "fd99::2/64"]}
            ),
            "c": network.node("c", {"lan": ["fd99::3/64"]}),
        }
        repo = f"org/mini={model_folder()}"
        with HubProcess("--host", "::", "--repo", repo, prefix=hub_node.prefix) as hub:
            site = Site(hub, agents)
            try:
                key = make_key(folder / "key")
                for name, node in nodes.items():
                    agents[name] = make_agent(name, node, folder, site.hub_url, key)
                    agents[name].start()
                for agent in agents.values():
                    agent.wait_ready()
                for agent in agents.values():
                    wait_until(
                        lambda: set(agent.nodes()) == set(nodes), 30, f"{agent.name} sees all nodes"
                    )
                yield site
                for agent in agents.values():
                    agent.stop()
            finally:
                for agent in agents.values():
                    if agent.running:
                        agent.kill9()
                    print(f"---- agent {agent.name}\n{agent.log[-4000:]}")
                shutil.rmtree(folder, ignore_errors=True)


def make_agent(name: str, node: Namespace, folder: Path, hub_url: str, key: Path) -> Agent:
    """a is the seed. c reaches it by IPv6, b by IPv4; b names the interface that others are to
    use."""
    seed = f"[fd99::1]:{PEERS}" if name == "c" else f"10.99.0.1:{PEERS}"
    return Agent(
        name,
        folder / name,
        hub_url=hub_url,
        listen=f"[::]:{PEERS}",
        endpoint=f"127.0.0.1:{ENDPOINT}",
        join=() if name == "a" else (seed,),
        key_file=key,
        options=("--advertise", "eth1") if name == "b" else (),
        prefix=node.prefix,
    )


def download(agent: Agent, site: Site, repo: str) -> None:
    """Runs the real client in the agent's own network."""
    command = [*agent.prefix, str(python("hub2")), "-c", load.snapshot(repo)]
    env = client_environment(agent.home, site.hub_url)
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.quick
def test_the_model_reaches_every_node(site: Site) -> None:
    a, b, c = site.agents.values()
    download(a, site, "org/mini")
    wait_until(lambda: b.holds_all_of("a", "org/mini"), 5, "b knows that a holds the model")

    a.warm("org/mini", "--nodes", "b,c")

    for node in (b, c):
        for version in ("hub2", "hub036"):
            assert node.run_client(load.model("org/mini"), version)["tensors"] > 0
        assert tree_digest(node.hub_cache) == tree_digest(a.hub_cache)
        assert_nothing_torn(node.hub_cache)
    stats = site.hub.stats()
    assert stats["egress_bytes"] == sum(
        p.stat().st_size for p in model_folder().rglob("*") if p.is_file()
    )
    assert stats["token_leaks"] == 0


def test_a_node_without_the_key_gets_nothing(site: Site) -> None:
    a, b, _ = site.agents.values()
    download(a, site, "org/mini")
    b.stop()
    b.key_file = make_key(b.folder / "another-key")
    b.start().wait_ready()

    done = b.roost("warm", "org/mini", "--nodes", "b", "--from", "cluster")

    assert done.returncode != 0
    assert tree_digest(b.hub_cache) == {}
    assert a.nodes()["b"]["state"] in ("suspected", "gone")
