"""An index as PyPI is one: pages in HTML and JSON, files on an origin of their own, metadata beside
them, ETags, ranges. It counts what it is asked, and misbehaves when told to."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import html
import json
import re
import socket
import ssl
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Iterable, Mapping

from tests.pip.wheels import Wheel

JSON = "application/vnd.pypi.simple.v1+json"


@dataclass
class File:
    wheel: Wheel
    yanked: str | None = None
    hashed: bool = True


@dataclass(frozen=True)
class Asked:
    origin: str  # "index", "files"
    method: str
    path: str
    status: int
    headers: Mapping[str, str]  # names in lower case


@dataclass
class Index:
    """A context manager; every method may be called from any thread."""

    prefix: str = "/simple"
    credentials: tuple[str, str] | None = None  # user and password, asked of the index's origin
    forms: tuple[str, ...] = ("json", "html")
    max_age: int | None = 0  # of pages; None: it says none
    file_max_age: int | None = None
    sizes: bool = True
    files_apart: bool = True  # on an origin of their own
    metadata: bool = True
    tls: ssl.SSLContext | None = None
    projects: dict[str, list[File]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)  # part of a path → what it answers
    tampered: set[str] = field(default_factory=set)  # names of files that are sent with a bit flipped
    sent_bytes: int = 0  # of files

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._servers: dict[str, ThreadingHTTPServer] = {}
        self._ports = {"index": 0, "files": 0}

    # -- life --------------------------------------------------------------------------------------

    def start(self) -> "Index":
        for origin in self._ports:
            server = _Server(("127.0.0.1", self._ports[origin]), _Handler)
            server.index, server.origin = self, origin
            if self.tls:
                server.socket = self.tls.wrap_socket(server.socket, server_side=True)
            self._ports[origin] = server.server_address[1]
            self._servers[origin] = server
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Its ports are closed afterwards; start() opens the same ones."""
        for server in self._servers.values():
            server.shutdown()
            server.server_close()
        self._servers.clear()

    def __enter__(self) -> "Index":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def origin(self, name: str) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self._ports[name]}"

    @property
    def url(self) -> str:
        return f"{self.origin('index')}{self.prefix}/"

    @property
    def url_with_credentials(self) -> str:
        assert self.credentials
        user, password = self.credentials
        return self.url.replace("://", f"://{user}:{password}@")

    # -- content and counts ------------------------------------------------------------------------

    def add(self, wheel: Wheel, yanked: str | None = None, hashed: bool = True) -> Wheel:
        project = re.sub(r"[-_.]+", "-", wheel.name.split("-")[0]).lower()
        self.projects.setdefault(project, []).append(File(wheel, yanked, hashed))
        return wheel

    def count(self, part: str, origin: str | None = None, method: str = "GET") -> int:
        """Requests whose path has this in it."""
        with self._lock:
            return sum(
                part in one.path and one.method == method and origin in (None, one.origin)
                for one in self.asked
            )

    def all_asked(self) -> list[Asked]:
        with self._lock:
            return list(self.asked)

    def find(self, name: str) -> File | None:
        for files in self.projects.values():
            for file in files:
                if file.wheel.name == name:
                    return file
        return None

    # -- pages -------------------------------------------------------------------------------------

    def file_url(self, file: File) -> str:
        base = self.origin("files") if self.files_apart else ""
        return f"{base}/packages/{file.wheel.sha256[:2]}/{file.wheel.name}"

    def page(self, files: Iterable[File], form: str, project: str) -> str:
        return self._json(files, project) if form == "json" else self._html(files)

    def _json(self, files: Iterable[File], project: str) -> str:
        entries = []
        for file in files:
            entry: dict[str, Any] = {"filename": file.wheel.name, "url": self.file_url(file)}
            entry["hashes"] = {"sha256": file.wheel.sha256} if file.hashed else {}
            entry["yanked"] = False if file.yanked is None else file.yanked or True
            if self.sizes:
                entry["size"] = len(file.wheel.data)
            if file.wheel.requires_python:
                entry["requires-python"] = file.wheel.requires_python
            if self.metadata:
                entry["core-metadata"] = {"sha256": _sha256(file.wheel.metadata)}
            entries.append(entry)
        return json.dumps(
            {"meta": {"api-version": "1.0"}, "name": project, "files": entries, "versions": ["1.0"]}
        )

    def _html(self, files: Iterable[File]) -> str:
        lines = ["<!DOCTYPE html><html><body>"]
        for file in files:
            attributes = ""
            if file.wheel.requires_python:
                attributes += f' data-requires-python="{html.escape(file.wheel.requires_python)}"'
            if file.yanked is not None:
                attributes += f' data-yanked="{html.escape(file.yanked)}"'
            if self.metadata:
                attributes += f' data-core-metadata="sha256={_sha256(file.wheel.metadata)}"'
            fragment = f"#sha256={file.wheel.sha256}" if file.hashed else ""
            url = html.escape(self.file_url(file) + fragment)
            lines.append(f'<a href="{url}"{attributes}>{file.wheel.name}</a><br/>')
        return "\n".join([*lines, "</body></html>"])


class _Server(ThreadingHTTPServer):
    index: Index
    origin: str
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._open: set[socket.socket] = set()

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        """Connections that clients keep open are closed too."""
        super().server_close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, *_: object) -> None:
        pass  # a client that went away, or was sent away


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        index, path = self.server.index, self.path.partition("?")[0]
        for part, status in index.statuses.items():
            if part in path:
                return self._send(status, b"told to", {})
        on_index = self.server.origin == "index"
        if on_index and index.credentials and not self._allowed(index.credentials):
            return self._send(401, b"who are you?", {"WWW-Authenticate": 'Basic realm="index"'})
        if on_index and path.startswith(index.prefix + "/"):
            return self._page(index, path.removeprefix(index.prefix).strip("/"))
        name = path.rpartition("/")[2]
        file = index.find(name.removesuffix(".metadata"))
        if "/packages/" not in path or file is None:
            return self._send(404, b"no such file", {})
        self._file(index, file, name.endswith(".metadata"))

    def _allowed(self, credentials: tuple[str, str]) -> bool:
        wanted = base64.b64encode(":".join(credentials).encode()).decode()
        return self.headers.get("Authorization") == f"Basic {wanted}"

    def _page(self, index: Index, project: str) -> None:
        if not project:
            names = [{"name": name} for name in index.projects]
            body = json.dumps({"meta": {"api-version": "1.0"}, "projects": names}).encode()
            return self._send(200, body, {"Content-Type": JSON})
        if project not in index.projects:
            return self._send(404, b"no such project", {})
        form = "json" if JSON in self.headers.get("Accept", "") else "html"
        form = form if form in index.forms else index.forms[0]
        body = index.page(index.projects[project], form, project).encode()
        headers = {"Content-Type": JSON if form == "json" else "text/html"}
        headers["ETag"] = f'"{hashlib.md5(body).hexdigest()}"'
        if index.max_age is not None:
            headers["Cache-Control"] = f"max-age={index.max_age}"
        if self.headers.get("If-None-Match") == headers["ETag"]:
            return self._send(304, b"", headers)
        self._send(200, body, headers)

    def _file(self, index: Index, file: File, metadata: bool) -> None:
        data = file.wheel.metadata if metadata else file.wheel.data
        if file.wheel.name + (".metadata" if metadata else "") in index.tampered:
            middle = len(data) // 2
            data = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        headers = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes"}
        if index.file_max_age is not None:
            headers["Cache-Control"] = f"max-age={index.file_max_age}, immutable, public"
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not wanted:
            return self._send(200, data, headers)
        first, last = int(wanted[1]), min(int(wanted[2] or len(data)), len(data) - 1)
        headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
        self._send(206, data[first : last + 1], headers)

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        index = self.server.index
        got = {name.lower(): value for name, value in self.headers.items()}
        with index._lock:
            index.asked.append(Asked(self.server.origin, self.command, self.path, status, got))
            if self.server.origin == "files" and self.command == "GET":
                index.sent_bytes += len(body)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET" and status != 304:
            self.wfile.write(body)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
