"""Repositories that every client can load: small, made here, the same in every run."""

from __future__ import annotations

import functools
import hashlib
import json
import struct
from typing import Mapping

from tests.clients.made import cache_folder, made_once, run, stamp_of
from tests.clients.setup import python

Files = Mapping[str, bytes]

WEIGHTS = ("model.safetensors",)
_WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "words", "of", "a", "sentence"]
_TENSORS = {"embeddings.weight": (1024, 1024), "head.weight": (4, 4)}


def digests(files: Files) -> dict[str, str]:
    return {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}


def rows(version: int = 1) -> list[dict[str, object]]:
    return [{"n": n, "word": f"word {n}"} for n in range(2 + version)]


@functools.cache
def model(version: int = 1) -> dict[str, bytes]:
    """A tiny BERT: configuration, tokenizer and 4 MiB of weights; all but the vocabulary differs by version."""
    special = {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4}
    added = [{"id": n, "content": _WORDS[n], "special": True} | _plain() for n in special.values()]
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "WordLevel",
            "vocab": {word: n for n, word in enumerate(_WORDS)},
            "unk_token": "[UNK]",
        },
    }
    config = {
        "architectures": ["BertModel"],
        "version": version,
        "model_type": "bert",
        "vocab_size": len(_WORDS),
        "hidden_size": 1024,
        "num_attention_heads": 4,
        "num_hidden_layers": 1,
    }
    tokens = {f"{name}_token": _WORDS[n] for name, n in special.items()}
    return {
        "README.md": b"# a small model\n",
        "config.json": _json(config),
        "tokenizer.json": _json(tokenizer),
        "tokenizer_config.json": _json({"tokenizer_class": "PreTrainedTokenizerFast", **tokens}),
        "model.safetensors": safetensors(version),
        "sub/extra.txt": b"extra %d\n" % version,
    }


def safetensors(seed: int) -> bytes:
    header, body = {}, b""
    for name, shape in _TENSORS.items():
        size = shape[0] * shape[1] * 4
        block = hashlib.shake_128(f"{seed} {name}".encode()).digest(size)
        # Small positive numbers whatever the noise: every value is a number.
        values = bytes(byte if n % 4 != 3 else 0x3D for n, byte in enumerate(block))
        header[name] = {
            "dtype": "F32",
            "shape": shape,
            "data_offsets": [len(body), len(body) + size],
        }
        body += values
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    return struct.pack("<Q", len(head)) + head + body


def tensor_shapes() -> dict[str, list[int]]:
    return {name: list(shape) for name, shape in _TENSORS.items()}


def csv_dataset(version: int = 1) -> dict[str, bytes]:
    lines = ["n,word", *(f"{row['n']},{row['word']}" for row in rows(version))]
    return {"train.csv": ("\n".join(lines) + "\n").encode()}


@functools.cache
def parquet_dataset(version: int = 1) -> dict[str, bytes]:
    """The same rows, written by the pyarrow that reads them."""
    code = (
        "import json, sys, pyarrow, pyarrow.parquet as parquet\n"
        "parquet.write_table(pyarrow.Table.from_pylist(json.loads(sys.argv[1])), sys.argv[2])\n"
    )
    text = json.dumps(rows(version))
    folder = cache_folder() / f"parquet{version}"
    path = folder / "train-00000-of-00001.parquet"
    with made_once(folder, stamp_of(code, text)) as needed:
        if needed:
            run([str(python("datasets")), "-c", code, text, str(path)], "writing parquet")
    return {"README.md": b"# rows\n", f"data/{path.name}": path.read_bytes()}


def _plain() -> dict[str, bool]:
    return {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}


def _json(value: object) -> bytes:
    return json.dumps(value, indent=1).encode()
