"""A transformer and a SentenceTransformer that are made in a moment, with weights by a seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz", "one", "two"]


def bert(seed: int = 1, **settings: Any) -> Any:
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(seed)
    known = {"vocab_size": len(WORDS), "hidden_size": 16, "num_hidden_layers": 2,
             "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 64,
             "attn_implementation": "eager"}  # fmt: skip
    return BertModel(BertConfig(**{**known, **settings})).eval()


def tokenizer(folder: Path, words: List[str] = WORDS, **settings: Any) -> Any:
    from transformers import BertTokenizerFast

    file = folder / "vocab.txt"
    file.write_text("\n".join(words) + "\n")
    known = {"vocab_file": str(file), "vocab": {word: at for at, word in enumerate(words)}}
    import transformers

    if transformers.__version__ < "5":
        known.pop("vocab")
    else:
        known.pop("vocab_file")
    return BertTokenizerFast(**known, **settings)


def encoder(folder: Path, seed: int = 1, pooling: str = "mean", words: List[str] = WORDS) -> Any:
    """Saved into `folder` first: there it looks as it does in the hub cache."""
    from sentence_transformers import SentenceTransformer, models

    folder.mkdir(parents=True, exist_ok=True)
    bert(seed).save_pretrained(folder)
    tokenizer(folder, words).save_pretrained(folder)
    transformer = models.Transformer(str(folder), max_seq_length=32)
    pooled = models.Pooling(16, pooling_mode=pooling)
    return SentenceTransformer(modules=[transformer, pooled], device="cpu")
