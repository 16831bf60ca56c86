"""cached_encode: sentence embeddings, each computed once in the cluster."""

from __future__ import annotations

import inspect
import logging
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np

from . import _lazy
from ._keys import canonical_json, json_digest, text_digest
from ._modules import Uncacheable, _is_plain
from ._tokenizers import tokenizer_digest
from ._torch_keys import Fields, code_of, device_type, module_fields
from .cache import RepresentationCache

log = logging.getLogger("roost")

# How it is computed and what shape it comes in; what of it decides numbers is in the key otherwise.
_NOT_IN_KEY = frozenset(
    ("batch_size", "show_progress_bar", "convert_to_numpy", "convert_to_tensor", "device", "pool",
     "chunk_size", "num_proc")
)  # fmt: skip
_PACKAGES = ("sentence-transformers", "transformers", "tokenizers", "torch")


class CachedEncoder:
    """A SentenceTransformer whose `encode`, `encode_query` and `encode_document` keep what they
    compute. All else of the model is reached through it unchanged.

    What is cached are embeddings of text, one key a text. Other questions (token embeddings,
    quantised precisions, several processes, images) go to the model as they are.
    """

    def __init__(
        self,
        model: Any,
        cache: Optional[RepresentationCache] = None,
        *,
        model_digest: Optional[str] = None,
        step: int = 1024,
    ) -> None:
        self.model = model
        self.cache = cache if cache is not None else RepresentationCache()
        self.model_digest = model_digest
        self.step = step

    def encode(self, sentences: Any, *args: Any, **kwargs: Any) -> Any:
        return self._encode("encode", sentences, args, kwargs)

    def encode_query(self, sentences: Any, *args: Any, **kwargs: Any) -> Any:
        return self._encode("encode_query", sentences, args, kwargs)

    def encode_document(self, sentences: Any, *args: Any, **kwargs: Any) -> Any:
        return self._encode("encode_document", sentences, args, kwargs)

    __call__ = encode

    def __getattr__(self, name: str) -> Any:
        if name in ("model", "cache") or name.startswith("__"):  # while it is being unpickled
            raise AttributeError(name)
        return getattr(self.model, name)

    def _encode(
        self, method: str, sentences: Any, args: Tuple[Any, ...], kwargs: Dict[str, Any]
    ) -> Any:
        encode = getattr(self.model, method)
        try:
            asked = _Asked(encode, sentences, args, kwargs)
            shared = self._shared(method, asked)
        except Uncacheable as reason:
            log.info("embeddings are computed without the cache: %s", reason)
            return encode(sentences, *args, **kwargs)
        provenances = [{**shared, "input": text_digest(text)} for text in asked.texts]

        def compute(numbers: List[int]) -> List[Dict[str, Any]]:
            texts = [asked.texts[number] for number in numbers]
            found = encode(texts, **{**asked.given, "convert_to_tensor": True})
            return [{"embedding": row} for row in found.detach().to("cpu")]

        rows = self.cache.get_or_compute(provenances, compute, step=self.step, framework="torch")
        try:
            return asked.shaped([row["embedding"] for row in rows], self.model.device)
        except (KeyError, ValueError, RuntimeError):  # somebody else's values under these keys
            log.warning("representations are no embeddings of one length; they are computed")
            return encode(sentences, *args, **kwargs)

    def _shared(self, method: str, asked: "_Asked") -> Fields:
        """The provenance of all texts of one call, without the text."""
        model = self.model
        length = getattr(model, "max_seq_length", None)
        device = asked.device or model.device
        return {
            "kind": "embedding",
            "code": code_of(*_PACKAGES),
            **module_fields(model, self.model_digest),
            "tokenizer": tokenizer_digest(model.tokenizer),
            "device": device_type(device),
            "max_seq_length": str(length),
            "normalize": str(asked.deciding.get("normalize_embeddings", False)),
            "call": json_digest([method, canonical_json(asked.deciding)]),
        }


def cached_encode(
    model: Any,
    cache: Optional[RepresentationCache] = None,
    *,
    model_digest: Optional[str] = None,
    step: int = 1024,
) -> CachedEncoder:
    """Wraps a SentenceTransformer.

    model_digest  what the weights are, if the caller knows and answers for it (see `digest_of`);
                  by default they are hashed.
    step          texts that are computed before they are kept."""
    return CachedEncoder(model, cache, model_digest=model_digest, step=step)


class _Asked:
    """The arguments of one call of `encode`. Uncacheable if it is none for the cache."""

    def __init__(
        self, encode: Callable[..., Any], sentences: Any, args: Tuple[Any, ...], kwargs: Any
    ) -> None:
        bound = inspect.signature(encode).bind(sentences, *args, **kwargs)
        first = next(iter(bound.arguments))
        self.given = _flat(bound, first)
        bound.apply_defaults()
        settings = _flat(bound, first)
        self.single = isinstance(sentences, str)
        self.texts: List[str] = [sentences] if self.single else _texts(sentences)
        if settings.get("output_value", "sentence_embedding") != "sentence_embedding":
            raise Uncacheable("not sentence embeddings are asked for")
        if settings.get("precision", "float32") != "float32":
            raise Uncacheable("what is quantised depends on all texts of a call")
        self.device = settings.get("device")
        if settings.get("pool") is not None or isinstance(self.device, (list, tuple)):
            raise Uncacheable("several processes compute")
        self.deciding = {name: value for name, value in settings.items() if name not in _NOT_IN_KEY}
        if not _is_plain(self.deciding):
            raise Uncacheable("an argument is neither text nor number")
        self._as_tensor = bool(settings.get("convert_to_tensor"))
        self._as_numpy = bool(settings.get("convert_to_numpy", True))

    def shaped(self, rows: List[Any], device: Any) -> Any:
        """As `encode` would have answered."""
        torch = _lazy.torch()
        if self._as_tensor or not self._as_numpy:
            target = self.device or device
            if self.single:
                return rows[0].to(target)
            return torch.stack(rows).to(target) if self._as_tensor else [r.to(target) for r in rows]
        plain = [row.float() if row.dtype == torch.bfloat16 else row for row in rows]
        arrays = [row.numpy() for row in plain]
        return np.array(arrays[0]) if self.single else np.stack(arrays)


def _flat(bound: inspect.BoundArguments, first: str) -> Dict[str, Any]:
    """By name, without the texts; what `**kwargs` took stands with the others."""
    found: Dict[str, Any] = {}
    for name, value in bound.arguments.items():
        kind = bound.signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_KEYWORD:
            found.update(value)
        elif kind is inspect.Parameter.VAR_POSITIONAL:
            raise Uncacheable("arguments without names")
        elif name != first:
            found[name] = value
    return found


def _texts(sentences: Any) -> List[str]:
    found = list(sentences) if hasattr(sentences, "__len__") else []
    if not found or not all(isinstance(text, str) for text in found):
        raise Uncacheable("the input is no list of texts")
    return [str(text) for text in found]
