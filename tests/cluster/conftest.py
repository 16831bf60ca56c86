"""Fixtures: a hub, clusters that leave their logs behind when a test fails."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Callable, Generator, Iterator

import pytest

from tests.clients.setup import model_folder
from tests.cluster.harness import Cluster
from tests.cluster.relay import Relay
from tests.hub import Hub

_LOG_TAIL_LINES = 60

TINY = {
    "config.json": b'{"model_type": "bert"}\n',
    "model.safetensors": bytes(range(256)) * 16 * 1024,  # 4 MiB
    "sub/extra.txt": b"extra\n",
    "empty.txt": b"",
}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, Any]:
    report = yield
    if report.failed:
        item.stash[_FAILED] = True
    return report


_FAILED = pytest.StashKey[bool]()


# The faults are many and slow: the ordinary round has them with one client that begins anew and one
# that goes on from what it has, the long round with all.
_FAULTS_FILE = "test_endpoint_faults.py"
_FAULTS_CLIENTS = ("hub2", "curl")


def _is_for_the_long_round(item: pytest.Item) -> bool:
    if os.environ.get("ROOST_TEST_LONG"):
        return False
    if item.get_closest_marker("slow"):
        return True
    if item.path.name != _FAULTS_FILE:
        return False
    client = getattr(item, "callspec", None) and item.callspec.params.get("client")  # type: ignore[attr-defined]
    return client is not None and client not in _FAULTS_CLIENTS


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    later = [item for item in items if _is_for_the_long_round(item)]
    if later:
        config.hook.pytest_deselected(items=later)
        items[:] = [item for item in items if not _is_for_the_long_round(item)]
    for item in items:
        if item.get_closest_marker("root") and os.geteuid() != 0:
            item.add_marker(
                pytest.mark.skip(
                    reason="needs root: it makes namespaces, mounts or other users' processes"
                )
            )


@pytest.fixture
def relays() -> Iterator[dict[str, Relay]]:
    made: dict[str, Relay] = {}
    yield made
    for relay in made.values():
        relay.close()


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        yield hub


@pytest.fixture
def tiny(hub: Hub) -> str:
    """A small repo on the hub, of git files and one LFS file; its commit."""
    return hub.add_repo("org/tiny", files=TINY)


@pytest.fixture
def mini(hub: Hub) -> Path:
    """The real model on the hub as org/mini; the folder that it came from."""
    folder = model_folder()
    hub.add_repo("org/mini", files=folder)
    return folder


@pytest.fixture
def clusters(request: pytest.FixtureRequest) -> Iterator[Callable[..., Cluster]]:
    """Makes clusters (see Cluster) that run until the test's end, and are ended in good order if it
    went well. `prepare` is given the cluster before it starts."""
    made: list[Cluster] = []

    def make(
        n: int, prepare: Callable[[Cluster], None] | None = None, **arguments: Any
    ) -> Cluster:
        cluster = Cluster(n, **arguments)
        made.append(cluster)
        if prepare:
            prepare(cluster)
        return cluster.start()

    yield make
    failed = request.node.stash.get(_FAILED, False)
    try:
        if not failed:
            for cluster in made:
                cluster.stop()
    except AssertionError:
        failed = True
        raise
    finally:
        for cluster in made:
            cluster.keep = failed
            cluster.remove()
            if failed:
                _print_logs(cluster)


def _print_logs(cluster: Cluster) -> None:
    print(f"the cluster's folders are kept in {cluster.folder}")
    for agent in cluster:
        print(f"---- agent {agent.name}: {' '.join(agent.command())}")
        print("\n".join(agent.log.splitlines()[-_LOG_TAIL_LINES:]))
