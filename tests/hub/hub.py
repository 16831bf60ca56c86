#!/usr/bin/env python3
"""Runs the imitation of the hub until it is interrupted.

    python3 -m tests.hub --root DIR --port 0 --cdn-port 0 --port-file FILE

DIR holds models/ORG/NAME/..., datasets/ORG/NAME/..., spaces/ORG/NAME/...; single folders come by
--repo. FILE is written when the hub answers: JSON with url, cdn_url, port, cdn_port and pid.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from pathlib import Path

if __package__ in (None, ""):  # run as a script: the package's parent is not on the path yet
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.hub.server import Hub  # noqa: E402


def main(arguments: list[str] | None = None) -> int:
    options = _parse(arguments)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    hub = Hub(
        host=options.host,
        port=options.port,
        cdn_port=options.cdn_port,
        cdn_host=options.cdn_host,
        tokens=dict(options.token),
        rate=options.rate,
        log=options.log,
        control=not options.no_network_faults,
    )
    try:
        if options.root:
            hub.add_tree(options.root)
        for type, id, folder in options.repo:
            hub.add_repo(id, type, folder)
        hub.start()
    except (OSError, ValueError) as error:
        print(f"hub: cannot start: {error}", file=sys.stderr)
        return 1
    with hub:
        if options.port_file:
            _write_port_file(options.port_file, hub)
        print(f"hub: {hub.url} (files at {hub.cdn_url})", file=sys.stderr, flush=True)
        stop.wait()
    return 0


def _write_port_file(path: Path, hub: Hub) -> None:
    ports = {
        name: int(url.rpartition(":")[2])
        for name, url in (("port", hub.url), ("cdn_port", hub.cdn_url))
    }
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(
        json.dumps({"url": hub.url, "cdn_url": hub.cdn_url, **ports, "pid": os.getpid()})
    )
    temporary.rename(path)


def _repo(text: str) -> tuple[str, str, Path]:
    name, equals, folder = text.partition("=")
    type, colon, id = name.rpartition(":")
    if not equals or not id:
        raise argparse.ArgumentTypeError(f"{text!r} is not [TYPE:]ORG/NAME=FOLDER")
    return type if colon else "model", id, Path(folder)


def _token(text: str) -> tuple[str, list[str]]:
    token, _, repos = text.partition("=")
    return token, [repo for repo in repos.split(",") if repo]


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="hub", description=(__doc__ or "").strip().partition("\n")[0]
    )
    parser.add_argument("--root", type=Path, metavar="DIR", help="folder of repositories")
    parser.add_argument(
        "--repo",
        type=_repo,
        action="append",
        default=[],
        metavar="[TYPE:]ORG/NAME=FOLDER",
        help="one repository",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--cdn-port", type=int, default=0)
    parser.add_argument("--cdn-host", help="host name in signed URLs")
    parser.add_argument(
        "--port-file", type=Path, metavar="FILE", help="written when the hub answers"
    )
    parser.add_argument("--rate", type=int, metavar="BYTES_PER_S", help="per connection")
    parser.add_argument("--log", type=Path, metavar="FILE", help="requests as JSON lines")
    parser.add_argument(
        "--token",
        type=_token,
        action="append",
        default=[],
        metavar="TOKEN[=REPO,...]",
        help="a token that is known",
    )
    parser.add_argument("--no-network-faults", action="store_true", help="refuse POST /_control")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
