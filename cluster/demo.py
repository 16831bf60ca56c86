"""The part of the demo that runs the cluster; `cluster/demo` prepares everything and calls this."""

from __future__ import annotations

import argparse
import contextlib
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Iterator

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.clients import load  # noqa: E402
from tests.clients.setup import SetupError, model_folder  # noqa: E402
from tests.cluster.agent import Agent  # noqa: E402
from tests.cluster.harness import Cluster  # noqa: E402
from tests.cluster.waiting import wait_until  # noqa: E402
from tests.hub import Hub  # noqa: E402

_REPO = "sentence-transformers/all-MiniLM-L6-v2"
_NOTICED_S = 30
_WARM_S = 1800  # a large model from a real hub takes its time


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="cluster/demo", description="Three agents share one download."
    )
    parser.add_argument("--hub", metavar="URL", help="use this hub, such as https://huggingface.co")
    parser.add_argument("--repo", metavar="ORG/NAME", help="the model to load from it")
    options = parser.parse_args()
    if bool(options.hub) != bool(options.repo):
        parser.error("--hub and --repo go together")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the agents end, too
    try:
        with _own_hub() if options.hub is None else contextlib.nullcontext() as hub:
            _show(hub, hub.url if hub else options.hub, options.repo or _REPO)
    except KeyboardInterrupt:
        return 130
    except (AssertionError, OSError, SetupError, subprocess.TimeoutExpired) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    return 0


@contextlib.contextmanager
def _own_hub() -> Iterator[Hub]:
    with Hub() as hub:
        hub.add_repo(_REPO, files=model_folder())
        yield hub


def _show(hub: Hub | None, hub_url: str, repo: str) -> None:
    _say(4, f"Start three agents with homes of their own and a fresh cluster key (hub: {hub_url})")
    with Cluster(3, hub_url=hub_url, key=True) as (a, b, c):
        _say(5, f"Node a: huggingface_hub downloads {repo} from the hub")
        took = _timed(lambda: a.run_client(load.snapshot(repo), endpoint=hub_url))
        wait_until(
            lambda: a.holds_all_of("a", repo), _NOTICED_S, f"agent a notices {repo} in its cache"
        )
        _describe("a", a.run_client(_load_program(hub, repo)), took)

        _say(6, "Nodes b and c: roost warm, from node a")
        warmed = _timed(lambda: _run_warm(a, repo))
        print(f"      done in {warmed:.1f} s")

        _say(7, "Nodes b and c: the same load, offline")
        for node in (b, c):
            started = time.monotonic()
            loaded = node.run_client(_load_program(hub, repo))
            _describe(node.name, loaded, time.monotonic() - started)

        print("\n$ roost status")
        print(a.roost("status").stdout)
        print(_saved(hub, a))


def _run_warm(agent: Agent, repo: str) -> None:
    done = agent.roost("warm", repo, "--nodes", "b,c", timeout_s=_WARM_S)
    assert done.returncode == 0, f"roost warm ended with {done.returncode}: {done.stderr.strip()}"


def _load_program(hub: Hub | None, repo: str) -> str:
    """Our own model is read to the last tensor; of an unknown one the files are found."""
    return load.model(repo) if hub is not None else load.snapshot(repo)


def _describe(node: str, loaded: Any, took_s: float) -> None:
    what = loaded
    if isinstance(loaded, dict):
        what = (
            f"{loaded['tensors']} tensors, {_megabytes(loaded['bytes'])}, {loaded['words']} words"
        )
    print(f"      {node}: {what} in {took_s:.1f} s")


def _saved(hub: Hub | None, first: Agent) -> str:
    """What left the hub, beside what would have left it had every node asked it."""
    size = sum(path.stat().st_size for path in first.hub_cache.glob("*/blobs/*"))
    sent = hub.egress_bytes if hub is not None else size
    return (
        f"The hub sent {_megabytes(sent)}; three nodes alone would have taken "
        f"{_megabytes(3 * size)} from it: {_megabytes(3 * size - sent)} saved."
    )


def _timed(action: Any) -> float:
    began = time.monotonic()
    action()
    return time.monotonic() - began


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _say(number: int, text: str) -> None:
    print(f"[{number}/7] {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
