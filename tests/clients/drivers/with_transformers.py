"""transformers, without a tensor library: configuration, tokenizer, and the weights as numpy
arrays."""

from __future__ import annotations

from typing import Any

from answer import Job, answer, cached_paths

_SENTENCE = "the words of a sentence"


def config(job: Job) -> dict[str, Any]:
    from transformers import AutoConfig, AutoTokenizer

    place = {"revision": job["revision"]}
    config = AutoConfig.from_pretrained(job["repo"], **place)
    tokenizer = AutoTokenizer.from_pretrained(job["repo"], **place)
    told = {"model": config.model_type, "tokens": tokenizer(_SENTENCE)["input_ids"]}
    return told | {"paths": cached_paths("model", job["repo"], _cache())}


def weights(job: Job) -> dict[str, Any]:
    from safetensors.numpy import load_file
    from transformers.utils import cached_file

    path = cached_file(job["repo"], "model.safetensors", revision=job["revision"])
    tensors = load_file(path)
    shapes = {name: list(tensor.shape) for name, tensor in tensors.items()}
    return {"tensors": shapes, "paths": cached_paths("model", job["repo"], _cache())}


def _cache() -> str | None:
    """Transformers 4 may have a folder of its own."""
    from transformers.utils import hub

    return getattr(hub, "TRANSFORMERS_CACHE", None)


answer({"config": config, "weights": weights})
