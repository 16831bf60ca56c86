"""Many nodes ask for one cold repo at once: each byte leaves the hub once, also if the node dies or
hangs that downloads it, and nodes that nobody asked have nothing to do with it."""

from __future__ import annotations

import time
from typing import Any, Callable, Iterator

import pytest

from tests.clients.drive import Outcome
from tests.clients.repos import digests
from tests.cluster.agent import Agent
from tests.cluster.cache_tree import assert_nothing_torn, tree_digest
from tests.cluster.harness import Cluster
from tests.cluster.many import (
    MIB,
    Client,
    Wave,
    await_lead,
    downloads_of,
    hub_client,
    made_bytes,
    next_byte_to_others,
    plain_client,
    stopped,
    SocketOwners,
)
from tests.cluster.waiting import wait_until
from tests.hub import Hub

REPO = "org/cold"
WANTERS, IDLE = 8, 2
RATE = 2 * MIB  # a second and connection: the download lasts for several seconds
EGRESS_MAX = 1.05  # x the unique bytes, also with a node dying
TAKEN_OVER_S = 5.0
SMALL = {
    "config.json": b'{"model_type": "bert"}\n',
    "tokenizer.json": made_bytes("tokenizer", 300_000),
    "sub/extra.txt": b"extra\n",
}
LARGE = {"a.safetensors": 64 * MIB, "b.safetensors": 48 * MIB, "c.safetensors": 24 * MIB}
LARGE_QUICK = {"a.safetensors": 12 * MIB, "b.safetensors": 8 * MIB, "c.safetensors": 4 * MIB}


class Crowd:
    """Eight nodes with a client each and two without, and a repo that only the hub has."""

    def __init__(self, hub: Hub, cluster: Cluster, sizes: dict[str, int]) -> None:
        self.hub, self.cluster, self.sizes = hub, cluster, sizes
        self.files = SMALL | {path: made_bytes(path, size) for path, size in sizes.items()}
        self.right = digests(self.files)
        self.unique_bytes = sum(map(len, self.files.values()))
        self.agents = list(cluster)
        self.wanters, self.idle = self.agents[:WANTERS], self.agents[WANTERS:]
        hub.add_repo(REPO, files=self.files)
        hub.rate = RATE
        hub.ledger.who = SocketOwners(self.agents)

    def start(self, client: Client) -> Wave:
        return Wave(client, self.wanters, REPO, list(self.files))

    def assert_right(self, outcomes: dict[str, Outcome]) -> None:
        for name, outcome in outcomes.items():
            assert outcome.ok, f"client of {name}: {outcome.error}: {outcome.text}"
            assert outcome.files == self.right, f"client of {name} has wrong files"

    def assert_once(self) -> None:
        ratio = self.hub.egress_bytes / self.unique_bytes
        print(f"the hub sent {ratio:.4f} x the unique bytes: {dict(self.hub.ledger.per_file)}")
        assert ratio <= EGRESS_MAX, dict(self.hub.ledger.per_file)

    def assert_idle_untouched(self) -> None:
        """They store nothing and have asked the hub for no file. For what the hub says of a repo
        one of them may have asked, for all (docs/decisions/0010-one-node-asks-the-hub.md)."""
        assert None not in {request["who"] for request in self.hub.requests}, "nobody's connection"
        askers = {r["who"] for r in self.hub.requests if not r["path"].startswith("/api/")}
        for agent in self.idle:
            assert agent.name not in askers
            assert tree_digest(agent.hub_cache) == {}
            assert not list(agent.folder.rglob("*.roost-part"))
            assert agent.nodes()[agent.name]["blobs"] == 0


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        yield hub


def new_crowd(hub: Hub, clusters: Callable[..., Cluster], sizes: dict[str, int]) -> Crowd:
    return Crowd(hub, clusters(WANTERS + IDLE, hub_url=hub.url, key=True), sizes)


@pytest.mark.quick
def test_eight_plain_clients_take_a_cold_repo_from_the_hub_once(
    hub: Hub, clusters: Callable[..., Cluster]
) -> None:
    crowd = new_crowd(hub, clusters, LARGE_QUICK)
    crowd.assert_right(crowd.start(plain_client).join())
    crowd.assert_once()
    crowd.assert_idle_untouched()


def test_eight_real_clients_take_a_cold_repo_from_the_hub_once(
    hub: Hub, clusters: Callable[..., Cluster]
) -> None:
    crowd = new_crowd(hub, clusters, LARGE)
    crowd.assert_right(crowd.start(hub_client).join())
    crowd.assert_once()
    crowd.assert_idle_untouched()
    for agent in crowd.wanters:
        assert_nothing_torn(agent.hub_cache)


@pytest.mark.parametrize("client", (plain_client, hub_client))
def test_leaseholder_that_dies_is_followed(
    client: Client, hub: Hub, clusters: Callable[..., Cluster]
) -> None:
    crowd = new_crowd(hub, clusters, LARGE)
    wave = crowd.start(client)
    lead = await_lead(hub, REPO, crowd.agents, crowd.sizes)

    died = time.time()
    lead.agent.kill9()

    others = [agent.name for agent in crowd.wanters if agent is not lead.agent]
    crowd.assert_right(wave.join(*others))
    assert_taken_over(hub, lead.path, lead.agent.name, died)
    crowd.assert_once()
    crowd.assert_idle_untouched()
    assert not wave.join(lead.agent.name)[lead.agent.name].ok
    assert_nothing_torn(lead.agent.hub_cache)


@pytest.mark.parametrize("client", (plain_client, hub_client))
def test_leaseholder_that_hangs_is_followed_and_does_no_harm_when_it_goes_on(
    client: Client, hub: Hub, clusters: Callable[..., Cluster]
) -> None:
    crowd = new_crowd(hub, clusters, LARGE)
    wave = crowd.start(client)
    lead = await_lead(hub, REPO, crowd.agents, crowd.sizes)
    name = lead.agent.name

    others = [agent.name for agent in crowd.wanters if agent is not lead.agent]
    hung = time.time()
    with stopped(lead.agent):
        wait_until(
            lambda: next_byte_to_others(hub, lead.path, name, hung),
            60,
            f"the hub sends {lead.path} to another node",
        )
        crowd.assert_right(wave.join(*others))
        woken = time.time()

    own = wave.join(name)[name]
    assert not own.ok or own.files == crowd.right, "wrong bytes, and no error"
    assert_taken_over(hub, lead.path, name, hung)
    asked = [e for e in downloads_of(hub, lead.path) if e["who"] == name and e["time"] > woken]
    assert asked == [], f"its lease had ended long ago; woken at {woken}"
    crowd.assert_once()
    crowd.assert_idle_untouched()
    for agent in crowd.wanters:
        assert_nothing_torn(agent.hub_cache)


def test_leaseholder_that_began_alone_and_hangs_costs_no_more(
    hub: Hub, clusters: Callable[..., Cluster]
) -> None:
    """What it asked for before the others came must not leave the hub a second time either."""
    path = "a.safetensors"
    crowd = new_crowd(hub, clusters, {path: 128 * MIB})
    first, *others = crowd.wanters
    early = Wave(plain_client, [first], REPO, [path])
    wait_until(lambda: hub.egress_of(REPO, path) > 4 * MIB, 60, "its download is under way")
    late = Wave(plain_client, others, REPO, [path])
    wait_until(lambda: all(has_followed(agent) for agent in others), 60, "the others follow")
    assert hub.egress_of(REPO, path) < 0.9 * crowd.sizes[path], "it is still under way"

    with stopped(first):
        assert all(o.files == {path: crowd.right[path]} for o in late.join().values())
    early.join()

    ratio = hub.egress_of(REPO, path) / crowd.sizes[path]
    print(f"the hub sent {ratio:.4f} x the file")
    assert ratio <= EGRESS_MAX


def has_followed(agent: Agent) -> bool:
    return int(agent.nodes()[agent.name]["peer_bytes_in"]) > 12 * MIB


def assert_taken_over(hub: Hub, path: str, name: str, since: float) -> None:
    first = next_byte_to_others(hub, path, name, since)
    assert first is not None, f"nobody went on with {path}"
    print(f"{path} went on {first - since:.2f} s after {name} ended")
    assert first - since <= TAKEN_OVER_S
