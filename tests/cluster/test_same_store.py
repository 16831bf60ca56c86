"""Agents that see the same folder: one hashes it, tells of it and writes it, and the next takes its
place."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import Callable

import pytest

from tests.clients import load
from tests.cluster.agent import Agent
from tests.cluster.cache_tree import assert_nothing_torn, snapshot_files
from tests.cluster.conftest import TINY
from tests.cluster.harness import Cluster
from tests.cluster.waiting import wait_until
from tests.hub import Hub

TAKEOVER_S = 15  # three silent seconds, then the adverts' way; the rest is a busy machine
HASHED_S = 60  # hashing is idle work: on a busy machine it waits for everything else
TINY_BYTES = sum(map(len, TINY.values()))


def pair_on(clusters: Callable[..., Cluster], hub: Hub, *options: str) -> tuple[Agent, Agent]:
    """Two agents that see the same folders: the one that looks after them, and the other."""
    agents = list(clusters(2, hub_url=hub.url, options=options))
    ids = {name: node["id"] for name, node in agents[0].nodes().items()}
    first, second = sorted(agents, key=lambda agent: str(ids[agent.name]))
    return first, second


def download(agent: Agent, hub: Hub, folder: Path, repo: str = "org/tiny") -> None:
    agent.run_client(load.snapshot(repo), endpoint=hub.url, HF_HUB_CACHE=str(folder))


def hashed(agent: Agent) -> int:
    """How many files this agent has hashed, of those that were not new then: it remembers these."""
    with tempfile.TemporaryDirectory(prefix="roost-") as folder:
        for file in agent.state.glob("index.db*"):  # the agent keeps its own locked
            shutil.copy(file, folder)
        index = sqlite3.connect(Path(folder, "index.db"))
        try:
            return int(index.execute("SELECT count(*) FROM trust").fetchone()[0])
        finally:
            index.close()


def holders(agent: Agent, repo: str = "org/tiny") -> list[tuple[str, bool]]:
    """Who has the repo, and whether complete, as this agent sees it."""
    return [(name, bool(node["complete"])) for name, node in agent.where(repo).items()]


def wait_for_holder(agents: list[Agent], holder: Agent, timeout_s: float = TAKEOVER_S) -> None:
    for agent in agents:
        wait_until(
            lambda: holders(agent) == [(holder.name, True)],
            timeout_s,
            f"{agent.name} knows {holder.name} as the only holder",
        )


def wait_until_hashed(agent: Agent) -> None:
    wait_until(lambda: hashed(agent) == len(TINY), HASHED_S, f"{agent.name} has hashed all files")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "hub"


@pytest.mark.quick
def test_one_of_two_agents_hashes_and_tells(
    folder: Path, hub: Hub, tiny: str, clusters: Callable[..., Cluster]
) -> None:
    first, second = pair_on(clusters, hub, "--hub-cache", str(folder))
    for agent in (first, second):
        agent.stop()
    download(second, hub, folder)

    for agent in (first, second):
        agent.start()

    wait_for_holder([first.wait_ready(), second.wait_ready()], first)
    wait_until_hashed(first)
    wait_until(lambda: first.nodes()[first.name]["check_bytes_left"] == 0, 5, "all is checked")
    assert hashed(second) == 0
    for agent in (first, second):
        cluster = agent.roost_json("status")["cluster"]
        assert cluster["unique_bytes"] == cluster["held_bytes"] == TINY_BYTES
        wait_until(
            lambda: sum(node["blobs"] for node in agent.nodes().values()) == len(TINY),
            5,
            f"{agent.name} knows that one of them counts the blobs",
        )
    assert second.roost_json("ls")["repos"], "it sees what lies in its folder"
    done = second.roost("get", "org/tiny", "--from", "cluster")
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(folder)


@pytest.mark.quick
def test_what_any_of_them_sees_arrive_is_told_by_one(
    folder: Path, hub: Hub, tiny: str, clusters: Callable[..., Cluster]
) -> None:
    first, second = pair_on(clusters, hub, "--hub-cache", str(folder))

    download(second, hub, folder)

    wait_for_holder([first, second], first)
    second.hf("cache", "rm", "model/org/tiny", "--yes", HF_HUB_CACHE=str(folder))
    for agent in (first, second):
        wait_until(lambda: not holders(agent), TAKEOVER_S, f"{agent.name} knows that it is gone")


@pytest.mark.quick
def test_the_next_takes_the_place_of_one_that_died(
    folder: Path, hub: Hub, tiny: str, clusters: Callable[..., Cluster]
) -> None:
    first, second = pair_on(clusters, hub, "--hub-cache", str(folder))
    download(first, hub, folder)
    wait_for_holder([first, second], first)

    first.kill9()

    wait_until(
        lambda: second.holds_all_of(second.name, "org/tiny"), TAKEOVER_S, "the other tells of it"
    )
    wait_until_hashed(second)
    first.start().wait_ready()
    wait_for_holder([first, second], first)


@pytest.mark.quick
def test_a_warm_of_both_downloads_and_writes_once(
    folder: Path, hub: Hub, tiny: str, clusters: Callable[..., Cluster]
) -> None:
    first, second = pair_on(clusters, hub, "--hub-cache", str(folder))

    job = second.warm("org/tiny", "--nodes", "all")

    assert {node["state"] for node in job["nodes"]} == {"done"}
    assert hub.egress_bytes == TINY_BYTES
    assert snapshot_files(folder, "org/tiny", tiny) == TINY
    assert_nothing_torn(folder)
    wait_for_holder([first, second], first)
    assert hashed(second) == 0


def test_a_folder_that_appears_later_is_told_by_one(
    tmp_path: Path, hub: Hub, tiny: str, clusters: Callable[..., Cluster]
) -> None:
    later = tmp_path / "later" / "hub"
    first, second = pair_on(clusters, hub, "--root", f"{later}:hub")
    assert not later.exists(), "each agent has a folder of its own to write to"

    download(second, hub, later)

    wait_for_holder([first, second], first)


class TestConfiguredRoots:
    """[[root]] of roost.toml, to its effect."""

    @staticmethod
    def configured(cluster: Cluster, roots: dict[str, str]) -> None:
        """Starts the agents again, with these [[root]] tables."""
        for name, text in roots.items():
            agent = cluster[name]
            file = agent.folder / "roost.toml"
            file.write_text(text)
            agent.stop()
            agent.options = ("--config", str(file))
            agent.start().wait_ready()
        cluster.wait_together()

    @pytest.mark.quick
    def test_folders_with_one_store_name_are_one(
        self, tmp_path: Path, hub: Hub, tiny: str, clusters: Callable[..., Cluster]
    ) -> None:
        cluster = clusters(2, hub_url=hub.url)
        a, b = cluster
        mounts = {"a": tmp_path / "mount-a", "b": tmp_path / "mount-b"}
        for agent in (a, b):  # the same files, as two machines see one server
            download(agent, hub, mounts[agent.name])

        self.configured(
            cluster,
            {
                name: f'[[root]]\npath = "{path}"\nlayout = "hub"\nstore = "nas"\n'
                for name, path in mounts.items()
            },
        )

        ids = {name: node["id"] for name, node in a.nodes().items()}
        wait_for_holder([a, b], cluster[min(ids, key=lambda name: str(ids[name]))])

    @pytest.mark.quick
    def test_a_root_that_is_not_to_be_written_is_served_only(
        self, tmp_path: Path, hub: Hub, tiny: str, clusters: Callable[..., Cluster]
    ) -> None:
        hub.add_repo("org/other", files={"config.json": b"{}"})
        cluster = clusters(2, hub_url=hub.url)
        a, b = cluster
        download(b, hub, b.hub_cache)
        before = sorted(b.hub_cache.rglob("*"))

        self.configured(
            cluster, {"b": f'[[root]]\npath = "{b.hub_cache}"\nlayout = "hub"\nwrite = false\n'}
        )
        b.warm("org/other", "--nodes", "b")
        hub.reset_stats()
        a.warm("org/tiny", "--nodes", "a")

        assert sorted(b.hub_cache.rglob("*")) == before
        assert b.holds_all_of("b", "org/other")
        assert hub.egress_bytes == 0, "a got it from b"

    @pytest.mark.quick
    def test_one_agents_two_folders_count_once(
        self, tmp_path: Path, hub: Hub, tiny: str, clusters: Callable[..., Cluster]
    ) -> None:
        cluster = clusters(2, hub_url=hub.url)
        a, b = cluster
        second = tmp_path / "second"
        for folder in (a.hub_cache, second):
            download(a, hub, folder)

        self.configured(cluster, {"a": f'[[root]]\npath = "{second}"\nlayout = "hub"\n'})

        wait_until(lambda: b.holds_all_of("a", "org/tiny"), 10, "b knows what a holds")
        wait_until(lambda: b.nodes()["a"]["blobs"] == len(TINY), 10, "a counts each blob once")
        node = b.nodes()["a"]
        assert node["held_bytes"] == TINY_BYTES
        assert b.where("org/tiny")["a"]["files"] == len(TINY)
        held = b.roost_json("status")["cluster"]
        assert held["held_bytes"] == TINY_BYTES

    @pytest.mark.quick
    def test_a_blob_of_another_folder_on_the_same_disk_is_linked(
        self, tmp_path: Path, hub: Hub, tiny: str, clusters: Callable[..., Cluster]
    ) -> None:
        cluster = clusters(2, hub_url=hub.url)
        a = cluster["a"]
        second = a.folder / "second"
        download(a, hub, second)
        self.configured(cluster, {"a": f'[[root]]\npath = "{second}"\nlayout = "hub"\n'})
        wait_until(lambda: hashed(a) == len(TINY), HASHED_S, "a trusts what it found")
        hub.reset_stats()

        a.warm("org/tiny", "--nodes", "a")

        blobs = {path.name: path.stat() for path in second.rglob("blobs/*")}
        linked = {path.name: path.stat() for path in a.hub_cache.rglob("blobs/*")}
        assert set(blobs) == set(linked)
        assert all(os.path.samestat(blobs[name], linked[name]) for name in blobs)
        assert hub.egress_bytes == 0
