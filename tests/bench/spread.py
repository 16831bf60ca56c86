"""One repo from its holders to many nodes on limited links: what each row of the table does."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.links import Line
from tests.bench.repos import Repo, job_seconds
from tests.bench.site import RUN_S, Plan, Site
from tests.cluster.waiting import wait_until

APART_S = 2.0  # late joiners
LOST_AT = 0.5


@dataclass
class Outcome:
    """Seconds from the order on: `job` as its document says, `nodes` when each had all under final
    names. Bytes: of all holders, by their interfaces and by their own count; over the boundary."""

    job: float
    nodes: dict[str, float]
    sent: int
    told: int
    crossed: int = 0

    @property
    def last(self) -> float:
        return max(self.nodes.values())


def spread(folder: Path, repo: Repo, plan: Plan, line: Line) -> Outcome:
    """One order for all wanters at once, given to the first holder."""
    with Site(folder, repo, plan, line) as site:
        before = site.sent_counts()
        began = time.time()
        job = site.order(site.holders[0], site.wanters)
        return _outcome(site, before, began, job_seconds(job))


def slow_node(folder: Path, repo: Repo, plan: Plan, line: Line) -> Outcome:
    """The same, over when all but the slow one have it."""
    with Site(folder, repo, plan, line) as site:
        before = site.sent_counts()
        began = time.time()
        site.order_and_go_on(site.holders[0], site.wanters)
        others = site.wanters[:-1]
        wait_until(lambda: all(map(site.arrived, others)), RUN_S, "all but the slow one have it")
        return _outcome(site, before, began, time.time() - began, others)


def lost_holder(folder: Path, repo: Repo, plan: Plan, line: Line, silent: bool = False) -> Outcome:
    """The first of two holders is killed when half of all bytes have arrived; the second one was
    given the order. `silent`: its link is cut instead, so that nobody is told."""
    with Site(folder, repo, plan, line) as site:
        lost, orderer = site.holders
        before = site.sent_counts()
        began = time.time()
        job = site.order_and_go_on(orderer, site.wanters)
        wait_until(
            lambda: _done_part(site.job(orderer, job)) >= LOST_AT, RUN_S, "half of it has arrived"
        )
        sent, crossed = site.sent_since(before)
        told = site.told()
        if silent:
            site.network.unplug(site.nodes[lost])
        else:
            site.agents[lost].kill9()
        wait_until(
            lambda: site.job(orderer, job)["state"] != "running", RUN_S, "the job is at its end"
        )
        document = site.job(orderer, job)
        assert document["state"] == "done", document
        outcome = _outcome(site, before, began, job_seconds(document))
        site.assert_right(site.wanters)
        return outcome


def late_joiners(folder: Path, repo: Repo, plan: Plan, line: Line) -> Outcome:
    """Each wanter orders for itself, two seconds after the one before. `job` is the time of all,
    `nodes` counts from each one's own order."""
    with Site(folder, repo, plan, line) as site:
        before = site.sent_counts()
        began: dict[str, float] = {}
        for number, name in enumerate(site.wanters):
            if began:
                due = began[site.wanters[0]] + number * APART_S
                time.sleep(max(0.0, due - time.time()))
            began[name] = time.time()
            site.order_and_go_on(name, [name])
        wait_until(lambda: all(map(site.arrived, site.wanters)), RUN_S, "all have it")
        first = began[site.wanters[0]]
        outcome = _outcome(site, before, first, time.time() - first)
        outcome.nodes = {
            name: seconds + first - began[name] for name, seconds in outcome.nodes.items()
        }
        return outcome


def _outcome(
    site: Site, before: dict[str, int], began: float, job: float, names: list[str] | None = None
) -> Outcome:
    sent, crossed = site.sent_since(before)
    return Outcome(
        job, site.seconds_of(began, names or site.wanters), sent, site.told(), crossed
    )


def _done_part(job: dict[str, Any]) -> float:
    total = sum(node["bytes_total"] for node in job["nodes"])
    return sum(node["bytes_done"] for node in job["nodes"]) / total if total else 0.0
