"""Runs real huggingface_hub clients in a clean environment: nothing of the caller's own cache,
token or settings."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Mapping

from tests.clients.setup import python

_KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "TMPDIR", "PYENV_ROOT", "LD_LIBRARY_PATH")
TIMEOUT_S = 120

Result = subprocess.CompletedProcess[str]


def client_environment(home: Path, endpoint: str | None = None, **extra: str) -> dict[str, str]:
    """`endpoint=None` is offline. `home` stands for the user's home; the hub cache lies in it as
    clients choose."""
    env = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    env |= {
        "HOME": str(home),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_XET": "1",
        "NO_COLOR": "1",
        # The hub of the tests is reached directly, whatever proxy this machine uses for the rest.
        "NO_PROXY": "*",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    env |= {"HF_HUB_OFFLINE": "1"} if endpoint is None else {"HF_ENDPOINT": endpoint}
    return env | extra


def run_code(
    version: str, code: str, env: Mapping[str, str], timeout_s: float = TIMEOUT_S
) -> Result:
    """Runs Python code with the huggingface_hub of environment `version` (hub2, hub036)."""
    return _run([str(python(version)), "-c", code], env, timeout_s)


def run_cli(
    version: str, *arguments: str, env: Mapping[str, str], timeout_s: float = TIMEOUT_S
) -> Result:
    """Runs the `hf` command of environment `version`."""
    return _run([str(python(version).parent / "hf"), *arguments], env, timeout_s)


def _run(command: list[str], env: Mapping[str, str], timeout_s: float) -> Result:
    return subprocess.run(
        command,
        env=dict(env),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        stdin=subprocess.DEVNULL,
    )
