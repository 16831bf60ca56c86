"""The main job: what real clients put into one node's cache, other nodes get from it and load
offline."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Iterator

import pytest

from tests.clients import load
from tests.cluster.agent import Agent
from tests.cluster.cache_tree import (
    assert_no_scan_warnings,
    assert_nothing_torn,
    snapshot_files,
    tree_digest,
)
from tests.cluster.conftest import TINY
from tests.cluster.harness import Cluster
from tests.cluster.waiting import wait_until
from tests.hub import Hub

VERSIONS = ("hub2", "hub036")
NOTICED_S = 5


def fill(agent: Agent, hub: Hub, repo: str, version: str = "hub2", type: str = "model") -> str:
    """Downloads a repo with a real client and waits until the agent has noticed; returns the
    snapshot's folder."""
    folder: str = agent.run_client(load.snapshot(repo, type), version, endpoint=hub.url)
    arguments = () if type == "model" else ("--type", type)
    # By number: the old client leaves no list of the commit's files from which completeness could
    # be known.
    files = sum(path.is_file() for path in Path(folder).rglob("*"))
    wait_until(
        lambda: agent.files_at(agent.name, repo, *arguments) == files,
        NOTICED_S,
        f"{agent.name} notices {repo}",
    )
    return folder


def sizes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.quick
@pytest.mark.parametrize("filler", VERSIONS)
def test_real_model_reaches_other_nodes_and_loads_offline(
    filler: str, hub: Hub, mini: Path, clusters: Callable[..., Cluster]
) -> None:
    a, b, c = clusters(3, hub_url=hub.url, key=True)
    fill(a, hub, "org/mini", filler)

    a.warm("org/mini", "--nodes", "b,c")

    for node in (b, c):
        assert_no_scan_warnings("hub036", node.client_environment())
        assert_no_scan_warnings("hub2", node.client_environment())
        for version in VERSIONS:
            loaded = node.run_client(load.model("org/mini"), version)
            assert loaded["tensors"] > 0 and loaded["words"] > 0
        assert tree_digest(node.hub_cache) == tree_digest(a.hub_cache)
        assert_nothing_torn(node.hub_cache)
    assert hub.egress_bytes == sizes(mini), "the hub served each byte once"


@pytest.mark.quick
def test_files_are_byte_equal_to_the_hubs(
    hub: Hub, tiny: str, clusters: Callable[..., Cluster]
) -> None:
    a, b = clusters(2, hub_url=hub.url)
    fill(a, hub, "org/tiny")

    a.warm("org/tiny", "--nodes", "b")

    assert snapshot_files(b.hub_cache, "org/tiny", tiny) == TINY


@pytest.mark.quick
@pytest.mark.parametrize("type", ("dataset", "space"))
def test_other_repo_types_take_the_same_way(
    type: str, hub: Hub, clusters: Callable[..., Cluster]
) -> None:
    files = {"README.md": b"# about\n", "data/train.parquet": b"PAR1" * 4096}
    commit = hub.add_repo("org/thing", type=type, files=files)
    a, b = clusters(2, hub_url=hub.url)
    fill(a, hub, "org/thing", type=type)

    a.warm("org/thing", "--type", type, "--nodes", "b")

    for version in VERSIONS:
        b.run_client(load.snapshot("org/thing", type), version)
    assert snapshot_files(b.hub_cache, "org/thing", commit, type) == files
    assert hub.egress_bytes == sum(map(len, files.values()))


@pytest.mark.quick
def test_the_cluster_works_while_the_hub_is_down(
    hub: Hub, tiny: str, clusters: Callable[..., Cluster]
) -> None:
    a, b = clusters(2, hub_url=hub.url)
    fill(a, hub, "org/tiny")  # by hub2: its list of the commit's files is complete
    hub.fault("refuse")

    a.warm("org/tiny", "--nodes", "b")

    b.run_client(load.snapshot("org/tiny"))
    assert snapshot_files(b.hub_cache, "org/tiny", tiny) == TINY


@pytest.mark.quick
def test_what_the_cluster_lacks_is_downloaded_once_for_all(
    hub: Hub, tiny: str, clusters: Callable[..., Cluster]
) -> None:
    cluster = clusters(3, hub_url=hub.url)

    cluster["a"].warm("org/tiny", "--nodes", "all")

    for node in cluster:
        assert snapshot_files(node.hub_cache, "org/tiny", tiny) == TINY
    assert hub.egress_bytes == sum(map(len, TINY.values()))


@pytest.mark.quick
def test_get_prints_the_snapshot(hub: Hub, tiny: str, clusters: Callable[..., Cluster]) -> None:
    a, b = clusters(2, hub_url=hub.url)
    fill(a, hub, "org/tiny")

    done = b.roost("get", "org/tiny")

    assert done.returncode == 0, done.stderr
    snapshot = Path(done.stdout.strip())
    assert snapshot.name == tiny and (snapshot / "config.json").read_bytes() == TINY["config.json"]


class TestCacheCommands:
    """`hf cache ...` on a cache that an agent filled, as on one that the client filled itself."""

    @pytest.fixture(scope="class")
    def standing_hub(self) -> Iterator[Hub]:
        with Hub() as hub:
            hub.add_repo("org/tiny", files=TINY)
            yield hub

    @pytest.fixture(scope="class")
    def node(self, standing_hub: Hub) -> Iterator[Agent]:
        """A filled node for all tests that leave it as it was."""
        with Cluster(2, hub_url=standing_hub.url) as cluster:
            a, b = cluster
            fill(a, standing_hub, "org/tiny")
            a.warm("org/tiny", "--nodes", "b")
            yield b

    @pytest.mark.quick
    def test_ls_lists_the_repo(self, node: Agent) -> None:
        done = node.hf("cache", "ls", "-q")
        assert done.returncode == 0 and "model/org/tiny" in done.stdout, done.stdout + done.stderr

    @pytest.mark.quick
    def test_ls_lists_the_revision(self, node: Agent) -> None:
        commit = node.where("org/tiny")["b"]["commit"]
        done = node.hf("cache", "ls", "--revisions", "-q")
        assert commit in done.stdout, done.stdout + done.stderr

    @pytest.mark.quick
    def test_verify_finds_every_checksum_right(self, node: Agent, standing_hub: Hub) -> None:
        done = node.hf(
            "cache",
            "verify",
            "org/tiny",
            "--fail-on-missing-files",
            endpoint=standing_hub.url,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    @pytest.mark.quick
    def test_prune_finds_nothing_to_remove(self, node: Agent) -> None:
        before = tree_digest(node.hub_cache)
        assert before
        done = node.hf("cache", "prune", "--yes")
        assert done.returncode == 0, done.stderr
        assert tree_digest(node.hub_cache) == before

    def test_rm_removes_the_repo(
        self, hub: Hub, tiny: str, clusters: Callable[..., Cluster]
    ) -> None:
        a, b = clusters(2, hub_url=hub.url)
        fill(a, hub, "org/tiny")
        a.warm("org/tiny", "--nodes", "b")
        done = b.hf("cache", "rm", "model/org/tiny", "--yes")
        assert done.returncode == 0, done.stderr
        assert tree_digest(b.hub_cache) == {}
