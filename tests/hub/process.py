"""The hub as a process of its own: for the demo, and for tests that run it in another network
namespace."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Sequence

TOP = Path(__file__).resolve().parents[2]
_START_S = 30
_STOP_S = 10


class HubProcess:
    """A context manager; `prefix` is a command behind which the hub runs."""

    def __init__(self, *arguments: str, prefix: Sequence[str] = ()) -> None:
        self._arguments = arguments
        self._prefix = tuple(prefix)
        self._folder = tempfile.TemporaryDirectory(prefix="hub-")
        self._process: subprocess.Popen[bytes] | None = None
        self._ports: dict[str, Any] = {}

    @property
    def url(self) -> str:
        return str(self._ports["url"])

    @property
    def port(self) -> int:
        return int(self._ports["port"])

    def stats(self) -> dict[str, Any]:
        """What /_stats says, asked from where the hub runs."""
        code = (
            "import sys, urllib.request as u\n"
            "print(u.urlopen(sys.argv[1], timeout=10).read().decode())"
        )
        address = f"http://localhost:{self.port}/_stats"
        command = [*self._prefix, sys.executable, "-c", code, address]
        return dict(
            json.loads(subprocess.run(command, check=True, capture_output=True, timeout=20).stdout)
        )

    def __enter__(self) -> "HubProcess":
        port_file = Path(self._folder.name, "ports")
        command = [
            *self._prefix,
            sys.executable,
            "-m",
            "tests.hub",
            "--port-file",
            str(port_file),
            *self._arguments,
        ]
        log = Path(self._folder.name, "log")
        with log.open("wb") as writer:
            self._process = subprocess.Popen(
                command, cwd=TOP, stdin=subprocess.DEVNULL, stderr=writer
            )
        deadline = time.monotonic() + _START_S
        while not port_file.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise RuntimeError(f"the hub did not start within {_START_S} s: {log.read_text()}")
            time.sleep(0.02)
        self._ports = json.loads(port_file.read_text())
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        # The folder stays until the object goes: a failed start still shows its log.
