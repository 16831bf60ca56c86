"""The second origin: LFS bytes behind signed URLs that expire. It knows no tokens and tells no
metadata."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from urllib.parse import quote, unquote, urlencode

from tests.hub.answers import Answer, Request, error_answer, range_answer
from tests.hub.repos import Repos

PREFIX = "/_cdn/"


class Signer:
    """Signs and checks CDN URLs. `expire_all` makes every URL handed out so far answer 403."""

    def __init__(self, ttl_s: float = 3600) -> None:
        self.ttl_s = ttl_s
        self._key = secrets.token_bytes(16)

    def expire_all(self) -> None:
        self._key = secrets.token_bytes(16)

    def sign(self, path: str) -> str:
        """The query that opens `path` for `ttl_s` seconds."""
        expires = f"{time.time() + self.ttl_s:.3f}"
        return urlencode(
            {"Expires": expires, "Signature": self._mac(path, expires), "Key-Pair-Id": "roost"}
        )

    def opens(self, request: Request) -> bool:
        expires = request.parameter("Expires", "0")
        signature = request.parameter("Signature")
        try:
            fresh = float(expires) > time.time()
        except ValueError:
            return False
        return fresh and hmac.compare_digest(signature, self._mac(request.path, expires))

    def _mac(self, path: str, expires: str) -> str:
        return hmac.new(self._key, f"{path}\n{expires}".encode(), hashlib.sha256).hexdigest()


def cdn_path(type: str, repo_id: str, commit: str, path: str) -> str:
    return f"{PREFIX}{type}/{quote(repo_id)}/{commit}/{quote(path)}"


class CdnRoutes:
    """Answers GET and HEAD of signed URLs."""

    def __init__(self, repos: Repos, signer: Signer) -> None:
        self._repos = repos
        self._signer = signer

    def answer(self, request: Request) -> Answer:
        if request.method not in ("GET", "HEAD"):
            return error_answer(405, None, "Method not allowed")
        if not request.path.startswith(PREFIX):
            return error_answer(404, None, "No such key")
        if not self._signer.opens(request):
            return error_answer(403, None, "AccessDenied: the signature is wrong or has expired")
        type, *rest = request.path.removeprefix(PREFIX).split("/")
        for name_parts in (
            2,
            1,
        ):  # org/name, or a repo of the hub's first days without an organisation
            repo = self._repos.find(type, unquote("/".join(rest[:name_parts])))
            if repo and len(rest) > name_parts + 1:
                commit = repo.commits.get(rest[name_parts])
                path = unquote("/".join(rest[name_parts + 1 :]))
                if commit and path in commit.files:
                    content = commit.files[path]
                    # Like S3: an ETag of its own that is not the content's sha256.
                    headers = {"ETag": f'"{hashlib.md5(content.sha256.encode()).hexdigest()}"'}
                    headers["Content-Type"] = "application/octet-stream"
                    return range_answer(request, content, repo.label(path), headers)
        return error_answer(404, None, "No such key")
