"""The swarm lane with real agents: public content that many want comes by BitTorrent, and clients
outside the cluster get what `roost torrent` writes."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any, Callable

import pytest

from tests.clients.setup import missing_for, provide
from tests.cluster.agent import Agent
from tests.cluster.cache_tree import assert_no_wrong_blob, snapshot_files
from tests.cluster.endpoint import counted
from tests.cluster.harness import Cluster
from tests.cluster.ports import free_port
from tests.cluster.waiting import wait_until
from tests.hub import Hub

NOT_FOUND, NOT_ALLOWED, PARTIAL = 3, 4, 10
REPO = "org/wide"
SIZE = 96 << 20  # so that it is not over before the wanters know of one another
LANE_S = 60
CLIENT_S = 120
Clusters = Callable[..., Cluster]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def files() -> dict[str, bytes]:
    return {
        "config.json": b'{"model_type": "bert"}\n',
        "model.safetensors": os.urandom(SIZE + 12_345),
        "sub/small.bin": os.urandom(40_000),
        "empty.txt": b"",
    }


@pytest.fixture
def commit(hub: Hub, files: dict[str, bytes]) -> str:
    return hub.add_repo(REPO, files=files)


def swarming(*options: str) -> Callable[[Cluster], None]:
    """Gives each agent a swarm of its own port."""

    def prepare(cluster: Cluster) -> None:
        for agent in cluster.agents:
            agent.options = ["--swarm", f"127.0.0.1:{free_port()}", *options]

    return prepare


def swarm_address(agent: Agent) -> str:
    return agent.options[list(agent.options).index("--swarm") + 1]


def sources(job: dict[str, Any], node: str) -> dict[str, int]:
    target = next(entry for entry in job["nodes"] if entry["name"] == node)
    return {source["name"]: source["bytes"] for source in target["sources"]}


class TestAmongAgents:
    def test_a_blob_that_many_want_comes_by_the_swarm(
        self, hub: Hub, commit: str, files: dict[str, bytes], clusters: Clusters
    ) -> None:
        cluster = clusters(4, hub_url=hub.url, prepare=swarming("--swarm-nodes", "2"))
        a, *others = cluster.agents
        a.warm(REPO, "--nodes", "a")
        for agent in others:  # and that it is public
            wait_until(
                lambda: agent.holds_all_of("a", REPO), LANE_S, f"{agent.name} knows that a has it"
            )

        job = a.warm(REPO, "--nodes", "b,c,d")

        for agent in others:
            assert snapshot_files(agent.hub_cache, REPO, commit) == files
            assert_no_wrong_blob(agent.hub_cache)
        # Who begins before it hears of the others may have it all by the direct lane already.
        by_swarm = [agent.name for agent in others if sources(job, agent.name).get("swarm", 0) > 0]
        assert len(by_swarm) >= 2, job
        # Everybody counts what it gave: the holder less than one copy for each.
        wait_until(
            lambda: a.nodes()["a"]["peer_bytes_out"] > 0, LANE_S, "the holder says what it gave"
        )

    def test_where_few_want_it_stripes_are_taken(
        self, hub: Hub, commit: str, files: dict[str, bytes], clusters: Clusters
    ) -> None:
        cluster = clusters(3, hub_url=hub.url, prepare=swarming())
        a, b, c = cluster.agents
        a.warm(REPO, "--nodes", "a")
        job = a.warm(REPO, "--nodes", "b,c")
        assert "swarm" not in sources(job, "b") | sources(job, "c")
        assert snapshot_files(b.hub_cache, REPO, commit) == files

    def test_a_node_without_a_swarm_is_no_hindrance(
        self, hub: Hub, commit: str, files: dict[str, bytes], clusters: Clusters
    ) -> None:
        def prepare(cluster: Cluster) -> None:
            swarming("--swarm-nodes", "2")(cluster)
            cluster["d"].options = []

        cluster = clusters(4, hub_url=hub.url, prepare=prepare)
        a = cluster["a"]
        a.warm(REPO, "--nodes", "a")
        a.warm(REPO, "--nodes", "b,c,d")
        for agent in cluster.agents:
            assert snapshot_files(agent.hub_cache, REPO, commit) == files

    def test_private_content_never_goes_by_the_swarm(
        self, hub: Hub, files: dict[str, bytes], clusters: Clusters
    ) -> None:
        """What nobody called public either: these agents have no hub to ask."""
        cluster = clusters(3, prepare=swarming("--swarm-nodes", "2"))
        a, b, c = cluster.agents
        unknown = hub.add_repo("org/unknown", files=files)
        done = a.hf("download", "org/unknown", endpoint=hub.url)
        assert done.returncode == 0, done.stderr
        wait_until(lambda: a.holds_all_of("a", "org/unknown"), LANE_S, "a sees the download")
        done = a.roost("warm", "org/unknown", "--nodes", "b,c", "--json")
        assert done.returncode in (0, PARTIAL), done.stderr
        job = json.loads(done.stdout)
        assert "swarm" not in sources(job, "b") | sources(job, "c")
        assert snapshot_files(b.hub_cache, "org/unknown", unknown) == files


LIMIT = 800_000  # all of it would take longer than LANE_S
MEASURED_S = 8.0  # at least: some pieces
IN, OUT = 'roost_swarm_bytes_total{way="in"}', 'roost_swarm_bytes_total{way="out"}'
FROM_PEERS = 'roost_transfer_bytes_total{way="from_peers"}'
TO_PEERS = 'roost_transfer_bytes_total{way="to_peers"}'


class TestLimits:
    """Generous: only that a limit holds for what goes by the swarm too, and that lifting it is
    felt."""

    @pytest.mark.parametrize("what", ("download", "upload", "job"))
    def test_a_limit_holds_for_all_lanes_together_and_is_lifted(
        self, what: str, hub: Hub, commit: str, files: dict[str, bytes], clusters: Clusters
    ) -> None:
        cluster = clusters(3, hub_url=hub.url, prepare=swarming("--swarm-nodes", "2"))
        a, *wanters = cluster.agents
        a.warm(REPO, "--nodes", "a")
        for agent in wanters:
            wait_until(
                lambda: agent.holds_all_of("a", REPO), LANE_S, f"{agent.name} knows that a has it"
            )
        limits = () if what != "job" else ("--limit", f"{LIMIT}")
        for agent in wanters if what != "job" else ():
            agent.roost_json("limit", f"--{what}", f"{LIMIT}")
        job = a.roost_json("warm", REPO, "--nodes", "b,c", "--no-wait", *limits)["id"]

        moved, by_swarm = (TO_PEERS, OUT) if what == "upload" else (FROM_PEERS, IN)
        for agent in wanters:
            wait_until(
                lambda: counted(agent, by_swarm) > 0, LANE_S, f"the swarm of {agent.name} moves"
            )
        before, began = {one.name: counted(one, moved) for one in wanters}, time.monotonic()
        wait_until(lambda: time.monotonic() - began > MEASURED_S, LANE_S, "some seconds")
        for agent in wanters:
            bytes_moved = counted(agent, moved) - before[agent.name]
            assert bytes_moved < 1.5 * LIMIT * (time.monotonic() - began), agent.name
        assert a.roost_json("jobs", str(job))["state"] == "running"

        if what == "job":
            a.roost_json("limit", "--job", str(job), "none")
        for agent in wanters if what != "job" else ():
            agent.roost_json("limit", f"--{what}", "none")
        wait_until(
            lambda: a.roost_json("jobs", str(job))["state"] == "done", LANE_S, "the job ends"
        )
        for agent in wanters:
            assert snapshot_files(agent.hub_cache, REPO, commit) == files


@pytest.fixture(scope="session")
def client() -> Path:
    if why := missing_for("torrent"):
        pytest.skip(f"the torrent client cannot be run here: {why}")
    return provide("torrent")


def fetch(client: Path, what: str, peer: str, folder: Path) -> str:
    """The SHA-256 of what another make of client downloaded."""
    folder.mkdir()
    done = subprocess.run(
        [str(client), what, peer, str(folder)],
        capture_output=True,
        text=True,
        timeout=CLIENT_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class TestOutside:
    def test_another_make_of_client_gets_the_bytes(
        self, hub: Hub, commit: str, files: dict[str, bytes], clusters: Clusters, client: Path,
        tmp_path: Path,
    ) -> None:
        (a,) = clusters(1, hub_url=hub.url, prepare=swarming("--swarm-outside", "true")).agents
        a.warm(REPO)
        made = a.roost_json("torrent", REPO, "--out", str(tmp_path / "torrents"))
        assert made["commit"] == commit
        assert {file["path"] for file in made["files"]} == set(files) - {"empty.txt"}
        assert [entry["path"] for entry in made["skipped"]] == ["empty.txt"]
        for number, file in enumerate(made["files"]):
            torrent = tmp_path / "torrents" / f"{file['path']}.torrent"
            assert file["torrent"] == str(torrent)
            got = fetch(client, str(torrent), swarm_address(a), tmp_path / str(number))
            assert got == sha256(files[file["path"]])
        wait_until(
            lambda: a.nodes()["a"]["peer_bytes_out"] >= SIZE, LANE_S, "what it gave is counted"
        )

    def test_a_magnet_link_is_enough(
        self, hub: Hub, commit: str, files: dict[str, bytes], clusters: Clusters, client: Path,
        tmp_path: Path,
    ) -> None:
        (a,) = clusters(1, hub_url=hub.url, prepare=swarming("--swarm-outside", "true")).agents
        a.warm(REPO)
        links = a.roost("torrent", REPO, "--out", str(tmp_path / "torrents"), "-q").stdout.split()
        assert len(links) == len(files) - 1
        got = {fetch(client, link, "-", tmp_path / str(i)) for i, link in enumerate(links)}
        assert got == {sha256(data) for data in files.values() if data}

    def test_without_being_told_no_torrents_are_written(
        self, hub: Hub, commit: str, clusters: Clusters, tmp_path: Path
    ) -> None:
        a, b = clusters(2, hub_url=hub.url).agents
        a.warm(REPO, "--nodes", "a")
        refused = a.roost("torrent", REPO, "--out", str(tmp_path / "torrents"))
        assert refused.returncode == NOT_ALLOWED
        assert "--swarm" in refused.stderr
        assert not (tmp_path / "torrents").exists()

    def test_what_is_not_public_is_refused(
        self, hub: Hub, files: dict[str, bytes], clusters: Clusters, tmp_path: Path
    ) -> None:
        """Of a repo that nobody called public: the hub does not tell of it to anybody."""
        (a,) = clusters(1, hub_url=hub.url, prepare=swarming("--swarm-outside", "true")).agents
        hub.add_repo("org/secret", files=files, private=True)
        put_by_hand(a, "org/secret", files)
        refused = a.roost("torrent", "org/secret", "--out", str(tmp_path / "torrents"))
        assert refused.returncode == NOT_ALLOWED, refused.stderr
        assert "public" in refused.stderr
        assert not (tmp_path / "torrents").exists()

    def test_what_is_not_here_is_exit_3(self, hub: Hub, clusters: Clusters) -> None:
        (a,) = clusters(1, hub_url=hub.url, prepare=swarming("--swarm-outside", "true")).agents
        missing = a.roost("torrent", "org/nowhere")
        assert missing.returncode == NOT_FOUND
        assert "org/nowhere" in missing.stderr

    def test_outside_without_a_swarm_is_a_mistake(self, hub: Hub, tmp_path: Path) -> None:
        agent = Agent("a", tmp_path / "a", options=["--swarm-outside", "true"])
        done = subprocess.run(agent.command(), capture_output=True, text=True, timeout=CLIENT_S)
        assert done.returncode == 2
        assert "--swarm ADDR:PORT" in done.stderr


def put_by_hand(agent: Agent, repo: str, files: dict[str, bytes]) -> str:
    """A download that happened before there was an agent."""
    commit = sha256(repo.encode())[:40]
    top = agent.hub_cache / f"models--{repo.replace('/', '--')}"
    for name, content in files.items():
        blob = top / "blobs" / sha256(content)
        link = top / "snapshots" / commit / name
        blob.parent.mkdir(parents=True, exist_ok=True)
        link.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(content)
        link.symlink_to(os.path.relpath(blob, link.parent))
    (top / "refs").mkdir()
    (top / "refs/main").write_text(commit)
    wait_until(lambda: agent.holds_all_of(agent.name, repo) or agent.files_at(agent.name, repo) > 0,
               LANE_S, f"the agent sees {repo}")
    return commit
