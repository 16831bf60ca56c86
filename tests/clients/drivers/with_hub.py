"""huggingface_hub, any version: the library's ways to a file."""

from __future__ import annotations

import hashlib
from typing import Any

from answer import Job, answer, snapshot_paths


def snapshot(job: Job) -> dict[str, Any]:
    from huggingface_hub import snapshot_download

    folder = snapshot_download(job["repo"], repo_type=job["type"], revision=job["revision"])
    return {"paths": snapshot_paths(folder), "folder": folder}


def file(job: Job) -> dict[str, Any]:
    from huggingface_hub import hf_hub_download

    place = {"repo_type": job["type"], "revision": job["revision"]}
    return {"paths": {name: hf_hub_download(job["repo"], name, **place) for name in job["files"]}}


def fs(job: Job) -> dict[str, Any]:
    """Reads through HfFileSystem, which keeps nothing: whole files, then a piece from the middle of
    each."""
    from huggingface_hub import HfFileSystem

    system = HfFileSystem()
    prefix = "" if job["type"] == "model" else f"{job['type']}s/"
    top = f"{prefix}{job['repo']}@{job['revision']}"
    digests, pieces = {}, {}
    for name in job["files"]:
        data = system.read_bytes(f"{top}/{name}")
        digests[name] = hashlib.sha256(data).hexdigest()
        start, end = len(data) // 3, len(data) // 2
        piece = system.cat_file(f"{top}/{name}", start=start, end=end) if end > start else b""
        pieces[name] = piece == data[start:end]
    names = [path.removeprefix(f"{top}/") for path in system.find(top)]
    return {"sha256": digests, "names": sorted(names), "pieces": pieces}


def list(job: Job) -> dict[str, Any]:
    from huggingface_hub import HfApi

    place = {"repo_type": job["type"], "revision": job["revision"]}
    api = HfApi()
    info = api.repo_info(job["repo"], **place)
    entries = api.list_repo_tree(job["repo"], recursive=True, **place)
    sizes = {entry.path: entry.size for entry in entries if hasattr(entry, "size")}
    return {"commit": info.sha, "names": sorted(sizes), "sizes": sizes}


def upload(job: Job) -> dict[str, Any]:
    """Commits one file made of the job's text."""
    from huggingface_hub import HfApi

    place = {"repo_type": job["type"], "revision": job["revision"]}
    data = job["text"].encode()
    done = HfApi().upload_file(
        path_or_fileobj=data, path_in_repo=job["files"][0], repo_id=job["repo"], **place
    )
    return {"commit": done.oid}


answer({"snapshot": snapshot, "file": file, "fs": fs, "list": list, "upload": upload})
