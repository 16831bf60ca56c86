"""Files whose hub names them by no hash, as mirrors and private hubs do: the first who reads one
through an agent has it kept, and from then on the cluster serves it, under the same ETag."""

from __future__ import annotations

import hashlib
import http.client
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from tests.clients.drive import drive, missing
from tests.clients.repos import digests
from tests.cluster.agent import Agent
from tests.cluster.endpoint import Reply, api_path, ask, bearer, connect, file_path
from tests.cluster.harness import Cluster
from tests.cluster.mirror import Mirror
from tests.cluster.waiting import wait_until
from tests.hub import Hub

OWNER, STRANGER = "hf_owner", "hf_stranger"
REPO, WEIGHTS, CONFIG = "org/unnamed", "model.safetensors", "config.json"
FILES = {CONFIG: b'{"model_type": "bert"}\n', WEIGHTS: bytes(range(256)) * 20_000}  # 5 MB
DATA = FILES[WEIGHTS]
DIGEST = hashlib.sha256(DATA).hexdigest()
LONG_TTL, SHORT_TTL = "60s", "1s"
NOTICED_S = 20


def md5(etag: str) -> str:
    return f'"{hashlib.md5(etag.encode()).hexdigest()}"'


def multipart(etag: str) -> str:
    return 'W/"9b2cf535f27731c974343645a3985328-12"'


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub(tokens={OWNER: ["*"], STRANGER: []}) as hub:
        yield hub


@pytest.fixture
def commit(hub: Hub) -> str:
    return hub.add_repo(REPO, files=FILES)


@pytest.fixture
def mirror(hub: Hub) -> Iterator[Mirror]:
    with Mirror(hub.url, 404, multipart) as mirror:
        yield mirror


def get(agent: Agent, revision: str = "main", token: str | None = None, **headers: str) -> Reply:
    return ask(agent.endpoint, "GET", file_path(REPO, WEIGHTS, revision), bearer(token) | headers)


def head(agent: Agent, revision: str = "main", token: str | None = None) -> Reply:
    return ask(agent.endpoint, "HEAD", file_path(REPO, WEIGHTS, revision), bearer(token))


def observed(agent: Agent) -> int:
    """Files that the agent marks as named by no hub."""
    return sum(repo["observed_files"] for repo in agent.roost_json("ls")["repos"])


def in_own_folder(agent: Agent) -> list[str]:
    return [path.name for path in (agent.state / "hub").rglob("*") if not path.is_dir()]


def keep(agent: Agent, token: str | None = None) -> Reply:
    """Reads the file through the agent and waits until it is kept."""
    reply = get(agent, token=token)
    assert reply.status == 200 and reply.body == DATA
    wait_until(lambda: observed(agent) == 1, NOTICED_S, f"{agent.name} has kept the file")
    return reply


def wait_known(agent: Agent, holder: Agent) -> None:
    wait_until(
        lambda: holder.name in agent.where(f"sha256:{DIGEST}")
        and agent.files_at(holder.name, REPO) > 0,
        NOTICED_S,
        f"{agent.name} knows what {holder.name} has kept",
    )


class TestOneNode:
    @pytest.mark.quick
    @pytest.mark.parametrize("etag", (multipart, md5))
    def test_second_client_gets_it_without_the_hub(
        self, etag: Callable[[str], str], hub: Hub, commit: str, clusters: Callable[..., Cluster]
    ) -> None:
        with Mirror(hub.url, 404, etag) as mirror:
            (agent,) = clusters(1, hub_url=mirror.url, branch_ttl=LONG_TTL)
            before = head(agent)
            first = keep(agent)
            again = [get(agent), get(agent, commit)]
            after = head(agent)

            assert [reply.body for reply in again] == [DATA] * 2
            etags = {reply.etag for reply in (before, first, *again, after)}
            assert len(etags) == 1 and len(etags.pop()) == 32
            lengths = {reply.headers["content-length"] for reply in (before, first, after)}
            assert lengths == {str(len(DATA))}
            assert mirror.gets(WEIGHTS) == 1 and hub.egress_of(REPO, WEIGHTS) == len(DATA)

    def test_ranges_are_answered_here(
        self, mirror: Mirror, commit: str, clusters: Callable[..., Cluster]
    ) -> None:
        (agent,) = clusters(1, hub_url=mirror.url, branch_ttl=LONG_TTL)
        etag = keep(agent).headers["etag"]
        inner = get(agent, **{"Range": "bytes=1000000-1000009", "If-Range": etag})
        rest = get(agent, **{"Range": f"bytes={len(DATA) - 5}-", "If-Range": etag})
        other = get(agent, **{"Range": "bytes=5-9", "If-Range": '"another"'})
        assert (inner.status, inner.body) == (206, DATA[1_000_000:1_000_010])
        assert inner.headers["content-range"] == f"bytes 1000000-1000009/{len(DATA)}"
        assert (rest.status, rest.body) == (206, DATA[-5:])
        assert (other.status, other.body) == (200, DATA)
        assert mirror.gets(WEIGHTS) == 1

    def test_is_marked_and_in_no_list(
        self, mirror: Mirror, commit: str, clusters: Callable[..., Cluster]
    ) -> None:
        (agent,) = clusters(1, hub_url=mirror.url, branch_ttl=LONG_TTL)
        etag = keep(agent).etag
        (repo,) = [one for one in agent.roost_json("ls")["repos"] if one["files"]]
        assert (repo["files"], repo["observed_files"], repo["complete"]) == (1, 1, False)
        blobs = agent.state / "hub" / f"models--{REPO.replace('/', '--')}" / "blobs"
        assert (blobs / etag).readlink() == Path(DIGEST) and (blobs / etag).read_bytes() == DATA
        assert not list(agent.state.rglob("trees/*")) and not list(agent.hub_cache.rglob(DIGEST))

    def test_survives_a_restart(
        self, mirror: Mirror, commit: str, clusters: Callable[..., Cluster]
    ) -> None:
        (agent,) = clusters(1, hub_url=mirror.url, branch_ttl=LONG_TTL)
        etag = keep(agent).etag
        agent.stop()
        agent.start().wait_ready()
        reply = get(agent)
        assert (reply.status, reply.etag, reply.body) == (200, etag, DATA)
        assert mirror.gets(WEIGHTS) == 1

    def test_eight_at_once_leave_one_copy(
        self, mirror: Mirror, commit: str, clusters: Callable[..., Cluster]
    ) -> None:
        (agent,) = clusters(1, hub_url=mirror.url, branch_ttl=LONG_TTL)
        with ThreadPoolExecutor(8) as pool:
            replies = list(pool.map(lambda _: get(agent), range(8)))
        assert all(reply.body == DATA for reply in replies)
        wait_until(lambda: observed(agent) == 1, NOTICED_S, "it is kept")
        wait_until(
            lambda: not [name for name in in_own_folder(agent) if name.endswith(".roost-part")],
            NOTICED_S,
            "the others have gone",
        )
        assert in_own_folder(agent).count(DIGEST) == 1

    def test_parts_are_not_taken_for_the_whole(
        self, mirror: Mirror, commit: str, clusters: Callable[..., Cluster]
    ) -> None:
        (agent,) = clusters(1, hub_url=mirror.url, branch_ttl=LONG_TTL)
        for part in ("bytes=0-9", "bytes=1-", "bytes=-1000"):
            assert get(agent, Range=part).status == 206
        assert in_own_folder(agent) == [] and observed(agent) == 0

    def test_range_of_all_is_the_whole(
        self, mirror: Mirror, commit: str, clusters: Callable[..., Cluster]
    ) -> None:
        """So do clients ask that never read without a range (hf-hub 0.5 for Rust)."""
        (agent,) = clusters(1, hub_url=mirror.url, branch_ttl=LONG_TTL)
        assert get(agent, Range="bytes=0-").body == DATA
        wait_until(lambda: observed(agent) == 1, NOTICED_S, "it is kept")
        assert get(agent).body == DATA and mirror.gets(WEIGHTS) == 1

    def test_one_etag_for_two_files_mixes_nothing_up(
        self, hub: Hub, commit: str, clusters: Callable[..., Cluster]
    ) -> None:
        for etag in ('"version-7"', f'"{"7" * 32}"'):
            with Mirror(hub.url, 404, lambda _: etag) as mirror:
                (agent,) = clusters(1, hub_url=mirror.url, branch_ttl=LONG_TTL)
                keep(agent)
                for _ in range(3):
                    for path, data in FILES.items():
                        assert ask(agent.endpoint, "GET", file_path(REPO, path)).body == data
                assert mirror.gets(WEIGHTS) == 1


class TestBodies:
    """Only what ended as it should is kept."""

    @pytest.mark.parametrize("framing", ("length", "chunks"))
    def test_cut_body_leaves_nothing(
        self, framing: str, hub: Hub, commit: str, clusters: Callable[..., Cluster]
    ) -> None:
        with Mirror(hub.url, 404, multipart, framing) as mirror:
            (agent,) = clusters(1, hub_url=mirror.url, branch_ttl=LONG_TTL)
            mirror.cuts = True
            for _ in range(2):
                with pytest.raises(http.client.IncompleteRead):
                    get(agent)
            wait_until(lambda: in_own_folder(agent) == [], NOTICED_S, "nothing is left of it")
            assert observed(agent) == 0

            mirror.cuts = False
            keep(agent)
            assert get(agent).body == DATA and mirror.gets(WEIGHTS) == 3

    def test_body_that_only_a_closed_connection_ends_is_not_kept(
        self, hub: Hub, commit: str, clusters: Callable[..., Cluster]
    ) -> None:
        with Mirror(hub.url, 404, multipart, "close") as mirror:
            (agent,) = clusters(1, hub_url=mirror.url, branch_ttl=LONG_TTL)
            assert [get(agent).body for _ in range(2)] == [DATA] * 2
            assert mirror.gets(WEIGHTS) == 2 and in_own_folder(agent) == []

    def test_client_that_goes_away_leaves_nothing(
        self, mirror: Mirror, commit: str, clusters: Callable[..., Cluster]
    ) -> None:
        (agent,) = clusters(1, hub_url=mirror.url, branch_ttl=LONG_TTL)
        with connect(agent) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.sendall(f"GET {file_path(REPO, WEIGHTS)} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            assert client.recv(1000)
        wait_until(lambda: in_own_folder(agent) == [], NOTICED_S, "nothing is left of it")
        keep(agent)
        assert mirror.gets(WEIGHTS) == 2


class TestCluster:
    @pytest.mark.quick
    def test_other_node_gets_it_from_the_first(
        self, mirror: Mirror, hub: Hub, commit: str, clusters: Callable[..., Cluster]
    ) -> None:
        a, b = clusters(2, hub_url=mirror.url, branch_ttl=LONG_TTL)
        first = keep(a)
        wait_known(b, a)
        replies = [head(b), get(b), get(b, commit)]
        assert {reply.etag for reply in replies} == {first.etag}
        assert [reply.body for reply in replies[1:]] == [DATA] * 2
        assert mirror.gets(WEIGHTS) == 1 and hub.egress_of(REPO, WEIGHTS) == len(DATA)
        wait_until(lambda: observed(b) == 1, NOTICED_S, "b has it too, and marked")

    @pytest.mark.parametrize("revision", ("commit", "main"))
    def test_hub_that_is_gone_is_not_missed(
        self, revision: str, hub: Hub, commit: str, clusters: Callable[..., Cluster]
    ) -> None:
        with Mirror(hub.url, 404, multipart) as mirror:
            a, b = clusters(2, hub_url=mirror.url, branch_ttl=SHORT_TTL)
            etag = keep(a).etag
            wait_known(b, a)
        name = commit if revision == "commit" else "main"
        for agent in (b, a):
            for reply in (head(agent, name), get(agent, name)):
                assert (reply.status, reply.etag) == (200, etag)
                assert reply.headers["x-repo-commit"] == commit
            assert reply.body == DATA
        other = ask(b.endpoint, "HEAD", file_path(REPO, CONFIG, name))
        assert other.status == 503 and other.error_code is None, "nobody has it: not a 404"

    def test_list_of_what_was_kept_is_no_list_of_the_repo(
        self, hub: Hub, commit: str, clusters: Callable[..., Cluster]
    ) -> None:
        with Mirror(hub.url, 404, multipart) as mirror:
            (agent,) = clusters(1, hub_url=mirror.url, branch_ttl=SHORT_TTL)
            keep(agent)
        for query in ("", "?recursive=true&expand=false"):
            reply = ask(agent.endpoint, "GET", api_path(REPO, f"/tree/{commit}{query}"))
            assert reply.status in (404, 503) and DIGEST not in reply.body.decode()

    def test_warm_from_the_cluster_keeps_the_mark(
        self, mirror: Mirror, commit: str, clusters: Callable[..., Cluster]
    ) -> None:
        a, b = clusters(2, hub_url=mirror.url, branch_ttl=LONG_TTL)
        etag = keep(a).etag
        wait_known(b, a)
        done = b.roost("warm", f"{REPO}@{commit}", "--from", "cluster", "--nodes", "self")
        assert done.returncode == 10, done.stderr  # whether that is all nobody knows
        wait_until(lambda: observed(b) == 1, NOTICED_S, "b has it, and marked")
        repo = b.hub_cache / f"models--{REPO.replace('/', '--')}"
        assert (repo / "snapshots" / commit / WEIGHTS).read_bytes() == DATA
        assert (repo / "blobs" / etag).readlink() == Path(DIGEST)
        assert not (repo / "trees").exists()


class TestTheHubsWord:
    def test_other_etag_is_fetched_anew(
        self, mirror: Mirror, commit: str, clusters: Callable[..., Cluster]
    ) -> None:
        """Under a commit it should not change; mirrors do what they like."""
        (agent,) = clusters(1, hub_url=mirror.url, branch_ttl=SHORT_TTL)
        old = keep(agent).etag
        mirror.etag = md5
        wait_until(lambda: head(agent, commit).etag != old, NOTICED_S, "the new ETag is seen")
        new = get(agent, commit)
        assert new.body == DATA and mirror.gets(WEIGHTS) == 2
        wait_until(
            lambda: get(agent, commit).etag == new.etag and is_steady(agent, mirror),
            NOTICED_S,
            "it is kept under the new one",
        )

    def test_hash_counts_more_than_what_was_observed(
        self, mirror: Mirror, commit: str, clusters: Callable[..., Cluster]
    ) -> None:
        (agent,) = clusters(1, hub_url=mirror.url, branch_ttl=SHORT_TTL)
        keep(agent)
        mirror.etag = lambda text: text
        wait_until(lambda: head(agent).etag == DIGEST, NOTICED_S, "it is named by its hash")
        assert get(agent).body == DATA and mirror.gets(WEIGHTS) == 1

    def test_file_that_is_gone_is_gone(
        self, mirror: Mirror, commit: str, clusters: Callable[..., Cluster]
    ) -> None:
        (agent,) = clusters(1, hub_url=mirror.url, branch_ttl=SHORT_TTL)
        keep(agent)
        mirror.missing = WEIGHTS
        wait_until(lambda: head(agent, commit).status == 404, NOTICED_S, "the hub has it no more")


def is_steady(agent: Agent, mirror: Mirror) -> bool:
    """Whether the file comes without the hub now."""
    before = mirror.gets(WEIGHTS)
    return get(agent).body == DATA and mirror.gets(WEIGHTS) == before


class TestWhoMaySeeIt:
    @pytest.fixture(params=("private", "gated"))
    def commit(self, hub: Hub, request: pytest.FixtureRequest) -> str:
        flags: dict[str, Any] = {request.param: True}
        return hub.add_repo(REPO, files=FILES, **flags)

    def test_kept_file_needs_the_hubs_yes(
        self, mirror: Mirror, commit: str, clusters: Callable[..., Cluster]
    ) -> None:
        a, b = clusters(2, hub_url=mirror.url, branch_ttl=LONG_TTL)
        keep(a, OWNER)
        wait_known(b, a)
        for agent in (a, b):
            for token in (None, STRANGER):
                for reply in (get(agent, "main", token), get(agent, commit, token)):
                    assert reply.status in (401, 403, 404) and DATA[:64] not in reply.body
        reply = get(b, token=OWNER)
        assert (reply.status, reply.body) == (200, DATA)
        assert mirror.gets(WEIGHTS) == 1, "b has it from a"

    def test_without_the_hub_a_yes_at_another_node_is_none(
        self, hub: Hub, commit: str, clusters: Callable[..., Cluster]
    ) -> None:
        with Mirror(hub.url, 404, multipart) as mirror:
            a, b = clusters(2, hub_url=mirror.url, branch_ttl=LONG_TTL)
            keep(a, OWNER)
            wait_known(b, a)
        assert get(a, commit, OWNER).body == DATA
        for agent, token in ((a, None), (a, STRANGER), (b, None), (b, STRANGER), (b, OWNER)):
            reply = get(agent, commit, token)
            assert reply.status >= 400 and DATA[:64] not in reply.body


@pytest.mark.parametrize("client", ("hub2", "hub1", "hub036"))
def test_real_client_loads_it_twice(
    client: str, mirror: Mirror, commit: str, clusters: Callable[..., Cluster], tmp_path: Path
) -> None:
    if why := missing(client):
        pytest.skip(f"{client} cannot be run here: {why}")
    a, b = clusters(2, hub_url=mirror.url, branch_ttl=LONG_TTL)
    right = digests({WEIGHTS: DATA})

    def load(agent: Agent, home: str) -> str:
        place = {"home": tmp_path / home, "repo": REPO, "files": [WEIGHTS]}
        outcome = drive(client, "file", endpoint=agent.endpoint_url, **place)
        assert outcome.files == right, f"{home}: {outcome.error}: {outcome.text}"
        (blob,) = (tmp_path / home).rglob("blobs/*")
        return blob.name

    names = {load(a, "first")}
    wait_until(lambda: observed(a) == 1, NOTICED_S, "it is kept")
    wait_known(b, a)
    names |= {load(a, "second"), load(b, "other")}
    assert len(names) == 1 and mirror.gets(WEIGHTS) == 1
