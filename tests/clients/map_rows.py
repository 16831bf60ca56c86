"""Code that runs with the real datasets library: loads a dataset, tokenises it with map(), filters
and shuffles it, and says how often its functions were called."""

from __future__ import annotations

import json
from pathlib import Path

_CODE = """
import json, os, sys
from datasets import load_dataset, DownloadMode
from tokenizers import Tokenizer

spec = json.loads(sys.argv[1])
folder = spec["counters"]
tokenizer = Tokenizer.from_file(spec["tokenizer"])


# What counts a call must not be part of the function's state, or its fingerprint would change.
def called(name):
    with open(os.path.join(os.environ["COUNTERS"], name), "a") as file:
        file.write("x")


def count(name):
    path = os.path.join(folder, name)
    return os.path.getsize(path) if os.path.exists(path) else 0


def tokenise(row):
    called("map")
    return {"ids": tokenizer.encode(row["word"]).ids}


def is_even(row):
    called("filter")
    return row["n"] % 2 == 0


mode = DownloadMode.FORCE_REDOWNLOAD if spec["force"] else None
rows = load_dataset(spec["repo"], split="train", download_mode=mode)
options = {"load_from_cache_file": spec["load_from_cache_file"]}
mapped = rows.map(tokenise, **options)
chosen = mapped.filter(is_even, **options)
mixed = mapped.shuffle(seed=7, **options)
removed = rows.cleanup_cache_files() if spec["cleanup"] else 0
print(
    json.dumps(
        {
            "calls": {"map": count("map"), "filter": count("filter")},
            "fingerprints": [one._fingerprint for one in (rows, mapped, chosen, mixed)],
            "rows": [list(one) for one in (rows, mapped, chosen, mixed)],
            "files": [one["filename"] for one in mapped.cache_files],
            "removed": removed,
        }
    )
)
"""


def map_rows(
    repo: str,
    tokenizer: Path,
    counters: Path,
    force: bool = False,
    load_from_cache_file: bool = True,
    cleanup: bool = False,
) -> str:
    """The code. COUNTERS in its environment must be `counters`, a folder of this run alone."""
    counters.mkdir()
    spec = {
        "repo": repo,
        "tokenizer": str(tokenizer),
        "counters": str(counters),
        "force": force,
        "load_from_cache_file": load_from_cache_file,
        "cleanup": cleanup,
    }
    return f"import sys\nsys.argv.append({json.dumps(spec)!r})\n{_CODE}"
