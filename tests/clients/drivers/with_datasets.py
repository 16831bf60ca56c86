"""datasets: a whole split, and streaming."""

from __future__ import annotations

from typing import Any

from answer import Job, answer, cached_paths


def load(job: Job) -> dict[str, Any]:
    from datasets import load_dataset

    rows = load_dataset(job["repo"], split="train", revision=job["revision"])
    return {"rows": list(rows), "paths": cached_paths("dataset", job["repo"])}


def stream(job: Job) -> dict[str, Any]:
    from datasets import load_dataset

    rows = load_dataset(job["repo"], split="train", revision=job["revision"], streaming=True)
    return {"rows": list(rows)}


answer({"load": load, "stream": stream})
