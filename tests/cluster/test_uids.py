"""Whose files: the three set-ups, each with real uids that need no accounts.

personal   agent and clients are the same user
shared     one folder, one group, setgid; clients may delete and overwrite what the agent wrote
read-only  the agent serves a folder that it may not write
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import Callable, Iterator

import pytest

from tests.clients import load
from tests.clients.run import client_environment
from tests.clients.setup import cache_folder, python
from tests.cluster.agent import Agent, Identity, roost_binary
from tests.cluster.cache_tree import assert_nothing_torn, repo_folder, snapshot_files, tree_digest
from tests.cluster.conftest import TINY
from tests.cluster.ports import free_port
from tests.cluster.waiting import wait_until
from tests.hub import Hub

pytestmark = [pytest.mark.root, pytest.mark.quick]

GROUP = 61100
USER = Identity(61001, 61001, (GROUP,), umask=0o002)
SERVICE = Identity(61002, 61002, (GROUP,), umask=0o002)
STRANGER = Identity(61003, 61003)


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that every user reaches, with the program in it; agents made here end with the
    test."""
    if not reachable(python("hub2")):
        pytest.skip(
            f"other users can't reach {cache_folder()}; "
            "set ROOST_TEST_CACHE to a place outside of homes"
        )
    folder = Path(tempfile.mkdtemp(prefix="roost-", dir="/tmp"))
    folder.chmod(0o755)
    shutil.copy(roost_binary(), folder / "roost")
    monkeypatch.setenv("ROOST_BIN", str(folder / "roost"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def pair(
    place: Path, hub: Hub, request: pytest.FixtureRequest
) -> Iterator[Callable[..., tuple[Agent, Agent]]]:
    """Starts an ordinary agent a, of USER, and an agent b as told."""
    agents: list[Agent] = []

    def make(identity: Identity, *options: str) -> tuple[Agent, Agent]:
        listens = {name: f"127.0.0.1:{free_port()}" for name in "ab"}
        for name, who, other, extra in (("a", USER, "b", ()), ("b", identity, "a", options)):
            join = [listens[other]]
            agent = Agent(
                name,
                place / name,
                hub.url,
                listen=listens[name],
                join=join,
                identity=who,
                options=extra,
            )
            agents.append(agent.start())
        for agent in agents:
            agent.wait_ready()
        a, b = agents
        wait_until(
            lambda: {"a", "b"} <= set(a.nodes()) and {"a", "b"} <= set(b.nodes()),
            30,
            "a and b meet",
        )
        return a, b

    yield make
    try:
        for agent in agents:
            agent.stop()
    finally:
        for agent in agents:
            if agent.running:
                agent.kill9()
            print(f"---- agent {agent.name}\n{agent.log[-4000:]}")


def reachable(path: Path) -> bool:
    """Whether a user with no rights of his own could run this file."""
    probe = subprocess.run(["test", "-x", str(path)], **STRANGER.popen_arguments())
    return probe.returncode == 0


def run_as(
    who: Identity, code: str, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    command = [str(python("hub2")), "-c", code]
    return subprocess.run(
        command,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        **who.popen_arguments(),
    )


def download_as(agent: Agent, hub: Hub, repo: str) -> None:
    assert agent.identity
    done = run_as(agent.identity, load.snapshot(repo), client_environment(agent.home, hub.url))
    assert done.returncode == 0, done.stderr


def shared_folder(place: Path, gid: int = GROUP) -> Path:
    """What the package sets up: one folder for all users of a group."""
    home = place / "shared"
    for folder in (home, home / "hub"):
        folder.mkdir()
        os.chown(folder, 0, gid)
        folder.chmod(0o2775)
    return home / "hub"


def test_personal_agent_owns_what_it_writes_as_its_user_does(
    pair: Callable[..., tuple[Agent, Agent]], hub: Hub, tiny: str
) -> None:
    a, b = pair(STRANGER)
    download_as(a, hub, "org/tiny")
    wait_until(lambda: b.holds_all_of("a", "org/tiny"), 5, "b knows that a holds org/tiny")

    b.warm("org/tiny", "--nodes", "b")

    done = run_as(STRANGER, load.snapshot("org/tiny"), client_environment(b.home))
    assert done.returncode == 0, done.stderr
    owners = {(path.lstat().st_uid, path.lstat().st_gid) for path in b.hub_cache.rglob("*")}
    assert owners == {(STRANGER.uid, STRANGER.gid)}


class TestShared:
    @pytest.fixture
    def shared(
        self, place: Path, pair: Callable[..., tuple[Agent, Agent]], hub: Hub, tiny: str
    ) -> Path:
        """The shared folder of b, filled by b's agent, which is nobody's user."""
        folder = shared_folder(place)
        a, b = pair(SERVICE, "--hub-cache", str(folder))
        download_as(a, hub, "org/tiny")
        wait_until(lambda: b.holds_all_of("a", "org/tiny"), 5, "b knows that a holds org/tiny")
        b.warm("org/tiny", "--nodes", "b")
        return folder

    def environment(self, shared: Path, endpoint: str | None = None) -> dict[str, str]:
        home = shared.parent.parent / "user-home"
        home.mkdir(exist_ok=True)
        os.chown(home, USER.uid, USER.gid)
        return client_environment(home, endpoint, HF_HUB_CACHE=str(shared))

    def test_group_and_modes_are_the_folders(self, shared: Path) -> None:
        for path in repo_folder(shared, "org/tiny").rglob("*"):
            status = path.lstat()
            assert status.st_gid == GROUP, path
            if path.is_dir():
                assert stat.S_IMODE(status.st_mode) & 0o2770 == 0o2770, (
                    f"{path}: {status.st_mode:o}"
                )
            elif not path.is_symlink():
                assert stat.S_IMODE(status.st_mode) & 0o660 == 0o660, f"{path}: {status.st_mode:o}"

    def test_a_client_of_another_user_loads_it(self, shared: Path, tiny: str) -> None:
        done = run_as(USER, load.snapshot("org/tiny"), self.environment(shared))
        assert done.returncode == 0, done.stderr
        assert snapshot_files(shared, "org/tiny", tiny) == TINY

    def test_a_client_of_another_user_may_overwrite_it(
        self, shared: Path, hub: Hub, tiny: str
    ) -> None:
        code = (
            "from huggingface_hub import snapshot_download as s; s('org/tiny', force_download=True)"
        )
        done = run_as(USER, code, self.environment(shared, hub.url))
        assert done.returncode == 0, done.stderr
        assert snapshot_files(shared, "org/tiny", tiny) == TINY

    def test_a_client_of_another_user_may_remove_it(self, shared: Path) -> None:
        command = [str(python("hub2").parent / "hf"), "cache", "rm", "model/org/tiny", "--yes"]
        arguments = USER.popen_arguments()
        done = subprocess.run(
            command, env=self.environment(shared), capture_output=True, text=True, **arguments
        )
        assert done.returncode == 0, done.stderr
        assert tree_digest(shared) == {}


def test_read_only_folder_is_served_and_never_written(
    place: Path, pair: Callable[..., tuple[Agent, Agent]], hub: Hub, tiny: str
) -> None:
    folder = place / "models"
    folder.mkdir()
    os.chown(folder, USER.uid, USER.gid)
    environment = client_environment(folder, hub.url, HF_HUB_CACHE=str(folder / "hub"))
    assert run_as(USER, load.snapshot("org/tiny"), environment).returncode == 0
    hub.add_repo("org/other", files={"config.json": b"{}"})

    a, b = pair(STRANGER, "--root", f"{folder / 'hub'}:hub")
    before = tree_digest(folder / "hub")
    wait_until(
        lambda: a.files_at("b", "org/tiny") == len(TINY),
        10,
        "a knows what b's read-only folder has",
    )
    hub.reset_stats()
    a.warm("org/tiny", "--nodes", "a")
    assert hub.egress_bytes == 0, "only the list of files, which the client keeps to its own user"
    b.warm("org/other", "--nodes", "b")

    assert snapshot_files(a.hub_cache, "org/tiny", tiny) == TINY
    assert tree_digest(folder / "hub") == before
    assert_nothing_torn(a.hub_cache)


def test_folder_that_cannot_be_read_is_reported_with_the_fix(
    place: Path, pair: Callable[..., tuple[Agent, Agent]], hub: Hub
) -> None:
    secret = place / "secret"
    secret.mkdir(0o700)
    os.chown(secret, USER.uid, USER.gid)

    _, b = pair(STRANGER, "--root", f"{secret}:hub")

    done = b.roost("status")
    assert done.returncode == 0, done.stderr
    assert str(secret) in done.stdout + done.stderr
