"""The package as pip installs it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1]


def test_pip_installs_it_with_its_types(tmp_path: Path) -> None:
    pytest.importorskip("setuptools", minversion="61")
    shutil.copytree(
        SOURCE, tmp_path / "source", ignore=shutil.ignore_patterns("build", "*.egg-info")
    )
    target = tmp_path / "installed"
    install = ["install", "--quiet", "--no-deps", "--no-build-isolation", "--target", str(target)]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", *install]
    done = subprocess.run([*pip, str(tmp_path / "source")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

    told = subprocess.run(
        [sys.executable, "-c", "import roost; print(roost.__file__, roost.cached_encode)"],
        env={"PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
    )

    assert told.stdout.startswith(str(target)), told.stderr
    assert (target / "roost/py.typed").exists()
