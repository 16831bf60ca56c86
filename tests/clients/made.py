"""Folders in the test cache that are made once and made anew when a pin changes."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, Mapping

HERE = Path(__file__).resolve().parent
TOP = HERE.parents[1]
_COMMAND_S_MAX = 600


class SetupError(Exception):
    """Something could not be made; the text says why and what to do."""


def cache_folder() -> Path:
    return Path(os.environ.get("ROOST_TEST_CACHE") or TOP / ".cache" / "tests").resolve()


def stamp_of(*parts: str | Path) -> str:
    """Changes with every text, and with every file's content."""
    hashed = hashlib.sha256()
    for part in parts:
        data = part.read_bytes() if isinstance(part, Path) else part.encode()
        hashed.update(b"%d:" % len(data) + data)
    return hashed.hexdigest()


@contextmanager
def made_once(folder: Path, stamp: str) -> Iterator[bool]:
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


def run(
    command: list[str],
    what: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> None:
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_COMMAND_S_MAX,
            cwd=cwd,
            env=None if env is None else dict(env),
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise SetupError(
            f"{what} took more than {_COMMAND_S_MAX} s; is the package registry reachable?"
        ) from None
    if done.returncode != 0:
        raise SetupError(
            f"{what} failed; is the package registry reachable?\n"
            f"{(done.stderr or done.stdout).strip()}"
        )
