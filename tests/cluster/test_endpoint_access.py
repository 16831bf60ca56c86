"""Nobody gets through an agent what the hub would refuse them: no byte, no size, no name, and not
even that it exists. Asked by plain HTTP, of the node that holds it and of another one."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

import pytest

from tests.clients import load
from tests.clients.drive import drive, missing
from tests.clients.repos import digests
from tests.cluster.agent import Agent
from tests.cluster.endpoint import Reply, api_path, ask, bearer, file_path
from tests.cluster.harness import Cluster
from tests.cluster.waiting import wait_until
from tests.hub import Hub
from tests.hub.content import make_content

OWNER, STRANGER = "hf_owner", "hf_stranger"
TOKENS = {"no token": None, "wrong token": STRANGER, "right token": OWNER}
WEIGHTS, CONFIG = "model.safetensors", "config.json"
REPOS = ("public", "gated", "private")
MISSING = "org/missing"
NODES = ("holder", "other")
NOTICED_S = 10
OUTAGES = (429, 500, 502, 503, 504)


def files_of(repo: str) -> dict[str, bytes]:
    """Every repo has bytes of its own, so that a leak is seen by them."""
    secret = hashlib.shake_128(repo.encode()).digest(200_000)
    return {CONFIG: b'{"secret": "%s"}\n' % repo.encode(), WEIGHTS: secret}


FILES = {repo: files_of(repo) for repo in REPOS}


def requests_for(repo: str) -> dict[str, tuple[str, str, dict[str, str], bytes | None]]:
    """Every way to learn something of a repo: method, target, headers, body."""
    info = json.dumps({"paths": [WEIGHTS, CONFIG], "expand": True}).encode()
    kind = {"Content-Type": "application/json"}
    return {
        "HEAD weights": ("HEAD", file_path(repo, WEIGHTS), {}, None),
        "GET weights": ("GET", file_path(repo, WEIGHTS), {}, None),
        "GET first byte": ("GET", file_path(repo, WEIGHTS), {"Range": "bytes=0-0"}, None),
        "GET last bytes": ("GET", file_path(repo, WEIGHTS), {"Range": "bytes=-64"}, None),
        "HEAD config": ("HEAD", file_path(repo, CONFIG), {}, None),
        "GET config": ("GET", file_path(repo, CONFIG), {}, None),
        "HEAD none": ("HEAD", file_path(repo, "none.txt"), {}, None),
        "info": ("GET", api_path(repo), {}, None),
        "revision": ("GET", api_path(repo, "/revision/main"), {}, None),
        "no revision": ("GET", api_path(repo, "/revision/none"), {}, None),
        "tree": ("GET", api_path(repo, "/tree/main?recursive=true&expand=false"), {}, None),
        "paths-info": ("POST", api_path(repo, "/paths-info/main"), kind, info),
        "refs": ("GET", api_path(repo, "/refs"), {}, None),
    }


WAYS = tuple(requests_for(MISSING))
FILE_WAYS = tuple(way for way in WAYS if way.startswith(("HEAD", "GET")))


@dataclass(frozen=True)
class Site:
    hub: Hub
    nodes: dict[str, Agent]

    def ask(self, node: str, way: str, repo: str, token: str | None) -> Reply:
        return send(self.nodes[node].endpoint, way, f"org/{repo}", token)


def send(address: str, way: str, repo: str, token: str | None) -> Reply:
    method, target, headers, body = requests_for(repo)[way]
    return ask(address, method, target, headers | bearer(token), body)


def make_site(hub: Hub, cluster: Cluster) -> Site:
    """The holder has every repo, as a client of its owner put them there; the other knows that."""
    holder, other = cluster
    for repo in REPOS:
        holder.run_client(load.snapshot(f"org/{repo}"), endpoint=hub.url, HF_TOKEN=OWNER)
        for node in (holder, other) if repo == "public" else (holder,):
            wait_until(
                lambda: node.files_at(holder.name, f"org/{repo}") == len(FILES[repo]),
                NOTICED_S,
                f"{node.name} knows that {holder.name} has {repo}",
            )
    holder.warm("org/public")  # nothing moves; it ends when the agent knows that this is public
    return Site(hub, {"holder": holder, "other": other})


def new_hub() -> Hub:
    hub = Hub(tokens={OWNER: ["*"], STRANGER: []})
    for repo in REPOS:
        flags = {repo: True} if repo != "public" else {}
        hub.add_repo(f"org/{repo}", files=FILES[repo], **flags)
    return hub


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """The hub is up."""
    with new_hub() as hub, Cluster(2, hub_url=hub.url) as cluster:
        yield make_site(hub, cluster)


@pytest.fixture(scope="module")
def cut_off() -> Iterator[Site]:
    """The hub has gone before anybody asked an endpoint."""
    with new_hub() as hub, Cluster(2, hub_url=hub.url) as cluster:
        site = make_site(hub, cluster)
        hub.fault("refuse")
        yield site


@pytest.fixture(scope="module")
def was_asked() -> Iterator[Site]:
    """The hub has gone after its owner, and a stranger in vain, had loaded through the holder."""
    with new_hub() as hub, Cluster(2, hub_url=hub.url) as cluster:
        site = make_site(hub, cluster)
        for repo, token, way in itertools.product(REPOS, (None, STRANGER, OWNER), FILE_WAYS):
            site.ask("holder", way, repo, token)
        hub.fault("refuse")
        yield site


def tells(reply: Reply, repo: str) -> list[str]:
    """What an answer gives away of a repo's files."""
    told = b"\n".join(f"{k}: {v}".encode() for k, v in reply.headers.items()) + reply.body
    found = []
    for path, data in FILES[repo].items():
        content = make_content(path, data)
        signs = {
            "bytes": data[:32],
            "last bytes": data[-32:],
            "sha256": content.sha256.encode(),
            "git sha1": content.git_sha1.encode(),
            "oid": content.oid.encode(),
        }
        found += [f"{sign} of {path}" for sign, text in signs.items() if text in told]
    if reply.headers.get("content-length") == str(len(FILES[repo][WEIGHTS])):
        found.append("size")
    if "x-linked-size" in reply.headers or f"/{len(FILES[repo][WEIGHTS])}" in told.decode("latin1"):
        found.append("size")
    return found


class TestAsTheHub:
    """While the hub answers, an agent's answer to anybody is the hub's own."""

    @pytest.mark.quick
    @pytest.mark.parametrize("node", NODES)
    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("token", TOKENS)
    @pytest.mark.parametrize("repo", REPOS)
    def test_answer(self, repo: str, token: str, way: str, node: str, site: Site) -> None:
        reply = site.ask(node, way, repo, TOKENS[token])

        expected = send(site.hub.url, way, f"org/{repo}", TOKENS[token])
        redirected = expected.status in (302, 307)
        status = (
            (206 if "bytes" in way or "byte" in way else 200) if redirected else expected.status
        )
        assert (reply.status, reply.error_code) == (status, expected.error_code)

    @pytest.mark.quick
    @pytest.mark.parametrize("node", NODES)
    @pytest.mark.parametrize("way", FILE_WAYS)
    @pytest.mark.parametrize("token", ("no token", "wrong token"))
    @pytest.mark.parametrize("repo", ("gated", "private"))
    def test_refusal_tells_nothing(
        self, repo: str, token: str, way: str, node: str, site: Site
    ) -> None:
        reply = site.ask(node, way, repo, TOKENS[token])
        assert reply.status >= 400 and tells(reply, repo) == []

    @pytest.mark.quick
    @pytest.mark.parametrize("node", NODES)
    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("token", ("no token", "wrong token"))
    def test_private_repo_looks_missing(self, token: str, way: str, node: str, site: Site) -> None:
        private = site.ask(node, way, "private", TOKENS[token])
        absent = site.ask(node, way, "missing", TOKENS[token])
        assert comparable(private) == comparable(absent)

    @pytest.mark.parametrize("node", NODES)
    def test_commit_hash_is_no_way_round(self, node: str, site: Site) -> None:
        repo = site.hub.repos.find("model", "org/private")
        assert repo is not None
        target = file_path("org/private", WEIGHTS, repo.branches["main"])
        for token in (None, STRANGER):
            reply = ask(site.nodes[node].endpoint, "GET", target, bearer(token))
            assert reply.status in (401, 404) and tells(reply, "private") == []

    @pytest.mark.parametrize("node", NODES)
    def test_same_bytes_in_a_public_repo_open_no_other(self, node: str, site: Site) -> None:
        """The blob is one, the permissions are two."""
        site.hub.repos.find("model", "org/copy") or site.hub.add_repo(
            "org/copy", files=FILES["private"]
        )
        assert site.ask(node, "GET weights", "copy", None).body == FILES["private"][WEIGHTS]
        assert site.ask(node, "GET weights", "private", None).status == 401

    @pytest.mark.parametrize("scheme", ("Basic", "bearer  ", "Token", ""))
    def test_header_that_is_no_bearer_token_opens_nothing(self, scheme: str, site: Site) -> None:
        target = file_path("org/private", WEIGHTS)
        headers = {"Authorization": f"{scheme} {STRANGER}".strip()}
        reply = ask(site.nodes["holder"].endpoint, "GET", target, headers)
        assert reply.status in (400, 401, 404) and tells(reply, "private") == []

    def test_token_goes_to_the_hub_alone(self, site: Site) -> None:
        site.ask("other", "GET weights", "private", OWNER)
        assert site.hub.ledger.leaks == []

    def test_no_token_is_written_down(self, site: Site) -> None:
        site.ask("holder", "GET weights", "private", OWNER)
        for agent in site.nodes.values():
            assert OWNER not in agent.log
            for path in agent.state.rglob("*"):
                if path.is_file():
                    assert OWNER.encode() not in path.read_bytes(), path

    def test_withdrawn_permission_ends(self) -> None:
        """At the hub's next answer, and that is asked for within a minute."""
        with new_hub() as hub, Cluster(1, hub_url=hub.url) as (agent,):
            assert send(agent.endpoint, "GET weights", "org/private", OWNER).status == 200
            hub.access.tokens[OWNER] = set()
            wait_until(
                lambda: send(agent.endpoint, "GET weights", "org/private", OWNER).status == 404,
                90,
                "the owner is refused",
            )


@pytest.fixture(scope="module")
def knowing() -> Iterator[Site]:
    """Both nodes were told by the hub that the repo is private, and nobody asked them since."""
    with new_hub() as hub, Cluster(2, hub_url=hub.url, branch_ttl="10m") as cluster:
        site = make_site(hub, cluster)
        for node in NODES:
            assert site.ask(node, "revision", "private", OWNER).status == 200
            assert site.ask(node, "GET weights", "private", OWNER).status == 200
        for agent in cluster:
            agent.stop()
            agent.start().wait_ready()
        cluster.wait_together()
        yield site


class TestKnownAndUnknown:
    """To a stranger a private repo that a node knows is as good as one that nobody knows: the same
    bytes, after the same number of questions to the hub."""

    ROUNDS = 3

    @pytest.mark.parametrize("node", NODES)
    @pytest.mark.parametrize("token", ("no token", "wrong token"))
    def test_look_alike(self, token: str, node: str, knowing: Site) -> None:
        for way in WAYS:
            told, asked = {}, {}
            for repo in ("private", "missing"):
                before = len(knowing.hub.requests)
                replies = [knowing.ask(node, way, repo, TOKENS[token]) for _ in range(self.ROUNDS)]
                asked[repo] = [
                    (entry["method"], entry["path"].replace(repo, "REPO"))
                    for entry in list(knowing.hub.requests)[before:]
                ]
                told[repo] = [byte_for_byte(reply, repo) for reply in replies]
            assert told["private"] == told["missing"], way
            assert asked["private"] == asked["missing"], way


def byte_for_byte(reply: Reply, repo: str) -> tuple[int, list[tuple[str, str]], bytes]:
    """All but the moment, and the name that was asked for: both are of one length."""
    moments = ("date", "x-request-id", "x-amzn-trace-id")
    kept = ((k, v) for k, v in reply.headers.items() if k not in moments)
    headers = [(name, value.replace(repo, "REPOSIT")) for name, value in kept]
    return reply.status, headers, reply.body.replace(repo.encode(), b"REPOSIT")


class TestHubDown:
    """An agent knows no better than the hub whom to trust."""

    @pytest.mark.parametrize("node", NODES)
    @pytest.mark.parametrize("way", FILE_WAYS)
    @pytest.mark.parametrize("token", TOKENS)
    def test_public_files_are_served(self, token: str, way: str, node: str, cut_off: Site) -> None:
        reply = cut_off.ask(node, way, "public", TOKENS[token])
        assert reply.status == (404 if "none" in way else 206 if "byte" in way else 200)

    @pytest.mark.parametrize("node", NODES)
    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("token", TOKENS)
    @pytest.mark.parametrize("repo", ("gated", "private"))
    def test_nobody_was_let_in_before(
        self, repo: str, token: str, way: str, node: str, cut_off: Site
    ) -> None:
        """Not even the owner: no hub has said that this is one."""
        reply = cut_off.ask(node, way, repo, TOKENS[token])
        assert reply.status in OUTAGES and tells(reply, repo) == []

    @pytest.mark.parametrize("node", NODES)
    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("token", TOKENS)
    def test_private_repo_looks_like_an_unknown_one(
        self, token: str, way: str, node: str, cut_off: Site
    ) -> None:
        private = cut_off.ask(node, way, "private", TOKENS[token])
        absent = cut_off.ask(node, way, "missing", TOKENS[token])
        assert comparable(private) == comparable(absent)

    @pytest.mark.parametrize("way", FILE_WAYS)
    @pytest.mark.parametrize("repo", REPOS)
    def test_who_was_let_in_before_goes_on(self, repo: str, way: str, was_asked: Site) -> None:
        reply = was_asked.ask("holder", way, repo, OWNER)
        assert reply.status == (404 if "none" in way else 206 if "byte" in way else 200)

    @pytest.mark.parametrize("way", FILE_WAYS)
    @pytest.mark.parametrize("token", ("no token", "wrong token"))
    @pytest.mark.parametrize("repo", ("gated", "private"))
    def test_who_was_refused_before_stays_out(
        self, repo: str, token: str, way: str, was_asked: Site
    ) -> None:
        reply = was_asked.ask("holder", way, repo, TOKENS[token])
        assert reply.status >= 400 and tells(reply, repo) == []

    @pytest.mark.parametrize("repo", ("gated", "private"))
    def test_permission_at_one_node_is_none_at_another(self, repo: str, was_asked: Site) -> None:
        reply = was_asked.ask("other", "GET weights", repo, OWNER)
        assert reply.status in OUTAGES and tells(reply, repo) == []


@pytest.mark.parametrize("client", ("hub2", "hub036", "js", "rust", "curl"))
@pytest.mark.parametrize("repo", ("gated", "private"))
def test_real_clients_are_let_in_by_their_token_alone(
    repo: str, client: str, site: Site, tmp_path: Path
) -> None:
    if why := missing(client):
        pytest.skip(f"{client} cannot be run here: {why}")
    place = {"repo": f"org/{repo}", "files": [WEIGHTS]}
    for node, (token, secret) in itertools.product(NODES, TOKENS.items()):
        home = tmp_path / node / token
        url = site.nodes[node].endpoint_url
        through = drive(client, "file", home=home, endpoint=url, token=secret, **place)
        direct = drive(
            client, "file", home=home / "direct", endpoint=site.hub.url, token=secret, **place
        )
        right = digests({WEIGHTS: FILES[repo][WEIGHTS]}) if token == "right token" else {}
        assert (through.files, through.error) == (right, direct.error), f"{token} at {node}"


def comparable(reply: Reply) -> tuple[int, dict[str, str], str]:
    """An answer without what differs by the moment and by the name that was asked for."""
    moments = ("date", "x-request-id", "x-amzn-trace-id", "content-length")
    took = re.compile(r"after \d+ ms")  # libcurl's own words on a connection that failed
    headers = {
        name: took.sub("", value.replace("private", "REPO").replace("missing", "REPO"))
        for name, value in reply.headers.items()
        if name not in moments
    }
    return (
        reply.status,
        headers,
        took.sub("", reply.body.decode().replace("private", "REPO").replace("missing", "REPO")),
    )
