"""What a tokenizer is."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Dict, List

from ._keys import json_digest
from ._memory import remembered
from ._modules import Uncacheable

_SETTINGS = (
    "padding_side", "truncation_side", "model_max_length", "do_lower_case", "add_bos_token",
    "add_eos_token", "add_prefix_space", "clean_up_tokenization_spaces", "split_special_tokens",
)  # fmt: skip


def tokenizer_digest(tokenizer: Any) -> str:
    """Of a tokenizer of `transformers`, fast or slow, or of `tokenizers`. Uncacheable for others.

    Remembered per object while its settings and the number of its words stay."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None and hasattr(tokenizer, "to_str"):
        backend = tokenizer
    settings = _settings(tokenizer)
    mark = [settings, _size(tokenizer), None if backend is None else _parts(backend)]
    return str(
        remembered("tokenizer", tokenizer, mark, lambda: _digest(tokenizer, backend, settings))
    )


def _digest(tokenizer: Any, backend: Any, settings: Dict[str, Any]) -> str:
    if backend is not None:
        told = json.loads(backend.to_str())
        # As the last call left them; the caller's own arguments decide.
        told.pop("padding", None)
        told.pop("truncation", None)
        return json_digest(["fast", settings, told])
    if not hasattr(tokenizer, "get_vocab"):
        raise Uncacheable(f"a tokenizer of the unknown type {type(tokenizer).__qualname__}")
    model: Any = getattr(tokenizer, "sp_model", None)
    pieces = model.serialized_model_proto() if hasattr(model, "serialized_model_proto") else b""
    merges = [list(pair) for pair in getattr(tokenizer, "bpe_ranks", None) or ()]
    words = sorted(tokenizer.get_vocab().items())
    kind = f"{type(tokenizer).__module__}.{type(tokenizer).__qualname__}"
    return json_digest([kind, settings, words, merges, hashlib.sha256(pieces).hexdigest()])


def _settings(tokenizer: Any) -> Dict[str, Any]:
    settings: Dict[str, Any] = {name: repr(getattr(tokenizer, name, None)) for name in _SETTINGS}
    special = getattr(tokenizer, "special_tokens_map", None)
    if special is not None:
        settings["special"] = sorted((name, str(token)) for name, token in special.items())
    return settings


def _size(tokenizer: Any) -> int:
    if hasattr(tokenizer, "get_vocab_size"):
        return int(tokenizer.get_vocab_size())
    return len(tokenizer) if hasattr(tokenizer, "__len__") else 0


def _parts(backend: Any) -> Any:
    """What can be replaced in a tokenizer and is small enough to be looked at each time."""
    names = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
    parts: List[Any] = [getattr(backend, name, None) for name in names]
    return [part.__getstate__() if hasattr(part, "__getstate__") else str(part) for part in parts]
