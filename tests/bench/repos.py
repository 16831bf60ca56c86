"""Repos of random files, shown in hub caches as a hub client leaves them, without a second copy."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.bench.measure import make_file

COMMIT = "a" * 40


@dataclass(frozen=True)
class Repo:
    """Files by name; `digests` are their SHA-256."""

    name: str
    folder: Path
    sizes: dict[str, int]
    digests: dict[str, str]

    @property
    def size(self) -> int:
        return sum(self.sizes.values())

    @property
    def file(self) -> Path:
        """Of a repo of one file."""
        (name,) = self.sizes
        return self.folder / name

    def show_in(self, cache: Path) -> None:
        """Hard links: `cache` lies on the same file system."""
        repo = cache / f"models--{self.name.replace('/', '--')}"
        for part in ("blobs", "refs", f"snapshots/{COMMIT}", "trees"):
            (repo / part).mkdir(parents=True)
        listed = {}
        for name, digest in self.digests.items():
            if not (blob := repo / "blobs" / digest).exists():
                os.link(self.folder / name, blob)
            (repo / f"snapshots/{COMMIT}/{name}").symlink_to(f"../../blobs/{digest}")
            size = self.sizes[name]
            listed[name] = {
                "size": size,
                "blob_id": "0" * 40,
                "lfs_sha256": digest,
                "lfs_size": size,
            }
        (repo / f"trees/{COMMIT}.json").write_text(
            json.dumps({"format_version": 1, "files": listed})
        )
        (repo / "refs/main").write_text(COMMIT)

    def remove(self) -> None:
        """The files; caches that show them keep them."""
        shutil.rmtree(self.folder)

    def blobs_in(self, cache: Path) -> list[Path]:
        """Those that are complete there: under their final names."""
        blobs = cache / f"models--{self.name.replace('/', '--')}" / "blobs"
        return [blobs / one for one in self.digests.values() if (blobs / one).exists()]

    def arrived(self, cache: Path) -> float:
        """When the last blob got its final name there."""
        blobs = self.blobs_in(cache)
        assert len(blobs) == len(set(self.digests.values())), f"{cache} has not all of {self.name}"
        return max(blob.stat().st_ctime for blob in blobs)


def make_repo(name: str, folder: Path, sizes: dict[str, int]) -> Repo:
    folder.mkdir(parents=True)
    digests = {file: make_file(folder / file, size) for file, size in sizes.items()}
    return Repo(name, folder, sizes, digests)


def job_seconds(job: dict[str, Any]) -> float:
    """Order to done, as the job's document says."""
    began, ended = (datetime.fromisoformat(job[key]) for key in ("created", "finished"))
    return (ended - began).total_seconds()
