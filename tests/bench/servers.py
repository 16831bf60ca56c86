"""Other people's servers that the endpoint is measured beside: nginx, and olah, a mirror of the hub
in Python. Both serve on loopback until `stop`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.clients.made import SetupError, cache_folder, made_once, run, stamp_of
from tests.cluster.ports import free_port
from tests.cluster.waiting import wait_until
from tests.cluster.endpoint import ask

_START_S = 60
_PINS = Path(__file__).resolve().parent / "olah.txt"


class Nginx:
    """Static files by sendfile; one worker."""

    def __init__(self, folder: Path, root: Path) -> None:
        folder.mkdir()
        self.address = f"127.0.0.1:{free_port()}"
        config = folder / "nginx.conf"
        temporary = "\n".join(
            f"{kind}_temp_path {folder}/{kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        config.write_text(
            f"daemon off;\nworker_processes 1;\npid {folder}/pid;\nerror_log {folder}/log;\n"
            "user root;\nevents {}\nhttp {\n"
            f"{temporary}\naccess_log off;\nsendfile on;\ntcp_nopush on;\n"
            f"server {{ listen {self.address}; root {root}; }}\n}}\n"
        )
        self._process = subprocess.Popen(
            ["nginx", "-c", str(config), "-e", f"{folder}/log"], stdin=subprocess.DEVNULL
        )
        wait_until(lambda: _answers(self.address), _START_S, "nginx answers")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()


class Olah:
    """Raises SetupError if it cannot be installed."""

    def __init__(self, folder: Path, hub_url: str) -> None:
        made = cache_folder() / "olah"
        with made_once(made, stamp_of(sys.executable, _PINS)) as needed:
            if needed:
                run([sys.executable, "-m", "venv", str(made)], "making an environment")
                pip = [str(made / "bin/python"), "-m", "pip", "--quiet", "install"]
                run([*pip, "--requirement", str(_PINS)], "pip install olah")
        folder.mkdir()
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        hub = hub_url.removeprefix("http://")
        command = [str(made / "bin/olah-cli"), "--host", "127.0.0.1", "--port", str(port)]
        command += ["--hf-scheme", "http", "--hf-netloc", hub, "--hf-lfs-netloc", hub]
        command += ["--mirror-scheme", "http", "--mirror-netloc", self.address]
        command += ["--mirror-lfs-netloc", self.address]
        command += ["--repos-path", str(folder / "repos"), "--log-path", str(folder / "logs")]
        with (folder / "output").open("wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder
            )
        try:
            wait_until(lambda: _answers(self.address), _START_S, "olah answers")
        except AssertionError:
            self.stop()
            raise SetupError((folder / "output").read_text()[-1000:]) from None

    @property
    def rss_bytes(self) -> int:
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()


def missing_nginx() -> str | None:
    return None if shutil.which("nginx") else "nginx is not installed (.ci/packages)"


def _answers(address: str) -> bool:
    try:
        return ask(address, "GET", "/", timeout_s=5).status > 0
    except OSError:
        return False
