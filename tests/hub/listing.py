"""Tree entries and repo descriptions as the hub's JSON has them."""

from __future__ import annotations

import base64
import hashlib
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlencode

from tests.hub.answers import Request
from tests.hub.content import Content
from tests.hub.repos import Commit, Repo
from tests.hub.xet import xet_hash

_TIME = "2024-01-01T00:00:00.000Z"


def repo_info(repo: Repo, commit: Commit) -> dict[str, Any]:
    return {
        "_id": hashlib.md5(f"{repo.type}/{repo.id}".encode()).hexdigest()[:24],
        "id": repo.id,
        f"{repo.type}Id": repo.id,
        "author": repo.id.partition("/")[0],
        "sha": commit.id,
        "private": repo.private,
        "gated": "auto" if repo.gated else False,
        "disabled": False,
        "lastModified": _TIME,
        "createdAt": _TIME,
        "downloads": 0,
        "likes": 0,
        "tags": [],
        "siblings": [{"rfilename": path} for path in commit.files],
    }


def refs(repo: Repo) -> dict[str, Any]:
    def entries(names: dict[str, str], prefix: str) -> list[dict[str, str]]:
        return [
            {"name": n, "ref": prefix + n, "targetCommit": commit} for n, commit in names.items()
        ]

    heads = {name: commit for name, commit in repo.branches.items() if not name.startswith("refs/")}
    pulls = {name: commit for name, commit in repo.branches.items() if name.startswith("refs/pr/")}
    return {
        "branches": entries(heads, "refs/heads/"),
        "tags": entries(repo.tags, "refs/tags/"),
        "converts": [],
        "pullRequests": entries(pulls, ""),
    }


def file_entry(
    repo: Repo, path: str, content: Content, commit: Commit, expand: bool
) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "oid": content.oid, "size": content.size, "path": path}
    if content.lfs:
        entry["lfs"] = {
            "oid": content.sha256,
            "size": content.size,
            "pointerSize": len(content.pointer),
        }
        if repo.xet:
            entry["xetHash"] = xet_hash(content)
    return _expanded(entry, commit) if expand else entry


def folder_entry(path: str, commit: Commit, expand: bool) -> dict[str, Any]:
    oid = hashlib.sha1(f"{commit.id}/{path}".encode()).hexdigest()
    entry: dict[str, Any] = {"type": "directory", "oid": oid, "size": 0, "path": path}
    return _expanded(entry, commit) if expand else entry


def folders(commit: Commit) -> set[str]:
    return {str(parent) for path in commit.files for parent in PurePosixPath(path).parents} - {"."}


def tree(
    repo: Repo, commit: Commit, folder: str, recursive: bool, expand: bool
) -> list[dict[str, Any]] | None:
    """The entries below `folder` ("" is the top), or None if the commit has no such folder."""
    known_folders = folders(commit)
    if folder and folder not in known_folders:
        return None
    prefix = f"{folder}/" if folder else ""

    def listed(path: str) -> bool:
        return path.startswith(prefix) and (recursive or "/" not in path.removeprefix(prefix))

    entries = [folder_entry(path, commit, expand) for path in known_folders if listed(path)]
    entries += [
        file_entry(repo, path, c, commit, expand)
        for path, c in commit.files.items()
        if listed(path)
    ]
    return sorted(entries, key=lambda entry: entry["path"])


def page(entries: list[Any], request: Request, page_size: int) -> tuple[list[Any], str | None]:
    """One page of `entries` and the value of the Link header that leads to the next one."""
    limit = max(1, int(request.parameter("limit") or page_size))
    cursor = request.parameter("cursor")
    start = int(base64.urlsafe_b64decode(cursor)) if cursor else 0
    end = start + limit
    if end >= len(entries):
        return entries[start:end], None
    query = {
        name: request.parameter(name)
        for name in ("recursive", "expand", "limit")
        if request.parameter(name)
    }
    query["cursor"] = base64.urlsafe_b64encode(str(end).encode()).decode()
    return entries[
        start:end
    ], f'<{request.base}{request.path}?{urlencode(query)}>; rel="next"'


def _expanded(entry: dict[str, Any], commit: Commit) -> dict[str, Any]:
    entry["lastCommit"] = {"id": commit.id, "title": commit.message, "date": _TIME}
    entry["securityFileStatus"] = None
    return entry
