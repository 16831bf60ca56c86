"""A small HTTP proxy on 127.0.0.1, of both kinds: CONNECT for https, whole URLs for http.

with Proxy("ann", "s3cret") as proxy:
    start_agent(https_proxy=proxy.url_for("ann", "s3cret"))
"""

from __future__ import annotations

import base64
import contextlib
import socket
import socketserver
import threading
from typing import Any
from urllib.parse import quote, urlsplit

_BYTES = 1 << 16
_REFUSAL = (
    b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=proxy\r\n"
    b"Content-Length: 3\r\nConnection: close\r\n\r\nno\n"
)


class Proxy:
    """With a user it demands user and password. `asked` has the first line of each request that
    was let through, `refused` counts the others."""

    def __init__(self, user: str | None = None, password: str = "") -> None:
        self.asked: list[str] = []
        self.refused = 0
        self._wanted = None
        if user is not None:
            self._wanted = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        self._server = _Server(("127.0.0.1", 0), _Connection)
        self._server.proxy = self
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def url_for(self, user: str, password: str) -> str:
        named = f"{quote(user, safe='')}:{quote(password, safe='')}@"
        return self.url.replace("http://", f"http://{named}")

    def lets_through(self, headers: dict[str, str]) -> bool:
        return self._wanted is None or headers.get("proxy-authorization") == self._wanted

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    proxy: Proxy

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # clients and servers that go away are ordinary here


class _Connection(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        first = self.rfile.readline().decode().strip()
        lines = []
        while line := self.rfile.readline().strip():
            lines.append(line.decode())
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        proxy = self.server.proxy
        if not proxy.lets_through(headers):
            proxy.refused += 1
            self.wfile.write(_REFUSAL)
            return
        proxy.asked.append(first)
        method, target, version = first.split()
        if method == "CONNECT":
            host, _, port = target.rpartition(":")
            with socket.create_connection((host, int(port)), timeout=30) as there:
                self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                self._relay(there)
            return
        url = urlsplit(target)
        with socket.create_connection((url.hostname or "", url.port or 80), timeout=30) as there:
            path = (url.path or "/") + (f"?{url.query}" if url.query else "")
            ours = ("proxy-", "connection:")
            kept = [line for line in lines if not line.lower().startswith(ours)]
            head = [f"{method} {path} {version}", *kept, "Connection: close", "", ""]
            there.sendall("\r\n".join(head).encode())
            self._relay(there)

    def _relay(self, there: socket.socket) -> None:
        here = self.connection
        there.settimeout(None)

        def back() -> None:
            with contextlib.suppress(OSError):
                while data := there.recv(_BYTES):
                    here.sendall(data)
                here.shutdown(socket.SHUT_RDWR)

        thread = threading.Thread(target=back, daemon=True)
        thread.start()
        with contextlib.suppress(OSError):
            while data := self.rfile.read1(_BYTES):  # what was read ahead comes first
                there.sendall(data)
            there.shutdown(socket.SHUT_WR)
        thread.join()
