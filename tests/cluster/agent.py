"""One real `roost agent` process with a home, a state folder and ports of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Mapping, Sequence

from tests.clients.run import Result, client_environment, run_cli, run_code
from tests.cluster.ports import free_port
from tests.cluster.waiting import wait_until

TOP = Path(__file__).resolve().parents[2]
READY_S = 30
STOP_S = 10
COMMAND_S = 120
_READY_STATES = ("ready", "warming", "checking", "full")
_SANITIZER = re.compile(r"(ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error: ).*")
_KEPT_VARIABLES = ("PATH", "LANG", "TMPDIR", "ASAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS")


def roost_binary() -> Path:
    """$ROOST_BIN, or the release build."""
    binary = Path(os.environ.get("ROOST_BIN") or TOP / "build/roost").absolute()
    assert binary.exists(), f"{binary} is missing; build it, or set ROOST_BIN"
    return binary


@dataclass(frozen=True)
class Identity:
    """Whom a process runs as."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    umask: int = 0o022

    def popen_arguments(self) -> dict[str, Any]:
        return {
            "user": self.uid,
            "group": self.gid,
            "extra_groups": list(self.groups),
            "umask": self.umask,
        }


@dataclass
class Agent:
    """Not running until `start`. `folder` is short: Unix socket paths have at most 107 bytes."""

    name: str
    folder: Path
    hub_url: str = "none"
    pip_index: str | None = "none"  # None: as pip's own settings say
    listen: str = ""
    endpoint: str = ""
    join: Sequence[str] = ()
    key_file: Path | None = None
    options: Sequence[str] = ()  # further options of `roost agent`
    branch_ttl: str = "0s"  # what moves on the hub is seen at once
    # As on machines of their own, where all bytes have to go by the link.
    link_only: bool = True
    prefix: Sequence[
        str
    ] = ()  # a command that runs the agent somewhere else, such as in a network namespace
    identity: Identity | None = None
    # Of the agent's own environment; "{home}" in a value is its home.
    variables: Mapping[str, str] = field(default_factory=dict)
    binary: Path | None = None  # another program than roost_binary()
    home: Path = field(init=False)
    state: Path = field(init=False)
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.listen = self.listen or f"127.0.0.1:{free_port()}"
        self.endpoint = self.endpoint or f"127.0.0.1:{free_port()}"
        self.home, self.state = self.folder / "home", self.folder / "state"
        for path in (self.folder, self.home, self.state):
            path.mkdir(exist_ok=True)
            if self.identity:
                os.chown(path, self.identity.uid, self.identity.gid)

    # -- the process -------------------------------------------------------------------------------

    @property
    def socket(self) -> Path:
        return self.state / "agent.sock"

    @property
    def endpoint_url(self) -> str:
        """What clients on this node have as HF_ENDPOINT."""
        return f"http://{self.endpoint}"

    @property
    def log_file(self) -> Path:
        return self.folder / "log"

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def command(self) -> list[str]:
        command = [
            *self.prefix,
            str(self.binary or roost_binary()),
            "agent",
            "--name",
            self.name,
            "--state-dir",
            str(self.state),
        ]
        command += ["--listen", self.listen, "--endpoint", self.endpoint, "--hub", self.hub_url]
        command += ["--branch-ttl", self.branch_ttl]
        if self.pip_index is not None:
            command += ["--pip-index", self.pip_index]
        if self.join:
            command += ["--join", ",".join(self.join)]
        if self.key_file:
            command += ["--cluster-key-file", str(self.key_file)]
        return command + list(self.options)

    def start(self, stdout: int | None = None) -> "Agent":
        """What it says goes to the log; with `stdout`, only what it says on stderr."""
        assert not self.running, f"agent {self.name} is running already"
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                env=self._environment() | self._own_variables(),
                stdin=subprocess.DEVNULL,
                stdout=log if stdout is None else stdout,
                stderr=log,
                cwd=self.home,
                **(self.identity.popen_arguments() if self.identity else {}),
            )
        return self

    def wait_ready(self, timeout_s: float = READY_S) -> "Agent":
        wait_until(self._is_ready, timeout_s, f"agent {self.name} ready\n{self.log[-2000:]}")
        return self

    def kill9(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    def stop(self) -> None:
        """Ends the agent as a service manager does; it must then go in good order."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill9()
            raise AssertionError(
                f"agent {self.name} did not end within {STOP_S} s of SIGTERM"
            ) from None
        self.process = None
        assert code == 0, f"agent {self.name} ended with {code}\n{self.log[-2000:]}"
        self.assert_sane()

    def assert_sane(self) -> None:
        """No sanitizer has spoken in this agent's log."""
        found = _SANITIZER.search(self.log)
        assert not found, f"agent {self.name}: {found and found.group()}"

    def rss_bytes(self) -> int:
        assert self.process is not None
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def open_descriptors(self) -> int:
        assert self.process is not None
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def has_connection_to(self, port: int) -> bool:
        """Whether this process has an established TCP connection to `port` of any address."""
        assert self.process is not None
        own = set()
        for descriptor in Path(f"/proc/{self.process.pid}/fd").iterdir():
            try:
                own.add(os.readlink(descriptor))
            except OSError:
                continue  # closed meanwhile
        for table in ("tcp", "tcp6"):
            for line in Path(f"/proc/{self.process.pid}/net/{table}").read_text().splitlines()[1:]:
                _, _, remote, state, *_, inode = line.split()[:10]
                if (
                    state == "01"
                    and int(remote.rpartition(":")[2], 16) == port
                    and f"socket:[{inode}]" in own
                ):
                    return True
        return False

    # -- the command line --------------------------------------------------------------------------

    def roost(self, *arguments: str, timeout_s: float = COMMAND_S, **environment: str) -> Result:
        """Runs `roost ARGUMENTS` against this agent, as its user."""
        return subprocess.run(
            [*self.prefix, str(roost_binary()), *arguments],
            env=self._environment() | {"ROOST_AGENT": str(self.socket)} | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            cwd=self.home,
            **(self.identity.popen_arguments() if self.identity else {}),
        )

    def roost_json(self, *arguments: str, **rest: Any) -> Any:
        """The same with --json; the command must succeed."""
        done = self.roost(*arguments, "--json", **rest)
        assert done.returncode == 0, (
            f"roost {' '.join(arguments)}: exit {done.returncode}: {done.stderr}"
        )
        return json.loads(done.stdout)

    def nodes(self) -> dict[str, dict[str, Any]]:
        """The cluster's nodes by name, as this agent sees them."""
        return {node["name"]: node for node in self.roost_json("status")["nodes"]}

    def where(self, query: str, *arguments: str) -> dict[str, dict[str, Any]]:
        """The nodes that hold `query`, by name; none if nobody does."""
        done = self.roost("where", query, *arguments, "--json")
        if done.returncode == 3:
            return {}
        assert done.returncode == 0, f"roost where {query}: exit {done.returncode}: {done.stderr}"
        return {node["name"]: node for node in json.loads(done.stdout)["nodes"]}

    def files_at(self, name: str, query: str, *arguments: str) -> int:
        """How many files of `query` this agent believes node `name` to have."""
        return int(self.where(query, *arguments).get(name, {}).get("files", 0))

    def holds_all_of(self, name: str, query: str, *arguments: str) -> bool:
        """Whether this agent believes that node `name` has `query` complete."""
        return bool(self.where(query, *arguments).get(name, {}).get("complete"))

    def warm(self, repo: str, *arguments: str) -> Any:
        """Warms and waits until it is done, which it must be; the job's document."""
        job = self.roost_json("warm", repo, *arguments)
        assert job["state"] == "done", job
        return job

    # -- clients on this node ----------------------------------------------------------------------

    @property
    def hub_cache(self) -> Path:
        return self.home / ".cache/huggingface/hub"

    def client_environment(self, endpoint: str | None = None, **extra: str) -> dict[str, str]:
        """What a client on this node sees; without an endpoint it is offline."""
        return client_environment(self.home, endpoint, **extra)

    def hf(
        self, *arguments: str, version: str = "hub2", endpoint: str | None = None, **extra: str
    ) -> Result:
        """Runs the real `hf` command on this node; offline without an endpoint."""
        return run_cli(version, *arguments, env=self.client_environment(endpoint, **extra))

    def run_client(
        self, code: str, version: str = "hub2", endpoint: str | None = None, **extra: str
    ) -> Any:
        """Runs client code on this node, which must succeed; returns the JSON that it prints."""
        done = run_code(version, code, self.client_environment(endpoint, **extra))
        assert done.returncode == 0, f"client of node {self.name} failed:\n{done.stderr}"
        return json.loads(done.stdout)

    # -- inside ------------------------------------------------------------------------------------

    def _environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        kept |= {"ROOST_LINK_ONLY": "true"} if self.link_only else {}
        return kept | {"HOME": str(self.home), "NO_COLOR": "1", "NO_PROXY": "*"}

    def _own_variables(self) -> dict[str, str]:
        return {
            name: value.replace("{home}", str(self.home)) for name, value in self.variables.items()
        }

    def _is_ready(self) -> bool:
        assert self.running, f"agent {self.name} has ended:\n{self.log[-2000:]}"
        done = self.roost("status", "--json")
        if done.returncode != 0:
            return False
        nodes = {node["name"]: node for node in json.loads(done.stdout)["nodes"]}
        return nodes.get(self.name, {}).get("state") in _READY_STATES
