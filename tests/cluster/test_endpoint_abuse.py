"""Clients that do what no client should: keep thousands of connections open, send half a request,
never read their answer, send more than fits. The agent's memory and descriptors stay bounded, and
honest requests are answered meanwhile."""

from __future__ import annotations

import contextlib
import resource
import socket
import time
from typing import Iterator

import pytest

from tests.cluster.agent import Agent
from tests.cluster.endpoint import ANSWER_S, api_path, ask, connect, file_path
from tests.cluster.harness import Cluster
from tests.cluster.many import MIB, made_bytes
from tests.cluster.waiting import wait_until
from tests.hub import Hub

REPO, WEIGHTS, CONFIG = "org/abused", "model.safetensors", "config.json"
SIZE = 48 * MIB  # more than the socket buffers of both sides take
FILES = {CONFIG: b"{}\n", WEIGHTS: made_bytes("abused", SIZE)}
HONEST_S = 10  # what clients wait for a first byte
IDLE = 2000
MOST = 4096  # connections at once
HANDFUL = 64  # descriptors that come and go: files, the index, connections kept to the hub
HEAD_S, STUCK_S = 15, 60  # after that half a head, half a body, an unread answer end
_POST = f"POST {api_path(REPO, '/paths-info/main')} HTTP/1.1\r\nHost: x\r\n"
_JSON = "Content-Type: application/json\r\n"
HALF_HEAD = b"GET / HTTP/1.1\r\nHost: x\r\nX-Half: " + b"x" * 4096
HALF_BODY = f"{_POST}{_JSON}Content-Length: {MIB}\r\n\r\n".encode() + b" " * (MIB // 2)
GET_WEIGHTS = f"GET {file_path(REPO, WEIGHTS)} HTTP/1.1\r\nHost: x\r\n\r\n".encode()

@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        hub.add_repo(REPO, files=FILES)
        yield hub


@pytest.fixture(scope="module")
def agent(hub: Hub) -> Iterator[Agent]:
    """Holds the repo."""
    with Cluster(1, hub_url=hub.url) as (agent,):
        agent.warm(REPO, "--nodes", "self")
        assert_honest_are_served(agent)
        yield agent


@pytest.fixture(autouse=True)
def many_descriptors() -> Iterator[None]:
    """For this process, which plays all the clients."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(8192, hard)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextlib.contextmanager
def connections(agent: Agent, count: int, says: bytes = b"") -> Iterator[list[socket.socket]]:
    """Open ones, each of which has said the same."""
    links: list[socket.socket] = []
    try:
        for _ in range(count):
            links.append(connect(agent))
            if says:
                links[-1].sendall(says)
        yield links
    finally:
        for link in links:
            link.close()


def assert_honest_are_served(agent: Agent) -> None:
    began = time.monotonic()
    reply = ask(agent.endpoint, "GET", file_path(REPO, WEIGHTS), timeout_s=HONEST_S)
    assert (reply.status, reply.body) == (200, FILES[WEIGHTS])
    listed = ask(agent.endpoint, "GET", api_path(REPO, "/tree/main"), timeout_s=HONEST_S)
    assert {entry["path"] for entry in listed.json()} == set(FILES)
    print(f"honest requests took {time.monotonic() - began:.2f} s")


class Bounds:
    """What the agent uses, beside what it used at first."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._rss, self._descriptors = agent.rss_bytes(), agent.open_descriptors()

    def assert_within(self, rss_bytes: int, descriptors: int) -> None:
        rss = self._agent.rss_bytes() - self._rss
        opened = self._agent.open_descriptors() - self._descriptors
        print(f"{rss / MIB:+.1f} MiB resident, {opened:+} descriptors")
        assert rss <= rss_bytes
        assert opened <= descriptors

    def await_descriptors_back(self, within_s: float) -> None:
        wait_until(
            lambda: self._agent.open_descriptors() <= self._descriptors + HANDFUL,
            within_s,
            f"the agent has its {self._descriptors} descriptors again",
        )


@pytest.mark.quick
def test_idle_connections_cost_little_and_are_given_back(agent: Agent) -> None:
    bounds = Bounds(agent)
    with connections(agent, IDLE):
        wait_until(
            lambda: agent.open_descriptors() >= IDLE, ANSWER_S, "all connections are accepted"
        )
        assert_honest_are_served(agent)
        bounds.assert_within(64 * MIB, IDLE + HANDFUL)
    bounds.await_descriptors_back(ANSWER_S)


def test_idle_connections_after_an_answer_cost_little_too(agent: Agent) -> None:
    """As the pools of connections of a node full of workers leave them."""
    bounds = Bounds(agent)
    request = f"GET {file_path(REPO, CONFIG)} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    with connections(agent, IDLE, request) as links:
        for link in links:
            assert link.recv(1 << 16).startswith(b"HTTP/1.1 200")
        assert_honest_are_served(agent)
        bounds.assert_within(64 * MIB, IDLE + HANDFUL)
    bounds.await_descriptors_back(ANSWER_S)


@pytest.mark.quick
def test_one_too_many_is_answered(agent: Agent) -> None:
    """A closed connection would be fatal for huggingface_hub; 503 is not."""
    before = agent.open_descriptors()
    with connections(agent, MOST):
        wait_until(lambda: agent.open_descriptors() >= before + MOST, ANSWER_S, "all are accepted")
        reply = ask(agent.endpoint, "GET", api_path(REPO, "/tree/main"))
        assert reply.status == 503
        assert reply.headers["retry-after"] == "1"
    wait_until(lambda: agent.open_descriptors() < MOST, ANSWER_S, "they are given back")
    assert_honest_are_served(agent)


def test_clients_that_never_read_a_held_file_cost_little(agent: Agent) -> None:
    bounds = Bounds(agent)
    with connections(agent, 200, GET_WEIGHTS):
        assert_honest_are_served(agent)
        bounds.assert_within(32 * MIB, 2 * 200 + HANDFUL)  # each has the file open
    bounds.await_descriptors_back(ANSWER_S)


def test_clients_that_never_read_an_arriving_file_hold_a_piece_each(hub: Hub) -> None:
    """And neither the fetch nor an honest reader of the same file waits for them."""
    clients = 100
    hub.rate = 8 * MIB
    try:
        with Cluster(1, hub_url=hub.url) as (agent,):
            ask(agent.endpoint, "GET", file_path(REPO, CONFIG))  # it knows the repo
            bounds = Bounds(agent)
            with connections(agent, clients, GET_WEIGHTS):
                assert_honest_are_served(agent)
                bounds.assert_within(clients * 3 * MIB // 2 + 64 * MIB, 2 * clients + HANDFUL)
            bounds.await_descriptors_back(ANSWER_S)
    finally:
        hub.rate = None


@pytest.mark.quick
@pytest.mark.parametrize("chunked", (False, True), ids=("with length", "in chunks"))
def test_body_that_is_too_large_is_refused(chunked: bool, agent: Agent) -> None:
    bounds = Bounds(agent)
    body = b" " * (9 * MIB)
    sent = iter([body[i : i + MIB] for i in range(0, len(body), MIB)]) if chunked else body
    headers = {"Content-Type": "application/json"}
    try:
        reply = ask(agent.endpoint, "POST", api_path(REPO, "/paths-info/main"), headers, sent)
        assert reply.status == 413
    except (BrokenPipeError, ConnectionResetError):
        pass  # it is not read to its end, so a client that only writes sees the connection end
    bounds.assert_within(32 * MIB, HANDFUL)
    assert_honest_are_served(agent)


def test_half_bodies_cost_no_more_than_what_was_sent(agent: Agent) -> None:
    bounds = Bounds(agent)
    with connections(agent, 64, HALF_BODY):
        assert_honest_are_served(agent)
        bounds.assert_within(64 * 2 * MIB + 32 * MIB, 64 + HANDFUL)
    bounds.await_descriptors_back(ANSWER_S)


def test_half_heads_end_in_their_time(agent: Agent) -> None:
    bounds = Bounds(agent)
    with connections(agent, 500, HALF_HEAD) as links:
        assert_honest_are_served(agent)
        bounds.assert_within(32 * MIB, 500 + HANDFUL)
        bounds.await_descriptors_back(HEAD_S + ANSWER_S)
        assert all(has_ended(link) for link in links)


@pytest.mark.slow
def test_half_bodies_and_unread_answers_end_in_their_time(agent: Agent) -> None:
    bounds = Bounds(agent)
    with connections(agent, 50, HALF_BODY), connections(agent, 50, GET_WEIGHTS):
        bounds.await_descriptors_back(STUCK_S + ANSWER_S)
        assert_honest_are_served(agent)


def has_ended(link: socket.socket) -> bool:
    """Whether the other side has closed, perhaps behind an answer."""
    link.settimeout(ANSWER_S)
    try:
        while link.recv(1 << 16):
            pass
    except ConnectionResetError:
        pass
    except TimeoutError:
        return False
    return True
