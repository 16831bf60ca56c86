"""A gated repo that many nodes want at once, each client with a token of its own: every byte leaves
the hub once, and no token leaves its node but to the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator

import pytest

from tests.clients.repos import digests
from tests.cluster.agent import Agent
from tests.cluster.endpoint import ask, file_path
from tests.cluster.harness import Cluster
from tests.cluster.many import MIB, Client, Wave, hub_client, made_bytes, plain_client
from tests.cluster.relay import Relay, put_between
from tests.hub import Hub

REPO = "org/gated"
NODES = 8
RATE = 2 * MIB
EGRESS_MAX = 1.05
LARGE = ("a.safetensors", "b.safetensors")
FILES = {
    "config.json": b'{"model_type": "bert"}\n',
    "a.safetensors": made_bytes("gated a", 12 * MIB),
    "b.safetensors": made_bytes("gated b", 8 * MIB),
}
RIGHT = digests(FILES)
STATUS_PAGES = ("/roost/v1/status", "/metrics", "/", "/readyz")
COMMANDS = (("status",), ("ls",), ("jobs",), ("where", REPO))


def token_of(name: str) -> str:
    return f"hf_tokenOfNode{name.upper()}aBcDeFgHiJkLmNoPqRsTuV"


@pytest.fixture
def hub() -> Iterator[Hub]:
    tokens = {token_of(name): [REPO] for name in "abcdefgh"}
    with Hub(tokens=tokens) as hub:
        hub.add_repo(REPO, files=FILES, gated=True)
        hub.rate = RATE
        yield hub


def start(hub: Hub, relays: dict[str, Relay]) -> Cluster:
    """A cluster without a key, so that what passes between the nodes can be read."""
    cluster = Cluster(NODES, hub_url=hub.url)
    relays.update(put_between(cluster.agents, keep=True))
    return cluster


@pytest.mark.parametrize(
    "client", (pytest.param(plain_client, marks=pytest.mark.quick), hub_client)
)
def test_each_wanter_uses_its_own_token_and_no_token_leaves_its_node(
    client: Client, hub: Hub, relays: dict[str, Relay]
) -> None:
    with start(hub, relays) as cluster:
        tokens = {agent.name: token_of(agent.name) for agent in cluster}
        outcomes = Wave(client, cluster.agents, REPO, list(FILES), tokens).join()
        documents = {agent.name: shown_by(agent) for agent in cluster}
        refused = ask(cluster["a"].endpoint, "GET", file_path(REPO, LARGE[0]))

        for name, outcome in outcomes.items():
            assert outcome.ok, f"client of {name}: {outcome.error}: {outcome.text}"
            assert outcome.files == RIGHT
        ratio = hub.egress_bytes / sum(map(len, FILES.values()))
        print(f"the hub sent {ratio:.4f} x the unique bytes: {dict(hub.ledger.per_file)}")
        assert ratio <= EGRESS_MAX
        assert refused.status == 401 and refused.error_code == "GatedRepo"
        assert hub.ledger.leaks == []

        wires = [stream for relay in relays.values() for stream in relay.passed]
        for path in LARGE:  # the files themselves did pass here
            piece = FILES[path][5 * MIB : 5 * MIB + 64]
            assert any(piece in stream for stream in wires), f"no link carried {path}"
        for name, token in tokens.items():
            secret = token.encode()
            assert not any(secret in stream for stream in wires), f"the token of {name} on a link"
            for shown, text in documents.items():
                assert secret not in text, f"the token of {name} in a document of {shown}"
            assert files_with(secret, cluster.folder) == []


def shown_by(agent: Agent) -> bytes:
    """All that an agent shows of itself."""
    pages = [ask(agent.endpoint, "GET", page).body for page in STATUS_PAGES]
    documents = [agent.roost(*command, "--json").stdout.encode() for command in COMMANDS]
    return b"\n".join(pages + documents)


def files_with(secret: bytes, folder: Path) -> list[Path]:
    """State, logs and caches of all nodes."""
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and secret in path.read_bytes()
    ]
