"""An agent for tests: keeps representations in memory and takes the contract at its word.

What breaks the contract is answered as the agent answers it and remembered in `broken`, which the
fixture asserts to be empty.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Dict, List, Optional, Tuple

NODE = "0123456789abcdef" * 2
PATH = "/roost/v1/representations"
_KEY = re.compile(r"[0-9a-f]{64}")
_BUNDLE_BYTES_MAX = 64 << 20
_KEYS_MAX = 16_384
_SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1,
          "BOOL": 1, "U16": 2, "U32": 4, "U64": 8}  # fmt: skip


class Broken(Exception):
    """The client broke the contract."""


@dataclass
class FakeAgent:
    """Starts at once; `close` ends it."""

    bundle_bytes: int = _BUNDLE_BYTES_MAX  # of an answer; smaller: more is `left`
    values: Dict[str, Tuple[bytes, str]] = field(default_factory=dict)  # with provenance
    leases: Dict[str, Tuple[str, float]] = field(default_factory=dict)  # holder and end
    asked: List[str] = field(default_factory=list)  # "POST get", "PUT one" …
    broken: List[str] = field(default_factory=list)
    fail_with: int = 0  # a status that answers everything but /livez
    silent: bool = False  # accepts, says nothing, /livez neither
    slow_s: float = 0.0  # before everything but /livez
    etag: Optional[str] = None  # of what is got alone, instead of the true one
    garbage: Optional[bytes] = None  # the body of every answer with 200
    release: threading.Event = field(default_factory=threading.Event)  # ends silence

    def __post_init__(self) -> None:
        agent = self

        class Handler(_Handler):
            fake = agent

        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()

    def count(self, what: str) -> int:
        return self.asked.count(what)

    # -- what it answers ---------------------------------------------------------------------------

    def get(self, document: Any) -> bytes:
        keys = _keys(document)
        entries, missing, left, content = [], [], [], bytearray()
        for key in keys:
            value = self.values.get(key, (None, ""))[0]
            if value is None:
                missing.append(key)
            elif len(content) + len(value) > self.bundle_bytes:
                left.append(key)
            else:
                entries.append({"key": key, "offset": len(content), "size": len(value)})
                content += value
        header = json.dumps({"entries": entries, "missing": missing, "left": left}).encode()
        return struct.pack("<Q", len(header)) + header + bytes(content)

    def put(self, body: bytes) -> bytes:
        if len(body) > _BUNDLE_BYTES_MAX:
            raise Broken(f"a bundle of {len(body)} bytes")
        (size,) = struct.unpack("<Q", body[:8])
        header = json.loads(body[8 : 8 + size])
        if len(header["entries"]) > _KEYS_MAX:
            raise Broken(f"a bundle of {len(header['entries'])} entries")
        content = body[8 + size :]
        results = []
        for entry in header["entries"]:
            value = content[entry["offset"] : entry["offset"] + entry["size"]]
            if len(value) != entry["size"]:
                raise Broken("an entry goes past the end")
            told = entry.get("provenance")
            results.append(self.keep(value, None if told is None else json.dumps(told)))
        return json.dumps({"results": results}).encode()

    def keep(self, value: bytes, told: Optional[str], key: Optional[str] = None) -> Any:
        provenance = told or check_safetensors(value).get("roost.provenance")
        check_safetensors(value)
        if provenance is None:
            raise Broken("a value without provenance")
        own = key_of(provenance)
        if key is not None and key != own:
            raise Broken("the key is not that of the provenance")
        with self._lock:
            self.leases.pop(own, None)
            stored = own not in self.values
            if stored:
                self.values[own] = (value, provenance)
        return {"key": own, "sha256": hashlib.sha256(value).hexdigest(), "stored": stored}

    def lease(self, document: Any) -> bytes:
        keys, holder = _keys(document), document["holder"]
        if not isinstance(holder, str) or not holder:
            raise Broken("a lease without holder")
        if document.get("release"):
            with self._lock:
                for key in keys:
                    if self.leases.get(key, ("", 0.0))[0] == holder:
                        del self.leases[key]
            return json.dumps({"present": [], "granted": [], "others": []}).encode()
        seconds = document["seconds"]
        if not 0 < seconds <= 3600:
            raise Broken(f"a lease for {seconds} s")
        present, granted, others = [], [], []
        with self._lock:
            for key in keys:
                owner, end = self.leases.get(key, (holder, 0.0))
                if key in self.values:
                    present.append(key)
                elif owner != holder and end > time.monotonic():
                    others.append(key)
                else:
                    granted.append(key)
                    self.leases[key] = (holder, time.monotonic() + seconds)
        told = {"present": present, "granted": granted, "others": others, "retry_after_ms": 20}
        return json.dumps(told).encode()


class _Handler(BaseHTTPRequestHandler):
    fake: FakeAgent
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_PUT(self) -> None:
        self._answer("PUT")

    def _answer(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fake = self.fake
        if fake.silent:
            fake.release.wait()
            return
        if self.path == "/livez":
            fake.asked.append("livez")
            return self._send(200, json.dumps({"live": True, "node": NODE}).encode())
        name = self.path[len(PATH) + 1 :]
        fake.asked.append(f"{method} {'one' if _KEY.fullmatch(name) else name}")
        fake.release.wait(fake.slow_s)
        if fake.fail_with:
            return self._send(fake.fail_with, b"{}")
        if fake.garbage is not None:
            return self._send(200, fake.garbage)
        try:
            self._route(method, name, body)
        except (Broken, KeyError, ValueError, TypeError) as broken:
            fake.broken.append(f"{method} {self.path}: {broken!r}")
            self._send(400, b"{}")

    def _route(self, method: str, name: str, body: bytes) -> None:
        if method == "POST" and name == "put":
            self._send(200, self.fake.put(body))
        elif method == "POST":
            answer = {"get": self.fake.get, "lease": self.fake.lease}[name](json.loads(body))
            self._send(200, answer)
        elif method == "PUT":
            kept = self.fake.keep(body, self.headers.get("X-Roost-Provenance"), name)
            self._send(201 if kept["stored"] else 200, json.dumps(kept).encode())
        elif name in self.fake.values:
            value = self.fake.values[name][0]
            digest = self.fake.etag or hashlib.sha256(value).hexdigest()
            self._send(200, value, {"ETag": f'"{digest}"'})
        else:
            self._send(404, b"{}")

    def _send(self, status: int, body: bytes, headers: Dict[str, str] = {}) -> None:
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def key_of(provenance: str) -> str:
    """Checked as the agent does: canonical text, required fields, plain values."""
    told = json.loads(provenance)
    canonical = json.dumps(told, sort_keys=True, separators=(",", ":"))
    for name in ("kind", "model", "tokenizer", "input", "code"):
        if not isinstance(told.get(name), str) or not told[name]:
            raise Broken(f"{name} is missing")
    for name, value in told.items():
        if type(value) not in (str, int, float):
            raise Broken(f"{name} is a {type(value).__name__}")
    if len(told) > 64 or len(canonical) > 16 << 10:
        raise Broken("too much provenance")
    return hashlib.sha256(canonical.encode()).hexdigest()


def check_safetensors(value: bytes) -> Dict[str, str]:
    """Its metadata. Written apart from the package's own reader."""
    (size,) = struct.unpack("<Q", value[:8])
    header = json.loads(value[8 : 8 + size])
    metadata: Dict[str, str] = header.pop("__metadata__", {})
    at = 0
    for _, tensor in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        begin, end = tensor["data_offsets"]
        count = _SIZES[tensor["dtype"]]
        for side in tensor["shape"]:
            count *= side
        if begin != at or end - begin != count:
            raise Broken("tensors leave a gap, overlap, or have another size")
        at = end
    if 8 + size + at != len(value):
        raise Broken("the file does not end with its tensors")
    return metadata


def _keys(document: Any) -> List[str]:
    keys: List[str] = document["keys"]
    if len(keys) > _KEYS_MAX or not all(_KEY.fullmatch(key) for key in keys):
        raise Broken("not keys, or too many")
    if len(set(keys)) != len(keys):
        raise Broken("a key is repeated")
    return keys
