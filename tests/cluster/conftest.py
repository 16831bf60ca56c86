"""Fixtures: a hub, clusters that leave their logs behind when a test fails."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Callable, Generator, Iterator

import pytest

from tests.clients.setup import model_folder
from tests.cluster.endpoint import answers_clients
from tests.cluster.harness import Cluster
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


# Until the agent serves its endpoint, which its --help names already: see answers_clients().
_ENDPOINT_TESTS = "test_endpoint_"
_NO_ENDPOINT = "this agent does not serve the endpoint for clients yet: nothing answers there"


def pytest_collection_finish(session: pytest.Session) -> None:
    items = [item for item in session.items if item.path.name.startswith(_ENDPOINT_TESTS)]
    if items and not session.config.option.collectonly and not answers_clients():
        for item in items:
            item.add_marker(pytest.mark.skip(reason=_NO_ENDPOINT))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("root") and os.geteuid() != 0:
            item.add_marker(
                pytest.mark.skip(
                    reason="needs root: it makes namespaces, mounts or other users' processes"
                )
            )


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
    went well."""
    made: list[Cluster] = []

    def make(n: int, **arguments: Any) -> Cluster:
        cluster = Cluster(n, **arguments)
        made.append(cluster)
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
