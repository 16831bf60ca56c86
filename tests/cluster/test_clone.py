"""A copied state folder: two agents with one identity. Both say so, and the newer is refused."""

from __future__ import annotations

from typing import Callable

import pytest

from tests.cluster.agent import Agent
from tests.cluster.harness import Cluster
from tests.cluster.ports import free_port
from tests.cluster.waiting import wait_until
from tests.hub import Hub


def complains(agent: Agent) -> bool:
    problems = agent.roost_json("status")["problems"]
    return any("two agents" in problem["what"] + problem["why"] for problem in problems)


@pytest.mark.quick
def test_both_agents_of_a_copied_state_folder_say_so(
    hub: Hub, clusters: Callable[..., Cluster]
) -> None:
    cluster = clusters(2, hub_url=hub.url)
    a, b = cluster
    # As a disk image that was copied: the same identity, started as often.
    clone = Agent(
        "clone",
        cluster.folder / "clone",
        hub_url=hub.url,
        listen=f"127.0.0.1:{free_port()}",
        join=[a.listen, b.listen],
    )
    cluster.agents.append(clone)
    line = (b.state / "node-id").read_text().split()
    (clone.state / "node-id").write_text(f"{line[0]} {int(line[1]) - 1}\n")

    clone.start().wait_ready()

    for agent in (a, b, clone):
        wait_until(lambda: complains(agent), 15, f"{agent.name} reports the clone")
    assert a.nodes()["b"]["state"] not in ("gone", "suspected"), "the older stays a member"
    assert "clone" not in a.nodes()
    assert "a" not in clone.nodes(), "the newer is refused"
    shown = clone.roost("status").stdout
    assert "node-id" in shown, "it says what to do"


@pytest.mark.quick
def test_a_second_agent_on_one_state_folder_ends_at_once(
    hub: Hub, clusters: Callable[..., Cluster]
) -> None:
    (a,) = clusters(1, hub_url=hub.url)
    twin = Agent("twin", a.folder, hub_url=hub.url)

    twin.start()

    assert twin.process is not None
    assert twin.process.wait(10) != 0
    assert str(a.state) in twin.log and "another agent" in twin.log
    assert a.nodes()["a"]["state"] == "ready"
