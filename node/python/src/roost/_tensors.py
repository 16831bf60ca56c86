"""Safetensors: named arrays as bytes and back, without pickle.

Format: https://github.com/huggingface/safetensors#format. What is read may come from anybody, so
every number in it is checked before it is used; what is wrong raises ValueError.
"""

from __future__ import annotations

import json
import struct
import sys
from functools import lru_cache
from typing import Any, Dict, Mapping, NamedTuple, Tuple, Union

import numpy as np
from numpy.typing import NDArray

from . import _lazy

Buffer = Union[bytes, bytearray, memoryview]
Arrays = Mapping[str, Any]  # NumPy arrays or torch tensors, by name

HEADER_BYTES_MAX = 16 << 20  # as the agent's own limit
_RANK_MAX = 64

_NUMPY = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "u1",
    "BOOL": "?",
    "C64": "<c8",
}
_NAME = {np.dtype(code): name for name, code in _NUMPY.items()}
# What NumPy has no type for: its width, and torch's and ml_dtypes' name of it.
_ONLY_TORCH = {
    "BF16": (2, "bfloat16"),
    "F8_E4M3": (1, "float8_e4m3fn"),
    "F8_E5M2": (1, "float8_e5m2"),
}
_TORCH = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
    "C64": "complex64",
    **{name: torch_name for name, (_, torch_name) in _ONLY_TORCH.items()},
}
_SIZE = {
    **{name: np.dtype(code).itemsize for name, code in _NUMPY.items()},
    **{name: size for name, (size, _) in _ONLY_TORCH.items()},
}


class Stored(NamedTuple):
    """One array as it lies in a file. `data` is a view: it keeps the whole buffer alive."""

    dtype: str  # as safetensors spells it
    shape: Tuple[int, ...]
    data: memoryview

    def numpy(self) -> NDArray[Any]:
        """Without a copy. TypeError if NumPy has no such type."""
        if self.dtype in _NUMPY:
            dtype = np.dtype(_NUMPY[self.dtype])
        else:
            dtype = _ml_dtype(self.dtype)
        return np.frombuffer(self.data, dtype=dtype).reshape(self.shape)

    def torch(self) -> Any:
        """A torch tensor on the CPU, without a copy if the buffer may be written."""
        torch = _lazy.torch()
        dtype = getattr(torch, _TORCH.get(self.dtype, ""), None)
        if dtype is None:
            raise TypeError(f"this torch has no type for {self.dtype}")
        if not len(self.data):
            return torch.empty(self.shape, dtype=dtype)
        data = bytearray(self.data) if self.data.readonly else self.data
        return torch.frombuffer(data, dtype=dtype).reshape(self.shape)

    def array(self, framework: str) -> Any:
        return self.torch() if framework == "torch" else self.numpy()


class Value(NamedTuple):
    tensors: Dict[str, Stored]
    metadata: Dict[str, str]

    def arrays(self, framework: str = "np") -> Dict[str, Any]:
        return {name: stored.array(framework) for name, stored in self.tensors.items()}


def is_torch(array: Any) -> bool:
    """Whether it is a torch tensor, without importing torch: who has one has imported it."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(array, torch.Tensor)


def stored(array: Any) -> Stored:
    """TypeError if it is neither array nor tensor, or of a type that safetensors has not."""
    if is_torch(array):
        return _from_torch(array)
    if not isinstance(array, (np.ndarray, np.generic)):
        raise TypeError(f"expected NumPy arrays or torch tensors, got {type(array).__name__}")
    given = np.asarray(array)
    if given.dtype.name in ("bfloat16", "float8_e4m3fn", "float8_e5m2"):  # ml_dtypes
        name = next(key for key, (_, other) in _ONLY_TORCH.items() if other == given.dtype.name)
        little = given
    else:
        little = given.astype(given.dtype.newbyteorder("<"), copy=False)
        if little.dtype not in _NAME:
            raise TypeError(f"arrays of {given.dtype} have no place in a safetensors file")
        name = _NAME[little.dtype]
    flat: Any = np.ascontiguousarray(little).reshape(-1).view(np.uint8)
    return Stored(name, tuple(given.shape), memoryview(flat))


@lru_cache(maxsize=None)
def _torch_names() -> Dict[Any, str]:
    torch = _lazy.torch()
    return {
        getattr(torch, torch_name): name
        for name, torch_name in _TORCH.items()
        if hasattr(torch, torch_name)
    }


def flat_bytes(tensor: Any) -> Any:
    """The values of a tensor that has some, one after the other, as bytes on its own device."""
    torch = _lazy.torch()
    return tensor.detach().resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8)


def _from_torch(tensor: Any) -> Stored:
    torch = _lazy.torch()
    names = _torch_names()
    if tensor.dtype not in names or tensor.layout != torch.strided:
        raise TypeError(f"tensors of {tensor.dtype} have no place in a safetensors file")
    shape = tuple(tensor.shape)
    if not tensor.numel():
        return Stored(names[tensor.dtype], shape, memoryview(b""))
    data = memoryview(flat_bytes(tensor.detach().to("cpu")).numpy())
    return Stored(names[tensor.dtype], shape, data)


def encode(arrays: Arrays, metadata: Mapping[str, str]) -> bytes:
    """TypeError for what `stored` refuses, ValueError if there is nothing or a name is no text."""
    if not arrays:
        raise ValueError("there is no array to keep")
    given = {}
    for name, array in arrays.items():
        if not isinstance(name, str) or name == "__metadata__":
            raise ValueError(f"{name!r} cannot be the name of an array")
        given[name] = stored(array)
    header: Dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    offset = 0
    # The widest first, so that each begins at a multiple of its own width.
    order = sorted(given, key=lambda name: (-_SIZE[given[name].dtype], name))
    for name in order:
        dtype, shape, data = given[name]
        end = offset + data.nbytes
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([struct.pack("<Q", len(text)), text, *(given[name].data for name in order)])


def decode(buffer: Buffer) -> Value:
    """ValueError unless it is one whole safetensors file without gaps and overlaps."""
    view = memoryview(buffer).cast("B")
    if len(view) < 8:
        raise ValueError("shorter than its first 8 bytes")
    (size,) = struct.unpack("<Q", view[:8])
    if size > min(HEADER_BYTES_MAX, len(view) - 8):
        raise ValueError("the header is longer than the file or the limit")
    header = _object(_json(bytes(view[8 : 8 + size])), "the header")
    metadata = _object(header.pop("__metadata__", {}), "the metadata")
    if not all(isinstance(text, str) for text in metadata.values()):
        raise ValueError("metadata is text")
    body = view[8 + size :]
    spans = sorted(
        (_span(entry) + (name, entry) for name, entry in header.items()),
        key=lambda span: span[:3],
    )
    tensors, at = {}, 0
    for begin, end, name, entry in spans:
        if begin != at or end > len(body):
            raise ValueError("tensors overlap, leave a gap, or go past the end")
        tensors[name] = _checked(entry, body[begin:end])
        at = end
    if at != len(body):
        raise ValueError("there are bytes after the last tensor")
    return Value(tensors, metadata)


def _checked(entry: Dict[str, Any], data: memoryview) -> Stored:
    dtype, shape = entry.get("dtype"), entry.get("shape")
    if not isinstance(dtype, str) or dtype not in _SIZE:
        raise ValueError(f"unknown type {dtype!r}")
    if not isinstance(shape, list) or len(shape) > _RANK_MAX or not all(map(_is_count, shape)):
        raise ValueError("a shape is a list of counts")
    size = _SIZE[dtype]
    for count in shape:
        size *= count
    if size != len(data):
        raise ValueError("a tensor's shape and its bytes differ")
    return Stored(dtype, tuple(shape), data)


def _span(entry: Any) -> Tuple[int, int]:
    span = _object(entry, "a tensor").get("data_offsets")
    if not isinstance(span, list) or len(span) != 2 or not all(map(_is_count, span)):
        raise ValueError("data_offsets are two counts")
    if span[0] > span[1]:
        raise ValueError("a tensor ends before it begins")
    return span[0], span[1]


def _is_count(number: Any) -> bool:
    return type(number) is int and number >= 0


def _object(parsed: Any, what: str) -> Dict[str, Any]:
    if not isinstance(parsed, dict):
        raise ValueError(f"{what} is no object")
    return parsed


def _json(text: bytes) -> Any:
    """json.loads, of which repeated names and too deep a nesting are ValueErrors too."""

    def once(pairs: Any) -> Dict[str, Any]:
        made = dict(pairs)
        if len(made) != len(pairs):
            raise ValueError("a name is repeated")
        return made

    try:
        return json.loads(text, object_pairs_hook=once)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _ml_dtype(name: str) -> Any:
    try:
        types = _lazy.ml_dtypes()
    except ImportError:
        raise TypeError(
            f'NumPy has no type for {name}; install ml_dtypes, or read with framework="torch"'
        ) from None
    return np.dtype(getattr(types, _ONLY_TORCH[name][1]))
