"""What a node tells its peers about its cache: soon, truly, and no longer than it is true."""

from __future__ import annotations

import json
from typing import Callable

import pytest

from tests.clients import load
from tests.cluster.cache_tree import repo_folder, snapshot_files, tree_digest
from tests.cluster.conftest import TINY
from tests.cluster.harness import Cluster
from tests.cluster.test_main_path import VERSIONS, fill
from tests.cluster.waiting import wait_until
from tests.hub import Hub

ADVERT_S = 1.0  # from a file's landing on one node to its place in `where` on another


@pytest.mark.quick
@pytest.mark.parametrize("version", VERSIONS)
def test_a_download_is_known_to_the_cluster_within_a_second(
    version: str, hub: Hub, tiny: str, clusters: Callable[..., Cluster]
) -> None:
    a, b = clusters(2, hub_url=hub.url)
    assert b.where("org/tiny") == {}

    a.run_client(load.snapshot("org/tiny"), version, endpoint=hub.url)

    wait_until(
        lambda: b.files_at("a", "org/tiny") == len(TINY), ADVERT_S, "b knows that a holds org/tiny"
    )
    assert b.where("org/tiny")["a"]["commit"] == tiny
    assert b.where("org/tiny")["a"]["bytes"] == sum(map(len, TINY.values()))


@pytest.mark.quick
def test_what_was_there_before_the_agent_is_advertised(
    hub: Hub, tiny: str, clusters: Callable[..., Cluster]
) -> None:
    a, b = clusters(2, hub_url=hub.url)
    a.stop()
    a.run_client(load.snapshot("org/tiny"), endpoint=hub.url)

    a.start().wait_ready()

    wait_until(lambda: b.holds_all_of("a", "org/tiny"), 10, "b knows what a held at its start")


@pytest.mark.quick
def test_what_hf_cache_rm_removes_disappears_and_stays_away(
    hub: Hub, tiny: str, clusters: Callable[..., Cluster]
) -> None:
    a, b, c = clusters(3, hub_url=hub.url)
    fill(a, hub, "org/tiny")
    a.warm("org/tiny", "--nodes", "b")

    removed = b.hf("cache", "rm", "model/org/tiny", "--yes")
    assert removed.returncode == 0, removed.stderr
    wait_until(lambda: "b" not in a.where("org/tiny"), ADVERT_S, "a knows that b removed org/tiny")

    # Everything that could bring it back: another node gets it, and the agent starts anew.
    a.warm("org/tiny", "--nodes", "c")
    b.stop()
    b.start().wait_ready()
    wait_until(lambda: b.holds_all_of("c", "org/tiny"), 10, "b knows its peers again")
    assert "b" not in a.where("org/tiny")
    assert tree_digest(b.hub_cache) == {}


@pytest.mark.quick
def test_a_second_revision_is_fetched_as_a_difference(
    hub: Hub, tiny: str, clusters: Callable[..., Cluster]
) -> None:
    a, b = clusters(2, hub_url=hub.url)
    fill(a, hub, "org/tiny")
    a.warm("org/tiny", "--nodes", "b")
    blobs = repo_folder(b.hub_cache, "org/tiny") / "blobs"
    before = {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in blobs.iterdir()}
    hub.reset_stats()

    second = hub.commit("org/tiny", {"config.json": b'{"model_type": "gpt"}\n'})
    a.run_client(load.snapshot("org/tiny"), endpoint=hub.url)
    wait_until(
        lambda: a.where("org/tiny").get("a", {}).get("commit") == second,
        5,
        "a noticed the new revision",
    )
    a.warm("org/tiny", "--nodes", "b")

    after = {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in blobs.iterdir()}
    assert before.items() <= after.items(), "shared blobs were not written again"
    assert len(after) == len(before) + 1
    assert set(snapshot_files(b.hub_cache, "org/tiny", second)) == set(TINY)
    assert snapshot_files(b.hub_cache, "org/tiny", tiny) == TINY, "the old revision is whole"
    assert hub.egress_bytes == len(b'{"model_type": "gpt"}\n')


class TestPartialSnapshot:
    """A holds one file of several."""

    @pytest.fixture
    def pair(self, hub: Hub, tiny: str, clusters: Callable[..., Cluster]) -> Cluster:
        cluster = clusters(2, hub_url=hub.url)
        a, b = cluster
        a.run_client(load.one_file("org/tiny", "model.safetensors"), endpoint=hub.url)
        wait_until(lambda: "a" in b.where("org/tiny"), 5, "b knows that a holds a part of org/tiny")
        return cluster

    @pytest.mark.quick
    def test_is_told_as_partial(self, pair: Cluster) -> None:
        held = pair["b"].where("org/tiny")["a"]
        assert held["complete"] is False
        assert held["files"] == 1

    @pytest.mark.quick
    def test_is_not_passed_off_as_complete_without_a_hub(
        self, pair: Cluster, hub: Hub, tiny: str
    ) -> None:
        hub.fault("refuse")
        b = pair["b"]

        done = b.roost("warm", "org/tiny", "--nodes", "b", "--from", "cluster")

        said = done.stdout + done.stderr
        assert done.returncode == 10, f"exit {done.returncode}: {said}"
        assert "completeness unknown" in said
        assert not b.holds_all_of("b", "org/tiny")
        assert not list(repo_folder(b.hub_cache, "org/tiny").glob("trees/*")), (
            "a list that nobody vouches for"
        )

    @pytest.mark.quick
    def test_is_completed_from_the_hub_without_a_second_download(
        self, pair: Cluster, hub: Hub, tiny: str
    ) -> None:
        b = pair["b"]

        b.warm("org/tiny", "--nodes", "b")

        assert snapshot_files(b.hub_cache, "org/tiny", tiny) == TINY
        assert hub.egress_bytes == sum(map(len, TINY.values())), "what a holds came from a"


@pytest.mark.quick
def test_a_download_in_progress_is_not_advertised(
    hub: Hub, clusters: Callable[..., Cluster]
) -> None:
    hub.add_repo("org/slow", files={"model.safetensors": b"\1" * 65536})
    stalled = hub.fault("stall", origin="cdn", after_bytes=1000)
    a, b = clusters(2, hub_url=hub.url)
    # The old client writes into blobs/ETAG.incomplete and leaves that behind when its time runs
    # out.
    a.hf("download", "org/slow", version="hub036", endpoint=hub.url, HF_HUB_DOWNLOAD_TIMEOUT="1")
    hub.clear_fault(stalled)

    assert not b.holds_all_of("a", "org/slow")
    assert json.dumps(b.roost_json("status")).count("incomplete") == 0
