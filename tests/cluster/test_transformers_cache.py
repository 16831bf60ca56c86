"""The caches of transformers: what version 4 keeps in TRANSFORMERS_CACHE, and what versions before
4.22 left behind, reaches other nodes, where versions 4 and 5 find it, each in its own place."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Callable, Iterator, Mapping

import pytest

from tests.clients import load, repos
from tests.clients.drive import Outcome, drive
from tests.clients.loads import MODEL, add_repos
from tests.clients.run import run_code
from tests.cluster.agent import Agent
from tests.cluster.cache_tree import assert_nothing_torn, repo_folder
from tests.cluster.harness import Cluster
from tests.cluster.waiting import wait_until
from tests.hub import Hub

NOTICED_S = 10
PARTIAL = 10  # exit code of a warm whose list of files may not be complete
VARIABLES = ("TRANSFORMERS_CACHE", "PYTORCH_TRANSFORMERS_CACHE", "PYTORCH_PRETRAINED_BERT_CACHE")
# What transformers reads: no README.
FILES = {
    name: data
    for name, data in repos.model(1).items()
    if name in ("config.json", "tokenizer.json", "tokenizer_config.json", *repos.WEIGHTS)
}


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        add_repos(hub)
        yield hub


def old_cache(agent: Agent) -> Path:
    return agent.home / "transformers"


def run(agent: Agent, client: str, action: str, endpoint: str | None = None) -> Outcome:
    """The client on this node; offline without an endpoint."""
    variables = {"TRANSFORMERS_CACHE": str(old_cache(agent))}
    return drive(client, action, home=agent.home, repo=MODEL, endpoint=endpoint, **variables)


def assert_loads_offline(agent: Agent, files: Mapping[str, bytes] = FILES) -> None:
    """With transformers 4 from its own folder, and with 5 from the hub cache."""
    for client in ("transformers4", "transformers5"):
        for action in ("config", "weights"):
            outcome = run(agent, client, action)
            assert outcome.ok, f"{client} {action}: {outcome.error}: {outcome.text}"
            assert outcome.files == repos.digests(files), client


def warm_from_cluster(agent: Agent, repo: str = MODEL) -> None:
    done = agent.roost("warm", repo, "--nodes", "self", "--from", "cluster")
    assert done.returncode == PARTIAL, f"exit {done.returncode}: {done.stderr}"
    assert "completeness unknown" in done.stdout + done.stderr


def problems(agent: Agent) -> list[str]:
    return [problem["what"] for problem in agent.roost_json("status")["problems"]]


def write_flat(
    folder: Path,
    files: Mapping[str, bytes],
    repo: str = MODEL,
    tampered: Mapping[str, bytes] | None = None,
) -> None:
    """As transformers 4.21 did: content under another name, renamed; then what it is."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        url = f"https://huggingface.co/{repo}/resolve/main/{name}"
        git = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        lfs = hashlib.sha256(data).hexdigest()
        etag = f'"{lfs if name in repos.WEIGHTS else git}"'
        halves = (hashlib.sha256(half.encode()).hexdigest() for half in (url, etag))
        place = folder / ".".join(halves)
        temporary = folder / f"tmp{name.replace('/', '_')}"
        temporary.write_bytes((tampered or {}).get(name, data))
        temporary.replace(place)
        place.with_name(place.name + ".json").write_text(json.dumps({"url": url, "etag": etag}))
        place.with_name(place.name + ".lock").touch()


def contents_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


# ---- The folder of transformers 4


@pytest.mark.parametrize(
    "variable",
    [pytest.param(name, marks=[pytest.mark.quick] * (name == VARIABLES[0])) for name in VARIABLES],
)
def test_what_transformers_4_keeps_elsewhere_is_in_both_places_on_another_node(
    variable: str, hub: Hub, clusters: Callable[..., Cluster]
) -> None:
    a, b = clusters(2, hub_url=hub.url, variables={variable: "{home}/transformers"})
    for action in ("config", "weights"):
        outcome = run(a, "transformers4", action, endpoint=hub.url)
        assert outcome.ok, outcome.text
    assert not repo_folder(a.hub_cache, MODEL).exists(), "it has a folder of its own"
    wait_until(lambda: b.files_at("a", MODEL) == len(FILES), NOTICED_S, "b knows what a has")
    hub.fault("refuse")

    warm_from_cluster(b)

    assert_loads_offline(b)
    for cache in (b.hub_cache, old_cache(b)):
        assert_nothing_torn(cache)
    assert problems(b) == []


def test_content_that_is_in_both_places_is_on_disk_once(
    hub: Hub, clusters: Callable[..., Cluster]
) -> None:
    (node,) = clusters(1, hub_url=hub.url, variables={VARIABLES[0]: "{home}/transformers"})

    node.warm(MODEL, "--nodes", "self")

    blobs = sorted((repo_folder(node.hub_cache, MODEL) / "blobs").iterdir())
    assert blobs
    for blob in blobs:
        other = repo_folder(old_cache(node), MODEL) / "blobs" / blob.name
        assert blob.samefile(other)
    environment = node.client_environment(HF_HUB_CACHE=str(old_cache(node)))
    done = run_code("hub036", load.scan_warnings(), environment)
    assert json.loads(done.stdout) == [], done.stderr


def test_what_was_deleted_from_one_place_is_left_in_the_other(
    hub: Hub, clusters: Callable[..., Cluster]
) -> None:
    (node,) = clusters(1, hub_url=hub.url, variables={VARIABLES[0]: "{home}/transformers"})
    node.warm(MODEL, "--nodes", "self")

    removed = node.hf("cache", "rm", f"model/{MODEL}", "--yes")

    assert removed.returncode == 0, removed.stderr
    assert run(node, "transformers4", "weights").ok
    wait_until(lambda: node.holds_all_of(node.name, MODEL), NOTICED_S, "it is still held")


# ---- The flat layout


@pytest.mark.quick
def test_a_flat_cache_loads_on_another_node_without_any_hub(
    clusters: Callable[..., Cluster],
) -> None:
    a, b = clusters(2, variables={VARIABLES[0]: "{home}/transformers"})
    write_flat(old_cache(a), FILES)
    before = contents_of(old_cache(a))
    wait_until(lambda: b.files_at("a", MODEL) == len(FILES), NOTICED_S, "b knows what a has")

    warm_from_cluster(b)

    assert_loads_offline(b)
    assert_nothing_torn(b.hub_cache)
    assert contents_of(old_cache(a)) == before, "it is never written to"


@pytest.mark.parametrize("place", (".cache/huggingface/transformers", ".cache/torch/transformers"))
def test_the_defaults_of_old_versions_are_found(
    place: str, clusters: Callable[..., Cluster]
) -> None:
    a, b = clusters(2)

    write_flat(a.home / place, FILES)

    wait_until(lambda: b.files_at("a", MODEL) == len(FILES), NOTICED_S, "b knows what a has")


def test_a_flat_cache_serves_its_own_node(clusters: Callable[..., Cluster]) -> None:
    (node,) = clusters(1, variables={VARIABLES[0]: "{home}/transformers"})
    write_flat(old_cache(node), FILES)
    wait_until(lambda: node.files_at(node.name, MODEL) == len(FILES), NOTICED_S, "it is noticed")

    warm_from_cluster(node)

    assert_loads_offline(node)


@pytest.mark.quick
def test_a_flat_cache_spares_the_hub_what_a_real_commit_names(
    hub: Hub, clusters: Callable[..., Cluster]
) -> None:
    a, b = clusters(2, hub_url=hub.url)
    write_flat(a.home / "old", FILES)
    a.stop()
    a.options = ("--root", f"{a.home}/old:flat")
    a.start().wait_ready()
    wait_until(lambda: b.files_at("a", MODEL) == len(FILES), NOTICED_S, "b knows what a has")

    b.warm(MODEL, "--nodes", "b")

    (weights,) = repos.WEIGHTS
    assert hub.egress_of(MODEL, weights) == 0
    commit = (repo_folder(b.hub_cache, MODEL) / "refs/main").read_text()
    repo = hub.repos.find("model", MODEL)
    assert repo is not None
    assert commit == repo.branches["main"], "the hub's word, not a made-up one"


def test_clients_get_what_a_flat_cache_has_through_another_nodes_endpoint(
    hub: Hub, tmp_path: Path, clusters: Callable[..., Cluster]
) -> None:
    a, b = clusters(2, hub_url=hub.url)
    write_flat(a.home / ".cache/huggingface/transformers", FILES)
    wait_until(lambda: b.files_at("a", MODEL) == len(FILES), NOTICED_S, "b knows what a has")

    got = drive("hub2", "snapshot", home=tmp_path, repo=MODEL, endpoint=b.endpoint_url)

    assert got.files == repos.digests(repos.model(1)), got.text
    (weights,) = repos.WEIGHTS
    assert hub.egress_of(MODEL, weights) == 0


def test_what_an_old_client_adds_later_is_loaded_after_another_warm(
    clusters: Callable[..., Cluster],
) -> None:
    a, b = clusters(2, variables={VARIABLES[0]: "{home}/transformers"})
    first = {name: data for name, data in FILES.items() if name not in repos.WEIGHTS}
    write_flat(old_cache(a), first)
    wait_until(lambda: b.files_at("a", MODEL) == len(first), NOTICED_S, "b knows what a has")
    warm_from_cluster(b)
    write_flat(old_cache(a), FILES)
    wait_until(lambda: b.files_at("a", MODEL) == len(FILES), NOTICED_S, "b knows the rest")

    warm_from_cluster(b)

    assert_loads_offline(b)


def test_a_client_that_loads_through_the_endpoint_leaves_both_places_in_order(
    hub: Hub, clusters: Callable[..., Cluster]
) -> None:
    (node,) = clusters(1, hub_url=hub.url, variables={VARIABLES[0]: "{home}/transformers"})

    for action in ("config", "weights"):
        outcome = run(node, "transformers4", action, endpoint=node.endpoint_url)
        assert outcome.ok, outcome.text

    assert_loads_offline(node)
    for cache in (node.hub_cache, old_cache(node)):
        assert_nothing_torn(cache)
    assert problems(node) == []


def test_both_layouts_in_one_folder_are_shared(hub: Hub, clusters: Callable[..., Cluster]) -> None:
    a, b = clusters(2, hub_url=hub.url, variables={VARIABLES[0]: "{home}/transformers"})
    assert run(a, "transformers4", "weights", endpoint=hub.url).ok
    write_flat(old_cache(a), FILES, repo="org/older")
    wait_until(lambda: b.files_at("a", MODEL) == 1, NOTICED_S, "b knows the modern one")
    wait_until(lambda: b.files_at("a", "org/older") == len(FILES), NOTICED_S, "and the flat one")
    hub.fault("refuse")

    warm_from_cluster(b, MODEL)
    warm_from_cluster(b, "org/older")

    assert_nothing_torn(b.hub_cache)


@pytest.mark.quick
def test_a_tampered_flat_file_is_never_shared(clusters: Callable[..., Cluster]) -> None:
    a, b = clusters(2, variables={VARIABLES[0]: "{home}/transformers"})
    (weights,) = repos.WEIGHTS
    wrong = FILES[weights][:-1] + bytes([FILES[weights][-1] ^ 1])
    write_flat(old_cache(a), FILES, tampered={weights: wrong})
    wait_until(lambda: any("is not shared" in text for text in problems(a)), NOTICED_S, "a tells")
    right = {name: data for name, data in FILES.items() if name != weights}
    wait_until(lambda: b.files_at("a", MODEL) == len(right), NOTICED_S, "b knows what a has")

    warm_from_cluster(b)

    assert b.where(f"sha256:{hashlib.sha256(FILES[weights]).hexdigest()}") == {}
    assert run(b, "transformers4", "config").files == repos.digests(right)
    assert_nothing_torn(b.hub_cache)


def test_a_tampered_flat_file_that_was_not_hashed_yet_does_not_get_through(
    clusters: Callable[..., Cluster],
) -> None:
    a, b = clusters(2, variables={VARIABLES[0]: "{home}/transformers"})
    (weights,) = repos.WEIGHTS
    wrong = bytes(len(FILES[weights]))
    write_flat(old_cache(a), FILES, tampered={weights: wrong})
    wait_until(lambda: b.files_at("a", MODEL) > 0, NOTICED_S, "b knows of it")

    b.roost("warm", MODEL, "--nodes", "self", "--from", "cluster")

    assert_nothing_torn(b.hub_cache)
    assert not any(wrong == path.read_bytes() for path in b.hub_cache.rglob("*") if path.is_file())
