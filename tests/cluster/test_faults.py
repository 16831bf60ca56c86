"""Processes die, disks fill, bytes rot: nothing torn is visible, and nothing is downloaded
twice."""

from __future__ import annotations

import random
import subprocess
import time
from pathlib import Path
from typing import Callable, Iterator

import pytest

from tests.cluster.agent import Agent
from tests.cluster.cache_tree import assert_nothing_torn, repo_folder, snapshot_files, tree_digest
from tests.cluster.conftest import TINY
from tests.cluster.harness import Cluster
from tests.cluster.scale import rounds
from tests.cluster.test_main_path import fill
from tests.cluster.waiting import wait_until
from tests.hub import Hub

MIB = 1 << 20
BIG_BYTES = 256 * MIB
HUB_RATE = 8 * MIB  # per connection: slow enough that a kill finds the download under way
RESUME_S = 60
VERIFICATION_FAILED, DISK_FULL = 6, 7


@pytest.fixture(scope="module")
def big_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repo of one large file and some small ones, the same in every run."""
    folder = tmp_path_factory.mktemp("big")
    noise = random.Random(1)
    with (folder / "model.safetensors").open("wb") as writer:
        for _ in range(BIG_BYTES // MIB):
            writer.write(noise.randbytes(MIB))
    for n in range(20):
        (folder / f"part-{n}.json").write_bytes(b"{}" * n)
    return folder


@pytest.fixture
def big(hub: Hub, big_folder: Path) -> str:
    return hub.add_repo("org/big", files=big_folder)


def remove_from(agent: Agent, repo: str) -> None:
    done = agent.hf("cache", "rm", f"model/{repo}", "--yes")
    assert done.returncode == 0, done.stderr
    wait_until(lambda: agent.name not in agent.where(repo), 5, f"{agent.name} withdrew {repo}")


def begin_warm(agent: Agent, repo: str, *arguments: str) -> None:
    done = agent.roost("warm", repo, "--no-wait", *arguments)
    assert done.returncode == 0, done.stderr


def wait_complete(agent: Agent, repo: str) -> None:
    wait_until(
        lambda: agent.holds_all_of(agent.name, repo), RESUME_S, f"{agent.name} has all of {repo}"
    )


def assert_same_as(agent: Agent, source: Path, commit: str, repo: str = "org/big") -> None:
    top = repo_folder(agent.hub_cache, repo) / "snapshots" / commit
    subprocess.run(["diff", "--recursive", str(source), str(top)], check=True, timeout=60)


class TestKilled:
    def test_receiver_at_random_points(
        self, hub: Hub, big: str, big_folder: Path, clusters: Callable[..., Cluster]
    ) -> None:
        a, b, c = clusters(3, hub_url=hub.url)
        fill(a, hub, "org/big")
        began = time.monotonic()
        a.warm("org/big", "--nodes", "c")
        whole_s = time.monotonic() - began  # how long it takes undisturbed; kills fall within

        for seed in rounds(usual=5, long=50):
            print(f"replay with ROOST_TEST_SEED={seed}")
            begin_warm(b, "org/big", "--nodes", "b")
            time.sleep(
                random.Random(seed).uniform(0, whole_s)
            )  # the random point, not an order of events
            b.kill9()
            assert_nothing_torn(b.hub_cache)
            b.start().wait_ready()
            wait_complete(b, "org/big")
            assert_same_as(b, big_folder, big)
            remove_from(b, "org/big")
        assert hub.egress_bytes == sum(p.stat().st_size for p in big_folder.iterdir())

    def test_receiver_resumes_what_it_had(
        self, hub: Hub, big: str, big_folder: Path, clusters: Callable[..., Cluster]
    ) -> None:
        a = clusters(1, hub_url=hub.url)["a"]
        hub.rate = HUB_RATE
        begin_warm(a, "org/big")
        wait_until(lambda: hub.egress_bytes > BIG_BYTES // 2, RESUME_S, "half of it is there")
        a.kill9()
        assert_nothing_torn(a.hub_cache)

        hub.rate = None
        a.start().wait_ready()
        wait_complete(a, "org/big")

        assert_same_as(a, big_folder, big)
        assert hub.egress_bytes < 1.25 * BIG_BYTES, (
            "the half that was there was not asked for again"
        )

    def test_holder_is_replaced_by_another(
        self, hub: Hub, big: str, big_folder: Path, clusters: Callable[..., Cluster]
    ) -> None:
        a, b, c = clusters(3, hub_url=hub.url)
        fill(a, hub, "org/big")
        a.warm("org/big", "--nodes", "c")
        for seed in rounds(usual=3, long=30):
            print(f"replay with ROOST_TEST_SEED={seed}")
            begin_warm(b, "org/big", "--nodes", "b")
            time.sleep(
                random.Random(seed).uniform(0, 0.2)
            )  # the random point, not an order of events
            a.kill9()
            wait_complete(b, "org/big")
            assert_same_as(b, big_folder, big)
            a.start().wait_ready()
            remove_from(b, "org/big")
        assert hub.egress_bytes == sum(p.stat().st_size for p in big_folder.iterdir())

    def test_leaseholder_is_followed_by_another(
        self, hub: Hub, big: str, big_folder: Path, clusters: Callable[..., Cluster]
    ) -> None:
        hub.rate = HUB_RATE
        cluster = clusters(3, hub_url=hub.url)
        begin_warm(cluster["a"], "org/big", "--nodes", "b,c")
        cdn_port = int(hub.cdn_url.rpartition(":")[2])
        wait_until(lambda: hub.egress_bytes > BIG_BYTES // 3, RESUME_S, "a third has left the hub")
        downloading = [node for node in cluster if node.has_connection_to(cdn_port)]
        assert len(downloading) == 1, "one node downloads for all"

        leaseholder = downloading[0]
        leaseholder.kill9()
        hub.rate = None
        survivor = next(node for node in (cluster["b"], cluster["c"]) if node is not leaseholder)
        wait_complete(survivor, "org/big")

        assert_same_as(survivor, big_folder, big)
        leaseholder.start().wait_ready()
        wait_complete(leaseholder, "org/big")
        assert_nothing_torn(leaseholder.hub_cache)
        total = sum(p.stat().st_size for p in big_folder.iterdir())
        assert hub.egress_bytes <= 1.05 * total, f"{hub.egress_bytes / total:.3f} times the bytes"


class TestWrongBytes:
    @pytest.mark.quick
    def test_holder_with_rotten_bytes_is_passed_over(
        self, hub: Hub, tiny: str, clusters: Callable[..., Cluster]
    ) -> None:
        a, b, c = clusters(3, hub_url=hub.url)
        fill(a, hub, "org/tiny")
        a.warm("org/tiny", "--nodes", "c")
        flip_a_bit(a, "org/tiny", tiny, "model.safetensors")

        b.warm("org/tiny", "--nodes", "b", "--from", "cluster")

        assert snapshot_files(b.hub_cache, "org/tiny", tiny) == TINY
        assert_nothing_torn(b.hub_cache)

    @pytest.mark.quick
    def test_rotten_bytes_that_a_client_took_are_never_given_on(
        self, hub: Hub, tiny: str, clusters: Callable[..., Cluster]
    ) -> None:
        hub.fault("corrupt", path="model.safetensors", at=MIB)
        a, b = clusters(2, hub_url=hub.url)
        taken = a.hf("download", "org/tiny", endpoint=hub.url)  # clients do not check
        assert taken.returncode == 0, taken.stderr

        done = b.roost("warm", "org/tiny", "--nodes", "b", "--from", "cluster")

        assert done.returncode != 0
        assert_nothing_torn(b.hub_cache)

    @pytest.mark.quick
    def test_when_every_source_is_wrong_it_is_exit_6(
        self, hub: Hub, tiny: str, clusters: Callable[..., Cluster]
    ) -> None:
        hub.fault("corrupt", path="model.safetensors", at=MIB)
        b = clusters(1, hub_url=hub.url)["a"]

        done = b.roost("warm", "org/tiny")

        said = done.stdout + done.stderr
        assert done.returncode == VERIFICATION_FAILED, f"exit {done.returncode}: {said}"
        assert "model.safetensors" in said
        assert_nothing_torn(b.hub_cache)

    @pytest.mark.quick
    def test_verify_names_the_rotten_file(
        self, hub: Hub, tiny: str, clusters: Callable[..., Cluster]
    ) -> None:
        a = clusters(1, hub_url=hub.url)["a"]
        fill(a, hub, "org/tiny")
        assert a.roost("verify", "org/tiny").returncode == 0
        flip_a_bit(a, "org/tiny", tiny, "model.safetensors")

        found = a.roost("verify", "org/tiny")

        assert found.returncode == VERIFICATION_FAILED, f"exit {found.returncode}: {found.stderr}"
        assert "model.safetensors" in found.stdout


@pytest.mark.root
class TestFullDisk:
    SIZE_MIB = 64

    @pytest.fixture
    def small_disk(self) -> Iterator[Callable[[Agent], None]]:
        """Mounts a small file system where an agent's client keeps its cache."""
        mounted: list[Path] = []

        def mount(agent: Agent) -> None:
            agent.hub_cache.mkdir(parents=True, exist_ok=True)
            size = f"size={self.SIZE_MIB}m,mode=0755"
            subprocess.run(
                ["mount", "-t", "tmpfs", "-o", size, "roost-test", str(agent.hub_cache)], check=True
            )
            mounted.append(agent.hub_cache)

        yield mount
        for path in mounted:
            subprocess.run(["umount", "--lazy", str(path)], check=False)

    @pytest.mark.quick
    def test_is_exit_7_before_anything_is_downloaded(
        self,
        hub: Hub,
        big: str,
        clusters: Callable[..., Cluster],
        small_disk: Callable[[Agent], None],
    ) -> None:
        a = clusters(1, hub_url=hub.url)["a"]
        a.stop()
        small_disk(a)
        a.start().wait_ready()

        done = a.roost("warm", "org/big")

        said = done.stdout + done.stderr
        assert done.returncode == DISK_FULL, f"exit {done.returncode}: {said}"
        assert "268" in said, f"no word of the 268 MB that are needed: {said}"
        assert hub.egress_bytes == 0
        assert tree_digest(a.hub_cache) == {}
        a.stop()  # before its file system goes

    @pytest.mark.quick
    def test_leaves_the_other_nodes_alone(
        self,
        hub: Hub,
        big: str,
        big_folder: Path,
        clusters: Callable[..., Cluster],
        small_disk: Callable[[Agent], None],
    ) -> None:
        a, b, c = clusters(3, hub_url=hub.url)
        fill(a, hub, "org/big")
        b.stop()
        small_disk(b)
        b.start().wait_ready()

        done = a.roost("warm", "org/big", "--nodes", "b,c")

        assert done.returncode != 0
        wait_complete(c, "org/big")
        assert_same_as(c, big_folder, big)
        assert_nothing_torn(b.hub_cache)
        b.stop()  # before its file system goes


def flip_a_bit(agent: Agent, repo: str, commit: str, path: str) -> None:
    """Rot: one bit of the file changes where it lies."""
    blob = (repo_folder(agent.hub_cache, repo) / "snapshots" / commit / path).resolve()
    with blob.open("r+b") as file:
        file.seek(MIB)
        byte = file.read(1)
        file.seek(MIB)
        file.write(bytes([byte[0] ^ 1]))
