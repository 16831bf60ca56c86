"""Digests of files and folders: what a model on the disk is, whatever it is called."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Dict, List, Tuple, Union

from ._keys import json_digest
from ._locks import ForkSafeLock

_SHA256 = re.compile(r"[0-9a-f]{64}")
_CHUNK_BYTES = 1 << 20
_Stamp = Tuple[str, int, int, int]

_known: Dict[_Stamp, str] = {}
_lock = ForkSafeLock()


def digest_of(path: Union[str, "os.PathLike[str]"]) -> str:
    """SHA-256 of a file; of a folder, one over the names and digests of all files in it, but for
    hidden ones. OSError as reading raises it.

    In a snapshot of the hub cache the files' SHA-256 are the names of their blobs, so a large model
    is not read; the same files elsewhere have the same digest."""
    place = Path(path)
    if not place.is_dir():
        return _file_digest(place)
    files: List[Tuple[str, str]] = []
    for folder, folders, names in os.walk(place):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            if not name.startswith("."):
                file = Path(folder, name)
                files.append((file.relative_to(place).as_posix(), _file_digest(file)))
    if not files:
        raise FileNotFoundError(f"{place} has no files")
    return json_digest(sorted(files))


def _file_digest(path: Path) -> str:
    real = Path(os.path.realpath(path))
    if path.is_symlink() and real.parent.name == "blobs" and _SHA256.fullmatch(real.name):
        return real.name
    status = os.stat(real)
    stamp = (str(real), status.st_size, status.st_mtime_ns, status.st_ino)
    with _lock:
        known = _known.get(stamp)
    if known is not None:
        return known
    hashed = hashlib.sha256()
    with open(real, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            hashed.update(chunk)
        after = os.fstat(file.fileno())
    digest = hashed.hexdigest()
    if (after.st_size, after.st_mtime_ns, after.st_ino) == stamp[1:]:
        with _lock:
            _known[stamp] = digest
    return digest
