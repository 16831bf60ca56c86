"""A client and its agent share one cache: what the client downloads is written once, by the client,
and the agent holds it afterwards."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path
from typing import Callable, Iterator

import pytest

from tests.clients.drive import drive, missing
from tests.clients.repos import digests
from tests.cluster.agent import Agent
from tests.cluster.cache_tree import assert_no_scan_warnings, assert_nothing_torn
from tests.cluster.endpoint import ask, file_path
from tests.cluster.harness import Cluster
from tests.cluster.waiting import wait_until
from tests.hub import Hub

REPO = "org/shards"
MIB = 1 << 20
ADVERT_S = 10
# They take their lock before they ask for the first byte. The others are seen a moment after the
# fetch has begun, and what came until then is on the disk twice for a while.
LOCKING = ("hub2", "hub1", "hub036")
ALL = (*LOCKING, "rust", "js")


def large_file(path: Path, mib: int, seed: int) -> Path:
    """Every MiB of it is another."""
    block = bytearray(os.urandom(MIB))
    with path.open("wb") as file:
        for number in range(mib):
            block[:16] = seed.to_bytes(8, "big") + number.to_bytes(8, "big")
            file.write(block)
    return path


def shards(folder: Path, mib: int) -> dict[str, bytes | Path]:
    folder.mkdir(exist_ok=True)
    return {
        "config.json": b'{"model_type": "bert"}\n',
        "model-1.safetensors": large_file(folder / "1", mib, 1),
        "model-2.safetensors": large_file(folder / "2", mib - 3, 2),
    }


def size_of(files: dict[str, bytes | Path]) -> int:
    return sum(f.stat().st_size if isinstance(f, Path) else len(f) for f in files.values())


def right(files: dict[str, bytes | Path]) -> dict[str, str]:
    return digests(
        {name: f.read_bytes() if isinstance(f, Path) else f for name, f in files.items()}
    )


def written_bytes(agent: Agent) -> int:
    """What this process has given to the disk, less what it took back in time."""
    assert agent.process is not None
    lines = Path(f"/proc/{agent.process.pid}/io").read_text().splitlines()
    fields = {name: int(value) for name, _, value in (line.partition(": ") for line in lines)}
    return fields["write_bytes"] - fields["cancelled_write_bytes"]


def disk_bytes(folder: Path) -> int:
    return sum(
        path.lstat().st_blocks * 512 for path in folder.rglob("*") if not path.is_symlink()
    )


@pytest.fixture
def files(tmp_path: Path) -> dict[str, bytes | Path]:
    return shards(tmp_path / "content", 96)


@pytest.fixture
def hub(files: dict[str, bytes | Path]) -> Iterator[Hub]:
    with Hub() as hub:
        hub.add_repo(REPO, files=files)
        yield hub


def wait_held(agent: Agent) -> None:
    # Not every client leaves a list of all files there is, by which the agent would call it complete.
    wait_until(
        lambda: agent.files_at(agent.name, REPO) == 3, ADVERT_S, f"{agent.name} holds {REPO}"
    )


def load(client: str, agent: Agent, files: dict[str, bytes | Path]) -> None:
    if why := missing(client):
        pytest.skip(f"{client} cannot be run here: {why}")
    got = drive(
        client,
        "snapshot",
        home=agent.home,
        repo=REPO,
        endpoint=agent.endpoint_url,
        files=tuple(files) if client in ("js", "rust") else (),
    )
    assert got.ok, f"{client}: {got.error}: {got.text}"
    assert got.files == right(files)


@pytest.mark.parametrize(
    "client",
    [pytest.param(c, marks=[pytest.mark.slow] if c in ("hub1", "rust") else []) for c in ALL],
)
def test_of_a_cold_repo_there_is_one_copy(
    client: str, hub: Hub, files: dict[str, bytes | Path], clusters: Callable[..., Cluster]
) -> None:
    (agent,) = clusters(1, hub_url=hub.url)
    before = written_bytes(agent)

    load(client, agent, files)

    wait_held(agent)
    size = size_of(files)
    if client in LOCKING:
        assert written_bytes(agent) - before <= 0.1 * size
    assert disk_bytes(agent.hub_cache) <= 1.02 * size
    assert hub.egress_bytes <= 1.05 * size
    assert_nothing_torn(agent.hub_cache)
    assert_no_scan_warnings("hub2", agent.client_environment())


@pytest.mark.quick
@pytest.mark.parametrize("client", ("hub2", "hub036"))
def test_of_what_a_peer_holds_there_is_one_copy(
    client: str, hub: Hub, files: dict[str, bytes | Path], clusters: Callable[..., Cluster]
) -> None:
    a, b = clusters(2, hub_url=hub.url, key=True)
    a.warm(REPO, "--nodes", "self")
    wait_until(lambda: b.holds_all_of("a", REPO), ADVERT_S, "b knows that a has it")
    hub.fault("refuse")
    before = written_bytes(b)

    load(client, b, files)

    wait_held(b)
    size = size_of(files)
    assert written_bytes(b) - before <= 0.1 * size
    assert disk_bytes(b.hub_cache) <= 1.02 * size
    assert b.roost("verify", REPO).returncode == 0


def test_what_one_client_reads_slowly_others_get_at_once(
    hub: Hub, files: dict[str, bytes | Path], clusters: Callable[..., Cluster]
) -> None:
    """A peer's warm goes through a node whose own client stands still in the middle."""
    a, b = clusters(2, hub_url=hub.url)
    (a.hub_cache / "models--org--shards/blobs").mkdir(parents=True)
    etag = right(files)["model-1.safetensors"]
    incomplete = a.hub_cache / f"models--org--shards/blobs/{etag}.incomplete"
    with subprocess.Popen(
        ["curl", "-sf", "--limit-rate", "2M", "-o", str(incomplete),
         f"{a.endpoint_url}/{REPO}/resolve/main/model-1.safetensors"]
    ) as client:
        try:
            wait_until(incomplete.exists, 10, "the client has begun")
            b.warm(REPO, "--nodes", "self")
            assert client.poll() is None, "it was to be slower than the warm"
            assert b.holds_all_of("b", REPO)
        finally:
            client.kill()
    assert hub.egress_bytes <= 1.05 * size_of(files)


@pytest.mark.quick
def test_without_publishing_the_clients_cache_is_left_alone(
    hub: Hub, files: dict[str, bytes | Path], clusters: Callable[..., Cluster]
) -> None:
    (agent,) = clusters(1, hub_url=hub.url, options=("--endpoint-publish", "false"))
    path = file_path(REPO, "model-1.safetensors")
    wanted = hashlib.sha256(Path(files["model-1.safetensors"]).read_bytes()).hexdigest()  # type: ignore[arg-type]

    for _ in range(2):
        reply = ask(agent.endpoint, "GET", path)
        assert hashlib.sha256(reply.body).hexdigest() == wanted

    assert hub.egress_bytes <= 1.05 * len(reply.body), "the second time it was here"
    assert not [path for path in agent.hub_cache.rglob("*") if path.is_file()]
    assert (agent.state / "hub/models--org--shards/blobs" / wanted).exists()


@pytest.mark.root
class TestSmallDisk:
    """The disk has room for 1.3 times the model."""

    MIB = 640

    @pytest.fixture
    def files(self, tmp_path: Path) -> dict[str, bytes | Path]:
        return shards(tmp_path / "content", self.MIB)

    @pytest.fixture
    def small_disk(self, files: dict[str, bytes | Path]) -> Iterator[Callable[[Agent], None]]:
        mounted: list[Path] = []

        def mount(agent: Agent) -> None:
            agent.stop()
            agent.hub_cache.mkdir(parents=True, exist_ok=True)
            size = f"size={int(1.3 * size_of(files))},mode=0755"
            subprocess.run(
                ["mount", "-t", "tmpfs", "-o", size, "roost-test", str(agent.hub_cache)], check=True
            )
            mounted.append(agent.hub_cache)
            agent.start().wait_ready()

        yield mount
        for path in mounted:
            subprocess.run(["umount", "--lazy", str(path)], check=False)

    @pytest.mark.parametrize(
        "client", ("hub2", pytest.param("hub036", marks=pytest.mark.slow), "js")
    )
    def test_is_enough_for_a_cold_repo(
        self,
        client: str,
        hub: Hub,
        files: dict[str, bytes | Path],
        clusters: Callable[..., Cluster],
        small_disk: Callable[[Agent], None],
    ) -> None:
        (agent,) = clusters(1, hub_url=hub.url)
        small_disk(agent)
        load(client, agent, files)
        wait_held(agent)
        assert hub.egress_bytes <= 1.05 * size_of(files)
        agent.stop()  # before its file system goes

    def test_is_enough_for_what_a_peer_holds(
        self,
        hub: Hub,
        files: dict[str, bytes | Path],
        clusters: Callable[..., Cluster],
        small_disk: Callable[[Agent], None],
    ) -> None:
        a, b = clusters(2, hub_url=hub.url)
        small_disk(b)
        a.warm(REPO, "--nodes", "self")
        wait_until(lambda: b.holds_all_of("a", REPO), ADVERT_S, "b knows that a has it")
        hub.fault("refuse")
        load("hub2", b, files)
        wait_held(b)
        b.stop()
