"""Traces of Xet storage, for repos that have it: what tells a client to leave plain HTTP.

Nothing is behind it here: a client that follows them finds no bytes, and its test fails.
"""

from __future__ import annotations

import hashlib
import time
from urllib.parse import quote

from tests.hub.answers import Answer, Request, json_answer
from tests.hub.content import Content
from tests.hub.repos import Commit, Repo

FILE_INFO = "application/vnd.xet-fileinfo+json"
_TOKEN_S = 3600


def xet_hash(content: Content) -> str:
    """Like a real one in form: 64 hex digits that are not the sha256."""
    return hashlib.sha256(b"xet" + content.sha256.encode()).hexdigest()


def file_headers(request: Request, repo: Repo, commit: Commit, content: Content) -> dict[str, str]:
    """What `resolve` adds for a file in Xet storage."""
    origin = request.base
    token = f"{origin}/api/{repo.type}s/{quote(repo.id)}/xet-read-token/{commit.id}"
    reconstruction = f"{origin}/_xet/v1/reconstructions/{xet_hash(content)}"
    return {
        "X-Xet-Hash": xet_hash(content),
        "X-Xet-Refresh-Route": token,
        "Link": f'<{token}>; rel="xet-auth", <{reconstruction}>; rel="xet-reconstruction-info"',
    }


def file_info(request: Request, headers: dict[str, str], content: Content) -> Answer | None:
    """The answer to a client that asks for Xet's description of a file (JavaScript does)."""
    if FILE_INFO not in request.headers.get("accept", ""):
        return None
    answer = json_answer({"hash": xet_hash(content)})
    answer.headers |= {**headers, "Content-Type": FILE_INFO}
    return answer


def read_token(request: Request) -> Answer:
    expiry = str(int(time.time()) + _TOKEN_S)
    cas = f"{request.base}/_xet"
    answer = json_answer({"casUrl": cas, "exp": int(expiry), "accessToken": "xet-token"})
    answer.headers["X-Xet-Cas-Url"] = cas
    answer.headers["X-Xet-Access-Token"] = "xet-token"
    answer.headers["X-Xet-Token-Expiration"] = expiry
    return answer
