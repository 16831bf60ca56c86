"""One file's bytes with the names the hub gives them. Large files stay on disk."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

LFS_SUFFIXES = frozenset(
    ".safetensors .bin .onnx .gguf .ggml .h5 .msgpack .pt .pth .ckpt .npz .npy .parquet .arrow "
    ".model .tflite .pb .zip .gz .xz .zst .tar .7z .pkl .pickle .joblib .wasm".split()
)
LFS_THRESHOLD_BYTES = 10 * 1024 * 1024  # the hub refuses larger files in plain git
_READ_BYTES = 1 << 20


@dataclass(frozen=True)
class Content:
    """Immutable bytes. `data` holds them, or `path` names the file that does; it must not change
    afterwards."""

    size: int
    sha256: str
    git_sha1: str
    lfs: bool
    data: bytes | None = None
    path: Path | None = None

    def open(self) -> BinaryIO:
        """A seekable reader; the caller closes it."""
        if self.data is not None:
            return io.BytesIO(self.data)
        assert self.path is not None
        return self.path.open("rb")

    @property
    def pointer(self) -> bytes:
        """The git-lfs pointer file that stands for this content in git."""
        return (
            "version https://git-lfs.github.com/spec/v1\n"
            f"oid sha256:{self.sha256}\nsize {self.size}\n"
        ).encode()

    @property
    def oid(self) -> str:
        """The git object id in the tree: of the pointer for LFS files, of the bytes otherwise."""
        return git_blob_sha1(self.pointer) if self.lfs else self.git_sha1

    @property
    def etag(self) -> str:
        """What clients name the blob by: sha256 for LFS files, git sha1 for others."""
        return self.sha256 if self.lfs else self.git_sha1


def git_blob_sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def make_content(
    name: str, source: bytes | Path, lfs: bool | None = None, threshold: int = LFS_THRESHOLD_BYTES
) -> Content:
    """Hashes `source` in one pass. `lfs=None` decides by suffix and size, as a new repo's
    .gitattributes would."""
    if isinstance(source, bytes):
        data, path, size = source, None, len(source)
    else:
        data, path, size = None, source.resolve(), source.stat().st_size
    sha256 = hashlib.sha256()
    git_sha1 = hashlib.sha1(b"blob %d\0" % size)
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as reader:
        while chunk := reader.read(_READ_BYTES):
            sha256.update(chunk)
            git_sha1.update(chunk)
    if lfs is None:
        lfs = Path(name).suffix.lower() in LFS_SUFFIXES or size >= threshold
    return Content(size, sha256.hexdigest(), git_sha1.hexdigest(), lfs, data, path)
