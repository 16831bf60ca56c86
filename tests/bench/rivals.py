"""What roost is measured beside on loopback: other programs that bring one file from here to here.
Each has `round()`, which gives seconds by way, and CPU seconds of the receiving side."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Sequence

from tests.bench.servers import Nginx
from tests.bench.torrent import TorrentPeer, make_torrent
from tests.bench.usage import timed
from tests.cluster.ports import free_port
from tests.cluster.waiting import wait_until

_START_S = 60
_PIECE_BYTES = 1 << 20
_STREAM_BYTES_MIN = 64 << 20  # iperf3 gives no figure of a stream that ends at once


@dataclass
class Round:
    seconds: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)

    def add(self, way: str, took: tuple[float, float]) -> None:
        self.seconds[way], self.cpu[way] = took


class Copy:
    def __init__(self, folder: Path, file: Path) -> None:
        self.file, self.target = file, folder / "copied"

    def round(self) -> Round:
        done = Round()
        done.add("cp", timed(["cp", str(self.file), str(self.target)]))
        self.target.unlink()
        return done

    def stop(self) -> None:
        self.target.unlink(missing_ok=True)


class RsyncDaemon:
    """Serves one folder at one address until `stop`."""

    def __init__(
        self, folder: Path, served: Path, address: str, prefix: Sequence[str] = ()
    ) -> None:
        folder.mkdir()
        port = free_port()
        self.url = f"rsync://{address}:{port}/files/"
        config = folder / "rsyncd.conf"
        config.write_text(
            f"use chroot = no\nuid = {os.getuid()}\ngid = {os.getgid()}\n"
            f"address = {address}\nport = {port}\n[files]\npath = {served}\n"
        )
        self._process = subprocess.Popen(
            [*prefix, "rsync", "--daemon", "--no-detach", f"--config={config}"],
            stdin=subprocess.DEVNULL,
        )
        ask = [*prefix, "rsync", self.url]
        wait_until(
            lambda: subprocess.run(ask, capture_output=True).returncode == 0,
            _START_S,
            "the rsync daemon answers",
        )

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()


class Rsync:
    """Alone, which verifies nothing, and followed by the hash, which is the same work as ours."""

    def __init__(self, folder: Path, file: Path) -> None:
        self.daemon = RsyncDaemon(folder, file.parent, "127.0.0.1")
        self.url, self.target = self.daemon.url + file.name, folder / "received"

    def round(self) -> Round:
        done = Round()
        done.add("rsync", timed(["rsync", "-W", "--inplace", self.url, str(self.target)]))
        hashed = timed(["openssl", "dgst", "-sha256", str(self.target)])
        both = [sum(pair) for pair in zip((done.seconds["rsync"], done.cpu["rsync"]), hashed)]
        done.add("rsync, openssl dgst", (both[0], both[1]))
        self.target.unlink()
        return done

    def stop(self) -> None:
        self.daemon.stop()


class FromNginx:
    """curl with one connection, aria2 with four."""

    def __init__(self, folder: Path, file: Path) -> None:
        self.server = Nginx(folder, file.parent)
        self.url, self.folder = f"http://{self.server.address}/{file.name}", folder

    def round(self) -> Round:
        done = Round()
        target = self.folder / "received"
        done.add("nginx, curl", timed(["curl", "-sSf", "-o", str(target), self.url]))
        target.unlink()
        aria = ["aria2c", "--quiet", "--no-conf", "-x4", "-s4", "--file-allocation=none"]
        aria += [f"--dir={self.folder}", "--out=received", self.url]
        done.add("nginx, aria2 ×4", timed(aria))
        target.unlink()
        return done

    def stop(self) -> None:
        self.server.stop()


class Torrent:
    def __init__(self, folder: Path, file: Path) -> None:
        folder.mkdir()
        self.folder, self.torrent = folder, folder / "torrent"
        make_torrent(file, self.torrent, _PIECE_BYTES)
        self.address = f"127.0.0.1:{free_port()}"
        self.seed = TorrentPeer("seed", self.torrent, file.parent, self.address, (), "tuned")
        self.seed.wait_ready()

    def round(self) -> Round:
        into = self.folder / "received"
        into.mkdir()
        peer = TorrentPeer(
            "get", self.torrent, into, f"127.0.0.1:{free_port()}", [self.address], "tuned"
        )
        try:
            peer.wait_ready()
            before, began = peer.usage(), time.time()
            peer.go()
            seconds = peer.finished() - began
            done = Round()
            done.add("libtorrent", (seconds, peer.usage().cpu - before.cpu))
            return done
        finally:
            peer.stop()
            shutil.rmtree(into)

    def stop(self) -> None:
        self.seed.stop()


class Limits:
    """What the machine could do at most: a stream without a file, a core's hash, a core's cipher.
    In seconds for `size` bytes."""

    def __init__(self, size: int) -> None:
        self.size, self.port = size, free_port()
        self._server = subprocess.Popen(
            ["iperf3", "-s", "-B", "127.0.0.1", "-p", str(self.port)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def round(self) -> Round:
        return Round(
            {
                "iperf3, no file": self.size / self._stream(),
                "SHA-256, one core": self.size / _openssl_speed("sha256"),
                "AES-128-GCM, one core": self.size / _openssl_speed("aes-128-gcm"),
            }
        )

    def _stream(self) -> float:
        size = max(self.size, _STREAM_BYTES_MIN)
        command = ["iperf3", "-c", "127.0.0.1", "-p", str(self.port), "--json", "-n", str(size)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        received = json.loads(done.stdout)["end"]["sum_received"]
        return float(received["bits_per_second"]) / 8

    def stop(self) -> None:
        self._server.terminate()
        self._server.wait()


def _openssl_speed(algorithm: str) -> float:
    """Bytes a second, by EVP, of blocks of 1 MiB."""
    command = ["openssl", "speed", "-seconds", "1", "-bytes", str(1 << 20), "-mr"]
    done = subprocess.run([*command, "-evp", algorithm], check=True, capture_output=True, text=True)
    found = re.search(r"^\+F:.*:([0-9.]+)$", done.stdout, re.MULTILINE)
    assert found, f"openssl speed says {done.stdout!r}"
    return float(found.group(1))


def missing_programs() -> list[str]:
    names = ("nginx", "curl", "aria2c", "rsync", "iperf3", "openssl")
    return [name for name in names if not shutil.which(name)]
