"""What a torch module is: digests of its weights, and of all else in it that decides its numbers.

A digest that misses something gives wrong numbers later, so what cannot be seen through is
Uncacheable: the caller then computes as if there were no cache.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import inspect
import sys
import types
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, FrozenSet, Iterator, List, Tuple

import numpy as np

from . import _lazy
from ._files import digest_of
from ._keys import canonical_json, json_digest, text_digest
from ._memory import remembered
from ._tensors import flat_bytes

# Libraries whose hooks and replaced methods are part of their own version, which is in the key.
_LIBRARIES = ("torch", "transformers", "sentence_transformers", "accelerate")
# Objects of these, in attributes of a module, do no arithmetic. All others might: an ONNX session
# has weights that torch does not see.
_HARMLESS = frozenset(
    ("builtins", "collections", "contextlib", "datetime", "logging", "pathlib", "re", "threading",
     "_thread", "tokenizers", "types", "typing", "weakref", "huggingface_hub")
)  # fmt: skip
_DEPTH_MAX = 8
# Where a model lies, how it was loaded, and what counts; nothing that decides a number.
_IGNORED = frozenset(
    ("training", "name_or_path", "_name_or_path", "_commit_hash", "dump_patches", "_version",
     "call_super_init", "transformers_version", "torch_dtype", "dtype", "_model_card_vars",
     "_model_card_text", "model_card_data", "_modules_placed", "_output_capturing_hooks_installed",
     "_is_hf_initialized")
)  # fmt: skip
_FUNCTIONS = (
    types.FunctionType, types.MethodType, types.BuiltinFunctionType, functools.partial
)  # fmt: skip
_BLOCK = 1024  # words of 8 bytes
_GOLDEN = 0x9E3779B97F4A7C15


class Uncacheable(Exception):
    """Why no digest can be made."""


def weights_digest(module: Any) -> str:
    """SHA-256 over names, types, shapes and bytes of all parameters and buffers.

    Remembered while nothing has changed, which is looked up each time: the tensors' addresses and
    versions, and a sum over every block of 8 KiB of their bytes, which costs one reading of the
    weights, less than a forward pass. The sum finds what the versions do not tell, such as changes
    through `tensor.data`."""
    tensors = list(_tensors(module))
    if not tensors:
        raise Uncacheable("the model has no weights that torch knows of")
    mark = [
        (name, tensor.data_ptr(), str(tensor.dtype), tuple(tensor.shape), str(tensor.device),
         _version(tensor), _sum(tensor))
        for name, tensor in tensors
    ]  # fmt: skip
    return str(remembered("weights", module, mark, lambda: _hash_all(tensors)))


def _hash_all(tensors: List[Tuple[str, Any]]) -> str:
    def one(named: Tuple[str, Any]) -> List[Any]:
        name, tensor = named
        digest = hashlib.sha256(_bytes(tensor)).hexdigest()
        return [name, str(tensor.dtype), list(tensor.shape), digest]

    with ThreadPoolExecutor(4) as threads:  # hashing leaves the interpreter free
        return json_digest(list(threads.map(one, tensors)))


def _tensors(module: Any) -> Iterator[Tuple[str, Any]]:
    """Also buffers that are not saved, and tensors in plain attributes: some models compute with
    them."""
    torch = _lazy.torch()
    named: Dict[str, Any] = {}
    for prefix, part in module.named_modules(remove_duplicate=False):
        for name, tensor in (*part._parameters.items(), *part._buffers.items()):
            if tensor is not None:
                named[f"{prefix}.{name}"] = tensor
        for name, value in vars(part).items():
            if name not in ("_parameters", "_buffers", "_modules"):
                _gather(f"{prefix}.{name}", value, named)
    for name in sorted(named):
        tensor = named[name]
        if type(tensor) not in (torch.Tensor, torch.nn.Parameter):
            raise Uncacheable(f"{name} is a {type(tensor).__name__}")
        if tensor.layout != torch.strided or tensor.device.type == "meta":
            raise Uncacheable(f"{name} is not in memory as plain numbers")
        yield name, tensor


def _gather(name: str, value: Any, named: Dict[str, Any], depth: int = 0) -> None:
    if isinstance(value, _lazy.torch().Tensor):
        named[name] = value
    elif isinstance(value, dict) and depth < _DEPTH_MAX:
        for key, item in value.items():
            _gather(f"{name}.{key}", item, named, depth + 1)
    elif isinstance(value, (list, tuple)) and depth < _DEPTH_MAX:
        for number, item in enumerate(value):
            _gather(f"{name}.{number}", item, named, depth + 1)


def _version(tensor: Any) -> int:
    try:
        return int(tensor._version)
    except RuntimeError:  # made in inference mode
        return -1


def _bytes(tensor: Any) -> memoryview:
    if not tensor.numel():
        return memoryview(b"")
    return memoryview(flat_bytes(tensor).to("cpu").numpy())


def _sum(tensor: Any) -> int:
    """Changes with any byte, and with the order of blocks."""
    if not tensor.numel():
        return 0
    flat = flat_bytes(tensor)
    if flat.device.type == "cpu":
        data = flat.numpy()
        words = data[: data.size // 8 * 8].view(np.int64)
        whole = words.size // _BLOCK * _BLOCK
        blocks = words[:whole].reshape(-1, _BLOCK).sum(axis=1, dtype=np.int64)
        rest = bytes(data[whole * 8 :])
    else:
        torch = _lazy.torch()
        size = flat.numel() // (8 * _BLOCK) * (8 * _BLOCK)
        blocks = flat[:size].view(torch.int64).reshape(-1, _BLOCK).sum(dim=1).cpu().numpy()
        rest = bytes(flat[size:].cpu().numpy())
    order = np.arange(1, blocks.size + 1, dtype=np.uint64) * np.uint64(_GOLDEN) | np.uint64(1)
    return hash((int((blocks.view(np.uint64) * order).sum(dtype=np.uint64)), rest))


def settings_digest(module: Any) -> str:
    """Digest of what the module is made of besides its weights: classes, configuration, plain
    attributes of every part (eps, pooling, active adapters …), and the source files of those
    classes that belong to none of the libraries whose versions are in the key."""
    inner = frozenset(vars(_lazy.torch().nn.Module()))  # torch's own, the weights among them
    return json_digest(
        [
            [name, *_part(name or "the model", part, _IGNORED | inner)]
            for name, part in module.named_modules()
        ]
    )


def _part(name: str, part: Any, ignored: FrozenSet[str]) -> List[Any]:
    plain = {
        attribute: _described(value, f"{attribute} of {name}")
        for attribute, value in vars(part).items()
        if attribute not in ignored
    }
    for hooks in (part._forward_hooks, part._forward_pre_hooks):
        if not all(map(_is_of_library, hooks.values())):
            raise Uncacheable(f"{name} has a hook that may change its numbers")
    sources = [_source(kind) for kind in type(part).__mro__]
    kind = f"{type(part).__module__}.{type(part).__qualname__}"
    return [kind, part.extra_repr(), plain, [source for source in sources if source]]


def _source(kind: Any) -> str:
    """Digest of the file that defines a class, none for a library's."""
    top = kind.__module__.split(".")[0]
    if top in _LIBRARIES or top == "builtins":
        return ""
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    try:
        return digest_of(file) if file else text_digest(inspect.getsource(kind))
    except (OSError, TypeError):
        raise Uncacheable(f"the source of {kind.__qualname__} is not to be found") from None


def _described(value: Any, where: str, depth: int = 0) -> Any:
    """An attribute as JSON can say it. Uncacheable if it may hold what decides numbers and cannot
    be seen through."""
    torch = _lazy.torch()
    if _is_plain(value):
        return _plain(value)
    if isinstance(value, (torch.Tensor, torch.nn.Module)):
        return type(value).__qualname__  # its numbers are among the weights
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return [str(value.dtype), list(value.shape), hashlib.sha256(value.tobytes()).hexdigest()]
    if isinstance(value, (torch.dtype, enum.Enum)):
        return str(value)
    if isinstance(value, _FUNCTIONS):
        if not _is_of_library(value):
            raise Uncacheable(f"{where} is a function of somebody's own")
        return getattr(value, "__qualname__", "")
    if depth < _DEPTH_MAX:
        if isinstance(value, dict):
            items = ((f"{key}", item) for key, item in value.items() if key not in _IGNORED)
            return {key: _described(item, where, depth + 1) for key, item in items}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [_described(item, where, depth + 1) for item in value]
        if callable(getattr(value, "to_dict", None)) and not isinstance(value, type):
            # A configuration; how attention is computed `to_dict` leaves out.
            attention = getattr(value, "_attn_implementation", None)
            return [_described(value.to_dict(), where, depth + 1), str(attention)]
    kind = value if isinstance(value, type) else type(value)
    top = kind.__module__.split(".")[0]
    if top in _LIBRARIES or top in _HARMLESS:
        return kind.__qualname__
    raise Uncacheable(f"{where} is a {kind.__module__}.{kind.__qualname__}")


def _is_of_library(function: Any) -> bool:
    while isinstance(function, functools.partial):
        function = function.func
    if isinstance(function, types.BuiltinFunctionType):
        return True
    module = getattr(getattr(function, "__func__", function), "__module__", None)
    return str(module).split(".")[0] in _LIBRARIES


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple, set, frozenset)):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(isinstance(key, (str, int)) and _is_plain(item) for key, item in value.items())
    return value is None or isinstance(value, (bool, int, float, str))


def _plain(value: Any) -> Any:
    """As JSON can say it, different values differently."""
    if isinstance(value, dict):
        return {f"{key}": _plain(item) for key, item in value.items() if key not in _IGNORED}
    if isinstance(value, (set, frozenset)):
        return sorted((_plain(item) for item in value), key=canonical_json)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return repr(value)
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return str(value)
