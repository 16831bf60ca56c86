"""Ways in which the hub misbehaves, switched on and off while it runs.

Each fault says what goes wrong (`kind`), for which requests, and how often.
The kinds, the fields they use, and what happens:

status     status, headers  this status instead of an answer (503, 429 with Retry-After, ...)
ratelimit  seconds          429, and the hub's words for how long to wait
latency    seconds          waits before it answers
reset      after_bytes      TCP reset after so many body bytes
cut        after_bytes      the connection ends in good order after so many body bytes
stall      after_bytes      sends so many body bytes, then nothing until the fault is cleared
early      status, headers  answers with this status before it reads the request's body
unread                      reads nothing of the request's body until the fault is cleared
close                       reads the request and closes without an answer
abort                       the same, by a TCP reset
refuse     origin           the port is closed: connections are refused
no_range                    Range is ignored: 200 with the whole body
weak_etag                   ETag and X-Linked-ETag come as W/"..."
odd_etag                    ETag and X-Linked-ETag are no hashes
corrupt    at               one bit of the file's byte `at` is flipped in bodies

What happens in a body (reset, cut, stall, corrupt) counts as a hit when the body gets so far; all
else with the request.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any, Iterator

KINDS = (
    "status",
    "ratelimit",
    "latency",
    "reset",
    "cut",
    "stall",
    "early",
    "unread",
    "close",
    "abort",
    "refuse",
    "no_range",
    "weak_etag",
    "odd_etag",
    "corrupt",
)
IN_BODY = ("reset", "cut", "stall", "corrupt")
ORIGINS = ("any", "hub", "cdn")


@dataclass
class Fault:
    kind: str
    origin: str = "any"
    path: str = ""  # part of the decoded request path; empty: every request
    method: str = ""  # empty: every method
    times: int | None = None  # how many requests it hits; None: until cleared
    status: int = 503
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    after_bytes: int = 0
    at: int = 0
    id: int = 0
    cleared: threading.Event = field(default_factory=threading.Event, repr=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown fault {self.kind!r}; use one of {', '.join(KINDS)}")
        if self.origin not in ORIGINS:
            raise ValueError(f"unknown origin {self.origin!r}; use one of {', '.join(ORIGINS)}")


class Faults:
    """The faults in force. Thread safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: dict[int, Fault] = {}
        self._next_id = 1

    def add(self, fault: Fault) -> int:
        with self._lock:
            fault.id = self._next_id
            self._next_id += 1
            self._faults[fault.id] = fault
            return fault.id

    def clear(self, id: int | None = None) -> None:
        """Ends one fault, or all; stalled answers go on."""
        with self._lock:
            ended = list(self._faults) if id is None else [id]
            for fault in (self._faults.pop(i) for i in ended if i in self._faults):
                fault.cleared.set()

    def refused(self, origin: str) -> bool:
        with self._lock:
            return any(
                f.kind == "refuse" and f.origin in ("any", origin) for f in self._faults.values()
            )

    def hitting(self, origin: str, method: str, path: str) -> "Hits":
        """The faults for one request; each is counted once, those in the body when they come."""
        with self._lock:
            hits = [
                f
                for f in self._faults.values()
                if f.kind != "refuse" and _matches(f, origin, method, path)
            ]
            for fault in hits:
                if fault.kind not in IN_BODY:
                    self._count(fault)
            return Hits(hits)

    def comes(self, fault: Fault) -> bool:
        """Counts a fault in a body; False if it has hit as often as it should."""
        with self._lock:
            if fault.id not in self._faults:
                return False
            self._count(fault)
            return True

    def _count(self, fault: Fault) -> None:
        if fault.times is not None:
            fault.times -= 1
            if fault.times == 0:
                del self._faults[fault.id]

    def describe(self) -> list[dict[str, Any]]:
        with self._lock:
            return [
                {name: value for name, value in vars(fault).items() if name != "cleared"}
                for fault in self._faults.values()
            ]


class Hits:
    """The faults that one request meets."""

    def __init__(self, faults: list[Fault]) -> None:
        self._faults = faults

    def first(self, kind: str) -> Fault | None:
        return next(self.all(kind), None)

    def all(self, kind: str) -> Iterator[Fault]:
        return (fault for fault in self._faults if fault.kind == kind)


def _matches(fault: Fault, origin: str, method: str, path: str) -> bool:
    return (
        fault.origin in ("any", origin)
        and fault.path in path
        and (not fault.method or fault.method.upper() == method)
    )
