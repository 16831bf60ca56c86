"""The part of a key that all of torch's computations share."""

from __future__ import annotations

import functools
import logging
from importlib import metadata
from typing import Any, Dict, List, Union

from . import _lazy
from ._keys import SCHEMA, json_digest
from ._modules import Uncacheable, settings_digest, weights_digest

log = logging.getLogger("roost")

Fields = Dict[str, Union[str, int, float]]


@functools.lru_cache(maxsize=None)
def code_of(*packages: str) -> str:
    """Versions of this package's keys and of `packages`, as far as they are installed."""
    told = [SCHEMA]
    for package in packages:
        try:
            told.append(f"{package}={metadata.version(package)}")
        except metadata.PackageNotFoundError:
            pass
    return " ".join(told)


def module_fields(module: Any, model_digest: Union[str, None]) -> Fields:
    """Uncacheable if the module cannot be seen through. With a digest the caller answers for the
    weights; all else is looked at still."""
    try:
        return _fields(module, model_digest)
    except Uncacheable:
        raise
    except Exception as error:  # of a library that is not as expected: no error of the user's
        log.warning("a model cannot be seen through: %r", error)
        raise Uncacheable(repr(error)) from None


def _fields(module: Any, model_digest: Union[str, None]) -> Fields:
    return {
        "model": model_digest or weights_digest(module),
        "config": settings_digest(module),
        "dtype": _dtypes(module),
        "arithmetic": _arithmetic(),
    }


def device_type(device: Any) -> str:
    return str(getattr(device, "type", device)).split(":")[0]


def _dtypes(module: Any) -> str:
    found = {str(tensor.dtype).replace("torch.", "") for tensor in module.parameters()}
    return "+".join(sorted(found)) or "none"


def _autocast(torch: Any) -> List[str]:
    if hasattr(torch, "get_autocast_dtype"):  # 2.4
        asked = [(torch.is_autocast_enabled, d) for d in ("cuda", "cpu")]
        asked += [(torch.get_autocast_dtype, d) for d in ("cuda", "cpu")]
        return [str(ask(device)) for ask, device in asked]
    names = ("is_autocast_enabled", "is_autocast_cpu_enabled", "get_autocast_gpu_dtype")
    return [str(getattr(torch, name)()) for name in (*names, "get_autocast_cpu_dtype")]


def _arithmetic() -> str:
    """Switches of torch that change results for the same weights."""
    torch = _lazy.torch()

    def state(name: str, *arguments: Any) -> str:
        at: Any = torch
        for step in name.split("."):
            at = getattr(at, step, None)
        try:
            return str(at(*arguments) if callable(at) else at)
        except (TypeError, RuntimeError):
            return ""

    return json_digest(
        [
            state("get_default_dtype"),
            state("get_float32_matmul_precision"),
            state("are_deterministic_algorithms_enabled"),
            state("backends.cuda.matmul.allow_tf32"),
            state("backends.cudnn.allow_tf32"),
            *_autocast(torch),
        ]
    )
