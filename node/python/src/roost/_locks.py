"""Locks that a process may fork around: a child begins with them open, whoever held them."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any


class ForkSafeLock:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        _all.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: Any) -> None:
        self._lock.release()

    def renew(self) -> None:
        self._lock = threading.Lock()


_all: "weakref.WeakSet[ForkSafeLock]" = weakref.WeakSet()


def _after_fork() -> None:
    for lock in list(_all):
        lock.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
