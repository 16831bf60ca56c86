"""Where the agent is looked for, and what it costs if it is not there."""

from __future__ import annotations

import os
import socket
import threading
import time
from typing import Any, Callable, Dict, List

import numpy as np
import pytest
from fake_agent import FakeAgent

from roost import RepresentationCache, _agent, _wire
from roost._agent import candidates
from roost._wire import Address

BUDGET_S = 2.0
SLACK_S = 3.0  # of a busy machine


def provenance(number: int = 0) -> Dict[str, Any]:
    return {"kind": "custom", "model": "m", "tokenizer": "none", "input": str(number), "code": "1"}


def computed(numbers: List[int]) -> List[Dict[str, Any]]:
    return [{"a": np.zeros(1)} for _ in numbers]


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_an_agent_at_hf_endpoint_is_found(
    agent: FakeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", agent.url)
    monkeypatch.setattr("roost.cache._agents", {})

    assert RepresentationCache().put(provenance(), {"a": np.zeros(1)})


def test_where_hf_endpoint_is_no_agent_the_next_place_counts(
    agents: Callable[..., FakeAgent], monkeypatch: pytest.MonkeyPatch, closed_port: int
) -> None:
    agent = agents()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{closed_port}")
    monkeypatch.setenv("ROOST_ENDPOINT", f"127.0.0.1:{agent.port}")
    monkeypatch.setattr("roost.cache._agents", {})

    assert RepresentationCache().put(provenance(), {"a": np.zeros(1)})


@pytest.mark.parametrize(
    ("hub", "own", "expected"),
    [
        ("", "", [("127.0.0.1", 8377)]),
        ("https://huggingface.co", "", [("127.0.0.1", 8377)]),
        ("http://mirror.example.com:80", "", [("127.0.0.1", 8377)]),
        ("http://127.0.0.1:9000/", "", [("127.0.0.1", 9000), ("127.0.0.1", 8377)]),
        ("http://localhost:9000", "", [("localhost", 9000), ("127.0.0.1", 8377)]),
        ("http://[::1]:9000", "0.0.0.0:7000", [("::1", 9000), ("127.0.0.1", 7000)]),
        ("http://127.0.0.1:8377", "", [("127.0.0.1", 8377)]),
        ("http://127.0.0.1:99999999", "nonsense:port", [("127.0.0.1", 8377)]),
    ],
    ids=range(8),
)
def test_places(hub: str, own: str, expected: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub)
    monkeypatch.setenv("ROOST_ENDPOINT", own)

    assert candidates() == [Address(*place) for place in expected]


def test_a_chosen_endpoint_is_the_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9000")

    assert candidates("10.0.0.1:7000") == [Address("10.0.0.1", 7000)]
    assert candidates("https://huggingface.co") == []


def test_no_agent_costs_nothing_and_is_remembered(closed_port: int) -> None:
    cache = RepresentationCache(endpoint=f"http://127.0.0.1:{closed_port}")

    began = time.monotonic()
    for number in range(100):
        assert cache.get_or_compute([provenance(number)], computed)

    assert time.monotonic() - began < BUDGET_S + SLACK_S
    assert cache.stats.computed == 100


def test_an_agent_that_is_silent_costs_two_seconds_once(agent: FakeAgent) -> None:
    agent.silent = True
    cache = RepresentationCache(endpoint=agent.url)

    began = time.monotonic()
    for number in range(100):
        assert cache.get_or_compute([provenance(number)], computed)

    assert time.monotonic() - began < BUDGET_S + SLACK_S


def test_an_agent_that_falls_silent_between_costs_no_more(agent: FakeAgent) -> None:
    cache = RepresentationCache(endpoint=agent.url)
    assert cache.put(provenance(), {"a": np.zeros(1)})
    agent.silent = True

    began = time.monotonic()
    for number in range(100):
        assert cache.get_or_compute([provenance(number)], computed)

    assert time.monotonic() - began < BUDGET_S + SLACK_S


def test_an_agent_that_lives_may_take_its_time(agents: Callable[..., FakeAgent]) -> None:
    agent = agents(slow_s=2.5)
    cache = RepresentationCache(endpoint=agent.url)

    assert cache.put(provenance(), {"a": np.zeros(1)})
    assert agent.count("livez") >= 2


def test_an_agent_that_comes_back_is_found_after_a_while(
    agent: FakeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_wire, "PROBE_S", 0.1)
    monkeypatch.setattr(_agent, "DISCOVERY_S", 0.1)
    cache = RepresentationCache(endpoint=agent.url)
    agent.silent = True
    assert not cache.put(provenance(), {"a": np.zeros(1)})
    agent.silent = False

    assert not cache.put(provenance(), {"a": np.zeros(1)}), "it is not asked for 30 s"
    now = time.monotonic()
    monkeypatch.setattr(_agent.time, "monotonic", lambda: now + _agent.AWAY_S + 1)
    monkeypatch.setattr(_agent, "DISCOVERY_S", 60)
    assert cache.put(provenance(), {"a": np.zeros(1)})


def test_something_else_at_the_port_hears_only_livez(agent: FakeAgent) -> None:
    lines: List[bytes] = []
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            with client:
                lines.append(client.recv(65536).split(b"\r\n")[0])
                client.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"live":true}')

    threading.Thread(target=serve, daemon=True).start()
    cache = RepresentationCache(endpoint=f"127.0.0.1:{server.getsockname()[1]}")

    assert cache.get_or_compute([provenance()], computed)
    server.close()

    assert lines == [b"GET /livez HTTP/1.1"]


def test_no_proxy_comes_between(agent: FakeAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    assert RepresentationCache(endpoint=agent.url).put(provenance(), {"a": np.zeros(1)})


@pytest.mark.parametrize("cut", [0, 5, 40, 90])
def test_an_answer_that_breaks_off_is_a_miss(cut: int) -> None:
    whole = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\nContent-Type: text/plain\r\n\r\n" + b"x" * 90
    )
    live = b'{"live":true,"node":"%s"}' % (b"ab" * 16)
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            with client:
                if client.recv(65536).startswith(b"GET /livez"):
                    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(live)
                    client.sendall(head + live)
                else:
                    client.sendall(whole[:cut])

    threading.Thread(target=serve, daemon=True).start()
    cache = RepresentationCache(endpoint=f"127.0.0.1:{server.getsockname()[1]}")

    assert cache.get(provenance()) is None
    assert cache.get_or_compute([provenance()], computed)
    server.close()


def test_a_child_process_does_not_wait_for_a_lock_of_its_parent(agent: FakeAgent) -> None:
    cache = RepresentationCache(endpoint=agent.url)
    with cache._agent._lock:
        child = os.fork()
        if not child:
            os._exit(0 if cache.put(provenance(), {"a": np.zeros(1)}) else 1)
        _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0


def test_a_refusal_before_the_whole_body_is_no_absence() -> None:
    live = b'{"live":true,"node":"%s"}' % (b"ab" * 16)
    server = socket.create_server(("127.0.0.1", 0))
    puts: List[bytes] = []

    def serve() -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            with client:
                head = client.recv(1000)
                if head.startswith(b"GET /livez"):
                    start = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(live)
                    client.sendall(start + live)
                else:
                    puts.append(head[:3])
                    client.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
                    client.shutdown(socket.SHUT_RDWR)

    threading.Thread(target=serve, daemon=True).start()
    cache = RepresentationCache(endpoint=f"127.0.0.1:{server.getsockname()[1]}")

    for _ in range(2):
        assert not cache.put(provenance(), {"a": np.zeros(4 << 20)})
    server.close()

    assert puts == [b"PUT", b"PUT"], "it is asked again at once"
