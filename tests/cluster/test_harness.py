"""The harness itself, without agents: what it says of caches, networks and processes is true."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.clients import load
from tests.clients.run import client_environment, run_code
from tests.clients.setup import model_folder, python
from tests.cluster.cache_tree import (
    assert_no_scan_warnings,
    assert_nothing_torn,
    snapshot_files,
    tree_digest,
)
from tests.cluster.conftest import TINY
from tests.cluster.network import Network
from tests.cluster.waiting import wait_until
from tests.hub import Hub
from tests.hub.process import HubProcess

pytestmark = pytest.mark.quick


def hub_cache_of(home: Path) -> Path:
    return home / ".cache/huggingface/hub"


@pytest.fixture
def cache(tmp_path: Path, hub: Hub, tiny: str) -> Path:
    """A cache that a real client filled."""
    assert (
        run_code(
            "hub2", load.snapshot("org/tiny"), client_environment(tmp_path, hub.url)
        ).returncode
        == 0
    )
    return hub_cache_of(tmp_path)


def test_both_clients_fill_caches_that_compare_equal(cache: Path, tmp_path: Path, hub: Hub) -> None:
    other = tmp_path / "other"
    assert (
        run_code("hub036", load.snapshot("org/tiny"), client_environment(other, hub.url)).returncode
        == 0
    )
    assert tree_digest(cache) == tree_digest(hub_cache_of(other)) != {}


def test_snapshot_files_are_the_hubs(cache: Path, tiny: str) -> None:
    assert snapshot_files(cache, "org/tiny", tiny) == TINY


def test_torn_blob_is_found(cache: Path) -> None:
    assert_nothing_torn(cache)
    blob = max(cache.glob("*/blobs/*"), key=lambda path: path.stat().st_size)
    blob.write_bytes(blob.read_bytes()[:-1])
    with pytest.raises(AssertionError, match="does not have the hash"):
        assert_nothing_torn(cache)


def test_link_to_nothing_is_found(cache: Path) -> None:
    next(cache.glob("*/blobs/*")).unlink()
    with pytest.raises(AssertionError, match="link to nothing"):
        assert_nothing_torn(cache)


def test_scan_warning_is_found(cache: Path, tmp_path: Path) -> None:
    assert_no_scan_warnings("hub2", client_environment(tmp_path))
    (cache / "stray").mkdir()
    with pytest.raises(AssertionError, match="warns"):
        assert_no_scan_warnings("hub2", client_environment(tmp_path))


def test_waiting_has_an_end_that_says_for_what() -> None:
    with pytest.raises(AssertionError, match="the moon"):
        wait_until(lambda: False, 0.05, "the moon")


def test_real_model_loads_with_both_clients(tmp_path: Path, hub: Hub, mini: Path) -> None:
    for version in ("hub2", "hub036"):
        done = run_code(
            version, load.model("org/mini"), client_environment(tmp_path / version, hub.url)
        )
        assert done.returncode == 0, done.stderr
    assert hub.egress_bytes == 2 * sum(
        path.stat().st_size for path in mini.rglob("*") if path.is_file()
    )


@pytest.mark.root
class TestNetwork:
    def test_nodes_reach_each_other_where_they_share_a_bridge(self) -> None:
        with Network() as network:
            a = network.node("a", {"lan": ["10.99.0.1/24", "fd99::1/64"]})
            network.node("b", {"storage": ["10.50.0.2/24"], "lan": ["10.99.0.2/24", "fd99::2/64"]})
            reached = {
                address: self.ping(a.prefix, address)
                for address in ("10.99.0.2", "fd99::2", "10.50.0.2")
            }
        assert reached == {"10.99.0.2": True, "fd99::2": True, "10.50.0.2": False}

    def test_nothing_is_left(self) -> None:
        before = subprocess.run(["ip", "netns", "list"], capture_output=True).stdout
        with Network() as network:
            network.node("a", {"lan": ["10.99.0.1/24"]})
        assert subprocess.run(["ip", "netns", "list"], capture_output=True).stdout == before

    def test_real_client_downloads_by_ipv6_alone(self, tmp_path: Path) -> None:
        with Network(hosts={"hub.test": ["10.99.0.254", "fd99::fe"]}) as network:
            hub_node = network.node("hub", {"lan": ["10.99.0.254/24", "fd99::fe/64"]})
            node = network.node("c", {"lan": ["fd99::3/64"]})
            with HubProcess(
                "--host", "::", "--repo", f"org/mini={model_folder()}", prefix=hub_node.prefix
            ) as hub:
                environment = client_environment(tmp_path, f"http://hub.test:{hub.port}")
                command = [*node.prefix, str(python("hub2")), "-c", load.snapshot("org/mini")]
                done = subprocess.run(
                    command, env=environment, capture_output=True, text=True, timeout=120
                )
                assert done.returncode == 0, done.stderr
                assert hub.stats()["egress_bytes"] > 90_000_000

    @staticmethod
    def ping(prefix: tuple[str, ...], address: str) -> bool:
        """Whether a TCP connection is answered, be it by a refusal."""
        code = (
            "import socket, sys\n"
            "try: socket.create_connection((sys.argv[1], 9), timeout=2)\n"
            "except ConnectionRefusedError: pass\n"
            "except OSError: sys.exit(1)\n"
        )
        return subprocess.run([*prefix, str(python("hub2")), "-c", code, address]).returncode == 0
