"""hf-hub for Rust in a small program of ours, built by cargo into the test cache."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from tests.clients.made import cache_folder, made_once, run, stamp_of

_HERE = Path(__file__).resolve().parent
_FILES = ("Cargo.toml", "Cargo.lock", "src/main.rs")
_CARGO_MINOR_MIN = 88  # what the locked versions ask for


def missing_for_rust() -> str | None:
    if not shutil.which("cargo"):
        return "cargo is not installed"
    said = subprocess.run(["cargo", "--version"], capture_output=True, text=True).stdout
    minor = re.match(r"cargo 1\.(\d+)", said)
    if not minor or int(minor.group(1)) < _CARGO_MINOR_MIN:
        return f"{said.strip() or 'this cargo'} is too old, 1.{_CARGO_MINOR_MIN} is needed"
    return None


def rust_client() -> Path:
    """The program."""
    folder = cache_folder() / "rust"
    with made_once(folder, stamp_of(*(_HERE / name for name in _FILES))) as needed:
        if needed:
            place = ("--manifest-path", str(_HERE / "Cargo.toml"), "--target-dir", str(folder))
            # Two jobs: the build must not crowd out what else the machine does.
            run(
                ["cargo", "build", "--quiet", "--locked", "--release", "--jobs", "2", *place],
                "cargo build",
                env=os.environ,
            )
    return folder / "release/rust_client"
