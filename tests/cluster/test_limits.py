"""Limits of bytes per second on real agents: what is sent and taken, and `roost limit` while it
goes on. Generous: only that a limit holds at all, and that lifting it is felt."""

from __future__ import annotations

import time
from typing import Any, Callable

import pytest

from tests.clients import load
from tests.cluster.agent import Agent
from tests.cluster.harness import Cluster
from tests.cluster.waiting import wait_until
from tests.hub import Hub

MIB = 1 << 20
BLOB = 32 * MIB
LEAST_S = 3.0  # 32 MiB at 8 MB/s are 4.2 s
NOTICED_S = 20
DONE_S = 60


def big(hub: Hub) -> None:
    hub.add_repo("org/big", files={"model.safetensors": bytes(range(256)) * (BLOB // 256)})


def fill(agent: Agent, hub: Hub) -> None:
    agent.run_client(load.snapshot("org/big"), endpoint=hub.url)
    wait_until(
        lambda: agent.files_at(agent.name, "org/big") == 1, NOTICED_S, f"{agent.name} notices it"
    )


def seconds(what: Callable[[], Any]) -> float:
    begin = time.monotonic()
    what()
    return time.monotonic() - begin


def crawls(agent: Agent, job: int) -> None:
    """The second piece of the job comes some seconds after it began; all were there, were it not
    limited."""

    def done() -> int:
        return int(agent.roost_json("jobs", str(job))["nodes"][0]["bytes_done"])

    wait_until(lambda: done() >= 2 * MIB, DONE_S, "two pieces")
    assert done() < BLOB // 2


@pytest.mark.quick
def test_an_upload_limit_holds_and_is_lifted_while_it_is_felt(
    hub: Hub, clusters: Callable[..., Cluster]
) -> None:
    big(hub)
    a, b, c = clusters(3, hub_url=hub.url)
    fill(a, hub)

    a.roost_json("limit", "--upload", "8MB")
    assert seconds(lambda: b.warm("org/big", "--nodes", "b")) >= LEAST_S

    b.kill9()  # now a is the only holder
    a.roost_json("limit", "--upload", "500kB")
    job = c.roost_json("warm", "org/big", "--nodes", "c", "--from", "cluster", "--no-wait")
    crawls(c, job["id"])
    assert a.roost_json("limit", "--upload", "none")["upload_bytes_per_second"] == 0
    wait_until(
        lambda: c.roost_json("jobs", str(job["id"]))["state"] == "done", DONE_S, "the warm ends"
    )


@pytest.mark.parametrize("source", ("peer", "hub"))
def test_a_download_limit_of_the_configuration_holds(
    source: str, hub: Hub, clusters: Callable[..., Cluster]
) -> None:
    big(hub)

    def limited(cluster: Cluster) -> None:
        cluster["b"].options = (*cluster["b"].options, "--download-limit", "8MB/s")

    a, b = clusters(2, hub_url=hub.url, prepare=limited)
    if source == "peer":
        fill(a, hub)

    assert b.roost_json("limit")["download_bytes_per_second"] == 8_000_000
    rule = "cluster" if source == "peer" else "hub"
    assert seconds(lambda: b.warm("org/big", "--nodes", "b", "--from", rule)) >= LEAST_S


@pytest.mark.quick
def test_a_jobs_limit_holds_on_its_nodes_and_is_lifted(
    hub: Hub, clusters: Callable[..., Cluster]
) -> None:
    big(hub)
    a, b = clusters(2, hub_url=hub.url)
    fill(a, hub)

    job = a.roost_json("warm", "org/big", "--nodes", "b", "--limit", "500kB", "--no-wait")
    number = str(job["id"])
    assert job["limit_bytes_per_second"] == 500_000
    crawls(a, job["id"])
    assert [one["id"] for one in a.roost_json("limit")["jobs"]] == [job["id"]]
    a.roost_json("limit", "--job", number, "none")
    wait_until(lambda: a.roost_json("jobs", number)["state"] == "done", DONE_S, "the warm ends")


@pytest.mark.quick
def test_where_explains_whom_a_node_would_ask(
    hub: Hub, tiny: str, clusters: Callable[..., Cluster]
) -> None:
    a, b = clusters(2, hub_url=hub.url)
    a.warm("org/tiny", "--nodes", "a")
    wait_until(lambda: b.holds_all_of("a", "org/tiny"), NOTICED_S, "b knows that a has it")

    plans = {
        file["path"]: plan
        for plan in b.roost_json("where", "org/tiny", "--explain")["plans"]
        for file in plan["files"]
    }

    assert plans["model.safetensors"]["lane"] == "direct"
    assert [source["name"] for source in plans["model.safetensors"]["sources"]] == ["a"]
    assert plans["config.json"]["lane"] == "inline"
    assert plans["empty.txt"]["lane"] == "inline"
    here = a.roost_json("where", "org/tiny", "--explain")["plans"]
    assert "this node has it" in [why for plan in here for why in plan["why"]]
    said = b.roost("where", "org/tiny", "--explain").stdout
    assert "model.safetensors, 4.2 MB: direct" in said and "from a: hashed there" in said
    assert b.roost("where", "org/none", "--explain").returncode == 3
