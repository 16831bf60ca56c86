"""`roost env` and `roost exec`: only an agent that answers now is named to programs."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Iterator

import pytest

from tests.clients.setup import python
from tests.cluster.agent import Agent, roost_binary
from tests.cluster.harness import Cluster
from tests.cluster.many import stopped
from tests.cluster.waiting import wait_until
from tests.hub import Hub

SOON_S = 3  # a second for the agent, and the start of a process on a busy machine
SHOW = ("sh", "-c", "echo ${HF_ENDPOINT-unset}")
FILES = {"config.json": b"{}"}


@pytest.fixture(scope="module")
def standing_hub() -> Iterator[Hub]:
    with Hub() as hub:
        hub.add_repo("org/tiny", files=FILES)
        yield hub


@pytest.fixture(scope="module")
def agent(standing_hub: Hub) -> Iterator[Agent]:
    with Cluster(1, hub_url=standing_hub.url) as (agent,):
        yield agent


class TestEnv:
    def test_prints_what_a_shell_reads(self, agent: Agent) -> None:
        done = agent.roost("env")
        assert (done.returncode, done.stdout) == (
            0,
            f"export HF_ENDPOINT='{agent.endpoint_url}'\n",
        )

    def test_stopped_agent_is_none(self, agent: Agent) -> None:
        with stopped(agent):
            began = time.monotonic()
            done = agent.roost("env")
            took = time.monotonic() - began
        assert (done.returncode, done.stdout) == (9, "")
        assert took < SOON_S

    def test_stopped_agent_with_a_full_queue_is_none(self, agent: Agent) -> None:
        """Nothing waits where connections are not even taken."""
        with stopped(agent):
            waiting: list[socket.socket] = []
            try:
                while (link := connect_unix(agent.socket)) is not None:
                    waiting.append(link)
                done = agent.roost("env", timeout_s=20)
            finally:
                for link in waiting:
                    link.close()
        assert (done.returncode, done.stdout) == (9, "")

    def test_killed_agents_socket_is_none(self, standing_hub: Hub) -> None:
        with Cluster(1, hub_url=standing_hub.url) as (agent,):
            agent.kill9()
            assert agent.socket.exists()
            done = agent.roost("env")
        assert (done.returncode, done.stdout) == (9, "")

    @pytest.mark.root
    def test_agent_whose_port_means_another_here_is_none(self, agent: Agent) -> None:
        """As in a container that has the agent's socket and a network of its own."""
        done = subprocess.run(
            ["unshare", "--net", str(roost_binary()), "env", "--agent", str(agent.socket)],
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert (done.returncode, done.stdout) == (9, ""), done.stderr
        assert agent.endpoint_url in done.stderr

    def test_what_goes_to_the_agent_is_kept_from_proxies(self, agent: Agent) -> None:
        """Or clients would send it there, tokens and all, in clear text."""
        proxy = {"http_proxy": "http://proxy.example:3128", "NO_PROXY": ""}
        done = agent.roost("env", **proxy, no_proxy="intern.example")
        hosts = "intern.example,127.0.0.1,localhost"
        assert f"export NO_PROXY='{hosts}'\n" in done.stdout
        assert f"export no_proxy='{hosts}'\n" in done.stdout
        done = agent.roost("env", **proxy, no_proxy="127.0.0.1")
        assert done.stdout == f"export HF_ENDPOINT='{agent.endpoint_url}'\n"

    def test_users_own_endpoint_stays(self, agent: Agent) -> None:
        done = agent.roost("env", HF_ENDPOINT="https://mirror.example")
        assert (done.returncode, done.stdout) == (0, "")
        assert "https://mirror.example" in done.stderr and "--force" in done.stderr

    def test_force_replaces_it(self, agent: Agent) -> None:
        done = agent.roost("env", "--force", HF_ENDPOINT="https://mirror.example")
        assert done.stdout == f"export HF_ENDPOINT='{agent.endpoint_url}'\n"

    def test_agents_own_hub_is_what_the_agent_stands_for(
        self, agent: Agent, standing_hub: Hub
    ) -> None:
        done = agent.roost("env", HF_ENDPOINT=f"{standing_hub.url}/")
        assert done.stdout == f"export HF_ENDPOINT='{agent.endpoint_url}'\n"


class TestExec:
    def test_command_uses_the_agent(self, agent: Agent) -> None:
        done = agent.roost("exec", "--", *SHOW)
        assert (done.returncode, done.stdout, done.stderr) == (0, f"{agent.endpoint_url}\n", "")

    def test_client_loads_through_it(self, agent: Agent, standing_hub: Hub) -> None:
        code = "import huggingface_hub as h; print(h.hf_hub_download('org/tiny', 'config.json'))"
        done = agent.roost("exec", "--", str(python("hub2")), "-c", code)
        assert Path(done.stdout.strip()).read_bytes() == FILES["config.json"], done.stderr

    @pytest.mark.parametrize("dead", ("stopped", "gone"))
    def test_without_an_agent_it_runs_as_it_is(
        self, dead: str, agent: Agent, tmp_path: Path
    ) -> None:
        environment = {} if dead == "stopped" else {"ROOST_AGENT": str(tmp_path / "none.sock")}
        with stopped(agent) if dead == "stopped" else contextlib.nullcontext():
            began = time.monotonic()
            done = agent.roost("exec", "--", *SHOW, **environment)
            took = time.monotonic() - began
        assert (done.returncode, done.stdout) == (0, "unset\n")
        assert done.stderr.count("\n") == 1 and "without an agent" in done.stderr
        assert took < SOON_S

    def test_users_own_endpoint_stays(self, agent: Agent) -> None:
        done = agent.roost("exec", "--", *SHOW, HF_ENDPOINT="https://mirror.example")
        assert done.stdout == "https://mirror.example\n"

    def test_exit_code_is_the_commands(self, agent: Agent) -> None:
        assert agent.roost("exec", "--", "sh", "-c", "exit 41").returncode == 41

    def test_arguments_are_the_commands(self, agent: Agent) -> None:
        words = ("--json", "-x", "--", "a b", "")
        code = "import json, sys; print(json.dumps(sys.argv[1:]))"
        done = agent.roost("exec", "--", str(python("harness")), "-c", code, *words)
        assert json.loads(done.stdout) == list(words)

    def test_process_is_the_command(self, agent: Agent) -> None:
        """No process stands between: signals and limits are its own."""
        command = [str(roost_binary()), "exec", "--agent", str(agent.socket), "--", "sleep", "600"]
        process = subprocess.Popen(command)
        try:
            comm = Path(f"/proc/{process.pid}/comm")
            wait_until(lambda: comm.read_text() == "sleep\n", SOON_S, "the process is the command")
            os.kill(process.pid, signal.SIGTERM)
            assert process.wait(SOON_S) == -signal.SIGTERM
        finally:
            process.kill()
            process.wait()

    @pytest.mark.parametrize(
        "name, code", (("no-such-command", 127), ("/etc/passwd", 126), ("/etc", 126))
    )
    def test_command_that_cannot_be_run(self, name: str, code: int, agent: Agent) -> None:
        done = agent.roost("exec", "--", name)
        assert done.returncode == code and name in done.stderr

    @pytest.mark.parametrize("words", ((), ("--",), ("python", "train.py")))
    def test_command_stands_behind_dashes(self, words: tuple[str, ...], agent: Agent) -> None:
        assert agent.roost("exec", *words).returncode == 2


def connect_unix(path: Path) -> socket.socket | None:
    """A connection that waits to be taken, or None when no more may wait."""
    link = socket.socket(socket.AF_UNIX)
    link.setblocking(False)
    try:
        link.connect(str(path))
    except BlockingIOError:
        link.close()
        return None
    return link
