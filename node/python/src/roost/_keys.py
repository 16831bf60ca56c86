"""Provenance and keys: which computation a value is the result of.

Contract: docs/reference/representations.md of roost.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from typing import Any, Dict, Mapping, Union

Provenance = Mapping[str, Union[str, int, float]]

KINDS = ("embedding", "hidden-states", "attentions", "kv", "logits", "tokens", "custom")
_REQUIRED = ("kind", "model", "tokenizer", "input", "code")
_FIELDS_MAX = 64
_BYTES_MAX = 16 << 10
# Part of every key that this package makes by itself: changes when what it puts into keys does.
SCHEMA = "roost-python-1"


def canonical(provenance: Provenance) -> str:
    """The text whose SHA-256 is the key. ValueError for what an agent would refuse."""
    for name in _REQUIRED:
        field = provenance.get(name)
        if not isinstance(field, str) or not field:
            raise ValueError(f"provenance needs {name!r}, a text that is not empty")
    if provenance["kind"] not in KINDS:
        raise ValueError(f"kind is one of {', '.join(KINDS)}, not {provenance['kind']!r}")
    for name, field in provenance.items():
        if not isinstance(name, str):
            raise ValueError(f"the name of a field is text, not {name!r}")
        if type(field) not in (str, int, float):
            raise ValueError(f"{name!r} is text or a number, not {type(field).__name__}")
        if isinstance(field, float) and not math.isfinite(field):
            raise ValueError(f"{name!r} is {field}, which JSON has no number for")
    if len(provenance) > _FIELDS_MAX:
        raise ValueError(f"provenance has at most {_FIELDS_MAX} fields")
    text = canonical_json(dict(provenance))
    if len(text) > _BYTES_MAX:
        raise ValueError(f"provenance has at most {_BYTES_MAX} bytes; put digests of what is long")
    return text


def canonical_json(document: Any) -> str:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)


def key_of(canonical_text: str) -> str:
    return hashlib.sha256(canonical_text.encode()).hexdigest()


def text_digest(text: str) -> str:
    """Of any text that Python can hold, lone surrogates too."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def json_digest(document: Any) -> str:
    return hashlib.sha256(canonical_json(document).encode()).hexdigest()


def default_namespace() -> str:
    """$ROOST_NAMESPACE, else one for each user: `user:NAME`."""
    chosen = os.environ.get("ROOST_NAMESPACE")
    if chosen:
        return chosen
    uid = os.getuid() if hasattr(os, "getuid") else 0
    try:
        import pwd

        return f"user:{pwd.getpwuid(uid).pw_name}"
    except (ImportError, KeyError):  # no such user here, as in many containers
        return f"user:{uid}"


def with_namespace(provenance: Provenance, namespace: str) -> Dict[str, Union[str, int, float]]:
    return {"namespace": namespace, **provenance}
