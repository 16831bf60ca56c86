"""The benchmark's command runs, on tiny sizes: nobody looks at what it measures."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml
from pathlib import Path
from typing import Iterator

import pytest

from tests.bench.rivals import missing_programs
from tests.clients.made import cache_folder
from tests.cluster.agent import TOP, roost_binary
from tests.cluster.waiting import wait_until

RUN_S = 240
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it makes namespaces")
TINY = ("--rounds", "1", "--size", "1MiB", "--sizes", "1KiB", "--many", "20")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short one: agents make sockets in it."""
    with tempfile.TemporaryDirectory(prefix="roost-", dir="/tmp") as name:
        yield Path(name)


def run(out: Path, rows: str, *options: str) -> dict[str, set[str]]:
    """The ways by table, from the CSV."""
    if missing := missing_programs():
        pytest.skip(f"not installed: {', '.join(missing)} (.ci/packages)")
    command = [sys.executable, str(TOP / "tests/bench/run"), "--rows", rows, *TINY]
    environment = os.environ | {
        "ROOST_BIN": str(roost_binary()),
        "ROOST_TEST_CACHE": str(cache_folder()),
    }
    done = subprocess.run(
        [*command, *options, "--out", str(out), "--folder", str(out.parent)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=RUN_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "load average" in done.stdout
    xml.parse(out / "figures.svg")
    tables: dict[str, set[str]] = {}
    with (out / "figures.csv").open(newline="") as lines:
        for row in csv.DictReader(lines):
            tables.setdefault(row["row"], set()).add(row["way"])
    return tables


def test_rows_on_loopback_name_roost_and_every_rival(folder: Path) -> None:
    tables = run(folder / "out", "copy,sizes")

    ways = tables["1 → 1, 1 MiB, loopback"]
    assert {"roost, plain", "roost, key", "rsync, openssl dgst", "cp", "nginx, curl"} <= ways
    assert tables["1 → 1 by size: the job"] >= {"1 KiB, plain", "1 KiB, key"}


@needs_root
def test_rows_on_limited_links_name_every_scenario(folder: Path) -> None:
    tables = run(
        folder / "out",
        "plain,loss,zones,torrent",
        *("--nodes", "1", "--faults-at", "2", "--network-size", "1MiB"),
    )

    ways = tables["1 MiB to n nodes, links of 100 Mbit/s, frames of 9000: the job"]
    assert {"n=2, plain", "n=2, half of them in another zone"} <= ways
    assert sum("at half" in way for way in ways) == 2
    assert "over the boundary of the zones ÷ size" in tables


@needs_root
def test_nothing_is_left_when_it_is_ended(folder: Path) -> None:
    command = [sys.executable, str(TOP / "tests/bench/run"), "--rows", "nodes", *TINY]
    before = namespaces()
    with subprocess.Popen(
        [*command, "--nodes", "2", "--network-size", "64MiB", "--folder", str(folder)],
        env=os.environ | {"ROOST_BIN": str(roost_binary())},
        stdout=subprocess.DEVNULL,
    ) as process:
        wait_until(lambda: list(folder.glob("*/site/n2/state/*")), 60, "the last agent runs")
        process.terminate()
        process.wait(60)

    assert namespaces() == before
    assert list(folder.iterdir()) == []


def namespaces() -> set[str]:
    done = subprocess.run(["ip", "netns"], check=True, capture_output=True, text=True)
    return {line.split()[0] for line in done.stdout.splitlines()}
