"""What clients send to the hub: every body is kept as it came, and commits are made of it."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from dataclasses import dataclass
from typing import Any, Callable, Mapping
from urllib.parse import unquote

from tests.hub.access import Access
from tests.hub.answers import Answer, Request, error_answer, json_answer
from tests.hub.content import Content, make_content
from tests.hub.repos import REPO_TYPES, Repo, Repos

STORE = "/_upload/"  # where the bytes of LFS files are put, on the second origin
_PLURALS = {f"{type}s": type for type in REPO_TYPES}
_BATCH = "/info/lfs/objects/batch"
_VERIFY = "/info/lfs/objects/verify"


@dataclass(frozen=True)
class Upload:
    method: str
    path: str  # still percent-encoded
    query: str
    headers: Mapping[str, str]
    body: bytes


class Uploads:
    """Thread safe. `received` grows in the order of arrival."""

    def __init__(
        self, repos: Repos, access: Access, store_base: Callable[[Request], str]
    ) -> None:
        self.received: list[Upload] = []
        self._repos = repos
        self._access = access
        self._store_base = store_base
        self._lock = threading.Lock()
        self._stored: dict[str, bytes] = {}

    def answer(self, request: Request) -> Answer | None:
        """None for what is no upload."""
        parts = request.path.strip("/").split("/")
        if request.path == "/api/validate-yaml":
            return json_answer({"errors": [], "warnings": []})
        if request.path.endswith(f".git{_BATCH}"):
            return self._batch(request)
        if request.path.endswith(f".git{_VERIFY}"):
            return self._keep(request) or self._verify(request)
        if request.method == "POST" and len(parts) > 4 and parts[0] == "api":
            if parts[4] == "preupload":
                return self._keep(request) or self._preupload(request)
            if parts[4] == "commit":
                revision = unquote("/".join(parts[5:]))
                return self._keep(request) or self._commit(request, parts, revision)
        if request.method == "PUT":
            return self._keep(request) or json_answer({"ok": True})
        return None

    def store(self, request: Request) -> Answer:
        """A PUT of an LFS file's bytes; the URL is its permission."""
        digest = request.path.removeprefix(STORE)
        if hashlib.sha256(request.body).hexdigest() != digest:
            return error_answer(400, None, "The bytes do not have the hash that was announced")
        self._record(request)
        with self._lock:
            self._stored[digest] = request.body
        return Answer(200)

    def _keep(self, request: Request) -> Answer | None:
        """Records the request, or refuses who may not write."""
        if request.token not in self._access.tokens:
            return error_answer(401, None, "Invalid username or password.")
        self._record(request)
        return None

    def _record(self, request: Request) -> None:
        upload = Upload(
            request.method, request.path, request.query, dict(request.headers), request.body
        )
        with self._lock:
            self.received.append(upload)

    def _preupload(self, request: Request) -> Answer:
        files = json.loads(request.body)["files"]
        return json_answer(
            {
                "files": [
                    {
                        "path": file["path"],
                        "uploadMode": "lfs" if _in_lfs(file) else "regular",
                        "shouldIgnore": False,
                        "oid": None,
                    }
                    for file in files
                ]
            }
        )

    def _batch(self, request: Request) -> Answer:
        refusal = self._keep(request)
        if refusal:
            return refusal
        objects = []
        for wanted in json.loads(request.body)["objects"]:
            href = f"{self._store_base(request)}{STORE}{wanted['oid']}"
            verify = f"{request.base}{request.path.removesuffix('/batch')}/verify"
            actions = {"upload": {"href": href}, "verify": {"href": verify}}
            objects.append({**wanted, "actions": actions})
        answer = json_answer({"transfer": "basic", "objects": objects})
        answer.headers["Content-Type"] = "application/vnd.git-lfs+json"
        return answer

    def _verify(self, request: Request) -> Answer:
        told = json.loads(request.body)
        with self._lock:
            stored = self._stored.get(told["oid"])
        if stored is None or len(stored) != told["size"]:
            return error_answer(404, None, "No such object, or of another size")
        return json_answer({"success": True})

    def _commit(self, request: Request, parts: list[str], revision: str) -> Answer:
        """The body is one JSON document a line: what to say, then what to change."""
        type = _PLURALS.get(parts[1], "")
        repo = self._repos.find(type, unquote("/".join(parts[2:4])))
        if repo is None:
            return error_answer(404, "RepoNotFound", "Repository not found")
        changes: dict[str, Content] = {}
        deleted: list[str] = []
        message = "commit"
        for line in request.body.splitlines():
            told: dict[str, Any] = json.loads(line)
            value = told["value"]
            if told["key"] == "header":
                message = value["summary"]
            elif told["key"] == "file":
                data = base64.b64decode(value["content"])
                changes[value["path"]] = make_content(value["path"], data, lfs=False)
            elif told["key"] == "lfsFile":
                with self._lock:
                    data = self._stored[value["oid"]]
                changes[value["path"]] = make_content(value["path"], data, lfs=True)
            elif told["key"] == "deletedFile":
                deleted.append(value["path"])
        commit = self._repos.commit(type, repo.id, changes, tuple(deleted), revision, message)
        return json_answer(_committed(request, repo, commit.id))


def _committed(request: Request, repo: Repo, commit: str) -> dict[str, Any]:
    url = f"{request.base}/{repo.id}/commit/{commit}"
    return {"success": True, "commitOid": commit, "commitUrl": url, "hookOutput": ""}


def _in_lfs(file: Mapping[str, Any]) -> bool:
    sample = base64.b64decode(file.get("sample", ""))
    return make_content(file["path"], sample).lfs
