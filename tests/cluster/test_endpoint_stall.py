"""A source that stops in the middle of a client's download is replaced under the same answer: the
client sees no pause that it would give up for."""

from __future__ import annotations

import hashlib
import http.client
import threading
import time
from dataclasses import dataclass
from typing import Iterator

import pytest

from tests.cluster.agent import Agent
from tests.cluster.endpoint import file_path
from tests.cluster.harness import Cluster
from tests.cluster.many import MIB, made_bytes, stopped
from tests.cluster.relay import Relay, put_between
from tests.cluster.waiting import wait_until
from tests.hub import Hub

REPO, WEIGHTS = "org/one", "model.safetensors"
SIZE = 48 * MIB
FILES = {WEIGHTS: made_bytes("stall", SIZE)}
LINK_RATE = 8 * MIB  # of each node's peer port: the stop finds the download under way
CLIENT_PATIENCE_S = 10  # huggingface_hub's read time-out
REPLACED_S = 10
NOTICED_S = 10
END_S = 120
_READ_BYTES = 1 << 16


@dataclass
class Seen:
    """One answer as its client sees it."""

    status: int = 0
    length: int = 0
    received: int = 0
    sha256: str = ""
    slowest_64k_s: float = 0.0  # the longest that 64 KiB took: single bytes keep nobody content
    error: str = ""


class Download:
    """A client with the patience of real ones, on a thread."""

    def __init__(self, agent: Agent) -> None:
        self.seen = Seen()
        self._agent = agent
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def join(self) -> Seen:
        self._thread.join(END_S)
        assert not self._thread.is_alive(), f"not ended within {END_S} s: {self.seen}"
        return self.seen

    def _run(self) -> None:
        host, _, port = self._agent.endpoint.rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=CLIENT_PATIENCE_S)
        try:
            connection.request("GET", file_path(REPO, WEIGHTS))
            reply = connection.getresponse()
            self.seen.status, self.seen.length = reply.status, reply.length or 0
            self._read(reply)
        except (OSError, http.client.HTTPException) as error:
            self.seen.error = f"{type(error).__name__}: {error}"
        finally:
            connection.close()

    def _read(self, reply: http.client.HTTPResponse) -> None:
        digest = hashlib.sha256()
        mark, marked_at = 0, time.monotonic()
        while data := reply.read1(_READ_BYTES):
            digest.update(data)
            self.seen.received += len(data)
            if self.seen.received - mark >= _READ_BYTES:
                now = time.monotonic()
                self.seen.slowest_64k_s = max(self.seen.slowest_64k_s, now - marked_at)
                mark, marked_at = self.seen.received, now
        self.seen.sha256 = digest.hexdigest()


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        hub.add_repo(REPO, files=FILES)
        yield hub


def fill(hub: Hub, cluster: Cluster, holders: list[Agent], reader: Agent) -> None:
    """The holders have the file, and the reader knows it."""
    for holder in holders:
        holder.warm(REPO, "--nodes", "self", "--from", "hub")
    for holder in holders:
        name = holder.name
        wait_until(lambda: reader.holds_all_of(name, REPO), NOTICED_S, f"it is known of {name}")
    hub.reset_stats()


def assert_not_noticed(seen: Seen) -> None:
    print(f"the longest that 64 KiB took: {seen.slowest_64k_s:.2f} s")
    assert not seen.error, seen
    assert (seen.status, seen.length, seen.received) == (200, SIZE, SIZE)
    assert seen.sha256 == hashlib.sha256(FILES[WEIGHTS]).hexdigest()
    assert seen.slowest_64k_s <= REPLACED_S


def is_in_the_middle(download: Download) -> bool:
    assert not download.seen.error, download.seen
    return download.seen.received > SIZE // 4


@pytest.mark.quick
def test_only_holder_stops_and_the_hub_goes_on(hub: Hub, relays: dict[str, Relay]) -> None:
    cluster = Cluster(2, hub_url=hub.url)
    relays.update(put_between(cluster.agents, rate=LINK_RATE))
    with cluster as (holder, reader):
        fill(hub, cluster, [holder], reader)
        download = Download(reader)
        wait_until(lambda: is_in_the_middle(download), END_S, "the download is under way")
        assert hub.egress_bytes == 0, "it comes from the peer"
        with stopped(holder):
            seen = download.join()
        assert_not_noticed(seen)
        assert 0 < hub.egress_bytes < SIZE, "the rest came from the hub"


def test_one_of_two_holders_stops_and_no_hub_is_there(
    hub: Hub, relays: dict[str, Relay]
) -> None:
    cluster = Cluster(3, hub_url=hub.url)
    relays.update(put_between(cluster.agents, rate=LINK_RATE))
    with cluster as (first, second, reader):
        fill(hub, cluster, [first, second], reader)
        hub.fault("refuse")
        download = Download(reader)
        wait_until(lambda: is_in_the_middle(download), END_S, "the download is under way")
        with stopped(first):
            seen = download.join()
        assert_not_noticed(seen)
        assert hub.egress_bytes == 0
