"""Hubs that are reached through a company's proxy, behind its own CA, under a path prefix."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Iterator

import pytest

from tests.cluster.agent import Agent
from tests.cluster.endpoint import Reply, api_path, ask, bearer, file_path
from tests.cluster.harness import Cluster
from tests.hub import Hub
from tests.hub.proxy import Proxy
from tests.hub.tls import Certificates, make_certificates

pytestmark = pytest.mark.waits

REPO, WRITER = "org/model", "hf_writer"
FILES = {"config.json": b"{}", "model.safetensors": bytes(range(256)) * 8192}  # git and LFS
USER, PASSWORD = "ann", "s3cret/@:x"
DIRECT = "127.0.0.1,localhost"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(params=("http", "https"))
def company_hub(request: pytest.FixtureRequest, certificates: Certificates) -> Iterator[Hub]:
    """Under /hf, with its files on another origin."""
    tls = certificates.context if request.param == "https" else None
    with Hub(cdn_host="localhost", tokens={WRITER: ["*"]}, tls=tls, prefix="/hf") as hub:
        hub.add_repo(REPO, files=FILES)
        yield hub


def agent_of(hub: Hub, certificates: Certificates, **proxies: str) -> Cluster:
    """With `proxies` instead of what the tests' agents have."""
    variables = {"NO_PROXY": "", **proxies}
    options = ("--ca-file", str(certificates.ca_file))
    return Cluster(1, hub_url=hub.url, options=options, variables=variables)


def get(agent: Agent, path: str) -> Reply:
    return ask(agent.endpoint, "GET", file_path(REPO, path))


def assert_all_of_the_hub_works(agent: Agent) -> None:
    for path, data in FILES.items():
        assert get(agent, path).body == data
    agent.warm(REPO)
    line = json.dumps({"key": "header", "value": {"summary": "x"}}).encode()
    told = ask(agent.endpoint, "POST", api_path(REPO, "/commit/main"), bearer(WRITER), line).json()
    assert told["commitUrl"] == f"{agent.endpoint_url}/{REPO}/commit/{told['commitOid']}"


def everything_said(agent: Agent) -> str:
    """All texts that the agent has for people."""
    status = agent.roost("status", "--json")
    warmed = agent.roost("warm", REPO)
    return agent.log + status.stdout + status.stderr + warmed.stdout + warmed.stderr


@pytest.mark.parametrize("asks", (False, True), ids=("open", "with a password"))
def test_hub_is_reached_through_the_proxy(
    asks: bool, company_hub: Hub, certificates: Certificates
) -> None:
    with Proxy(*(USER, PASSWORD) if asks else ()) as proxy:
        url = proxy.url_for(USER, PASSWORD) if asks else proxy.url
        with agent_of(company_hub, certificates, http_proxy=url, https_proxy=url) as (agent,):
            assert_all_of_the_hub_works(agent)
            assert PASSWORD not in everything_said(agent) and "s3cret" not in everything_said(agent)
        kind = "CONNECT " if company_hub.url.startswith("https") else "GET http://"
        assert any(line.startswith(kind) for line in proxy.asked)
        assert proxy.refused == 0


def test_hub_under_no_proxy_is_reached_directly(
    company_hub: Hub, certificates: Certificates
) -> None:
    with Proxy() as proxy:
        named = {"http_proxy": proxy.url, "https_proxy": proxy.url, "no_proxy": DIRECT}
        with agent_of(company_hub, certificates, **named) as (agent,):
            assert_all_of_the_hub_works(agent)
        assert proxy.asked == []


@pytest.mark.parametrize("password", (None, "s3cret-but-wrong"), ids=("none", "wrong"))
def test_refusal_of_the_proxy_is_told_as_such(
    password: str | None, company_hub: Hub, certificates: Certificates
) -> None:
    with Proxy(USER, PASSWORD) as proxy:
        url = proxy.url_for(USER, password) if password else proxy.url
        with agent_of(company_hub, certificates, http_proxy=url, https_proxy=url) as (agent,):
            reply = get(agent, "config.json")
            told = reply.headers["x-error-message"]
            assert reply.status == 503 and "proxy" in told and "407" in told
            said = everything_said(agent)
            assert "407" in said and "s3cret" not in said + told
        assert proxy.refused > 0


@pytest.mark.parametrize("url", ("http://ann:s3cret@127.0.0.1:x", "ftp://ann:s3cret@127.0.0.1:9"))
def test_proxy_that_is_no_url_is_not_repeated(
    url: str, company_hub: Hub, certificates: Certificates
) -> None:
    with agent_of(company_hub, certificates, http_proxy=url, https_proxy=url) as (agent,):
        reply = get(agent, "config.json")
        assert reply.status == 503 and "proxy" in reply.headers["x-error-message"]
        assert "s3cret" not in everything_said(agent) + str(reply)


def test_unknown_ca_is_told_with_the_fix(certificates: Certificates) -> None:
    with Hub(tls=certificates.context) as hub:
        hub.add_repo(REPO, files=FILES)
        with Cluster(1, hub_url=hub.url) as (agent,):
            reply = get(agent, "config.json")
            assert reply.status == 503 and "--ca-file" in reply.headers["x-error-message"]
            assert "--ca-file" in agent.roost("warm", REPO).stderr


@pytest.mark.parametrize("content", (None, "no certificate"), ids=("missing", "of another kind"))
def test_ca_file_that_is_none_is_refused_at_the_start(content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    if content:
        file.write_text(content)
    cluster = Cluster(1, options=("--ca-file", str(file)))
    (agent,) = cluster
    try:
        process = agent.start().process
        assert process is not None and process.wait(30) == 2
        assert "--ca-file: " in agent.log and str(file) in agent.log
    finally:
        cluster.remove()
