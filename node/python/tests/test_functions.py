"""The decorator, and digests of files."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any, Callable, Dict, List

import numpy as np
import pytest
from fake_agent import FakeAgent

import roost
from roost import RepresentationCache, cached, digest_of


@pytest.fixture
def cache(agent: FakeAgent) -> RepresentationCache:
    return RepresentationCache(endpoint=agent.url)


def test_a_function_is_called_once_for_a_text(cache: RepresentationCache) -> None:
    calls: List[str] = []

    @cached(version="1", cache=cache)
    def lengths(text: str, factor: int = 1) -> Any:
        calls.append(text)
        return np.array([len(word) * factor for word in text.split()])

    assert [lengths("a bcd").tolist() for _ in range(2)] == [[1, 3], [1, 3]]
    assert lengths("a bcd", factor=2).tolist() == [2, 6]
    assert lengths("b").tolist() == [1]
    assert calls == ["a bcd", "a bcd", "b"]


def test_dictionaries_scalars_and_tensors(cache: RepresentationCache) -> None:
    @cached(version="1", cache=cache)
    def several(text: str) -> Any:
        return {"layer_0": np.ones((2, 3)), "layer_1": np.float32(len(text))}

    for _ in range(2):
        found = several("abc")
        assert set(found) == {"layer_0", "layer_1"}
        assert found["layer_1"].shape == () and found["layer_1"] == 3
    torch = pytest.importorskip("torch")

    @cached(version="1", cache=cache, torch=True)
    def tensor(text: str) -> Any:
        return torch.ones(3, dtype=torch.bfloat16)

    for _ in range(2):
        assert torch.equal(tensor("abc"), torch.ones(3, dtype=torch.bfloat16))


def test_a_batch_asks_only_for_what_is_missing(cache: RepresentationCache) -> None:
    calls: List[List[str]] = []

    @cached(version="1", cache=cache, batched=True)
    def lengths(texts: List[str]) -> Any:
        calls.append(texts)
        return np.array([[len(text)] for text in texts])

    assert [row.tolist() for row in lengths(["a", "bc", "a"])] == [[1], [2], [1]]
    assert [row.tolist() for row in lengths(["def", "bc"])] == [[3], [2]]
    assert lengths([]) == []
    assert calls == [["a", "bc"], ["def"]]


def test_a_batch_of_dictionaries(cache: RepresentationCache) -> None:
    @cached(version="1", cache=cache, batched=True)
    def both(texts: List[str]) -> Dict[str, Any]:
        return {"n": np.arange(len(texts)), "ones": np.ones((len(texts), 2))}

    found = both(["a", "b"])

    assert [int(row["n"]) for row in found] == [0, 1] and found[1]["ones"].shape == (2,)


def test_a_batch_of_another_length_is_an_error(cache: RepresentationCache) -> None:
    @cached(version="1", cache=cache, batched=True)
    def wrong(texts: List[str]) -> Any:
        return np.zeros((1, 2))

    with pytest.raises(ValueError, match="1 results for 2 texts"):
        wrong(["a", "b"])


def test_another_version_source_model_or_name_is_a_miss(cache: RepresentationCache) -> None:
    calls: List[int] = []

    def make(number: int, **settings: Any) -> Callable[[str], Any]:
        box = [number]  # no plain number, which would be part of the key

        @cached(cache=cache, **settings)
        def function(text: str) -> Any:
            calls.append(box[0])
            return np.zeros(1)

        return function

    @cached(version="1", cache=cache)
    def function(text: str) -> Any:
        calls.append(100)
        return np.zeros(1)

    make(0, version="1")("a")
    make(1, version="1")("a")
    make(2, version="2")("a")
    make(3, version="1", model="m")("a")
    make(4, version="1", tokenizer="t")("a")
    function("a")

    assert calls == [0, 2, 3, 4, 100]


LAYER = 1


def test_numbers_from_around_a_function_are_part_of_the_key(
    cache: RepresentationCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(factor: int) -> Callable[[str], Any]:
        @cached(version="1", cache=cache)
        def function(text: str) -> Any:
            return np.array([factor * 10 + LAYER])

        return function

    assert make(1)("a")[0] == 11 and make(2)("a")[0] == 21
    monkeypatch.setitem(globals(), "LAYER", 3)
    assert make(1)("a")[0] == 13


def test_a_version_is_required() -> None:
    with pytest.raises(TypeError):
        cached()  # type: ignore[call-arg]
    with pytest.raises(ValueError):
        cached(version="")


def test_what_is_no_text_goes_to_the_function(agent: FakeAgent, cache: Any) -> None:
    @cached(version="1", cache=cache)
    def function(text: Any, other: Any = None) -> Any:
        return np.array([1])

    function(3)
    function("a", [1])
    function("a", other=object())

    assert not agent.values


def test_texts_of_any_kind_have_keys_of_their_own(cache: RepresentationCache) -> None:
    @cached(version="1", cache=cache)
    def points(text: str) -> Any:
        return np.array([ord(letter) for letter in text], dtype=np.int64)

    for text in ("", "\0", "ä", "a\u0308", "\ud800", "\U0001f426", "x" * 100_000):
        for _ in range(2):
            assert points(text).tolist() == [ord(letter) for letter in text]
    assert cache.stats.computed == cache.stats.hits == 7


@cached(version="1", cache=RepresentationCache(endpoint="127.0.0.1:9"))
def at_top(text: str) -> Any:
    """Says what."""
    return np.array([len(text)])


def test_a_cached_function_can_be_pickled_and_tells_what_it_is() -> None:
    assert at_top.__doc__ == "Says what." and at_top.__name__ == "at_top"
    assert pickle.loads(pickle.dumps(at_top))("abc").tolist() == [3]


def test_digest_of_a_snapshot_is_that_of_the_same_files_elsewhere(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    (plain / "sub").mkdir(parents=True)
    (plain / "model.safetensors").write_bytes(b"weights")
    (plain / "sub/config.json").write_bytes(b"{}")
    blobs, snapshot = tmp_path / "repo/blobs", tmp_path / "repo/snapshots/abc"
    blobs.mkdir(parents=True)
    (snapshot / "sub").mkdir(parents=True)
    sha256 = digest_of(plain / "model.safetensors")
    (blobs / sha256).write_bytes(b"weights")
    (blobs / ("a" * 40)).write_bytes(b"{}")
    (snapshot / "model.safetensors").symlink_to(os.path.relpath(blobs / sha256, snapshot))
    (snapshot / "sub/config.json").symlink_to(blobs / ("a" * 40))

    assert digest_of(snapshot) == digest_of(plain)
    os.chmod(blobs / sha256, 0)
    assert digest_of(snapshot) == digest_of(plain), "the blob's name says it"


def test_digest_of_a_folder_changes_with_each_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    first = digest_of(tmp_path)
    (tmp_path / ".hidden").write_bytes(b"1")
    assert digest_of(tmp_path) == first
    (tmp_path / "a").write_bytes(b"22")
    second = digest_of(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")

    assert len({first, second, digest_of(tmp_path)}) == 3


def test_nothing_has_no_digest(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        digest_of(tmp_path / "missing")
    with pytest.raises(OSError):
        digest_of(tmp_path)


def test_numpy_is_all_it_needs() -> None:
    import subprocess
    import sys

    code = "import sys, roost; print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    path = str(Path(roost.__file__).parents[1])
    told = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": path}, capture_output=True, text=True
    )

    assert told.stdout.strip() == "[]", told.stderr


def test_datasets_sees_that_a_function_has_changed(cache: RepresentationCache) -> None:
    fingerprint = pytest.importorskip("datasets.fingerprint")

    def of(version: str, text: str = "a") -> str:
        @cached(version=version, cache=cache)
        def function(text: str) -> Any:
            return np.zeros(1)

        function(text)  # what it has done is no part of it
        return str(fingerprint.Hasher.hash(function))

    assert of("1") == of("1", "b") and of("1") != of("2")
    assert fingerprint.Hasher.hash(at_top) == fingerprint.Hasher.hash(at_top)
