"""Plain libtorrent beside roost: torrents, and processes that take part in one."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import IO, Sequence

from tests.bench.usage import Usage, usage_of

_PYTHON = "/usr/bin/python3"  # Debian's binding is of the system's Python
_PEER = Path(__file__).resolve().with_name("torrent_peer.py")


def missing_libtorrent() -> str | None:
    probe = subprocess.run([_PYTHON, "-c", "import libtorrent"], capture_output=True)
    return None if probe.returncode == 0 else "python3-libtorrent is not installed (.ci/packages)"


def make_torrent(file: Path, out: Path, piece_bytes: int) -> None:
    subprocess.run([_PYTHON, str(_PEER), "make", str(file), str(out), str(piece_bytes)], check=True)


class TorrentPeer:
    """A process that seeds, or gets when it is told to `go`. `prefix` runs it in a namespace."""

    def __init__(
        self,
        way: str,
        torrent: Path,
        folder: Path,
        listen: str,
        peers: Sequence[str] = (),
        tuning: str = "default",
        prefix: Sequence[str] = (),
    ) -> None:
        command = [*prefix, _PYTHON, str(_PEER), way, str(torrent), str(folder), listen, tuning]
        self._process = subprocess.Popen(
            [*command, *peers], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def wait_ready(self) -> None:
        line = _pipe(self._process.stdout).readline()
        assert line == "ready\n", f"libtorrent says {line!r}"

    def go(self) -> None:
        into = _pipe(self._process.stdin)
        into.write("go\n")
        into.flush()

    def finished(self) -> float:
        """When it had all; waits for that."""
        return float(json.loads(_pipe(self._process.stdout).readline())["finished"])

    def usage(self) -> Usage:
        return usage_of(self._process.pid)

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()


def _pipe(end: IO[str] | None) -> IO[str]:
    assert end is not None
    return end
