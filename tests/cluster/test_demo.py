"""The demo that the README shows: it works from an empty home, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.clients.setup import cache_folder
from tests.cluster.agent import TOP, roost_binary
from tests.cluster.waiting import wait_until

DEMO_S = 120


def environment(home: Path) -> dict[str, str]:
    """Nothing but a home that is empty, and the program as it is built."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return kept | {
        "HOME": str(home),
        "TMPDIR": str(home),
        "ROOST_BIN": str(roost_binary()),
        "ROOST_TEST_CACHE": str(cache_folder()),
    }


@pytest.mark.quick
def test_demo_ends_with_the_picture_and_what_was_saved(tmp_path: Path) -> None:
    command = [str(TOP / "cluster/demo")]
    done = subprocess.run(
        command, env=environment(tmp_path), capture_output=True, text=True, timeout=DEMO_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.strip().splitlines()
    assert "$ roost status" in lines
    assert lines[-1].startswith("The hub sent 91.6 MB") and lines[-1].endswith("183.2 MB saved.")


@pytest.mark.quick
def test_interrupted_demo_leaves_no_process(tmp_path: Path) -> None:
    demo = subprocess.Popen(
        [str(TOP / "cluster/demo")],
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert demo.stdout
    for line in demo.stdout:
        if line.startswith("[5/7]"):  # the agents are there
            break
    demo.send_signal(signal.SIGTERM)
    demo.wait(30)
    wait_until(lambda: not processes_of_session(demo.pid), 10, "no process of the demo is left")


def processes_of_session(session: int) -> list[str]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().rpartition(")")
        except OSError:
            continue  # ended meanwhile
        state, _, _, of_session = rest.split()[:4]
        if int(of_session) == session and state != "Z":
            found.append(name)
    return found


@pytest.mark.quick
def test_demo_explains_wrong_options(tmp_path: Path) -> None:
    command = [str(TOP / "cluster/demo"), "--hub", "http://127.0.0.1:9"]
    done = subprocess.run(
        command, env=environment(tmp_path), capture_output=True, text=True, timeout=DEMO_S
    )
    assert done.returncode == 2 and "--repo" in done.stderr
