"""What the hub holds: repositories, their commits, branches and tags. Thread safe by one lock."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from typing import Mapping

from tests.hub.content import Content

REPO_TYPES = ("model", "dataset", "space", "kernel")
_SHORT_HASH = re.compile(r"[0-9a-f]{7,40}")


@dataclass(frozen=True)
class Commit:
    id: str
    files: Mapping[str, Content]
    message: str
    number: int  # position in the repo's history, newest largest


@dataclass
class Repo:
    id: str
    type: str
    private: bool = False
    gated: bool = False
    xet: bool = False  # its LFS files are told to be in Xet storage
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def label(self, path: str) -> str:
        """How a file is named in the counters: org/name:path for models, datasets/org/name:path and
        so on."""
        return f"{'' if self.type == 'model' else self.type + 's/'}{self.id}:{path}"

    def find_commit(self, revision: str) -> Commit | None:
        """By branch, tag, full hash, or a prefix of at least seven digits that names one commit."""
        for names in (self.branches, self.tags):
            if revision in names:
                return self.commits[names[revision]]
        if revision in self.commits:
            return self.commits[revision]
        if _SHORT_HASH.fullmatch(revision):
            matches = [commit for name, commit in self.commits.items() if name.startswith(revision)]
            return matches[0] if len(matches) == 1 else None
        return None


class Repos:
    """All repositories by (type, id), and the old names of renamed ones."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._repos: dict[tuple[str, str], Repo] = {}
        self._renamed: dict[tuple[str, str], str] = {}

    def find(self, type: str, id: str) -> Repo | None:
        with self._lock:
            return self._repos.get((type, id))

    def new_name(self, type: str, id: str) -> str | None:
        """The present id of a repo that was once called `id`."""
        with self._lock:
            return self._renamed.get((type, id))

    def all(self, type: str) -> list[Repo]:
        with self._lock:
            return [
                repo for (repo_type, _), repo in sorted(self._repos.items()) if repo_type == type
            ]

    def add(self, repo: Repo) -> None:
        if repo.type not in REPO_TYPES:
            raise ValueError(f"unknown repo type {repo.type!r}; use one of {', '.join(REPO_TYPES)}")
        with self._lock:
            if (repo.type, repo.id) in self._repos:
                raise ValueError(f"{repo.type} {repo.id} is already here; use commit()")
            self._repos[(repo.type, repo.id)] = repo

    def remove(self, type: str, id: str) -> None:
        with self._lock:
            del self._repos[(type, id)]

    def rename(self, type: str, old: str, new: str) -> None:
        with self._lock:
            repo = self._repos.pop((type, old))
            repo.id = new
            self._repos[(type, new)] = repo
            self._renamed[(type, old)] = new

    def commit(
        self,
        type: str,
        id: str,
        changes: Mapping[str, Content],
        delete: tuple[str, ...] = (),
        branch: str = "main",
        message: str = "commit",
    ) -> Commit:
        """Adds a commit on `branch`. A branch that is new starts from main; the id follows from the
        content."""
        with self._lock:
            repo = self._repos[(type, id)]
            parent = repo.branches.get(branch) or repo.branches.get("main")
            files = dict(repo.commits[parent].files) if parent else {}
            files.update(changes)
            for path in delete:
                del files[path]
            listing = sorted((path, content.etag) for path, content in files.items())
            seed = json.dumps([type, id, parent, len(repo.commits), message, listing])
            commit = Commit(
                hashlib.sha1(seed.encode()).hexdigest(),
                dict(sorted(files.items())),
                message,
                len(repo.commits),
            )
            repo.commits[commit.id] = commit
            repo.branches[branch] = commit.id
            return commit
