#!/usr/bin/env python3
"""Runs one real client for one action and tells what it got, in one line of JSON.

    python3 tests/clients/drive.py hub2 snapshot --endpoint http://127.0.0.1:8377 --home DIR \\
        --repo ORG/NAME [--type dataset] [--revision R] [--file PATH]… [--token T] [--offline]

{"ok": true, "files": {path: sha256}, …} or {"ok": false, "error": "GatedRepoError", "text": …}.
The client sees a home of its own and nothing of the caller's environment. `--help` lists clients
and their actions.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Sequence

if __package__ in (None, ""):  # run as a script: the package's parent is not on the path yet
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.clients import curl  # noqa: E402
from tests.clients.run import client_environment  # noqa: E402
from tests.clients.setup import js_client, missing_for, python, rust_client  # noqa: E402

DRIVERS = Path(__file__).resolve().parent / "drivers"
TIMEOUT_S = 120
_HUB_ACTIONS = ("cli", "snapshot", "file", "fs", "list", "upload")
ACTIONS = {
    "hub2": _HUB_ACTIONS,
    "hub1": _HUB_ACTIONS,
    "hub036": _HUB_ACTIONS,
    "transformers5": ("config", "weights"),
    "transformers4": ("config", "weights"),
    "datasets": ("load", "stream"),
    "js": ("snapshot", "file", "list"),
    "rust": ("snapshot", "file", "download", "list"),
    "curl": ("file",),
}
CLIENTS = tuple(ACTIONS)
OFFLINE_CLIENTS = tuple(client for client in CLIENTS if client not in ("js", "curl"))


class DriverError(Exception):
    """The driver itself failed: it printed no JSON, or this machine lacks the client."""


@dataclass
class Outcome:
    """What a client got: `files` by their sha256, or `error`, the class name of what it raised."""

    ok: bool
    files: dict[str, str] = field(default_factory=dict)
    error: str = ""
    text: str = ""
    more: dict[str, Any] = field(default_factory=dict)  # what only some actions tell

    def as_dict(self) -> dict[str, Any]:
        told: dict[str, Any] = {"files": self.files}
        if not self.ok:
            told = {"error": self.error, "text": self.text}
        return {"ok": self.ok, **told, **self.more}


def missing(client: str) -> str | None:
    """Why this machine cannot run `client`, or None."""
    if client == "curl":
        return None if shutil.which("curl") else "curl is not installed"
    return missing_for(client)


def drive(
    client: str,
    action: str,
    *,
    home: Path,
    repo: str,
    endpoint: str | None = None,
    type: str = "model",
    revision: str = "main",
    files: Sequence[str] = (),
    token: str | None = None,
    timeout_s: float = TIMEOUT_S,
    text: str = "",
    **extra: str,
) -> Outcome:
    """Without an endpoint the client is offline. `extra` are variables of its environment."""
    if action not in ACTIONS[client]:
        raise DriverError(f"{client} has no action {action}; it has {', '.join(ACTIONS[client])}")
    job = {
        "action": action,
        "repo": repo,
        "type": type,
        "revision": revision,
        "files": list(files),
        "token": token,
        "endpoint": endpoint,
        "offline": endpoint is None,
        "text": text,
    }
    home.mkdir(parents=True, exist_ok=True)
    env = _environment(home, endpoint, token) | extra
    if client == "curl":
        return _outcome(curl.download(job, home, timeout_s))
    if action == "cli":
        return _cli(client, job, env, timeout_s)
    done = subprocess.run(
        [*_driver(client), json.dumps(job)],
        env=env,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        stdin=subprocess.DEVNULL,
    )
    lines = done.stdout.splitlines()
    try:
        return _outcome(json.loads(lines[-1]))
    except (IndexError, ValueError):
        raise DriverError(
            f"{client} {action}: exit {done.returncode}, no JSON\n{done.stdout}{done.stderr}"
        ) from None


def _environment(home: Path, endpoint: str | None, token: str | None) -> dict[str, str]:
    env = client_environment(home, endpoint)
    del env["HF_HUB_DISABLE_XET"]  # as users have it: what is served must keep clients off Xet
    return env | {"HF_TOKEN": token} if token else env


def _driver(client: str) -> list[str]:
    if why := missing(client):
        raise DriverError(f"{client} cannot be run here: {why}")
    if client == "js":
        return ["node", str(js_client())]
    if client == "rust":
        return [str(rust_client())]
    program = "with_hub" if client.startswith("hub") else f"with_{client.rstrip('45')}"
    return [str(python(client)), str(DRIVERS / f"{program}.py")]


def _cli(client: str, job: dict[str, Any], env: dict[str, str], timeout_s: float) -> Outcome:
    """`hf download`: prints the folder, or the file if just one was named."""
    place = ["--repo-type", job["type"], "--revision", job["revision"]]
    command = [str(python(client).parent / "hf"), "download", job["repo"], *job["files"], *place]
    done = subprocess.run(
        command,
        env=env,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        return _outcome({"error": f"exit {done.returncode}", "text": done.stderr[-2000:]})
    path = Path(done.stdout.strip().splitlines()[-1].strip().removeprefix("path: "))
    if path.is_dir():
        found = {str(p.relative_to(path)): str(p) for p in path.rglob("*") if not p.is_dir()}
    else:
        found = {job["files"][0]: str(path)}
    return _outcome({"paths": found})


def _outcome(told: dict[str, Any]) -> Outcome:
    error, text = told.pop("error", ""), told.pop("text", "")
    files = {name: _sha256(Path(path)) for name, path in told.pop("paths", {}).items()}
    files |= told.pop("sha256", {})
    return Outcome(not error, files, error, text, told)


def _sha256(path: Path) -> str:
    with path.open("rb") as reader:
        return hashlib.file_digest(reader, "sha256").hexdigest()


def main(arguments: list[str] | None = None) -> int:
    listed = "\n".join(f"  {client:14} {', '.join(names)}" for client, names in ACTIONS.items())
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0],
        epilog=f"clients and their actions:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("client", choices=CLIENTS, metavar="CLIENT")
    parser.add_argument("action", metavar="ACTION")
    parser.add_argument("--endpoint", metavar="URL")
    parser.add_argument("--home", type=Path, required=True, metavar="DIR")
    parser.add_argument("--repo", required=True, metavar="ORG/NAME")
    parser.add_argument("--type", default="model", choices=("model", "dataset", "space"))
    parser.add_argument("--revision", default="main")
    parser.add_argument("--file", action="append", default=[], dest="files", metavar="PATH")
    parser.add_argument("--token")
    parser.add_argument("--text", default="", help="what `upload` commits")
    parser.add_argument("--offline", action="store_true")
    options = vars(parser.parse_args(arguments))
    if options.pop("offline"):
        options["endpoint"] = None
    elif options["endpoint"] is None:
        parser.error("give --endpoint or --offline")
    try:
        outcome = drive(options.pop("client"), options.pop("action"), **options)
    except (DriverError, subprocess.TimeoutExpired) as error:
        print(f"drive: {error}", file=sys.stderr)
        return 2
    print(json.dumps(outcome.as_dict()))
    return 0 if outcome.ok else 1


if __name__ == "__main__":
    sys.exit(main())
