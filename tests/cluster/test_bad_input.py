"""Exit codes and sentences for what can't be done, and an agent that stays well whatever comes
in."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Callable, Iterator

import pytest

from tests.cluster.agent import Agent, roost_binary
from tests.cluster.cache_tree import tree_digest
from tests.cluster.conftest import TINY
from tests.cluster.harness import Cluster
from tests.cluster.ports import free_port
from tests.cluster.test_main_path import fill
from tests.hub import Hub

OK, ERROR, USAGE, NOT_FOUND, NOT_ALLOWED, HUB_DOWN = 0, 1, 2, 3, 4, 5
NO_AGENT = 9

pytestmark = pytest.mark.quick


@pytest.fixture
def agent(hub: Hub, tiny: str, clusters: Callable[..., Cluster]) -> Agent:
    return clusters(1, hub_url=hub.url)["a"]


@pytest.fixture(scope="module")
def standing_hub() -> Iterator[Hub]:
    with Hub() as hub:
        hub.add_repo("org/tiny", files=TINY)
        yield hub


@pytest.fixture(scope="module")
def standing(standing_hub: Hub) -> Iterator[Agent]:
    """One agent for all tests that leave it as it was."""
    with Cluster(1, hub_url=standing_hub.url) as cluster:
        yield cluster["a"]


@pytest.fixture
def lone(hub: Hub) -> Iterator[Agent]:
    """An agent that was never started."""
    with tempfile.TemporaryDirectory(prefix="roost-", dir="/tmp") as folder:
        yield Agent("lone", Path(folder, "n"), hub_url=hub.url)


def assert_refused(agent: Agent, code: int, *arguments: str, naming: str) -> None:
    done = agent.roost(*arguments)
    said = (
        done.stdout + done.stderr
    )  # a job that ran and failed is data, and says why; a refusal is a message
    assert done.returncode == code, f"exit {done.returncode}: {said}"
    assert naming in said, f"the sentence does not name {naming!r}: {said}"


class TestUnknownThings:
    def test_repo(self, standing: Agent) -> None:
        assert_refused(standing, NOT_FOUND, "warm", "org/none", naming="org/none")

    def test_revision(self, standing: Agent) -> None:
        assert_refused(standing, NOT_FOUND, "warm", "org/tiny", "--revision", "v77", naming="v77")

    def test_file(self, standing: Agent) -> None:
        assert_refused(standing, NOT_FOUND, "get", "org/tiny", "none.txt", naming="none.txt")

    def test_where(self, standing: Agent) -> None:
        assert_refused(standing, NOT_FOUND, "where", "org/none", naming="org/none")

    def test_node(self, standing: Agent) -> None:
        assert_refused(
            standing, NOT_FOUND, "warm", "org/tiny", "--nodes", "gpu-77", naming="gpu-77"
        )

    def test_job(self, standing: Agent) -> None:
        assert_refused(standing, NOT_FOUND, "jobs", "77", naming="77")

    def test_option(self, standing: Agent) -> None:
        assert_refused(standing, USAGE, "warm", "org/tiny", "--nonsense", naming="nonsense")

    def test_command(self, standing: Agent) -> None:
        assert_refused(standing, USAGE, "hatch", naming="hatch")


class TestHostileNames:
    @pytest.mark.parametrize(
        "repo",
        (
            "../etc",
            "org/..",
            "/etc/passwd",
            "org/name/more",
            "org/a--b",
            "org/" + "a" * 300,
            "org/a\nb",
            "",
        ),
    )
    def test_repo(self, standing: Agent, repo: str) -> None:
        done = standing.roost("warm", repo)
        assert done.returncode == USAGE, f"exit {done.returncode}: {done.stderr}"
        assert done.stderr.strip() and "\nb" not in done.stderr

    @pytest.mark.parametrize(
        "revision", ("../../x", "/abs", "a//b", "a" * 400, "a\x01b", "refs/../x")
    )
    def test_revision(self, standing: Agent, revision: str) -> None:
        done = standing.roost("warm", "org/tiny", "--revision", revision)
        assert done.returncode == USAGE, f"exit {done.returncode}: {done.stderr}"
        assert "\x01" not in done.stderr

    @pytest.mark.parametrize(
        "path", ("../../../evil", "/tmp/evil", "a/../../evil", "a\0b", "x/" + "a" * 300)
    )
    def test_path_that_the_hub_sends(self, path: str, agent: Agent, hub: Hub) -> None:
        hub.add_repo("org/evil", files={"config.json": b"{}", path: b"evil"})
        done = agent.roost("warm", "org/evil")

        assert done.returncode not in (OK, NO_AGENT), "a name that leaves its folder was taken"
        assert [
            p for p in agent.folder.rglob("*") if p.is_file() and p.read_bytes() == b"evil"
        ] == []
        assert not Path("/tmp/evil").exists()
        assert agent.roost("status").returncode == OK

    def test_folder_that_leads_out_of_the_cache(self, agent: Agent, tmp_path: Path) -> None:
        outside = tmp_path / "outside"
        outside.mkdir()
        agent.hub_cache.mkdir(parents=True, exist_ok=True)
        (agent.hub_cache / "models--org--tiny").symlink_to(outside)

        done = agent.roost("warm", "org/tiny")

        assert done.returncode not in (OK, NO_AGENT)
        assert list(outside.iterdir()) == []


class TestHubTrouble:
    def test_hub_down_is_exit_5(self, agent: Agent, hub: Hub) -> None:
        hub.fault("refuse")
        assert_refused(agent, HUB_DOWN, "warm", "org/tiny", naming=hub.url)

    def test_gated_repo_is_exit_4(self, agent: Agent, hub: Hub) -> None:
        hub.add_repo("org/gated", files=TINY, gated=True)
        assert_refused(agent, NOT_ALLOWED, "warm", "org/gated", naming="org/gated")
        assert tree_digest(agent.hub_cache) == {}

    def test_private_repo_looks_unknown(self, agent: Agent, hub: Hub) -> None:
        hub.add_repo("org/private", files=TINY, private=True)
        assert agent.roost("warm", "org/private").returncode in (NOT_FOUND, NOT_ALLOWED)

    def test_a_short_trouble_is_overcome(self, agent: Agent, hub: Hub) -> None:
        hub.fault("status", status=503, headers={"Retry-After": "1"}, times=1)
        agent.warm("org/tiny")

    def test_expired_addresses_are_asked_for_again(self, agent: Agent, hub: Hub) -> None:
        hub.fault("status", status=403, origin="cdn", times=1)
        agent.warm("org/tiny")


class TestNoAgent:
    @pytest.mark.parametrize(
        "command", ("status", "ls", "jobs", "warm org/tiny", "where org/tiny", "get org/tiny")
    )
    def test_is_exit_9_and_says_how_to_start_one(self, lone: Agent, command: str) -> None:
        done = lone.roost(*command.split())
        assert done.returncode == NO_AGENT, f"exit {done.returncode}: {done.stderr}"
        assert "roost agent" in done.stderr


class TestDoors:
    def test_open_door_without_a_key_is_refused(self, lone: Agent) -> None:
        lone.listen = f"0.0.0.0:{free_port()}"
        done = subprocess.run(
            lone.command(), capture_output=True, text=True, timeout=10, env=os.environ
        )
        assert done.returncode == USAGE, f"exit {done.returncode}: {done.stderr}"
        assert "roost key" in done.stderr

    def test_second_agent_on_the_same_state_says_so(self, agent: Agent) -> None:
        second = Agent("b", agent.folder, hub_url="none")
        done = subprocess.run(
            second.command(), capture_output=True, text=True, timeout=10, env=os.environ
        )
        assert done.returncode != OK
        assert str(agent.state) in done.stderr

    def test_unknown_key_in_the_file_names_the_nearest(self, lone: Agent) -> None:
        config = lone.folder / "roost.toml"
        config.write_text('lissten = "127.0.0.1:1"\n')
        command = [
            str(roost_binary()),
            "agent",
            "--config",
            str(config),
            "--state-dir",
            str(lone.state),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, env=os.environ)
        assert done.returncode == USAGE, f"exit {done.returncode}: {done.stderr}"
        assert "lissten" in done.stderr and "listen" in done.stderr.replace("lissten", "")


class TestPeerPort:
    """Whatever comes in: that connection ends, memory stays bounded, the agent goes on."""

    GROWTH_BYTES_MAX = 64 << 20
    GARBAGE = {
        "text": b"GET / HTTP/1.1\r\n\r\n" * 100,
        "zeros": b"\0" * 65536,
        "ones": b"\xff" * 65536,
        "a huge message": (0).to_bytes(4, "little")
        + (0x7FFFFFFF).to_bytes(4, "little")
        + b"\1" * 65536,
        "many segments": (0xFFFFFFF0).to_bytes(4, "little") + b"\1" * 65536,
        "a TLS hello, cut": bytes.fromhex("16030100f0010000ec0303") + b"\1" * 40,
    }

    @pytest.mark.parametrize("key", (False, True), ids=("plain", "key"))
    def test_garbage(
        self, key: bool, hub: Hub, tiny: str, clusters: Callable[..., Cluster]
    ) -> None:
        a, b = clusters(2, hub_url=hub.url, key=key)
        fill(a, hub, "org/tiny")
        before = a.rss_bytes()

        for _ in range(20):
            for garbage in self.GARBAGE.values():
                send_and_close(a, garbage)

        assert a.rss_bytes() - before < self.GROWTH_BYTES_MAX
        a.warm("org/tiny", "--nodes", "b")

    @pytest.mark.parametrize("key", (False, True), ids=("plain", "key"))
    def test_connections_that_never_read(
        self, key: bool, hub: Hub, tiny: str, clusters: Callable[..., Cluster]
    ) -> None:
        a, b = clusters(2, hub_url=hub.url, key=key)
        fill(a, hub, "org/tiny")
        before = a.rss_bytes()
        silent = [connect(a) for _ in range(200)]

        a.warm("org/tiny", "--nodes", "b")

        assert a.rss_bytes() - before < self.GROWTH_BYTES_MAX
        for connection in silent:
            connection.close()

    def test_a_stopped_peer_does_not_hold_the_others_up(
        self, hub: Hub, tiny: str, clusters: Callable[..., Cluster]
    ) -> None:
        a, b, c = clusters(3, hub_url=hub.url)
        fill(a, hub, "org/tiny")
        assert c.process is not None
        c.process.send_signal(signal.SIGSTOP)
        try:
            a.warm("org/tiny", "--nodes", "b")
        finally:
            c.process.send_signal(signal.SIGCONT)


def connect(agent: Agent) -> socket.socket:
    host, _, port = agent.listen.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=5)


def send_and_close(agent: Agent, data: bytes) -> None:
    with connect(agent) as connection:
        try:
            connection.sendall(data)
        except OSError:
            pass  # the agent ended the connection first, which is its right
