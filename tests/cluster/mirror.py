"""A mirror of the test hub under a path prefix, as caches and object stores make them: it has the
files, perhaps no lists, and names files by what it likes. It follows redirects itself."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Callable
from urllib.parse import urlsplit

PREFIX = "/hf"
_HOPS_MAX = 5
_PASSED = ("Range", "Authorization")
_DROPPED = ("connection", "transfer-encoding", "location", "content-length")


class Mirror:
    """`no_lists`: the status of the answer to /tree/…, or None. `etag`: what it makes of the hub's.
    `framing`: what tells a body's end: its "length", its last chunk ("chunks"), or that the
    connection is closed ("close"). While `cuts`, the second half of every file is lost."""

    def __init__(
        self,
        hub_url: str,
        no_lists: int | None = None,
        etag: Callable[[str], str] | None = None,
        framing: str = "length",
    ) -> None:
        self.hub, self.no_lists, self.framing = hub_url, no_lists, framing
        self.etag = etag or (lambda text: text)
        self.cuts = False
        self.missing = ""  # a path that it has no more
        self.requests: list[str] = []
        self._connections: list[socket.socket] = []
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                mirror._connections.append(self.connection)

            def do_GET(self) -> None:
                mirror._answer(self)

            do_HEAD = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}{PREFIX}"

    def __enter__(self) -> "Mirror":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        for connection in self._connections:  # those that are kept open, too
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def gets(self, path: str) -> int:
        """How often the bytes of a file were asked for."""
        return sum(line.startswith("GET ") and line.endswith(path) for line in self.requests)

    def _answer(self, asked: BaseHTTPRequestHandler) -> None:
        self.requests.append(f"{asked.command} {asked.path}")
        target = asked.path.removeprefix(PREFIX)
        if target == asked.path:
            return self._send(asked, 404, {}, b"nothing outside the prefix")
        if self.no_lists and "/tree/" in target:
            return self._send(asked, self.no_lists, {}, b"no such request")
        if self.missing and target.endswith(self.missing):
            return self._send(asked, 404, {}, b"no such file")
        status, headers, body = self._from_hub(asked, target)
        for name in ("etag", "x-linked-etag"):
            if name in headers:
                headers["etag"] = self.etag(headers.pop(name))
        headers = {name: value for name, value in headers.items() if not name.startswith("x-linked")}
        self._send(asked, status, headers, body)

    def _from_hub(
        self, asked: BaseHTTPRequestHandler, target: str
    ) -> tuple[int, dict[str, str], bytes]:
        url, named = self.hub + target, dict[str, str]()
        passed = {name: asked.headers[name] for name in _PASSED if name in asked.headers}
        for _ in range(_HOPS_MAX):
            parts = urlsplit(url)
            if not url.startswith(self.hub):
                passed.pop("Authorization", None)
            link = http.client.HTTPConnection(parts.netloc, timeout=20)
            link.request(asked.command, f"{parts.path}?{parts.query}".rstrip("?"), headers=passed)
            answer = link.getresponse()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            body = answer.read()
            link.close()
            named |= {n: v for n, v in headers.items() if n in ("x-repo-commit", "x-linked-etag")}
            if answer.status not in (301, 302, 307, 308):
                size = headers.get("content-length", str(len(body)))
                kept = {n: v for n, v in headers.items() if n not in _DROPPED}
                return answer.status, {**kept, **named, "content-length": size}, body
            place = headers["location"]
            url = place if place.startswith("http") else f"{parts.scheme}://{parts.netloc}{place}"
        raise AssertionError("the hub redirects in circles")

    def _send(
        self, asked: BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: bytes
    ) -> None:
        headers.setdefault("content-length", str(len(body)))
        of_file = "/resolve/" in asked.path and status == 200
        framing = self.framing if of_file and asked.command == "GET" else "length"
        cut = of_file and self.cuts
        sent = body[: len(body) // 2] if cut else body
        if framing != "length":
            del headers["content-length"]
        if framing == "chunks":
            headers["transfer-encoding"] = "chunked"
            ends = b"" if cut else b"0\r\n\r\n"
            sent = b"%x\r\n%s\r\n" % (len(sent), sent) + ends
        asked.send_response(status)
        for name, value in headers.items():
            asked.send_header(name, value)
        asked.end_headers()
        if asked.command != "HEAD":
            asked.wfile.write(sent)
        asked.close_connection = cut or framing == "close"
