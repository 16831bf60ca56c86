"""How often repeated tests repeat."""

from __future__ import annotations

import os


def rounds(usual: int, long: int) -> range:
    """The seeds of a repeated test: a few, or with ROOST_TEST_LONG=1 many; ROOST_TEST_SEED=N
    replays one."""
    if seed := os.environ.get("ROOST_TEST_SEED"):
        return range(int(seed), int(seed) + 1)
    return range(long if os.environ.get("ROOST_TEST_LONG") else usual)
