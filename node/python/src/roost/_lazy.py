"""Libraries that are imported only by who uses them."""

from __future__ import annotations

import functools
import importlib
from typing import Any


@functools.lru_cache(maxsize=None)
def torch() -> Any:
    return importlib.import_module("torch")


def ml_dtypes() -> Any:
    return importlib.import_module("ml_dtypes")
