"""What was asked and what was sent: the request log, egress counters, leaked tokens. Thread
safe."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, Callable


class Ledger:
    """Counts body bytes of repo files as they leave, so that an interrupted answer counts what it
    sent."""

    def __init__(self, log: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._log = log.open("a") if log else None
        # Says from a connection's port at the other side and the port here who has it; asked once a
        # connection, when it is accepted. On one machine all clients have one address.
        self.who: Callable[[int, int], str | None] | None = None
        self._clear()

    def _clear(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.per_file: Counter[str] = Counter()
        self.leaks: list[str] = []  # requests that carried a token to the CDN

    def reset(self) -> None:
        with self._lock:
            self._clear()

    def sent(self, label: str, size: int) -> None:
        with self._lock:
            self.per_file[label] += size

    def leaked(self, what: str) -> None:
        with self._lock:
            self.leaks.append(what)

    def begin(self, **fields: Any) -> dict[str, Any]:
        """Enters a request before it is answered, so that who has the answer finds the request
        here. `first_byte` and `ended` are times, or None until they come."""
        times = {"time": round(time.time(), 6), "first_byte": None, "ended": None}
        entry = {**times, "status": 0, "bytes": 0, **fields}
        with self._lock:
            self.requests.append(entry)
        return entry

    def end(self, entry: dict[str, Any]) -> None:
        entry["ended"] = round(time.time(), 6)
        with self._lock:
            if self._log and not self._log.closed:
                self._log.write(json.dumps(entry) + "\n")
                self._log.flush()

    @property
    def egress_bytes(self) -> int:
        with self._lock:
            return self.per_file.total()

    def stats(self) -> dict[str, Any]:
        with self._lock:
            return {
                "schema": "hub.stats.1",
                "egress_bytes": self.per_file.total(),
                "per_file": dict(self.per_file),
                "requests": len(self.requests),
                "by_status": dict(Counter(str(r["status"]) for r in self.requests)),
                "by_origin": dict(Counter(r["origin"] for r in self.requests)),
                "token_leaks": len(self.leaks),
            }

    def close(self) -> None:
        with self._lock:
            if self._log:
                self._log.close()
