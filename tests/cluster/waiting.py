"""Waiting for a state, with a bound: the only way in which these tests let time pass."""

from __future__ import annotations

import time
from typing import Callable, TypeVar

T = TypeVar("T")
_LOOK_EVERY_S = 0.02


def wait_until(look: Callable[[], T], timeout_s: float, what: str) -> T:
    """Returns the first true value of `look`. After `timeout_s`: an AssertionError that names
    `what`."""
    deadline = time.monotonic() + timeout_s
    while True:
        if value := look():
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {what} (last seen: {value!r})")
        time.sleep(_LOOK_EVERY_S)
