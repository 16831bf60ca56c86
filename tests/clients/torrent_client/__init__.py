"""anacrolix/torrent for Go in a small program of ours, built by go into the test cache."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.clients.made import cache_folder, made_once, run, stamp_of

_HERE = Path(__file__).resolve().parent
_FILES = ("go.mod", "go.sum", "main.go")
_USUAL = "/usr/local/go/bin/go"  # where its own installer puts it, which is not in every PATH


def _go() -> str | None:
    return shutil.which("go") or (_USUAL if Path(_USUAL).exists() else None)


def missing_for_torrent() -> str | None:
    return None if _go() else "go is not installed"


def torrent_client() -> Path:
    """The program."""
    folder = cache_folder() / "torrent"
    with made_once(folder, stamp_of(*(_HERE / name for name in _FILES))) as needed:
        if needed:
            # Two jobs: the build must not crowd out what else the machine does. No C: the library
            # brings bindings that this client does not use.
            command = [str(_go()), "build", "-p", "2", "-mod", "readonly", "-o", str(folder / "torrent_client"), "."]
            run(command, "go build", cwd=_HERE, env={**os.environ, "CGO_ENABLED": "0"})
    return folder / "torrent_client"
