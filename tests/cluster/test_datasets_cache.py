"""What the datasets library has prepared and mapped on one node is found on another, by the same
script, without a single call of its functions; and its users' switches work as without an agent."""

from __future__ import annotations

import fcntl
import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from tests.clients import repos
from tests.clients.loads import CSV, PARQUET, add_repos
from tests.clients.map_rows import map_rows
from tests.clients.setup import model_folder
from tests.cluster.agent import TOP, Agent, roost_binary
from tests.cluster.harness import Cluster
from tests.cluster.waiting import wait_until
from tests.hub import Hub

NOTICED_S = 30  # hashing waits until a file has not changed for two seconds
NOT_FOUND, PARTIAL = 3, 10
CACHE = ("--type", "dataset-cache")
MEMBER = "hf_member"  # a token that opens what not everybody may see

_runs = itertools.count()


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub(tokens={MEMBER: ["*"]}) as hub:
        add_repos(hub)
        yield hub


def cache(agent: Agent) -> Path:
    return agent.home / ".cache/huggingface/datasets"


def run(
    agent: Agent,
    repo: str = PARQUET,
    endpoint: str | None = None,
    token: str | None = None,
    **switches: Any,
) -> Any:
    """The script, on this node; offline without an endpoint."""
    counters = agent.folder / f"run{next(_runs)}"
    code = map_rows(repo, model_folder() / "tokenizer.json", counters, **switches)
    variables = {"COUNTERS": str(counters)} | ({"HF_TOKEN": token} if token else {})
    return agent.run_client(code, "datasets", endpoint, **variables)


# A client that stops in the middle of its work, until the test lets it go on.
_HALT = """
import os, time
def halt():
    open(os.environ["HALTED"], "w").close()
    while not os.path.exists(os.environ["GO"]):
        time.sleep(0.05)
"""


@contextmanager
def halted(agent: Agent, code: str, endpoint: str) -> Iterator[None]:
    """The code runs on this node, and waits in halt() while the body does."""
    here, go = (agent.folder / f"{name}{next(_runs)}" for name in ("halted", "go"))
    signs = {"HALTED": str(here), "GO": str(go)}
    with ThreadPoolExecutor(1) as thread:
        done = thread.submit(agent.run_client, _HALT + code, "datasets", endpoint, **signs)
        try:
            wait_until(lambda: here.exists() or done.done(), NOTICED_S, "the client halts")
            assert here.exists(), done.result()
            yield
        finally:
            go.touch()
        done.result()


def directory(agent: Agent, repo: str = PARQUET) -> Path:
    (found,) = [
        path.parent
        for path in cache(agent).glob(f"{repo.replace('/', '___')}/*/*/*/dataset_info.json")
    ]
    return found


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def held(agent: Agent) -> set[str]:
    """What this node has of prepared datasets, told to others or not."""
    repos = agent.roost_json("ls")["repos"]
    return {one["repo"] for one in repos if one["type"] == "dataset-cache"}


def knows_all(b: Agent, a: Agent, repo: str = PARQUET) -> bool:
    """b believes that a has as many files as lie there."""
    return b.files_at(a.name, repo, *CACHE) == len(list(directory(a, repo).iterdir()))


@pytest.fixture
def pair(hub: Hub, clusters: Callable[..., Cluster]) -> tuple[Agent, Agent, Any]:
    """a has prepared and mapped; b knows; the hub is down from here on. What a's run said is last."""
    a, b = clusters(2, hub_url=hub.url)
    said = run(a, endpoint=a.endpoint_url)
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


def test_a_program_may_order_it_by_itself(pair: tuple[Agent, Agent, Any]) -> None:
    a, b, _ = pair
    code = (
        "import json, roost\n"
        f"answers = [roost.bring_prepared({PARQUET!r}, name, program={str(roost_binary())!r})\n"
        "           for name in ('other', 'default')]\n"
        "print(json.dumps(answers))"
    )

    answers = b.run_client(
        code,
        "datasets",
        PYTHONPATH=str(TOP / "node/python/src"),
        ROOST_ENDPOINT=b.endpoint,
        ROOST_AGENT=str(b.socket),
    )

    assert answers == [False, True]
    assert contents(directory(b)) == contents(directory(a))
    assert run(b)["calls"] == {"map": 0, "filter": 0}


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


# ---- What is not finished


def test_a_dataset_that_is_being_prepared_is_not_told(
    hub: Hub, clusters: Callable[..., Cluster]
) -> None:
    a, b = clusters(2, hub_url=hub.url)
    code = f"""
import datasets.builder
from datasets import load_dataset
class Halting(datasets.builder.DatasetBuilder):
    save = datasets.builder.DatasetBuilder._save_info
    def _save_info(self):
        halt()
        Halting.save(self)
datasets.builder.DatasetBuilder._save_info = Halting._save_info
load_dataset({PARQUET!r}, download_mode=os.environ.get("MODE"))
print(1)
"""

    with halted(a, code, a.endpoint_url):
        assert list(cache(a).glob("org___parquet/*/*/*.incomplete/*.arrow"))
        run(a, CSV, endpoint=a.endpoint_url)
        wait_until(lambda: knows_all(b, a, CSV), NOTICED_S, "b knows what is finished")
        assert b.where(PARQUET, *CACHE) == {}

    wait_until(lambda: knows_all(b, a), NOTICED_S, "b knows that it is finished now")
    # Made anew: what is there still is about to go.
    anew = "import os; os.environ['MODE'] = 'force_redownload'" + code
    with halted(a, anew, a.endpoint_url):
        assert directory(a).exists()
        wait_until(lambda: b.where(PARQUET, *CACHE) == {}, NOTICED_S, "b knows that it goes")
        done = b.roost("warm", PARQUET, *CACHE, "--nodes", "self")
        assert done.returncode == NOT_FOUND, done.stderr
        assert not list(cache(b).glob("org___parquet/*"))
    b_gets_all_of(a, b)


def test_of_a_map_under_way_nothing_is_told(hub: Hub, clusters: Callable[..., Cluster]) -> None:
    a, b = clusters(2, hub_url=hub.url)
    code = f"""
from datasets import load_dataset
def slow(row, number):
    if number == 1:
        halt()
    return {{"more": 1}}
load_dataset({PARQUET!r}, split="train").map(slow, with_indices=True)
print(1)
"""

    with halted(a, code, a.endpoint_url):
        base = {path.name for path in directory(a).iterdir()}
        unfinished = {name for name in base if name.startswith("tmp")}
        assert unfinished
        wait_until(
            lambda: b.files_at("a", PARQUET, *CACHE) == len(base - unfinished),
            NOTICED_S,
            "b knows what was prepared",
        )
        b.warm(PARQUET, *CACHE, "--nodes", "self")
        assert set(contents(directory(b))) == base - unfinished

    b_gets_all_of(a, b)


def b_gets_all_of(a: Agent, b: Agent) -> None:
    wait_until(lambda: knows_all(b, a), NOTICED_S, "b knows what a has made")
    b.warm(PARQUET, *CACHE, "--nodes", "self")
    assert contents(directory(b)) == contents(directory(a))


def test_what_two_nodes_made_differently_comes_from_one_of_them(
    hub: Hub, clusters: Callable[..., Cluster]
) -> None:
    a, b, c = clusters(3, hub_url=hub.url)
    for node, factor in ((a, 2), (b, 3)):
        code = (
            "from datasets import load_dataset\n"
            f"rows = load_dataset({PARQUET!r}, split='train')\n"
            f"rows.map(lambda row: {{'n': row['n'] * {factor}}})\nprint(1)"
        )
        node.run_client(code, "datasets", node.endpoint_url)
        wait_until(lambda: knows_all(c, node), NOTICED_S, "c knows what it has made")
    assert contents(directory(a)) != contents(directory(b))

    c.warm(PARQUET, *CACHE, "--nodes", "self")

    assert contents(directory(c)) in (contents(directory(a)), contents(directory(b)))


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


@pytest.mark.parametrize("kind", ["private", "gated"])
def test_what_was_made_of_a_dataset_that_not_everybody_may_see_stays(
    hub: Hub, clusters: Callable[..., Cluster], kind: str
) -> None:
    """Also if the client went to the hub without the agent, which then finds out by itself."""
    secret = "org/secret"
    hub.add_repo(secret, "dataset", repos.parquet_dataset(1), **{kind: True})
    a, b = clusters(2, hub_url=hub.url)
    said = run(a, secret, endpoint=hub.url, token=MEMBER)
    assert said["calls"]["map"] == 3
    wait_until(lambda: knows_all(b, a, secret), NOTICED_S, "b has heard its name")

    done = b.roost("warm", secret, *CACHE, "--nodes", "self")

    assert done.returncode == NOT_FOUND, done.stdout + done.stderr
    wait_until(lambda: b.where(secret, *CACHE) == {}, NOTICED_S, "not even its name is told now")
    pushed = a.roost("warm", secret, *CACHE, "--nodes", "b")
    assert pushed.returncode != 0, pushed.stdout
    assert not list(cache(b).glob("**/*.arrow"))
    assert held(a) == {f"dataset-caches/{secret}"}


def test_what_the_agent_has_heard_to_be_private_is_never_told(
    hub: Hub, clusters: Callable[..., Cluster]
) -> None:
    secret = "org/secret"
    hub.add_repo(secret, "dataset", repos.parquet_dataset(1), private=True)
    a, b = clusters(2, hub_url=hub.url)

    run(a, secret, endpoint=a.endpoint_url, token=MEMBER)

    run(a, CSV, endpoint=a.endpoint_url)
    wait_until(lambda: knows_all(b, a, CSV), NOTICED_S, "b knows what was made later")
    assert b.where(secret, *CACHE) == {}
    assert not list(cache(b).glob("org___secret"))


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
    both = {f"dataset-caches/{repo}" for repo in (PARQUET, CSV)}
    wait_until(lambda: held(a) == both, NOTICED_S, "a has it still")
    assert b.where(PARQUET, *CACHE) == {}
    assert b.roost("warm", PARQUET, *CACHE, "--nodes", "self").returncode == NOT_FOUND
