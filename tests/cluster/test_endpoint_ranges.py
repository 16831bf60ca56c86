"""Parts of a file that is still arriving: they come from what is there, as soon as it can be told
right from wrong."""

from __future__ import annotations

import os
import subprocess
from typing import Callable, Iterator

import pytest

from tests.cluster.agent import Agent
from tests.cluster.endpoint import Reply, ask, counted, file_path
from tests.cluster.harness import Cluster
from tests.cluster.waiting import wait_until
from tests.hub import Hub

REPO, NAME = "org/big", "model.safetensors"
MIB = 1 << 20
SIZE = 200 * MIB + 12_345
CONTENT = b"".join(os.urandom(16) + bytes(MIB - 16) for _ in range(200)) + os.urandom(12_345)
ADVERT_S = 10


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        hub.add_repo(REPO, files={NAME: CONTENT, "config.json": b"{}"})
        yield hub


def part(agent: Agent, first: int, count: int) -> Reply:
    wanted = {"Range": f"bytes={first}-{first + count - 1}"}
    return ask(agent.endpoint, "GET", file_path(REPO, NAME), wanted)


def assert_right(reply: Reply, first: int, count: int) -> None:
    assert reply.status == 206
    assert reply.headers["content-range"] == f"bytes {first}-{first + count - 1}/{SIZE}"
    assert reply.body == CONTENT[first : first + count]


def holder_and_other(clusters: Callable[..., Cluster], hub: Hub) -> tuple[Agent, Agent]:
    a, b = clusters(2, hub_url=hub.url)
    a.warm(REPO, "--nodes", "self")
    wait_until(lambda: b.holds_all_of("a", REPO), ADVERT_S, "b knows that a has it")
    hub.fault("refuse")
    return a, b


@pytest.mark.quick
def test_parts_of_what_a_peer_holds_come_before_the_whole(
    hub: Hub, clusters: Callable[..., Cluster]
) -> None:
    _, b = holder_and_other(clusters, hub)
    blobs = b.hub_cache / "models--org--big/blobs"
    blobs.mkdir(parents=True)
    etag = ask(b.endpoint, "HEAD", file_path(REPO, NAME)).etag
    # A client of this node downloads it slowly, so that it does not become whole meanwhile.
    slow = ["curl", "-sf", "--limit-rate", "1M", "-o", str(blobs / f"{etag}.incomplete")]
    with subprocess.Popen([*slow, b.endpoint_url + file_path(REPO, NAME)]) as client:
        try:
            wait_until((blobs / f"{etag}.incomplete").exists, 10, "the client has begun")
            for first, count in (
                (150 * MIB + 17, 100),  # within a piece
                (99 * MIB, MIB),  # a piece
                (120 * MIB - 5, 3 * MIB),  # over several
                (0, 70_000),  # what the client has already
            ):
                assert_right(part(b, first, count), first, count)
            assert client.poll() is None, "the whole was not to be here yet"
            assert counted(b, 'roost_endpoint_inner_ranges_total{how="proved"}') >= 3
            assert counted(b, 'roost_nodes ') == 2
            assert not (blobs / etag).exists()
        finally:
            client.kill()


def test_wrong_pieces_are_not_given_out(hub: Hub, clusters: Callable[..., Cluster]) -> None:
    """The holder's file has rotted since it was verified: its own check stops the piece."""
    a, b = holder_and_other(clusters, hub)
    (snapshot,) = (a.hub_cache / "models--org--big/snapshots").iterdir()
    with (snapshot / NAME).resolve().open("r+b") as file:
        file.seek(100 * MIB + 5)
        file.write(b"rotten")

    reply = part(b, 100 * MIB, 1000)

    if reply.status == 206:
        assert_right(reply, 100 * MIB, 1000)
    else:
        assert reply.status in (503, 504)


def test_what_is_passed_on_is_of_the_commit_that_the_client_was_told(
    hub: Hub, clusters: Callable[..., Cluster]
) -> None:
    """The branch moves between HEAD and GET: other bytes would be kept under the first ETag."""
    (agent,) = clusters(1, hub_url=hub.url, branch_ttl="60s")
    told = ask(agent.endpoint, "HEAD", file_path(REPO, NAME))
    hub.commit(REPO, {NAME: bytes(SIZE)})
    hub.rate = MIB

    reply = part(agent, 150 * MIB, 1000)

    assert reply.headers["x-repo-commit"] == told.headers["x-repo-commit"]
    assert reply.etag == told.etag
    assert_right(reply, 150 * MIB, 1000)


def test_without_a_list_the_hub_is_asked(hub: Hub, clusters: Callable[..., Cluster]) -> None:
    """Nobody has verified the whole: after a while the part comes from the hub itself."""
    (agent,) = clusters(1, hub_url=hub.url)
    hub.rate = MIB  # of each connection
    assert_right(part(agent, 150 * MIB, 1000), 150 * MIB, 1000)
    assert counted(agent, 'roost_endpoint_inner_ranges_total{how="passed_on"}') == 1
    assert counted(agent, 'roost_endpoint_inner_ranges_total{how="proved"}') == 0
    assert counted(agent, 'roost_endpoint_requests_total{kind="file",status="2xx"}') == 1
    assert counted(agent, 'roost_transfer_bytes_total{way="from_hub"}') > 0
