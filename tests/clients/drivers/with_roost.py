"""The package `roost` with a real SentenceTransformer and a real transformer: what it computed, what
it got, and a digest of the bits."""

from __future__ import annotations

import hashlib
import logging
import sys
import time
from pathlib import Path
from typing import Any, Callable

from answer import Job, answer

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "node/python/src"))

import roost  # noqa: E402

logging.basicConfig(level=logging.INFO, stream=sys.stderr)
_SUBJECTS = ("bird", "child", "ship", "clerk", "river", "judge", "wheel", "night", "song", "town")
_VERBS = ("waits", "sings", "turns", "falls", "writes", "leaves", "burns", "grows", "rests", "asks")
_KEYS: list[str] = []  # of all that was asked for, in order


def sentences(count: int) -> list[str]:
    """All different, and of the length of a short one."""
    return [f"the {_SUBJECTS[n % 10]} {_VERBS[n // 10 % 10]} {n // 100}" for n in range(count)]


def embeddings(job: Job) -> dict[str, Any]:
    """Of `count` sentences; `change` makes another model of it first."""
    model = _model(job)
    passes = _counted(type(_transformer(model)))
    texts = sentences(job["count"])
    encoder = roost.cached_encode(model, _cache(job))
    model.encode(["warm"])
    passes.clear()
    began = time.monotonic()
    found = encoder.encode(texts, batch_size=64)
    seconds = time.monotonic() - began
    return _told(encoder.cache, passes, seconds) | {
        "shape": list(found.shape),
        "digest": hashlib.sha256(found.tobytes()).hexdigest(),
        "norm": float((found**2).sum(axis=1).mean()),
    }


def states(job: Job) -> dict[str, Any]:
    """Hidden states of every layer and attentions of a batch of sentences."""
    import torch

    model = _model(job)
    transformer = _transformer(model)
    passes = _counted(type(transformer))
    forward = roost.cached_forward(transformer.eval(), _cache(job))
    digest, seconds = hashlib.sha256(), 0.0
    for begin in range(0, job["count"], 8):
        texts = sentences(begin + 8)[begin:]
        tokens = model.tokenizer(texts, padding=True, return_tensors="pt")
        began = time.monotonic()
        found = forward(**tokens, output_hidden_states=True, output_attentions=True)
        seconds += time.monotonic() - began
        for tensor in (found.last_hidden_state, *found.hidden_states, *found.attentions):
            assert not torch.isnan(tensor).any()
            digest.update(tensor.numpy().tobytes())
    layers = {"hidden_states": len(found.hidden_states), "attentions": len(found.attentions)}
    return _told(forward.cache, passes, seconds) | layers | {"digest": digest.hexdigest()}


def mapped(job: Job) -> dict[str, Any]:
    """The same embeddings inside `datasets.map`."""
    import datasets

    model = _model(job)
    encoder = roost.cached_encode(model, _cache(job))
    model.encode(["warm"])
    passes = _counted(type(_transformer(model)))
    rows = datasets.Dataset.from_dict({"text": sentences(job["count"])})
    found = rows.map(
        lambda batch: {"embedding": encoder.encode(batch["text"])}, batched=True, batch_size=100
    )
    array = found.with_format("numpy")["embedding"][:]
    digest = hashlib.sha256(array.astype("float32").tobytes()).hexdigest()
    return _told(encoder.cache, passes, 0.0) | {"digest": digest}


def _model(job: Job) -> Any:
    import torch
    from sentence_transformers import SentenceTransformer

    torch.manual_seed(0)
    model = SentenceTransformer(job["model"], device="cpu")
    changes: dict[str, Callable[[], object]] = {
        "": lambda: None,
        "pooling": lambda: _pool_by_first(model),
        "dtype": lambda: model.to(torch.bfloat16),
        "tokenizer": lambda: setattr(model.tokenizer, "truncation_side", "left"),
    }
    changes[job.get("change", "")]()
    return model


def _pool_by_first(model: Any) -> None:
    from sentence_transformers.models import Pooling

    model[1] = Pooling(model.get_sentence_embedding_dimension(), pooling_mode="cls")


def _transformer(model: Any) -> Any:
    return model[0].auto_model


def _counted(kind: Any) -> list[int]:
    """The sizes of batches that went through any model of this class, from now on."""
    import functools

    forward, sizes = kind.forward, []

    @functools.wraps(forward)
    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        sizes.append(len(kwargs["input_ids"]))
        return forward(self, *args, **kwargs)

    kind.forward = counted
    return sizes


def _cache(job: Job) -> Any:
    cache = roost.RepresentationCache(namespace=job.get("namespace"))
    keyed = cache._keyed

    def noted(provenance: Any) -> Any:
        key, text = keyed(provenance)
        _KEYS.append(key)
        return key, text

    cache._keyed = noted
    return cache


def _told(cache: Any, passes: list[int], seconds: float) -> dict[str, Any]:
    stats = cache.stats
    return {
        "passes": len(passes),
        "rows": sum(passes),
        "hits": stats.hits,
        "computed": stats.computed,
        "stored": stats.stored,
        "seconds": seconds,
        "keys": [_KEYS[0], _KEYS[len(_KEYS) // 2], _KEYS[-1]],
    }


answer({"embeddings": embeddings, "states": states, "mapped": mapped})
