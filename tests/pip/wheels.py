"""Wheels as small or as large as a test wants them, without building anything."""

from __future__ import annotations

import base64
import hashlib
import io
import random
import tarfile
import zipfile
from dataclasses import dataclass


@dataclass(frozen=True)
class Wheel:
    name: str  # the file's
    data: bytes
    metadata: bytes  # the METADATA in it, which PEP 658 serves beside it
    requires_python: str | None = None

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


def make_wheel(
    project: str,
    version: str = "1.0",
    size: int = 1000,
    requires: tuple[str, ...] = (),
    requires_python: str | None = None,
) -> Wheel:
    """A pure wheel with one module, `project`, that has VERSION, and `size` bytes of payload that
    do not compress."""
    module = project.replace("-", "_").replace(".", "_").lower()
    info = f"{module}-{version}.dist-info"
    lines = ["Metadata-Version: 2.1", f"Name: {project}", f"Version: {version}"]
    lines += [f"Requires-Dist: {name}" for name in requires]
    if requires_python:
        lines.append(f"Requires-Python: {requires_python}")
    metadata = ("\n".join(lines) + "\n").encode()
    files = {
        f"{module}/__init__.py": f'VERSION = "{version}"\n'.encode(),
        f"{module}/payload.bin": random.Random(f"{project} {version}").randbytes(size),
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = [
        f"{path},sha256={_record_hash(content)},{len(content)}" for path, content in files.items()
    ]
    files[f"{info}/RECORD"] = ("\n".join([*record, f"{info}/RECORD,,"]) + "\n").encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for path, content in files.items():
            entry = zipfile.ZipInfo(path, (2026, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
    return Wheel(f"{module}-{version}-py3-none-any.whl", out.getvalue(), metadata, requires_python)


# A build backend that needs nothing: it packs the wheel that lies beside it, and says that it ran.
_BACKEND = """
import os, shutil
def build_wheel(folder, settings=None, metadata=None):
    with open(os.environ["BUILDS"], "a") as builds:
        builds.write("built\\n")
    (name,) = (name for name in os.listdir() if name.endswith(".whl"))
    shutil.copy(name, folder)
    return name
"""


def make_source(project: str, version: str = "1.0") -> Wheel:
    """A source distribution of make_wheel()'s wheel. Each build adds a line to the file $BUILDS."""
    wheel = make_wheel(project, version)
    top = f"{project}-{version}"
    files = {
        "PKG-INFO": wheel.metadata,
        "pyproject.toml": b'[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
        "backend.py": _BACKEND.encode(),
        wheel.name: wheel.data,
    }
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"{top}/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return Wheel(f"{top}.tar.gz", out.getvalue(), wheel.metadata)


def _record_hash(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
