"""curl, which goes on where an earlier try ended (`-C -`)."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, Mapping
from urllib.parse import quote

_ERRORS = {7: "CouldNotConnect", 18: "PartialFile", 22: "HttpError", 28: "TimedOut", 33: "RangeError",
           36: "BadDownloadResume", 52: "GotNothing", 56: "ReceiveError"}  # fmt: skip


def download(job: Mapping[str, Any], home: Path, timeout_s: float) -> dict[str, Any]:
    """Each file into `home`/downloads; what lies there already is the beginning of it."""
    prefix = "" if job["type"] == "model" else f"{job['type']}s/"
    revision = quote(job["revision"], safe="")
    paths = {}
    for name in job["files"]:
        target = home / "downloads" / name
        url = f"{job['endpoint']}/{prefix}{job['repo']}/resolve/{revision}/{quote(name)}"
        command = ["curl", "--silent", "--show-error", "--fail", "--location", "--noproxy", "*"]
        command += ["--create-dirs", "--continue-at", "-", "--output", str(target)]
        if job["token"]:
            command += ["--header", f"Authorization: Bearer {job['token']}"]
        done = subprocess.run(
            [*command, url],
            env={"HOME": str(home), "PATH": "/usr/local/bin:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode != 0:
            error = _ERRORS.get(done.returncode, f"exit {done.returncode}")
            return {"error": error, "text": done.stderr.strip()}
        target.touch()  # an empty answer leaves no file
        paths[name] = str(target)
    return {"paths": paths}
