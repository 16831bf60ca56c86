"""What lies in a hub cache folder, as values that tests can compare."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Mapping

from tests.clients import load
from tests.clients.run import run_code

_DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def repo_folder(hub_cache: Path, repo: str, type: str = "model") -> Path:
    return hub_cache / f"{type}s--{repo.replace('/', '--')}"


def sha256_of(path: Path) -> str:
    with path.open("rb") as reader:
        return hashlib.file_digest(reader, "sha256").hexdigest()


def tree_digest(hub_cache: Path) -> dict[str, str]:
    """Every path that clients load from, with the digest of what they would read: blobs, snapshots,
    refs.

    Left out is what may differ between a cache that a client filled and one that an agent filled:
    locks, listings, markers of absent files, temporaries."""
    tree = {}
    for repo in sorted(hub_cache.glob("*--*")):
        for part in ("blobs", "snapshots", "refs"):
            for path in sorted((repo / part).rglob("*")):
                name = str(path.relative_to(hub_cache))
                if path.is_dir() or (part == "blobs" and not _DIGEST.fullmatch(path.name)):
                    continue
                tree[name] = sha256_of(path)
                if path.is_symlink():
                    tree[f"{name} ->"] = str(path.readlink())
    return tree


def snapshot_files(
    hub_cache: Path, repo: str, commit: str, type: str = "model"
) -> dict[str, bytes]:
    """The readable files of one snapshot. A link without its blob is an error."""
    top = repo_folder(hub_cache, repo, type) / "snapshots" / commit
    return {
        str(path.relative_to(top)): path.read_bytes()
        for path in sorted(top.rglob("*"))
        if not path.is_dir()
    }


def assert_no_wrong_blob(hub_cache: Path) -> None:
    """Every blob under a final name has that hash."""
    for blob in hub_cache.glob("*--*/blobs/*"):
        if _DIGEST.fullmatch(blob.name):
            assert _hash_named(blob) == blob.name, (
                f"{blob} does not have the hash that it is named by"
            )


def assert_nothing_torn(hub_cache: Path) -> None:
    """No blob is wrong, every link leads to a blob, every ref to a snapshot."""
    assert_no_wrong_blob(hub_cache)
    for repo in hub_cache.glob("*--*"):
        for path in (repo / "snapshots").rglob("*"):
            assert path.exists(), f"{path} is a link to nothing"
        for ref in (repo / "refs").rglob("*"):
            if ref.is_file():
                commit = ref.read_text()
                assert (repo / "snapshots" / commit).is_dir(), (
                    f"{ref} names {commit!r}, which has no snapshot"
                )


def assert_no_scan_warnings(version: str, environment: Mapping[str, str]) -> None:
    done = run_code(version, load.scan_warnings(), environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [], f"scan_cache_dir of {version} warns"


def _hash_named(blob: Path) -> str:
    """The hash of the blob's bytes by the algorithm that its name's length tells."""
    if len(blob.name) == 64:
        return sha256_of(blob)
    data = blob.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
