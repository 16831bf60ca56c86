"""Unmodified clients load through the agent: everything that `loads` lists, wherever the bytes are.

The client has a home of its own, so what it gets came through the endpoint and not by the agent's
folder, except where a test says so."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Callable, Iterator

import pytest

from tests.clients.drive import drive, missing
from tests.clients.loads import (
    CSV,
    LOADS,
    MODEL,
    PARQUET,
    QUICK_LOADS,
    Load,
    add_repos,
    contents,
    move_branches,
)
from tests.clients.repos import digests
from tests.cluster.agent import Agent
from tests.cluster.cache_tree import assert_no_scan_warnings, assert_nothing_torn
from tests.cluster.harness import Cluster
from tests.cluster.waiting import wait_until
from tests.hub import Hub

ADVERT_S = 10
# These read their cache first and never ask whether the branch has moved.
DEAF_TO_MOVES = [load for load in LOADS if load.client == "rust" and load.action != "download"]
# With the endpoint's port closed these go on with their cache at once. hf_hub_download of 0.36 and
# both transformers do so as well, but after 23 s of trying for every file.
FALL_BACK = [
    load
    for load in LOADS
    if load.client in ("hub2", "hub1", "hub036")
    and load.keeps
    and (load.client, load.action) != ("hub036", "file")
]


def each_load(test: Callable[..., None]) -> Callable[..., None]:
    """Parametrizes a test by every load; one of each client is enough for the quick round."""
    marked = [
        pytest.param(load, id=str(load), marks=[pytest.mark.quick] if load in QUICK_LOADS else [])
        for load in LOADS
    ]
    return pytest.mark.parametrize("load", marked)(test)


@pytest.fixture(autouse=True)
def can_run(request: pytest.FixtureRequest) -> None:
    """Skips what this machine has no client for."""
    load = getattr(request.node, "callspec", None) and request.node.callspec.params.get("load")
    if load and (why := missing(load.client)):
        pytest.skip(f"{load.client} cannot be run here: {why}")


@pytest.fixture
def hub() -> Iterator[Hub]:
    """All repos are said to lie in Xet storage, as they mostly do."""
    with Hub() as hub:
        add_repos(hub)
        for repo in (*hub.repos.all("model"), *hub.repos.all("dataset")):
            repo.xet = True
        yield hub


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def warm_all(agent: Agent) -> None:
    agent.warm(MODEL, "--nodes", "self")
    for repo in (CSV, PARQUET):
        agent.warm(repo, "--type", "dataset", "--nodes", "self")


def wait_known(agent: Agent, holder: Agent) -> None:
    """Until `agent` believes `holder` to have everything."""
    for repo in (MODEL, CSV, PARQUET):
        type = () if repo == MODEL else ("--type", "dataset")
        wait_until(
            lambda: agent.holds_all_of(holder.name, repo, *type),
            ADVERT_S,
            f"{agent.name} knows that {holder.name} has {repo}",
        )


@each_load
def test_cold_agent_gets_it_from_the_hub(
    load: Load, hub: Hub, home: Path, clusters: Callable[..., Cluster]
) -> None:
    (agent,) = clusters(1, hub_url=hub.url)
    load.assert_right(load.run(home, agent.endpoint_url))


@each_load
def test_peer_has_it_and_the_hub_is_down(
    load: Load, hub: Hub, home: Path, clusters: Callable[..., Cluster]
) -> None:
    a, b = clusters(2, hub_url=hub.url)
    warm_all(a)
    wait_known(b, a)
    hub.fault("refuse")

    outcome = load.run(home, b.endpoint_url)

    load.assert_right(outcome)


@each_load
def test_moved_branch_is_followed(
    load: Load, hub: Hub, home: Path, clusters: Callable[..., Cluster]
) -> None:
    (agent,) = clusters(1, hub_url=hub.url)
    load.assert_right(load.run(home, agent.endpoint_url))
    move_branches(hub)

    second = load.run(home if load.keeps else home / "second", agent.endpoint_url)

    load.assert_right(second, version=1 if load in DEAF_TO_MOVES else 2)


@pytest.fixture(scope="module")
def standing_hub() -> Iterator[Hub]:
    with Hub() as hub:
        add_repos(hub)
        yield hub


@pytest.fixture(scope="module")
def node(standing_hub: Hub) -> Iterator[Agent]:
    """An agent that has everything, for all tests that leave it as it was."""
    with Cluster(1, hub_url=standing_hub.url) as (agent,):
        warm_all(agent)
        yield agent


class TestLocal:
    """The agent has everything: nothing needs to come from elsewhere."""

    @each_load
    def test_no_file_is_downloaded_again(
        self, load: Load, node: Agent, standing_hub: Hub, home: Path
    ) -> None:
        standing_hub.clear_fault()
        standing_hub.reset_stats()
        load.assert_right(load.run(home, node.endpoint_url))
        assert standing_hub.egress_bytes == 0

    @each_load
    def test_it_loads_while_the_hub_is_down(
        self, load: Load, node: Agent, standing_hub: Hub, home: Path
    ) -> None:
        standing_hub.fault("refuse")
        load.assert_right(load.run(home, node.endpoint_url))


@pytest.mark.parametrize("load", FALL_BACK, ids=str)
def test_cached_files_load_when_the_agent_is_gone(
    load: Load, hub: Hub, home: Path, clusters: Callable[..., Cluster]
) -> None:
    (agent,) = clusters(1, hub_url=hub.url)
    load.assert_right(load.run(home, agent.endpoint_url))
    agent.stop()

    load.assert_right(load.run(home, agent.endpoint_url))


@pytest.mark.quick
@pytest.mark.parametrize(
    "load", [load for load in LOADS if load.action == "snapshot"], ids=lambda load: load.client
)
class TestOwnCache:
    """The client's cache is the one that the agent watches and fills."""

    def test_both_leave_it_in_order(
        self, load: Load, hub: Hub, clusters: Callable[..., Cluster]
    ) -> None:
        (agent,) = clusters(1, hub_url=hub.url)
        load.assert_right(load.run(agent.home, agent.endpoint_url))
        assert_nothing_torn(agent.hub_cache)
        assert_no_scan_warnings("hub2", agent.client_environment())

    def test_what_the_agent_published_is_found(
        self, load: Load, hub: Hub, clusters: Callable[..., Cluster]
    ) -> None:
        (agent,) = clusters(1, hub_url=hub.url)
        agent.warm(MODEL, "--nodes", "self")
        hub.reset_stats()
        load.assert_right(load.run(agent.home, agent.endpoint_url))
        assert hub.egress_bytes == 0


@pytest.mark.quick
def test_clients_at_once_on_two_nodes_cost_one_download(
    hub: Hub, tmp_path: Path, clusters: Callable[..., Cluster]
) -> None:
    nodes = clusters(2, hub_url=hub.url)
    loads = [load for load in QUICK_LOADS if load.repo == MODEL and not missing(load.client)]
    loads = [load for load in loads if "model.safetensors" in (load.files or contents(1)[MODEL])]

    with ThreadPoolExecutor(len(loads) * 2) as pool:
        running = [
            (load, pool.submit(load.run, tmp_path / f"{node.name}-{load}", node.endpoint_url))
            for node in nodes
            for load in loads
        ]
        for load, outcome in running:
            load.assert_right(outcome.result())

    assert hub.egress_of(MODEL, "model.safetensors") <= 1.05 * len(
        contents(1)[MODEL]["model.safetensors"]
    )


@pytest.mark.parametrize("client", ("hub2", "hub1", "hub036"))
def test_upload_reaches_the_hub_and_is_seen(
    client: str, home: Path, clusters: Callable[..., Cluster]
) -> None:
    with Hub(tokens={"hf_writer": ["*"]}) as hub:
        add_repos(hub)
        (agent,) = clusters(1, hub_url=hub.url)
        place = {"home": home, "repo": MODEL, "files": ["note.txt"], "token": "hf_writer"}

        sent = drive(client, "upload", endpoint=agent.endpoint_url, text="größer", **place)
        got = drive(client, "file", endpoint=agent.endpoint_url, **place)

    # 0.36 commits, and then does not know the repo in the commit's URL if that is not the endpoint's.
    assert sent.ok or (client, sent.error) == ("hub036", "ValueError"), sent.text
    assert got.files == digests({"note.txt": "größer".encode()}), got.text


@pytest.mark.parametrize("client", ("hub2", "hub1", "hub036", "js"))
def test_names_with_spaces_and_unicode_load(
    client: str, hub: Hub, home: Path, clusters: Callable[..., Cluster]
) -> None:
    """Not with hf-hub for Rust, which cannot ask for them."""
    files = {"with space.txt": b"1", "größe/日本語.json": b"{}", "a+b&c.txt": b"3"}
    hub.add_repo("org/odd", files=files)
    (agent,) = clusters(1, hub_url=hub.url)

    got = drive(client, "snapshot", home=home, repo="org/odd", endpoint=agent.endpoint_url)

    assert got.files == digests(files), got.text


@pytest.mark.parametrize("client", ("hub2", "hub1", "hub036", "js", "rust"))
def test_empty_file_loads(
    client: str, hub: Hub, home: Path, clusters: Callable[..., Cluster]
) -> None:
    files = {"__init__.py": b"", "config.json": b"{}"}
    hub.add_repo("org/empty", files=files)
    (agent,) = clusters(1, hub_url=hub.url)

    got = drive(client, "snapshot", home=home, repo="org/empty", endpoint=agent.endpoint_url)

    assert got.files == digests(files), got.text


def test_many_files_come_in_pages(hub: Hub, home: Path, clusters: Callable[..., Cluster]) -> None:
    files = {f"part-{n:04}.json": b"%d" % n for n in range(120)}
    hub.add_repo("org/many", files=files)
    hub.page_size = 50
    (agent,) = clusters(1, hub_url=hub.url)

    got = drive("js", "list", home=home, repo="org/many", endpoint=agent.endpoint_url)

    assert sorted(got.more["names"]) == sorted(files), got.text


@pytest.mark.parametrize("revision", ("v1", "refs/pr/1", "feature/x"))
@pytest.mark.parametrize("client", ("hub2", "hub036", "js", "rust"))
def test_other_revisions_load(
    client: str, revision: str, hub: Hub, home: Path, clusters: Callable[..., Cluster]
) -> None:
    hub.commit(MODEL, {"sub/extra.txt": b"other\n"}, branch=revision)
    (agent,) = clusters(1, hub_url=hub.url)
    load = Load(client, "file", files=("sub/extra.txt",))

    got = load.run(home, agent.endpoint_url, revision=revision)

    assert got.files == digests({"sub/extra.txt": b"other\n"}), got.text


def test_commit_hash_loads(hub: Hub, home: Path, clusters: Callable[..., Cluster]) -> None:
    repo = hub.repos.find("model", MODEL)
    assert repo is not None
    commit = repo.branches["main"]
    move_branches(hub)
    (agent,) = clusters(1, hub_url=hub.url)
    load = dataclasses.replace(LOADS[1], files=())
    load.assert_right(load.run(home, agent.endpoint_url, revision=commit), version=1)
