"""The endpoint when bytes are wrong, connections break and the hub fails: clients get the right
bytes, or an error that they understand. They look at no hash themselves, so what is wrong and looks
right stays with them for good."""

from __future__ import annotations

import hashlib
import http.client
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from tests.clients.drive import Outcome, drive, missing
from tests.clients.repos import digests, model
from tests.cluster.agent import Agent
from tests.cluster.cache_tree import assert_no_wrong_blob
from tests.cluster.endpoint import ask, file_path
from tests.cluster.harness import Cluster
from tests.cluster.test_faults import MIB, flip_a_bit
from tests.cluster.waiting import wait_until
from tests.hub import Hub

pytestmark = pytest.mark.waits

REPO, WEIGHTS = "org/big", "model.safetensors"
SIZE = 24 * MIB  # huggingface_hub counts what it has by 10 MiB: a resume needs more than that
FILES = {"config.json": b"{}\n", WEIGHTS: hashlib.shake_128(b"big").digest(SIZE)}
RIGHT = digests(FILES)[WEIGHTS]
CLIENTS = ("hub2", "hub1", "hub036", "js", "rust", "curl")
# They go on with what an earlier process left behind.
RESUMING = ("hub036", "rust", "curl")
OUTAGES = (429, 500, 502, 503, 504)
FIRST_BYTE_S = 10
NOTICED_S = 10
SLOW_RATE = 8 * MIB  # a second and connection: a kill finds the download under way
MIDDLE = SIZE * 5 // 8


@pytest.fixture(autouse=True)
def can_run(request: pytest.FixtureRequest) -> None:
    """Skips what this machine has no client for."""
    callspec = getattr(request.node, "callspec", None)
    client = callspec.params.get("client") if callspec else None
    if client and (why := missing(client)):
        pytest.skip(f"{client} cannot be run here: {why}")


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        hub.add_repo(REPO, files=FILES)
        yield hub


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def load(client: str, agent: Agent, home: Path, path: str = WEIGHTS, **more: Any) -> Outcome:
    place = {"home": home, "repo": REPO, "files": [path], "endpoint": agent.endpoint_url}
    return drive(client, "file", **(place | more))


def assert_right_or_error(outcome: Outcome, home: Path) -> None:
    """What a client calls done is right, and nothing wrong lies under a good name."""
    assert not outcome.ok or outcome.files == {WEIGHTS: RIGHT}, "wrong bytes, and no error"
    assert_no_wrong_blob(home / ".cache/huggingface/hub")


FLIPPED_EARLY = {"kind": "corrupt", "at": 1000}
DAMAGES: dict[str, list[dict[str, Any]]] = {
    "flipped early": [FLIPPED_EARLY],
    "flipped late": [{"kind": "corrupt", "at": SIZE - 1000}],
    "cut": [{"kind": "cut", "after_bytes": MIDDLE}],
    "reset": [{"kind": "reset", "after_bytes": MIDDLE}],
    "flipped and cut": [FLIPPED_EARLY, {"kind": "cut", "after_bytes": MIDDLE}],
}


class TestWrongBytes:
    @pytest.mark.parametrize("damage", DAMAGES)
    @pytest.mark.parametrize("client", CLIENTS)
    def test_damage_on_the_way_from_the_hub(
        self, client: str, damage: str, hub: Hub, home: Path, clusters: Callable[..., Cluster]
    ) -> None:
        """Also when the next process goes on where this one ended."""
        (agent,) = clusters(1, hub_url=hub.url)
        for fault in DAMAGES[damage]:
            hub.fault(origin="cdn", path=WEIGHTS, times=1, **fault)

        # Often: an answer with the whole must not make the next one the rest of a bad beginning.
        for _ in range(5):
            assert_right_or_error(load(client, agent, home), home)

        fresh = load(client, agent, home.with_name("fresh"))
        assert fresh.files == {WEIGHTS: RIGHT}, f"{fresh.error}: {fresh.text}"

    @pytest.mark.parametrize("damage", ("cut", "reset"))
    @pytest.mark.parametrize("client", CLIENTS)
    def test_source_that_breaks_off_is_not_noticed(
        self, client: str, damage: str, hub: Hub, home: Path, clusters: Callable[..., Cluster]
    ) -> None:
        (agent,) = clusters(1, hub_url=hub.url)
        for fault in DAMAGES[damage]:
            hub.fault(origin="cdn", path=WEIGHTS, times=1, **fault)

        outcome = load(client, agent, home)

        assert outcome.files == {WEIGHTS: RIGHT}, f"{outcome.error}: {outcome.text}"

    @pytest.mark.parametrize("client", CLIENTS)
    def test_agent_dies_while_wrong_bytes_pass(
        self, client: str, hub: Hub, home: Path, clusters: Callable[..., Cluster]
    ) -> None:
        """The client keeps a wrong beginning; right bytes behind it would look whole."""
        (agent,) = clusters(1, hub_url=hub.url)
        hub.fault("corrupt", origin="cdn", path=WEIGHTS, at=1000, times=1)
        hub.rate = SLOW_RATE
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(load, client, agent, home)
            wait_until(lambda: hub.egress_bytes > MIDDLE, 30, "the middle of the file has passed")
            agent.kill9()
            assert_right_or_error(running.result(), home)
        hub.rate = None
        agent.start().wait_ready()

        for _ in range(2):
            assert_right_or_error(load(client, agent, home), home)

    @pytest.mark.parametrize("client", RESUMING)
    def test_right_beginning_is_gone_on_with(
        self, client: str, hub: Hub, home: Path, clusters: Callable[..., Cluster]
    ) -> None:
        (agent,) = clusters(1, hub_url=hub.url)
        agent.warm(REPO, "--nodes", "self")
        leave_beginning(client, home)

        outcome = load(client, agent, home)

        assert outcome.files == {WEIGHTS: RIGHT}, f"{outcome.error}: {outcome.text}"

    @pytest.mark.parametrize("client", CLIENTS)
    def test_peer_with_rotten_bytes_is_passed_over(
        self, client: str, hub: Hub, home: Path, clusters: Callable[..., Cluster]
    ) -> None:
        a, b = filled_pair(hub, clusters)
        repo = hub.repos.find("model", REPO)
        assert repo is not None
        flip_a_bit(a, REPO, repo.branches["main"], WEIGHTS)

        # What was sent before the hash was known may have been wrong: then the body ends early. Clients
        # that do not try again by themselves show that as an error.
        outcome = load(client, b, home)
        assert_right_or_error(outcome, home)
        if not outcome.ok:
            outcome = load(client, b, home)
        assert outcome.files == {WEIGHTS: RIGHT}, f"{outcome.error}: {outcome.text}"

    @pytest.mark.parametrize("client", CLIENTS)
    def test_rotten_bytes_are_an_error_when_nobody_has_others(
        self, client: str, hub: Hub, home: Path, clusters: Callable[..., Cluster]
    ) -> None:
        a, b = filled_pair(hub, clusters)
        repo = hub.repos.find("model", REPO)
        assert repo is not None
        flip_a_bit(a, REPO, repo.branches["main"], WEIGHTS)
        hub.fault("refuse")

        outcome = load(client, b, home)

        assert not outcome.ok
        assert_right_or_error(outcome, home)

    @pytest.mark.parametrize("client", CLIENTS)
    def test_peer_that_dies_in_the_middle_is_not_noticed(
        self, client: str, hub: Hub, home: Path, clusters: Callable[..., Cluster]
    ) -> None:
        a, b = filled_pair(hub, clusters)
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(load, client, b, home)
            wait_until(lambda: running.done() or is_moving(b), 30, "bytes come from the peer")
            a.kill9()
            outcome = running.result()
        assert outcome.files == {WEIGHTS: RIGHT}, f"{outcome.error}: {outcome.text}"


def filled_pair(hub: Hub, clusters: Callable[..., Cluster]) -> Cluster:
    """Two agents, of which the first has the repo and the second knows that."""
    cluster: Cluster = clusters(2, hub_url=hub.url)
    a, b = cluster
    a.warm(REPO, "--nodes", "self")
    wait_until(lambda: b.holds_all_of("a", REPO), NOTICED_S, "b knows that a has it")
    return cluster


def is_moving(agent: Agent) -> bool:
    """Whether the agent has begun to write the file."""
    unfinished = (*agent.home.rglob("*.roost-part"), *agent.state.rglob("*.roost-part"))
    return any(path.stat().st_size > MIB for path in unfinished if path.exists())


def leave_beginning(client: str, home: Path) -> None:
    """The first half of the file, as an earlier process of this client would have left it."""
    blobs = home / ".cache/huggingface/hub/models--org--big/blobs"
    places = {
        "hub036": blobs / f"{RIGHT}.incomplete",
        "rust": blobs / f"{RIGHT}.part",
        "curl": home / "downloads" / WEIGHTS,
    }
    places[client].parent.mkdir(parents=True)
    places[client].write_bytes(FILES[WEIGHTS][: SIZE // 2])


# Trouble with the bytes, which is the agent's to mend.
MENDED: dict[str, dict[str, Any]] = {
    "expired link": {"kind": "status", "status": 403, "origin": "cdn", "times": 1},
    "file host fails once": {"kind": "status", "status": 503, "origin": "cdn", "times": 1},
    "file host closes once": {"kind": "close", "origin": "cdn", "times": 1},
    "slow file host": {"kind": "latency", "seconds": 12, "origin": "cdn", "times": 1},
    "no ranges": {"kind": "no_range"},
    "weak etag": {"kind": "weak_etag"},
}
# Trouble with the hub's first answer: those who try again get through.
ONCE: dict[str, dict[str, Any]] = {
    "503": {"kind": "status", "status": 503},
    "429 with a time to wait": {"kind": "ratelimit", "seconds": 1},
    "429 with Retry-After": {"kind": "status", "status": 429, "headers": {"Retry-After": "1"}},
    "reset": {"kind": "abort"},
    "closed without an answer": {"kind": "close"},
}


@pytest.mark.parametrize("fault", MENDED)
@pytest.mark.parametrize("client", ("hub2", "hub036", "js", "rust", "curl"))
def test_trouble_with_the_bytes_is_not_noticed(
    client: str, fault: str, hub: Hub, home: Path, clusters: Callable[..., Cluster]
) -> None:
    (agent,) = clusters(1, hub_url=hub.url)
    hub.fault(**MENDED[fault])

    outcome = load(client, agent, home)

    assert outcome.files == {WEIGHTS: RIGHT}, f"{outcome.error}: {outcome.text}"


@pytest.mark.parametrize("fault", ONCE)
@pytest.mark.parametrize("client", ("hub2", "hub036"))
def test_trouble_that_passes_is_waited_for(
    client: str, fault: str, hub: Hub, home: Path, clusters: Callable[..., Cluster]
) -> None:
    """By the agent or by the client. huggingface_hub dies of a connection that closes without an
    answer, so the agent must not hand that on."""
    (agent,) = clusters(1, hub_url=hub.url)
    hub.fault(times=1, **ONCE[fault])

    outcome = load(client, agent, home)

    assert outcome.files == {WEIGHTS: RIGHT}, f"{outcome.error}: {outcome.text}"


@pytest.mark.parametrize("fault", ONCE)
@pytest.mark.parametrize("client", ("js", "rust", "curl"))
def test_trouble_that_passes_is_an_error_at_most(
    client: str, fault: str, hub: Hub, home: Path, clusters: Callable[..., Cluster]
) -> None:
    """These do not try again by themselves."""
    (agent,) = clusters(1, hub_url=hub.url)
    hub.fault(times=1, **ONCE[fault])

    outcome = load(client, agent, home)
    assert_right_or_error(outcome, home)

    if not outcome.ok:  # curl that goes on from a complete file gets 416, from the hub itself too
        again = load(client, agent, home)
        assert again.files == {WEIGHTS: RIGHT}, f"{again.error}: {again.text}"


# What the hub does until it is told to stop.
LASTING: dict[str, dict[str, Any]] = {
    "503": {"kind": "status", "status": 503},
    "500": {"kind": "status", "status": 500},
    "429": {"kind": "ratelimit", "seconds": 1},
    "reset": {"kind": "abort"},
    "closed without an answer": {"kind": "close"},
    "refused": {"kind": "refuse"},
    "refused by the file host": {"kind": "refuse", "origin": "cdn"},
    "expired links": {"kind": "status", "status": 403, "origin": "cdn"},
    "cut": {"kind": "cut", "after_bytes": 1000},
    "etag that is no hash": {"kind": "odd_etag"},
    "slow": {"kind": "latency", "seconds": FIRST_BYTE_S + 2},
    "wrong bytes": {"kind": "corrupt", "at": 1000},
}


class TestOutage:
    """An outage is never told as "there is no such file": clients would remember that."""

    @pytest.mark.parametrize("fault", LASTING)
    @pytest.mark.parametrize("method", ("HEAD", "GET"))
    def test_is_told_as_an_outage(
        self, method: str, fault: str, hub: Hub, clusters: Callable[..., Cluster]
    ) -> None:
        (agent,) = clusters(1, hub_url=hub.url)
        hub.fault(**LASTING[fault])

        try:
            reply = ask(agent.endpoint, method, file_path(REPO, WEIGHTS))
        except http.client.IncompleteRead:
            return  # cut off: every client takes that for an error

        if reply.status == 200:
            assert method == "HEAD" or digests({WEIGHTS: reply.body})[WEIGHTS] == RIGHT
        else:
            assert reply.status in OUTAGES and reply.error_code is None

    @pytest.mark.parametrize("fault", LASTING)
    def test_ends_when_the_hub_is_back(
        self, fault: str, hub: Hub, clusters: Callable[..., Cluster]
    ) -> None:
        (agent,) = clusters(1, hub_url=hub.url)
        hub.fault(**LASTING[fault])
        try:
            ask(agent.endpoint, "GET", file_path(REPO, WEIGHTS))
        except http.client.IncompleteRead:
            pass
        hub.clear_fault()

        def comes() -> bool:
            reply = ask(agent.endpoint, "GET", file_path(REPO, WEIGHTS))
            return reply.status == 200 and digests({WEIGHTS: reply.body})[WEIGHTS] == RIGHT

        wait_until(comes, 60, "the file comes")

    @pytest.mark.parametrize("fault", ("503", "refused"))
    @pytest.mark.parametrize("client", ("hub2", "hub036"))
    def test_leaves_no_mark_of_a_missing_file(
        self, client: str, fault: str, hub: Hub, home: Path, clusters: Callable[..., Cluster]
    ) -> None:
        (agent,) = clusters(1, hub_url=hub.url)
        hub.fault(**LASTING[fault])

        outcome = load(client, agent, home, "config.json")

        assert not outcome.ok and "EntryNotFoundError" not in (outcome.error, outcome.error[6:])
        assert not list(home.rglob(".no_exist"))

    @pytest.mark.parametrize("client", ("hub2", "js", "rust", "curl"))
    def test_is_the_error_that_the_hub_itself_would_give(
        self, client: str, hub: Hub, home: Path, clusters: Callable[..., Cluster]
    ) -> None:
        (agent,) = clusters(1, hub_url=hub.url)
        hub.fault("status", status=503)
        with ThreadPoolExecutor(2) as pool:
            through = pool.submit(load, client, agent, home)
            direct = pool.submit(load, client, agent, home.with_name("direct"), endpoint=hub.url)
            assert through.result().error == direct.result().error

    @pytest.mark.parametrize("what", ("file", "revision", "repo"))
    def test_does_not_make_the_unknown_missing(
        self, what: str, hub: Hub, clusters: Callable[..., Cluster]
    ) -> None:
        (agent,) = clusters(1, hub_url=hub.url)
        agent.warm(REPO, "--nodes", "self")
        hub.commit(REPO, {"new.txt": b"new"}, branch="new")
        hub.fault("refuse")
        unknown = {
            "file": file_path(REPO, "new.txt", "new"),
            "revision": file_path(REPO, "config.json", "never-heard-of"),
            "repo": file_path("org/never-heard-of", "config.json"),
        }

        reply = ask(agent.endpoint, "HEAD", unknown[what])

        assert reply.status in OUTAGES and reply.error_code is None

    @pytest.mark.parametrize("asked", ("the holder", "another"))
    @pytest.mark.parametrize("path", ("added_tokens.json", "sub/none/at/all.txt"))
    def test_does_not_make_the_missing_unknown(
        self, path: str, asked: str, hub: Hub, clusters: Callable[..., Cluster]
    ) -> None:
        """transformers asks for files that a repo may lack, and tries again for minutes if it is
        told of an outage. The list of the commit's files is known, so the answer is, too."""
        a, b = filled_pair(hub, clusters)
        repo = hub.repos.find("model", REPO)
        assert repo is not None
        commit = repo.branches["main"]
        hub.fault("refuse")
        agent = a if asked == "the holder" else b

        for revision in ("main", commit):
            reply = ask(agent.endpoint, "HEAD", file_path(REPO, path, revision))
            told = (reply.status, reply.error_code, reply.headers.get("x-repo-commit"))
            assert told == (404, "EntryNotFound", commit)

    @pytest.mark.parametrize("client", ("transformers5", "transformers4"))
    def test_transformers_does_not_wait_for_what_is_missing(
        self, client: str, hub: Hub, home: Path, clusters: Callable[..., Cluster]
    ) -> None:
        hub.add_repo("org/model", files=model())
        a, b = clusters(2, hub_url=hub.url)
        a.warm("org/model", "--nodes", "self")
        wait_until(lambda: b.holds_all_of("a", "org/model"), NOTICED_S, "b knows that a has it")
        hub.fault("refuse")

        place = {"home": home, "repo": "org/model", "endpoint": b.endpoint_url, "timeout_s": 20}
        outcome = drive(client, "config", **place)

        assert outcome.ok, f"{outcome.error}: {outcome.text}"


@pytest.mark.quick
@pytest.mark.parametrize("client", ("hub2", "js", "rust", "curl"))
def test_flipped_bit_never_reaches_a_client(
    client: str, hub: Hub, home: Path, clusters: Callable[..., Cluster]
) -> None:
    """The short form of TestWrongBytes."""
    (agent,) = clusters(1, hub_url=hub.url)
    hub.fault("corrupt", origin="cdn", path=WEIGHTS, at=MIDDLE, times=1)
    for _ in range(2):
        assert_right_or_error(load(client, agent, home), home)
