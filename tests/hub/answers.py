"""Requests and answers as values, so that routing needs no socket."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Mapping
from urllib.parse import parse_qs

from tests.hub.content import Content


@dataclass(frozen=True)
class Request:
    method: str
    path: str  # still percent-encoded
    query: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    host: str  # host name (IPv6 in brackets) by which the client reached us, without port
    authority: str  # the same with port
    scheme: str = "http"
    prefix: str = ""  # a mirror's, before every path

    @property
    def base(self) -> str:
        """The hub's own URL, as this client knows it."""
        return f"{self.scheme}://{self.authority}{self.prefix}"

    def parameter(self, name: str, default: str = "") -> str:
        return parse_qs(self.query, keep_blank_values=True).get(name, [default])[-1]

    def flag(self, name: str) -> bool:
        return self.parameter(name).lower() in (
            "true",
            "1",
            "yes",
            "on",
        )  # old clients send Python's "True"

    @property
    def token(self) -> str | None:
        kind, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() if kind.lower() == "bearer" and token.strip() else None


@dataclass(frozen=True)
class FileBody:
    """A range of a repo's file; `label` names it in the counters."""

    content: Content
    label: str
    start: int
    length: int


@dataclass
class Answer:
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | FileBody = b""

    @property
    def length(self) -> int:
        return len(self.body) if isinstance(self.body, bytes) else self.body.length


def json_answer(value: Any, status: int = 200, **headers: str) -> Answer:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Answer(
        status,
        {"Content-Type": "application/json; charset=utf-8", **named},
        json.dumps(value).encode(),
    )


def error_answer(status: int, code: str | None, message: str, commit: str | None = None) -> Answer:
    """An error as the hub words it: clients decide by X-Error-Code, and keep .no_exist only with
    X-Repo-Commit."""
    answer = json_answer({"error": message}, status)
    answer.headers["X-Error-Message"] = message
    if code:
        answer.headers["X-Error-Code"] = code
    if commit:
        answer.headers["X-Repo-Commit"] = commit
    return answer


def range_answer(request: Request, content: Content, label: str, headers: dict[str, str]) -> Answer:
    """200, 206 or 416 for one file. A list of ranges is answered whole, as RFC 9110 allows."""
    headers = {"Accept-Ranges": "bytes", **headers}
    whole = Answer(200, headers, FileBody(content, label, 0, content.size))
    wanted = request.headers.get("range", "").strip()
    if not wanted.startswith("bytes=") or "," in wanted:
        return whole
    first, _, last = wanted.removeprefix("bytes=").partition("-")
    try:
        if first:
            start, end = int(first), min(int(last) if last else content.size - 1, content.size - 1)
        else:
            start, end = max(content.size - int(last), 0), content.size - 1
    except ValueError:
        return whole
    if start > end:
        return Answer(416, {**headers, "Content-Range": f"bytes */{content.size}"})
    headers["Content-Range"] = f"bytes {start}-{end}/{content.size}"
    return Answer(206, headers, FileBody(content, label, start, end - start + 1))
