"""What clients send to the hub through the agent: nothing of it is kept here, and the hub's word
reaches the client."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import select
import socket
import threading
from pathlib import Path
from typing import Iterator

import pytest

from tests.cluster.agent import Agent
from tests.cluster.endpoint import ANSWER_S, Reply, api_path, ask, bearer, connect
from tests.cluster.harness import Cluster
from tests.cluster.waiting import wait_until
from tests.hub import Hub

MIB = 1 << 20
LARGE_MIB = 200
RSS_GROWTH_MAX = 64 * MIB  # while LARGE_MIB pass
WRITER = "hf_writer"
REPO = "org/written"
PUT_TARGET = api_path(REPO, "/anything/at/all")
CODE = f"""
import json, os
from huggingface_hub import HfApi
done = HfApi(token="{WRITER}").upload_file(
    path_or_fileobj=os.environ["FILE"], path_in_repo="weights.bin", repo_id="{REPO}")
print(json.dumps({{"oid": done.oid, "url": done.commit_url}}))
"""


@pytest.fixture(scope="module")
def standing_hub() -> Iterator[Hub]:
    with Hub(cdn_host="localhost", tokens={WRITER: ["*"]}) as hub:
        hub.add_repo(REPO, files={"config.json": b"{}"})
        yield hub


@pytest.fixture(scope="module")
def agent(standing_hub: Hub) -> Iterator[Agent]:
    with Cluster(1, hub_url=standing_hub.url) as (agent,):
        yield agent


@pytest.fixture(autouse=True)
def no_faults(standing_hub: Hub) -> Iterator[None]:
    yield
    standing_hub.clear_fault()


def memory_most(agent: Agent) -> int:
    """The most that this process had in memory so far, in bytes."""
    assert agent.process is not None
    status = Path(f"/proc/{agent.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found[1]) * 1024


def block(number: int) -> bytes:
    return hashlib.sha256(number.to_bytes(4, "big")).digest() * (MIB // 32)


def head(method: str, target: str, *more: str) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: x", f"Authorization: Bearer {WRITER}", *more]
    return "\r\n".join([*lines, "", ""]).encode()


def read_answer(link: socket.socket) -> Reply:
    """One answer with Content-Length, or that ends with the connection."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += read_some(link)
    text, _, body = received.partition(b"\r\n\r\n")
    first, *lines = text.decode().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    while len(body) < int(headers.get("content-length", 0)):
        body += read_some(link)
    return Reply(int(first.split()[1]), headers, body)


def read_some(link: socket.socket) -> bytes:
    data = link.recv(1 << 16)
    assert data, "the connection ended before the answer"
    return data


class TestLarge:
    @pytest.mark.parametrize("chunked", (False, True), ids=("with length", "in chunks"))
    def test_body_arrives_and_is_not_kept_here(
        self, chunked: bool, agent: Agent, standing_hub: Hub
    ) -> None:
        before = memory_most(agent)
        expected = hashlib.sha256()
        for number in range(LARGE_MIB):
            expected.update(block(number))
        headers = bearer(WRITER) | ({} if chunked else {"Content-Length": str(LARGE_MIB * MIB)})

        blocks = (block(number) for number in range(LARGE_MIB))
        reply = ask(agent.endpoint, "PUT", PUT_TARGET, headers, blocks, timeout_s=120)

        assert reply.status == 200, reply.body
        arrived = standing_hub.uploads[-1].body
        assert len(arrived) == LARGE_MIB * MIB
        assert hashlib.sha256(arrived).hexdigest() == expected.hexdigest()
        grown = memory_most(agent) - before
        assert grown < RSS_GROWTH_MAX, f"{grown / MIB:.0f} MiB for {LARGE_MIB} MiB"

    def test_slow_hub_slows_the_client_down(self, agent: Agent, standing_hub: Hub) -> None:
        """What neither side's buffers hold stays with the client until the hub reads on."""
        size = 96 * MIB
        fault = standing_hub.fault("unread", method="PUT")
        with connect(agent, timeout_s=60) as link:
            link.sendall(head("PUT", PUT_TARGET, f"Content-Length: {size}"))
            link.setblocking(False)
            sent = 0
            while sent < size and select.select([], [link], [], 3)[1]:
                with contextlib.suppress(BlockingIOError):
                    sent += link.send(b"x" * min(MIB, size - sent))
            assert sent < size, "all of it was taken though the hub reads nothing"
            standing_hub.clear_fault(fault)
            link.settimeout(60)
            link.sendall(b"x" * (size - sent))
            assert read_answer(link).status == 200
        assert standing_hub.uploads[-1].body == b"x" * size


class TestEnds:
    def test_client_that_goes_away_ends_it_at_the_hub_too(self, agent: Agent) -> None:
        with RawHub() as hub, Cluster(1, hub_url=hub.url) as (other,):
            with connect(other) as link:
                link.sendall(head("PUT", PUT_TARGET, f"Content-Length: {8 * MIB}"))
                link.sendall(b"x" * MIB)
                wait_until(lambda: hub.received > 0, ANSWER_S, "the body reaches the hub")
            wait_until(lambda: hub.ended, ANSWER_S, "the hub sees the end")
            assert hub.received < 8 * MIB

    @pytest.mark.parametrize("status", (401, 413))
    @pytest.mark.parametrize("chunked", (False, True), ids=("with length", "in chunks"))
    def test_early_answer_reaches_a_client_that_sends_all_first(
        self, chunked: bool, status: int, agent: Agent, standing_hub: Hub
    ) -> None:
        standing_hub.fault("early", method="PUT", status=status)
        size = 64 * MIB
        framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
        with connect(agent, timeout_s=60) as link:
            link.sendall(head("PUT", PUT_TARGET, framing))
            for _ in range(size // MIB):
                link.sendall(b"100000\r\n" * chunked + b"x" * MIB + b"\r\n" * chunked)
            link.sendall(b"0\r\n\r\n" * chunked)
            reply = read_answer(link)
        assert (reply.status, reply.headers["connection"]) == (status, "close")
        assert "by request of the test" in reply.json()["error"]

    def test_hub_that_breaks_off_is_answered_for(self, agent: Agent, standing_hub: Hub) -> None:
        standing_hub.fault("abort", method="PUT")
        reply = ask(agent.endpoint, "PUT", PUT_TARGET, bearer(WRITER), b"x" * (20 * MIB))
        assert reply.status == 503

    def test_broken_chunk_is_refused(self, agent: Agent) -> None:
        with connect(agent) as link:
            link.sendall(head("PUT", PUT_TARGET, "Transfer-Encoding: chunked"))
            link.sendall(b"5\r\nhello\r\nzz\r\n")
            assert read_answer(link).status == 400

    def test_agent_without_a_hub_refuses(self) -> None:
        with Cluster(1) as (alone,):
            reply = ask(alone.endpoint, "PUT", PUT_TARGET, bearer(WRITER), b"x" * (20 * MIB))
        assert reply.status == 404


class TestExpect:
    """Clients such as curl ask before they send a large body."""

    def test_client_is_told_to_go_on_and_does(self, agent: Agent, standing_hub: Hub) -> None:
        body = b"x" * (9 * MIB)
        asks = ("Expect: 100-continue", f"Content-Length: {len(body)}")
        with connect(agent) as link:
            link.sendall(head("PUT", PUT_TARGET, *asks))
            assert read_answer(link).status == 100
            link.sendall(body)
            assert read_answer(link).status == 200
        assert standing_hub.uploads[-1].body == body

    def test_refusal_comes_before_the_body(self, agent: Agent, standing_hub: Hub) -> None:
        standing_hub.fault("early", method="PUT", status=401)
        asks = ("Expect: 100-continue", f"Content-Length: {9 * MIB}")
        with connect(agent) as link:
            link.sendall(head("PUT", PUT_TARGET, *asks))
            assert read_answer(link).status == 401

    def test_question_that_the_agent_answers_goes_on_too(self, agent: Agent) -> None:
        body = json.dumps({"paths": ["config.json"]}).encode()
        target = api_path(REPO, "/paths-info/main")
        kind = ("Content-Type: application/json", f"Content-Length: {len(body)}")
        with connect(agent) as link:
            link.sendall(head("POST", target, "Expect: 100-continue", *kind))
            assert read_answer(link).status == 100
            link.sendall(body)
            reply = read_answer(link)
        assert [entry["path"] for entry in reply.json()] == ["config.json"]


class TestOwnQuestions:
    """What the agent answers itself is bounded."""

    @pytest.mark.parametrize("chunked", (False, True), ids=("with length", "in chunks"))
    def test_large_one_is_refused_with_an_answer(self, chunked: bool, agent: Agent) -> None:
        size = 32 * MIB
        framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
        with connect(agent, timeout_s=60) as link:
            link.sendall(head("POST", api_path(REPO, "/paths-info/main"), framing))
            for _ in range(size // MIB):
                link.sendall(b"100000\r\n" * chunked + b"x" * MIB + b"\r\n" * chunked)
            assert read_answer(link).status == 413


class TestUrls:
    """Clients check that what they are told of their upload is at their endpoint."""

    def test_commit_is_at_the_agent(self, agent: Agent) -> None:
        line = {"key": "header", "value": {"summary": "x"}}
        target = api_path(REPO, "/commit/main")
        reply = ask(agent.endpoint, "POST", target, bearer(WRITER), json.dumps(line).encode())
        told = reply.json()
        assert told["commitUrl"] == f"{agent.endpoint_url}/{REPO}/commit/{told['commitOid']}"

    def test_only_what_is_at_the_hub_itself_leads_to_the_agent(
        self, agent: Agent, standing_hub: Hub
    ) -> None:
        wanted = {"objects": [{"oid": "0" * 64, "size": 1}]}
        target = f"/{REPO}.git/info/lfs/objects/batch"
        reply = ask(agent.endpoint, "POST", target, bearer(WRITER), json.dumps(wanted).encode())
        (told,) = reply.json()["objects"]
        store, verify = (told["actions"][name]["href"] for name in ("upload", "verify"))
        store_url = standing_hub.cdn_url.replace("127.0.0.1", "localhost")
        assert store.startswith(f"{store_url}/")
        assert verify == f"{agent.endpoint_url}/{REPO}.git/info/lfs/objects/verify"


@pytest.mark.parametrize("version", ("hub2", "hub1", "hub036"))
def test_real_clients_upload_a_large_file(
    version: str, agent: Agent, standing_hub: Hub, tmp_path: Path
) -> None:
    data = hashlib.sha256(version.encode()).digest() * (12 * MIB // 32)
    file = tmp_path / "file"
    file.write_bytes(data)

    done = agent.run_client(CODE, version, agent.endpoint_url, FILE=str(file))

    repo = standing_hub.repos.find("model", REPO)
    assert repo is not None
    content = repo.commits[done["oid"]].files["weights.bin"]
    assert (content.lfs, content.sha256) == (True, hashlib.sha256(data).hexdigest())
    assert done["url"].startswith(f"{agent.endpoint_url}/")


class RawHub:
    """Takes what comes and never answers; tells how much, and whether the other side has ended."""

    def __init__(self) -> None:
        self.received = 0
        self.ended = False
        self._door = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._door.getsockname()[1]}"

    def __enter__(self) -> RawHub:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._door.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                link, _ = self._door.accept()
                with link, contextlib.suppress(OSError):
                    while data := link.recv(1 << 16):
                        if self.received or data.startswith(b"PUT "):
                            self.received += len(data)
                self.ended = True
