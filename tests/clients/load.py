"""Programs that a researcher might run, as text for `run_code`. Each prints one line of JSON."""

from __future__ import annotations


def snapshot(repo: str, type: str = "model", revision: str = "main") -> str:
    """Downloads a repo, or finds it in the cache when offline; prints the snapshot's folder."""
    return (
        "import json\n"
        "from huggingface_hub import snapshot_download\n"
        f"place = dict(repo_type={type!r}, revision={revision!r})\n"
        f"print(json.dumps(snapshot_download({repo!r}, **place)))\n"
    )


def one_file(repo: str, path: str, type: str = "model", revision: str = "main") -> str:
    """Downloads or finds one file; prints its path."""
    return (
        "import json\n"
        "from huggingface_hub import hf_hub_download\n"
        f"place = dict(repo_type={type!r}, revision={revision!r})\n"
        f"print(json.dumps(hf_hub_download({repo!r}, {path!r}, **place)))\n"
    )


def model(repo: str) -> str:
    """Loads a model as far as that goes without a tensor library: configuration, vocabulary, every
    tensor's bytes.

    Prints the number of tensors, of their bytes and of words."""
    return (
        "import json, struct\n"
        "from pathlib import Path\n"
        "from huggingface_hub import snapshot_download\n"
        f"folder = Path(snapshot_download({repo!r}))\n"
        "config = json.loads((folder / 'config.json').read_text())\n"
        "words = json.loads((folder / 'tokenizer.json').read_text())['model']['vocab']\n"
        "weights = (folder / 'model.safetensors').read_bytes()\n"
        "(size,) = struct.unpack('<Q', weights[:8])\n"
        "tensors = json.loads(weights[8 : 8 + size])\n"
        "tensors.pop('__metadata__', None)\n"
        "end = max(tensor['data_offsets'][1] for tensor in tensors.values())\n"
        "assert end == len(weights) - 8 - size, 'the weights are cut short'\n"
        "assert len(words) == config['vocab_size'], 'the vocabulary is not the configured one'\n"
        "print(json.dumps({'tensors': len(tensors), 'bytes': end, 'words': len(words)}))\n"
    )


def scan_warnings() -> str:
    """Prints what scan_cache_dir complains about."""
    return (
        "import json\n"
        "from huggingface_hub import scan_cache_dir\n"
        "print(json.dumps([str(warning) for warning in scan_cache_dir().warnings]))\n"
    )
