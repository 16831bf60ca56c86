"""What the datasets library has prepared and mapped on one node is found on another, by the same
script, without a single call of its functions; and its users' switches work as without an agent."""

from __future__ import annotations

import fcntl
import itertools
import json
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from tests.clients.loads import CSV, PARQUET, add_repos
from tests.clients.map_rows import map_rows
from tests.clients.setup import model_folder
from tests.cluster.agent import Agent
from tests.cluster.harness import Cluster
from tests.cluster.waiting import wait_until
from tests.hub import Hub

NOTICED_S = 30  # hashing waits until a file has not changed for two seconds
NOT_FOUND, PARTIAL = 3, 10
CACHE = ("--type", "dataset-cache")

_runs = itertools.count()


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        add_repos(hub)
        yield hub


def cache(agent: Agent) -> Path:
    return agent.home / ".cache/huggingface/datasets"


def run(agent: Agent, repo: str = PARQUET, endpoint: str | None = None, **switches: Any) -> Any:
    """The script, on this node; offline without an endpoint."""
    counters = agent.folder / f"run{next(_runs)}"
    code = map_rows(repo, model_folder() / "tokenizer.json", counters, **switches)
    return agent.run_client(code, "datasets", endpoint, COUNTERS=str(counters))


def directory(agent: Agent, repo: str = PARQUET) -> Path:
    (found,) = [
        path.parent
        for path in cache(agent).glob(f"{repo.replace('/', '___')}/*/*/*/dataset_info.json")
    ]
    return found


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def knows_all(b: Agent, a: Agent, repo: str = PARQUET) -> bool:
    """b believes that a has as many files as lie there."""
    return b.files_at(a.name, repo, *CACHE) == len(list(directory(a, repo).iterdir()))


@pytest.fixture
def pair(hub: Hub, clusters: Callable[..., Cluster]) -> tuple[Agent, Agent, Any]:
    """a has prepared and mapped; b knows; the hub is down from here on. What a's run said is last."""
    a, b = clusters(2, hub_url=hub.url)
    said = run(a, endpoint=hub.url)
    assert said["calls"] == {"map": 3, "filter": 3}
    wait_until(lambda: knows_all(b, a), NOTICED_S, "b knows what a has made")
    hub.fault("refuse")
    return a, b, said


@pytest.mark.quick
def test_the_same_script_computes_nothing_on_another_node(pair: tuple[Agent, Agent, Any]) -> None:
    a, b, said = pair

    job = b.warm(PARQUET, *CACHE, "--nodes", "self")

    assert job["repo"] == f"dataset-caches/{PARQUET}"
    assert contents(directory(b)) == contents(directory(a))
    again = run(b)
    assert again["calls"] == {"map": 0, "filter": 0}
    assert again["fingerprints"] == said["fingerprints"]
    assert again["rows"] == said["rows"]
    assert again["files"][0].startswith(str(cache(b)))
    wait_until(lambda: b.holds_all_of("b", PARQUET, *CACHE), NOTICED_S, "b tells of it too")
    assert b.roost_json("status")["problems"] == []


def test_what_is_held_is_listed(pair: tuple[Agent, Agent, Any]) -> None:
    a, b, _ = pair
    prepared = directory(a)
    ref = str(prepared.relative_to(prepared.parents[2]))

    (shown,) = [one for one in a.roost_json("ls")["repos"] if one["type"] == "dataset-cache"]

    assert (shown["repo"], shown["refs"]) == (f"dataset-caches/{PARQUET}", [ref])
    assert shown["complete"] and shown["files"] == len(list(prepared.iterdir()))
    for name in (prepared.parents[2].name, PARQUET):  # the folder's name, and the hub's
        assert list(b.where(name, *CACHE)) == ["a"]
    done = b.roost("warm", PARQUET, *CACHE, "--revision", "other", "--nodes", "self")
    assert done.returncode == NOT_FOUND, done.stderr
    b.warm(PARQUET, *CACHE, "--revision", ref, "--nodes", "self")
    assert directory(b).exists()
    verified = b.roost_json("verify", PARQUET, *CACHE)["repos"]
    assert verified[0]["files_ok"] == shown["files"] and not verified[0]["wrong"]


def test_a_node_that_prepared_it_itself_gets_what_map_made(
    hub: Hub, clusters: Callable[..., Cluster]
) -> None:
    a, b = clusters(2, hub_url=hub.url)
    code = f"from datasets import load_dataset; load_dataset({PARQUET!r}); print(1)"
    b.run_client(code, "datasets", hub.url)
    own = directory(b) / "dataset_info.json"
    inode = own.stat().st_ino
    run(a, endpoint=hub.url)
    wait_until(lambda: knows_all(b, a), NOTICED_S, "b knows what a has made")
    hub.fault("refuse")

    b.warm(PARQUET, *CACHE, "--nodes", "self")

    assert contents(directory(b)) == contents(directory(a))
    assert own.stat().st_ino == inode, "what b prepared was not replaced"
    assert run(b)["calls"] == {"map": 0, "filter": 0}


def test_a_directory_of_other_content_is_left_alone(pair: tuple[Agent, Agent, Any]) -> None:
    a, b, _ = pair
    here = cache(b) / directory(a).relative_to(cache(a))
    here.mkdir(parents=True)
    (here / "dataset_info.json").write_text("{}")
    (here / "parquet-train.arrow").write_text("b's own")
    before = contents(here)

    done = b.roost("warm", PARQUET, *CACHE, "--nodes", "self")

    assert done.returncode == PARTIAL, done.stderr
    assert "was left as it is" in done.stdout + done.stderr
    assert contents(here) == before


def test_while_a_client_prepares_it_the_warm_waits(pair: tuple[Agent, Agent, Any]) -> None:
    a, b, _ = pair
    place = cache(b) / directory(a).relative_to(cache(a))
    place.parent.mkdir(parents=True)
    with place.with_name(place.name + "_builder.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        job = b.roost("warm", PARQUET, *CACHE, "--nodes", "self", "--no-wait", "-q").stdout.strip()
        staged = list(directory(a).iterdir())
        wait_until(
            lambda: len(list(cache(b).glob(".roost-staging/*/*/blobs/*"))) >= len(staged),
            NOTICED_S,
            "all content is here",
        )
        assert not place.exists()
        assert b.roost_json("jobs", job)["state"] == "running"

    wait_until(place.exists, NOTICED_S, "it is published when the lock is free")
    assert contents(place) == contents(directory(a))


# ---- The users' switches


def test_what_cleanup_removes_does_not_come_back(pair: tuple[Agent, Agent, Any]) -> None:
    a, b, _ = pair
    b.warm(PARQUET, *CACHE, "--nodes", "self")

    code = (
        "import json; from datasets import load_dataset\n"
        f"print(json.dumps(load_dataset({PARQUET!r}, split='train').cleanup_cache_files()))"
    )
    removed = b.run_client(code, "datasets")

    names = [path.name for path in directory(a).glob("cache-*.arrow")]
    assert removed == len(names)
    wait_until(
        lambda: a.files_at("b", PARQUET, *CACHE) == len(contents(directory(a))) - len(names),
        NOTICED_S,
        "a knows that b has them no more",
    )
    assert not list(directory(b).glob("cache-*.arrow"))
    assert knows_all(b, a), "a keeps its own"


def test_load_from_cache_file_false_computes(pair: tuple[Agent, Agent, Any]) -> None:
    _, b, said = pair
    b.warm(PARQUET, *CACHE, "--nodes", "self")

    again = run(b, load_from_cache_file=False)

    assert again["calls"] == {"map": 3, "filter": 3}
    assert again["rows"] == said["rows"]


def test_force_redownload_prepares_anew(hub: Hub, pair: tuple[Agent, Agent, Any]) -> None:
    a, b, said = pair
    b.warm(PARQUET, *CACHE, "--nodes", "self")
    before = (directory(b) / "dataset_info.json").stat().st_ino
    hub.clear_fault()

    again = run(b, endpoint=hub.url, force=True)

    assert again["calls"] == {"map": 3, "filter": 3}, "the directory with what map made is gone"
    assert again["rows"] == said["rows"]
    assert (directory(b) / "dataset_info.json").stat().st_ino != before
    wait_until(lambda: knows_all(a, b), NOTICED_S, "a knows what b has now")


# ---- What is not shared


def test_what_was_made_of_local_files_stays_unless_the_operator_shares_it(
    hub: Hub, clusters: Callable[..., Cluster], tmp_path: Path
) -> None:
    a, b = clusters(2, hub_url=hub.url)
    rows = tmp_path / "rows.json"
    rows.write_text(json.dumps({"n": 1}))
    code = f"from datasets import load_dataset; load_dataset('json', data_files={str(rows)!r}); print(1)"
    a.run_client(code, "datasets", hub.url)
    run(a, CSV, endpoint=hub.url)
    wait_until(lambda: knows_all(b, a, CSV), NOTICED_S, "b knows what may be shared")
    assert b.where("json", *CACHE) == {}

    a.stop()
    config = a.folder / "roost.toml"
    config.write_text(f'[[root]]\npath = "{cache(a)}"\nlayout = "datasets"\nshare = "cluster"\n')
    a.options = [*a.options, "--config", str(config)]
    a.start().wait_ready()

    wait_until(lambda: b.holds_all_of("a", "json", *CACHE), NOTICED_S, "b knows of it")
    b.warm("json", *CACHE, "--nodes", "self")
    assert len(list(cache(b).glob("json/*/*/*/json-train.arrow"))) == 1


def test_what_was_made_of_a_private_dataset_is_told_to_nobody(
    hub: Hub, clusters: Callable[..., Cluster]
) -> None:
    a, b = clusters(2, hub_url=hub.url)
    run(a, endpoint=hub.url)
    run(a, CSV, endpoint=hub.url)
    wait_until(lambda: knows_all(b, a), NOTICED_S, "b knows what nobody has asked about")
    a.stop()
    config = a.folder / "roost.toml"
    config.write_text(f'[[root]]\npath = "{cache(a)}"\nlayout = "datasets"\nvisibility = "private"\n')
    a.options = [*a.options, "--config", str(config)]

    a.start().wait_ready()

    wait_until(lambda: b.where(PARQUET, *CACHE) == {}, NOTICED_S, "b knows nothing of it")
    assert [one for one in a.roost_json("ls")["repos"] if one["type"] == "dataset-cache"]
    assert b.roost("warm", PARQUET, *CACHE, "--nodes", "self").returncode == NOT_FOUND
