"""Agents with folders of their own on one file system: what one holds the others copy there."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Callable, Iterator

import pytest

from tests.cluster.agent import Agent
from tests.cluster.cache_tree import assert_no_wrong_blob, snapshot_files
from tests.cluster.endpoint import counted
from tests.cluster.harness import Cluster
from tests.cluster.waiting import wait_until
from tests.hub import Hub

REPO = "org/wide"
SIZE = 48 << 20
KNOWN_S = 10
COPIED = 'roost_transfer_bytes_total{way="copied_from_peers"}'
FROM_PEERS = 'roost_transfer_bytes_total{way="from_peers"}'
Clusters = Callable[..., Cluster]


@pytest.fixture
def files() -> dict[str, bytes]:
    return {"config.json": b'{"model_type": "bert"}\n', "model.safetensors": os.urandom(SIZE + 999)}


@pytest.fixture
def commit(hub: Hub, files: dict[str, bytes]) -> str:
    return hub.add_repo(REPO, files=files)


def near(cluster: Cluster) -> None:
    for agent in cluster.agents:
        agent.link_only = False


def warm_first(cluster: Cluster) -> tuple[Agent, list[Agent]]:
    a, *others = cluster.agents
    a.warm(REPO, "--nodes", "a")
    for agent in others:
        wait_until(lambda: agent.holds_all_of("a", REPO), KNOWN_S, f"{agent.name} knows of it")
    return a, others


def warm_others(cluster: Cluster) -> list[Agent]:
    a, others = warm_first(cluster)
    a.warm(REPO, "--nodes", ",".join(agent.name for agent in others))
    return others


def test_pieces_are_copied_and_verified(
    hub: Hub, commit: str, files: dict[str, bytes], clusters: Clusters
) -> None:
    others = warm_others(clusters(3, hub_url=hub.url, prepare=near))
    for agent in others:
        assert snapshot_files(agent.hub_cache, REPO, commit) == files
        assert_no_wrong_blob(agent.hub_cache)
    assert sum(counted(agent, COPIED) for agent in others) > SIZE / 2


@pytest.mark.parametrize("who", ("a", "b"))
def test_link_only_at_either_end_sends_all(
    who: str, hub: Hub, commit: str, files: dict[str, bytes], clusters: Clusters
) -> None:
    def prepare(cluster: Cluster) -> None:
        near(cluster)
        cluster[who].link_only = True

    (b,) = warm_others(clusters(2, hub_url=hub.url, prepare=prepare))
    assert snapshot_files(b.hub_cache, REPO, commit) == files
    assert counted(b, COPIED) == 0 and counted(b, FROM_PEERS) > SIZE


@pytest.fixture
def xfs(tmp_path: Path) -> Iterator[Path]:
    image, folder = tmp_path / "xfs.img", tmp_path / "xfs"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(1 << 30)
    subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", str(image)], check=True)
    done = subprocess.run(
        ["mount", "-o", "loop", str(image), str(folder)], capture_output=True, text=True
    )
    if done.returncode != 0:
        pytest.skip(f"this machine mounts no XFS from a file: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.root
def test_where_the_file_system_shares_blocks_a_copy_takes_no_room(
    xfs: Path, hub: Hub, commit: str, files: dict[str, bytes], clusters: Clusters
) -> None:
    def prepare(cluster: Cluster) -> None:
        near(cluster)
        for agent in cluster.agents:
            agent.options = ["--hub-cache", str(xfs / agent.name)]

    a, others = warm_first(clusters(3, hub_url=hub.url, prepare=prepare))
    os.sync()
    before = os.statvfs(xfs)
    # One after the other: two at once exchange stripes, of files that nobody verified yet.
    for agent in others:
        a.warm(REPO, "--nodes", agent.name)
    os.sync()
    after = os.statvfs(xfs)
    taken = (before.f_bfree - after.f_bfree) * after.f_frsize
    copied = sum(counted(agent, COPIED) for agent in others)
    assert copied > SIZE
    # What came before the holder's file was known, and the file system's own.
    assert taken < 2 * SIZE - copied + (16 << 20), f"{taken} bytes taken, {copied} copied"
    for agent in others:
        assert snapshot_files(xfs / agent.name, REPO, commit) == files
        agent.stop()
    a.stop()
