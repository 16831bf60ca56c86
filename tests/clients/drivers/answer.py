"""What every Python driver does around its actions: one JSON argument in, one line of JSON out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Callable, Mapping

Job = Mapping[str, Any]
Action = Callable[[Job], "dict[str, Any]"]


def answer(actions: Mapping[str, Action]) -> None:
    job = json.loads(sys.argv[1])
    try:
        answer = actions[job["action"]](job)
    except Exception as error:
        answer = described(error)
    print(json.dumps(answer))


def described(error: BaseException) -> dict[str, Any]:
    """The error's class, and the classes of what it came from."""
    causes = []
    cause = error.__cause__ or error.__context__
    while cause is not None and len(causes) < 10:
        causes.append(type(cause).__name__)
        cause = cause.__cause__ or cause.__context__
    status = getattr(getattr(error, "response", None), "status_code", None)
    told = {"error": type(error).__name__, "text": str(error)[:2000], "causes": causes}
    return told if status is None else told | {"status": status}


def snapshot_paths(folder: str | Path) -> dict[str, str]:
    top = Path(folder)
    return {
        str(path.relative_to(top)): str(path)
        for path in sorted(top.rglob("*"))
        if not path.is_dir()
    }


def cached_paths(type: str, repo: str, cache: str | None = None) -> dict[str, str]:
    """All files of the one snapshot that the cache has of a repo; by default the hub cache."""
    from huggingface_hub.constants import HF_HUB_CACHE

    top = Path(cache or HF_HUB_CACHE, f"{type}s--{repo.replace('/', '--')}", "snapshots")
    newest = max(top.iterdir(), key=lambda path: path.stat().st_mtime_ns, default=None)
    return snapshot_paths(newest) if newest else {}
