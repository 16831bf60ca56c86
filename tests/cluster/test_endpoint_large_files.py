"""Files over huggingface_hub's limit for plain HTTP: 50 GB for users, 1 MB here, on both sides."""

from __future__ import annotations

import hashlib
from typing import Iterator

import pytest

from tests.clients.run import run_code
from tests.cluster.agent import Agent, roost_binary
from tests.cluster.endpoint import Reply, ask, file_path
from tests.cluster.harness import Cluster
from tests.hub import Hub

REPO, FILE = "org/large", "model.safetensors"
DATA = hashlib.shake_128(b"large").digest(3 << 20)
SMALL_LIMIT = roost_binary().parent / "tests/node/roost_with_small_limit"
CODE = f"""
import hashlib, json
from huggingface_hub import constants, hf_hub_download, snapshot_download
constants.MAX_HTTP_DOWNLOAD_SIZE = 1_000_000
get = {{get}}
print(json.dumps(hashlib.sha256(open(get, "rb").read()).hexdigest()))
"""
FILE_CODE = CODE.format(get=f'hf_hub_download("{REPO}", "{FILE}")')
SNAPSHOT_CODE = CODE.format(get=f'snapshot_download("{REPO}") + "/{FILE}"')
HUB2 = {"User-Agent": "unknown/None; hf_hub/2.4.0; python/3.11.7"}


@pytest.fixture(scope="module")
def large_hub() -> Iterator[Hub]:
    with Hub() as hub:
        hub.add_repo(REPO, files={FILE: DATA})
        yield hub


@pytest.fixture
def agent(large_hub: Hub) -> Iterator[Agent]:
    """Whose clients have a cache of their own: it holds nothing at first."""
    with Cluster(1, hub_url=large_hub.url, binary=SMALL_LIMIT) as (agent,):
        yield agent


@pytest.mark.parametrize("held", (False, True), ids=("unheard of", "held"))
@pytest.mark.parametrize("code", (FILE_CODE, SNAPSHOT_CODE), ids=("file", "snapshot"))
@pytest.mark.parametrize("version", ("hub2", "hub1"))
def test_new_clients_download_it(version: str, code: str, held: bool, agent: Agent) -> None:
    if held:
        agent.warm(REPO)
    cache = str(agent.home / "other")
    told = agent.run_client(code, version, agent.endpoint_url, HF_HOME=cache)
    assert told == hashlib.sha256(DATA).hexdigest()


def test_client_refuses_a_size_that_it_is_told(large_hub: Hub) -> None:
    """What all of this is about: an agent that tells it is refused."""
    with Cluster(1, hub_url=large_hub.url) as (telling,):
        env = telling.client_environment(telling.endpoint_url)
        done = run_code("hub2", FILE_CODE, env)
    assert done.returncode != 0 and "too large to be downloaded" in done.stderr


def test_old_client_ends_with_its_own_error(agent: Agent) -> None:
    done = run_code("hub036", FILE_CODE, agent.client_environment(agent.endpoint_url))
    assert done.returncode != 0 and "too large to be downloaded" in done.stderr


def answer(agent: Agent, method: str, **headers: str) -> Reply:
    return ask(agent.endpoint, method, file_path(REPO, FILE), HUB2 | headers)


def test_head_tells_all_but_the_size(agent: Agent) -> None:
    headers = answer(agent, "HEAD").headers
    assert headers["etag"] == f'"{hashlib.sha256(DATA).hexdigest()}"'
    assert "content-length" not in headers and "x-linked-size" not in headers


def test_part_has_its_length(agent: Agent) -> None:
    """A download that broke off goes on from there."""
    reply = answer(agent, "GET", Range=f"bytes={1 << 20}-")
    assert reply.headers["content-range"] == f"bytes {1 << 20}-{len(DATA) - 1}/{len(DATA)}"
    assert reply.body == DATA[1 << 20 :]


def test_others_are_told_the_size(agent: Agent) -> None:
    reply = ask(agent.endpoint, "HEAD", file_path(REPO, FILE), {"User-Agent": "curl/7.88.1"})
    assert reply.headers["content-length"] == str(len(DATA))
