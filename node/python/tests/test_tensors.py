"""Safetensors in and out."""

from __future__ import annotations

import json
import struct
from typing import Any, Dict

import numpy as np
import pytest

from roost import _tensors

TYPES = ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?", "c8"]


def file_of(header: Any, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def tensor(begin: int, end: int, dtype: str = "U8", shape: Any = None) -> Dict[str, Any]:
    shape = [end - begin] if shape is None else shape
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize("code", TYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 4), (2, 3, 4)], ids=str)
def test_arrays_come_back_bit_by_bit(code: str, shape: Any) -> None:
    count = int(np.prod(shape))
    data = np.frombuffer(np.random.default_rng(7).bytes(16 * count + 16), dtype=np.uint8)
    array = (data[:count] > 100) if code == "?" else data.view(f"<{code}")[:count]
    array = array.reshape(shape)

    found = _tensors.decode(_tensors.encode({"a": array}, {})).arrays()["a"]

    assert found.dtype == array.dtype and found.shape == array.shape
    assert found.tobytes() == array.tobytes()


def test_many_arrays_and_metadata_come_back() -> None:
    arrays = {"odd": np.arange(3, dtype=np.uint8), "wide": np.ones((2, 2)), "": np.zeros(1)}

    value = _tensors.decode(_tensors.encode(arrays, {"who": "ä"}))

    assert value.metadata == {"who": "ä"}
    assert {name: array.tolist() for name, array in value.arrays().items()} == {
        name: array.tolist() for name, array in arrays.items()
    }


def test_order_and_byte_order_in_memory_do_not_matter() -> None:
    array = np.arange(6, dtype=">i4").reshape(2, 3)

    written = _tensors.encode({"a": array.T}, {})

    assert written == _tensors.encode({"a": np.array([[0, 3], [1, 4], [2, 5]], dtype="<i4")}, {})


def test_the_reference_library_reads_what_is_written() -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    arrays = {"a": np.arange(5, dtype=np.float16), "b": np.eye(3), "c": np.array(True)}

    found = safetensors.load(_tensors.encode(arrays, {"k": "v"}))

    assert set(found) == set(arrays)
    assert all(found[name].tobytes() == arrays[name].tobytes() for name in arrays)


def test_what_the_reference_library_writes_is_read() -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    arrays = {"a": np.arange(5, dtype=np.float16), "b": np.eye(3)}

    found = _tensors.decode(safetensors.save(arrays)).arrays()

    assert all(found[name].tobytes() == arrays[name].tobytes() for name in arrays)


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"\x01\x02",
        struct.pack("<Q", 1 << 62) + b"{}",
        struct.pack("<Q", 17 << 20) + b" " * (17 << 20),
        file_of(b"no json"),
        file_of(b"[" * 100_000),
        file_of(b"\xff\xfe"),
        file_of([]),
        file_of({"a": 1}),
        file_of({"a": tensor(0, 4)}, b"123"),
        file_of({"a": tensor(0, 4)}, b"12345"),
        file_of({"a": tensor(1, 4)}, b"1234"),
        file_of({"a": tensor(0, 2), "b": tensor(3, 4)}, b"1234"),
        file_of({"a": tensor(0, 3), "b": tensor(2, 4)}, b"1234"),
        file_of({"a": tensor(4, 0)}, b"1234"),
        file_of({"a": tensor(0, 4, shape=[5])}, b"1234"),
        file_of({"a": tensor(0, 4, shape=[-2, -2])}, b"1234"),
        file_of({"a": tensor(0, 4, shape=[True, 4])}, b"1234"),
        file_of({"a": tensor(0, 4, shape=[1] * 65 + [4])}, b"1234"),
        file_of({"a": tensor(0, 4, shape=4)}, b"1234"),
        file_of({"a": tensor(0, 4, dtype="F32", shape=[4])}, b"1234"),
        file_of({"a": tensor(0, 4, dtype="object")}, b"1234"),
        file_of({"a": {**tensor(0, 4), "data_offsets": [0, 2, 4]}}, b"1234"),
        file_of({"a": {**tensor(0, 4), "data_offsets": [0.0, 4.0]}}, b"1234"),
        file_of({"__metadata__": {"a": 1}}),
        file_of({"__metadata__": "text"}),
        file_of(b'{"a":%s,"a":%s}' % ((json.dumps(tensor(0, 4)).encode(),) * 2), b"1234"),
    ],
    ids=range(27),
)
def test_what_is_no_safetensors_file_is_an_error(wrong: bytes) -> None:
    with pytest.raises(ValueError):
        _tensors.decode(wrong)


@pytest.mark.parametrize("wrong", [["text"], np.array(["text"]), np.array([object()]), 1.5])
def test_only_plain_numbers_are_written(wrong: Any) -> None:
    with pytest.raises(TypeError):
        _tensors.encode({"a": wrong}, {})


def test_nothing_is_no_value() -> None:
    with pytest.raises(ValueError):
        _tensors.encode({}, {})


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "int64", "bool", "uint8"])
def test_torch_tensors_come_back_bit_by_bit(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.arange(-6, 6).reshape(3, 4).to(getattr(torch, dtype)).t()

    value = _tensors.decode(_tensors.encode({"a": tensor, "none": tensor[:0]}, {}))
    found = value.arrays("torch")

    assert found["a"].dtype == tensor.dtype and torch.equal(found["a"], tensor)
    assert found["none"].shape == (0, 3)


def test_bfloat16_is_no_other_type_in_numpy() -> None:
    torch = pytest.importorskip("torch")
    value = _tensors.decode(_tensors.encode({"a": torch.ones(2).bfloat16()}, {}))

    try:
        found = value.arrays()["a"]
    except TypeError as error:
        assert "ml_dtypes" in str(error)
    else:
        assert found.dtype.name == "bfloat16"
