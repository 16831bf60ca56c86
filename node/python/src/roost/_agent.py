"""The agent of this node: where it is, and the four questions that it answers.

An agent that is away, or that answers nonsense, is `Away`, and for 30 s nobody asks again; one that
says no has `Refused`. Nothing else is raised.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import logging
import os
import struct
import time
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple
from urllib.parse import urlsplit

from . import _wire
from ._locks import ForkSafeLock
from ._wire import Address, Answer

log = logging.getLogger("roost")

DISCOVERY_S = 2.0  # to find an agent, over all places that are tried
AWAY_S = 30.0  # for which an agent that was away is not asked
KEYS_MAX = 16_384  # of one question, as the agent's own limit
BUNDLE_BYTES_MAX = 64 << 20
ALONE_BYTES = 8 << 20  # values from here on are put one by one, not in bundles
DEFAULT_PORT = 8377
_PATH = "/roost/v1/representations"


class Away(Exception):
    """Nobody answers, or the answer makes no sense."""


class Refused(Exception):
    """The agent is there and says no: disk full, too large, busy."""


class Lease(NamedTuple):
    present: List[str]
    granted: List[str]
    others: List[str]
    retry_s: float


class Agent:
    """Threads: any. Keeps no connection, so a process may fork around it."""

    def __init__(self, endpoint: Optional[str] = None) -> None:
        self._endpoint = endpoint
        self._lock = ForkSafeLock()
        self._address: Optional[Address] = None
        self._away_until = 0.0

    def get(self, keys: Sequence[str]) -> Dict[str, memoryview]:
        """The values that are known, each in a buffer of its own, of at most KEYS_MAX keys."""
        found: Dict[str, memoryview] = {}
        left = list(keys)
        while left:
            answer = self._post("get", {"keys": left})
            entries, later = _bundle(answer.body, left)
            found.update(entries)
            if not later:
                break
            if not entries:  # too large for any bundle
                for key in later:
                    alone = self._get_one(key)
                    if alone is not None:
                        found[key] = alone
                break
            left = later
        return found

    def put(self, values: Sequence[bytes]) -> List[bool]:
        """Whether each is kept now; they carry their provenance. At most KEYS_MAX, which fit into
        one bundle."""
        header = {"entries": _spans(values)}
        text = json.dumps(header, separators=(",", ":")).encode()
        body = b"".join([struct.pack("<Q", len(text)), text, *values])
        results = _field(self._post("put", body), "results")
        if not isinstance(results, list) or len(results) != len(values):
            raise self._away("its answer to put is not one result for each value")
        return [isinstance(result, dict) and "error" not in result for result in results]

    def put_one(self, key: str, value: bytes, provenance: str) -> None:
        headers = {"X-Roost-Provenance": provenance, "Content-Type": "application/octet-stream"}
        self._ask("PUT", f"{_PATH}/{key}", value, headers)

    def lease(self, keys: Sequence[str], holder: str, seconds: int) -> Lease:
        answer = self._post("lease", {"keys": list(keys), "holder": holder, "seconds": seconds})
        lists = [_keys(_field(answer, name), keys) for name in ("present", "granted", "others")]
        pause = _field(answer, "retry_after_ms", 250)
        if type(pause) not in (int, float):
            raise self._away("its answer to lease has no pause")
        present, granted, others = lists
        return Lease(present, granted, others, min(max(pause, 10), 5000) / 1000)

    def release(self, keys: Sequence[str], holder: str) -> None:
        self._post("lease", {"keys": list(keys), "holder": holder, "release": True})

    def is_there(self) -> bool:
        """Whether an agent was found, now or before; takes DISCOVERY_S at most."""
        try:
            self._found()
        except Away:
            return False
        return True

    # -- inside ------------------------------------------------------------------------------------

    def _get_one(self, key: str) -> Optional[memoryview]:
        try:
            answer = self._ask("GET", f"{_PATH}/{key}")
        except Refused:
            return None
        digest = answer.headers.get("etag", "").strip('"')
        if len(digest) == 64 and hashlib.sha256(answer.body).hexdigest() != digest:
            return None
        return memoryview(answer.body)

    def _post(self, name: str, content: Any) -> Answer:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        kind = "application/octet-stream" if isinstance(content, bytes) else "application/json"
        return self._ask("POST", f"{_PATH}/{name}", body, {"Content-Type": kind})

    def _ask(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] = {}
    ) -> Answer:
        address = self._found()
        try:
            answer = _wire.ask(address, method, path, body, headers)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._away(str(error) or type(error).__name__) from None
        if answer.status in (200, 201):
            return answer
        if method == "POST" and answer.status in (404, 405, 501):
            raise self._away("it keeps no representations")
        raise Refused(f"the agent answered {answer.status}")

    def _found(self) -> Address:
        """Where the agent is. Away at once while it counts as away, else within DISCOVERY_S."""
        with self._lock:
            if time.monotonic() < self._away_until:
                raise Away()
            if self._address is not None:
                return self._address
            deadline = time.monotonic() + DISCOVERY_S
            for address in candidates(self._endpoint):
                if _wire.is_agent(address, deadline):
                    self._address = address
                    return address
            raise self._gone("no agent answers")

    def _away(self, why: str) -> Away:
        with self._lock:
            return self._gone(why)

    def _gone(self, why: str) -> Away:
        log.info("the roost agent is not asked for %d s: %s", AWAY_S, why)
        self._address, self._away_until = None, time.monotonic() + AWAY_S
        return Away(why)


def candidates(endpoint: Optional[str] = None) -> List[Address]:
    """Where an agent may be, best first. HF_ENDPOINT counts only if it is an address of this node:
    the hub, and whoever else it may lead to, hears nothing of us."""
    if endpoint is not None:
        return [address for address in (_address(endpoint),) if address]
    hub = _address(os.environ.get("HF_ENDPOINT", ""))
    own = _address(os.environ.get("ROOST_ENDPOINT", "")) or Address("127.0.0.1", DEFAULT_PORT)
    found = [hub] if hub and _is_loopback(hub.host) else []
    return found + [own] if own not in found else found


def _address(text: str) -> Optional[Address]:
    """Of an http:// URL or HOST:PORT; None if it is neither."""
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        if parts.scheme != "http" or not parts.hostname:
            return None
        port = parts.port or (80 if "://" in text else DEFAULT_PORT)
    except ValueError:
        return None
    # An agent that listens everywhere listens here.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(parts.hostname, parts.hostname)
    return Address(host, port)


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


def _spans(values: Iterable[bytes]) -> List[Dict[str, int]]:
    spans, at = [], 0
    for value in values:
        spans.append({"offset": at, "size": len(value)})
        at += len(value)
    return spans


def _field(answer: Answer, name: str, default: Any = None) -> Any:
    try:
        told = json.loads(answer.body)
    except (ValueError, RecursionError):
        return default
    return told.get(name, default) if isinstance(told, dict) else default


def _keys(named: Any, asked: Sequence[str]) -> List[str]:
    """Only what was asked for counts."""
    known = set(asked)
    if not isinstance(named, list):
        return []
    return [key for key in named if isinstance(key, str) and key in known]


def _bundle(body: bytearray, asked: Sequence[str]) -> Tuple[Dict[str, memoryview], List[str]]:
    """The values and the keys that are `left`. What makes no sense is left out: a miss."""
    view = memoryview(body)
    try:
        (size,) = struct.unpack("<Q", view[:8])
        if size > len(view) - 8:
            return {}, []
        header = json.loads(bytes(view[8 : 8 + size]))
    except (struct.error, ValueError, RecursionError):
        return {}, []
    if not isinstance(header, dict) or not isinstance(header.get("entries"), list):
        return {}, []
    values, known = {}, set(asked)
    content = view[8 + size :]
    for entry in header["entries"]:
        key, offset, length = (
            (entry.get("key"), entry.get("offset"), entry.get("size"))
            if isinstance(entry, dict)
            else (None, None, None)
        )
        if type(offset) is not int or type(length) is not int or not isinstance(key, str):
            continue
        if key in known and 0 <= offset and 0 <= length and offset + length <= len(content):
            # A copy: one small array must not keep a whole bundle in memory.
            values[key] = memoryview(bytearray(content[offset : offset + length]))
    left = [key for key in _keys(header.get("left"), asked) if key not in values]
    return values, left
