"""@huggingface/hub for JavaScript, installed by npm into the test cache."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from tests.clients.made import cache_folder, made_once, run, stamp_of

_HERE = Path(__file__).resolve().parent
_FILES = ("package.json", "package-lock.json", "drive.mjs")
_NODE_MAJOR_MIN = 18


def missing_for_js() -> str | None:
    if not shutil.which("npm") or not shutil.which("node"):
        return "node and npm are not installed"
    said = subprocess.run(["node", "--version"], capture_output=True, text=True).stdout
    major = re.match(r"v(\d+)", said)
    if not major or int(major.group(1)) < _NODE_MAJOR_MIN:
        return f"node is {said.strip() or 'of an unknown version'}, {_NODE_MAJOR_MIN} is needed"
    return None


def js_client() -> Path:
    """The driver script; run it with node."""
    folder = cache_folder() / "js"
    with made_once(folder, stamp_of(*(_HERE / name for name in _FILES))) as needed:
        if needed:
            for name in _FILES:
                shutil.copy(_HERE / name, folder)
            quiet = ("--no-audit", "--no-fund", "--ignore-scripts")
            npm_cache = {"npm_config_cache": str(folder / ".npm")}
            run(["npm", "ci", *quiet], "npm ci", cwd=folder, env=os.environ | npm_cache)
    return folder / "drive.mjs"
