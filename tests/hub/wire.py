"""Sockets: reads requests, sends answers at a given rate, and misbehaves as `faults` say.

One thread a connection. HTTP/1.1 with keep-alive.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable
from urllib.parse import unquote

from tests.hub.answers import Answer, FileBody, Request, error_answer
from tests.hub.faults import Fault, Faults, Hits
from tests.hub.ledger import Ledger

_CHUNK_BYTES = 256 * 1024
_SEND_BUFFER_BYTES = 256 * 1024
_PACE_S = 0.02  # a slow connection sends about so often
_REQUEST_BODY_BYTES_MAX = 512 * 1024 * 1024
_REFUSED_READ_S = 10  # what still comes of a body that was answered early
_STOPS = ("reset", "cut", "stall")


class _Reset(Exception):
    """The connection is to end by a TCP reset."""


class _Cut(Exception):
    """The connection is to end here, in good order."""


class Origin:
    """One listening address. `respond` makes the answers; `name` is "hub" or "cdn"."""

    def __init__(
        self,
        name: str,
        host: str,
        port: int,
        respond: Callable[[Request], Answer],
        ledger: Ledger,
        faults: Faults,
        known_token: Callable[[str], bool],
        tls: ssl.SSLContext | None = None,
        prefix: str = "",
    ) -> None:
        self.name = name
        self.host = host
        self.port = port
        self.respond = respond
        self.ledger = ledger
        self.faults = faults
        self.known_token = known_token
        self.tls = tls
        self.scheme = "https" if tls else "http"
        self.prefix = prefix
        self.rate: int | None = (
            None  # body bytes per second and connection; None: as fast as it goes
        )
        self.stopping = threading.Event()
        self._server: _Server | None = None

    def open(self) -> None:
        """Listens; a port of 0 becomes the port that the system gave, and stays it."""
        if self._server is None:
            self._server = _Server(self)
            self.port = self._server.server_address[1]
            threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Connections are refused from now on; those that are open end."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server.end_connections()
            self._server = None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    block_on_close = False

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.address_family = socket.AF_INET6 if ":" in origin.host else socket.AF_INET
        self._connections: set[socket.socket] = set()
        self._connections_lock = threading.Lock()
        super().__init__((origin.host, origin.port), _Connection)

    def server_bind(self) -> None:
        # HTTPServer.server_bind looks up its own name in DNS, which can take seconds without a
        # network.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = self.origin.host, int(self.server_address[1])

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        # What waits in a large buffer would count as sent, though no client ever has it.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        if tls := self.origin.tls:  # the handshake comes on the connection's own thread
            wrapped = tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
            return wrapped, address
        return connection, address

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._connections_lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._connections_lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def end_connections(self) -> None:
        with self._connections_lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # clients that go away are ordinary here


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "hub-imitation"
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        super().setup()
        ask = self.server.origin.ledger.who
        here = self.request.getsockname()[1]
        self._who = ask(self.client_address[1], here) if ask else None
        self._entry: dict[str, Any] = {}
        self._sent = 0  # body bytes of this answer

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        pass  # the ledger has it

    def handle_expect_100(self) -> bool:
        return True  # said when the body is read: faults may come first

    def _serve(self) -> None:
        origin = self.server.origin
        path = self.path.partition("?")[0]
        if path.startswith(("/_control", "/_stats")):
            if request := self._read_request():
                self._send(origin.respond(request), Hits([]))
            return
        hits = origin.faults.hitting(origin.name, self.command, unquote(path))
        if early := hits.first("early"):
            self._answer_early(early)
            return
        if unread := hits.first("unread"):
            while not unread.cleared.wait(0.05) and not origin.stopping.is_set():
                pass
        request = self._read_request()
        if request is None:
            return
        entry = self._entry = self._enter(request)
        self._sent = 0
        try:
            if latency := hits.first("latency"):
                latency.cleared.wait(latency.seconds)
            if hits.first("abort"):
                raise _Reset
            if hits.first("close"):
                self.close_connection = True
            else:
                answer = self._answer(request, hits)
                entry["status"] = answer.status
                self._send(answer, hits)
        except _Reset:
            linger = struct.pack("ii", 1, 0)  # close() then sends RST
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
            self.close_connection = True
        except (_Cut, OSError):
            self.close_connection = True
        finally:
            entry["bytes"] = self._sent
            origin.ledger.end(entry)

    def _answer_early(self, fault: Fault) -> None:
        """As a server does that keeps good manners: the answer, then it reads what still comes."""
        entry = self._enter(self._request(b""))
        entry["status"] = fault.status
        answer = error_answer(fault.status, None, f"{fault.status} by request of the test")
        answer.headers |= {**fault.headers, "Connection": "close"}
        self.close_connection = True
        with contextlib.suppress(OSError):
            self._send(answer, Hits([]))
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(_REFUSED_READ_S)
            while self.rfile.read1(_CHUNK_BYTES):
                pass
        self.server.origin.ledger.end(entry)

    def _read_request(self) -> Request | None:
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        body = self._read_body()
        if body is None:
            self.close_connection = True
            self._send(error_answer(413, None, "Request body too large"), Hits([]))
            return None
        return self._request(body)

    def _request(self, body: bytes) -> Request:
        path, _, query = self.path.partition("?")
        prefix = self.server.origin.prefix
        if prefix:
            path = path.removeprefix(prefix) if path.startswith(f"{prefix}/") else "/_elsewhere"
        local = self.connection.getsockname()
        host = f"[{local[0]}]" if ":" in local[0] else local[0]
        authority = self.headers.get("Host") or f"{host}:{local[1]}"
        name = (
            authority.rpartition(":")[0]
            if not authority.endswith("]") and ":" in authority
            else authority
        )
        headers = {key.lower(): value for key, value in self.headers.items()}
        scheme = self.server.origin.scheme
        named = (name, authority, scheme, prefix)
        return Request(self.command, path, query, headers, body, *named)

    def _read_body(self) -> bytes | None:
        """By its length or in chunks; None if it is too large, or ends early."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            length = int(self.headers.get("Content-Length") or 0)
            if length > _REQUEST_BODY_BYTES_MAX:
                return None
            body = self.rfile.read(length)
            return body if len(body) == length else None
        parts, total = [], 0
        while size := int(self.rfile.readline().partition(b";")[0] or b"-1", 16):
            total += size
            if size < 0 or total > _REQUEST_BODY_BYTES_MAX:
                return None
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers
        return b"".join(parts)

    def _answer(self, request: Request, hits: Hits) -> Answer:
        if fault := hits.first("status"):
            answer = error_answer(fault.status, None, f"{fault.status} by request of the test")
            answer.headers.update(fault.headers)
            return answer
        if fault := hits.first("ratelimit"):
            answer = error_answer(429, None, "We had to rate limit you")
            answer.headers["RateLimit"] = f'"api";r=0;t={fault.seconds:.0f}'
            answer.headers["RateLimit-Policy"] = '"fixed window";"api";q=500;w=300'
            return answer
        if hits.first("no_range"):
            headers = {name: value for name, value in request.headers.items() if name != "range"}
            request = Request(**{**vars(request), "headers": headers})
        answer = self.server.origin.respond(request)
        if hits.first("no_range"):
            answer.headers.pop("Accept-Ranges", None)
        for name in ("ETag", "X-Linked-ETag"):
            if name in answer.headers and hits.first("weak_etag"):
                answer.headers[name] = "W/" + answer.headers[name]
            if name in answer.headers and hits.first("odd_etag"):
                answer.headers[name] = '"version-7.gz"'
        return answer

    def _send(self, answer: Answer, hits: Hits) -> None:
        """Sends head and body; `_sent` follows the body bytes that left."""
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status != 304:
            self.send_header("Content-Length", str(answer.length))
        self.end_headers()
        if self.command == "HEAD" or answer.status == 304:
            return
        if isinstance(answer.body, bytes):
            self.connection.sendall(answer.body)
            self._sent = len(answer.body)
        else:
            self._send_file(answer.body, hits)

    def _send_file(self, body: FileBody, hits: Hits) -> None:
        origin = self.server.origin
        stops = sorted(f.after_bytes for kind in _STOPS for f in hits.all(kind))
        began = time.monotonic()
        with body.content.open() as reader:
            reader.seek(body.start)
            while (sent := self._sent) < body.length and not origin.stopping.is_set():
                self._stop_here(hits)
                rate = origin.rate
                size = min(_CHUNK_BYTES, body.length - sent)
                if rate:
                    size = min(size, max(1, int(rate * _PACE_S)))
                size = min([size] + [stop - sent for stop in stops if stop > sent])
                chunk = bytearray(reader.read(size))
                if not chunk:
                    raise _Reset  # the file under us became shorter
                for fault in hits.all("corrupt"):
                    offset = fault.at - body.start - sent
                    if 0 <= offset < len(chunk) and origin.faults.comes(fault):
                        chunk[offset] ^= 1
                left = memoryview(chunk)
                while left:
                    left = left[self._send_some(left, body.label) :]
                if rate:
                    origin.stopping.wait(max(0.0, began + self._sent / rate - time.monotonic()))
        self._stop_here(hits)
        if self._sent < body.length:
            raise _Reset

    def _send_some(self, data: memoryview, label: str) -> int:
        """Counts before it sends: who has a byte finds it counted."""
        ledger = self.server.origin.ledger
        ledger.sent(label, len(data))
        count = 0
        try:
            count = int(self.connection.send(data))
        finally:
            ledger.sent(label, count - len(data))
            self._sent += count
            self._entry["bytes"] = self._sent
            if count and self._entry["first_byte"] is None:
                self._entry["first_byte"] = round(time.time(), 6)
        return count

    def _stop_here(self, hits: Hits) -> None:
        origin = self.server.origin
        due = [f for kind in _STOPS for f in hits.all(kind) if self._sent == f.after_bytes]
        for fault in due:
            if not origin.faults.comes(fault):
                continue
            if fault.kind == "reset":
                raise _Reset
            if fault.kind == "cut":
                raise _Cut
            while not fault.cleared.wait(0.05):
                if origin.stopping.is_set():
                    raise _Reset

    def _enter(self, request: Request) -> dict[str, Any]:
        origin = self.server.origin
        token = request.token
        if origin.name == "cdn" and "authorization" in request.headers:
            origin.ledger.leaked(f"{request.method} {request.path}")
        return origin.ledger.begin(
            origin=origin.name,
            method=request.method,
            path=unquote(request.path),
            query=request.query,
            range=request.headers.get("range"),
            client=self.client_address[0],
            who=self._who,
            user_agent=request.headers.get("user-agent"),
            # Which token it was stays unwritten: a log may be kept, and somebody's real token may
            # have come here.
            token="none" if token is None else "known" if origin.known_token(token) else "unknown",
        )
