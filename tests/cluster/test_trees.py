"""Trees: configured folders, such as compile caches, go from node to node where name and scope are
equal, whole and verified or not at all, and never over what is there."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any, Callable

import pytest

from tests.cluster.agent import Agent
from tests.cluster.endpoint import ask
from tests.cluster.harness import Cluster
from tests.cluster.waiting import wait_until
from tests.pip import Index, make_source
from tests.pip.clients import install, installed

NOTICED_S = 30  # a file counts when it has been left alone for two seconds
NOT_FOUND, PARTIAL = 3, 10
TREE = ("--type", "tree")
SCOPE = "gpu=sm_90,torch=2.6.0"
KERNEL = "A2BC/kernel.cubin"
FILES = {
    KERNEL: os.urandom(3 << 20),
    "A2BC/__grp__kernel.json": b'{"child_paths": {}}',
    "A2BC/kernel.json": b"{}",
    "deep/er/launcher.so": b"\x7fELF",
    "empty": b"",
    "top.py": b"pass\n",
}
Trees = Callable[..., Cluster]


def folder(agent: Agent) -> Path:
    return agent.home / "triton"


def write(agent: Agent, name: str, content: bytes) -> Path:
    path = folder(agent) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def fill(agent: Agent, files: dict[str, bytes] = FILES) -> None:
    for name, content in files.items():
        write(agent, name, content)


def contents(agent: Agent) -> dict[str, bytes]:
    """Of what a program sees: not our staging folder."""
    return {
        str(path.relative_to(folder(agent))): path.read_bytes()
        for path in folder(agent).rglob("*")
        if path.is_file() and ".roost-staging" not in path.parts
    }


def configure(agent: Agent, scope: str | None = SCOPE, **keys: Any) -> None:
    """As an operator writes it."""
    table = {"path": str(folder(agent)), "layout": "tree", "name": "triton"} | keys
    if scope is not None:
        table["scope"] = scope
    lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in table.items())
    file = agent.folder / "roost.toml"
    file.write_text(f"[[root]]\n{lines}\n")
    agent.options = ["--config", str(file)]


@pytest.fixture
def trees(clusters: Callable[..., Cluster]) -> Trees:
    """A cluster of one agent a scope; None: that node has no tree."""

    def make(*scopes: str | None, **keys: Any) -> Cluster:
        def prepare(cluster: Cluster) -> None:
            for agent, scope in zip(cluster, scopes):
                if scope is not None:
                    configure(agent, scope, **keys)

        return clusters(len(scopes), prepare)

    return make


def tree(agent: Agent) -> dict[str, Any]:
    """What `status` of that node says of its tree."""
    (found,) = agent.roost_json("status")["trees"]
    return dict(found)


def wait_for_files(b: Agent, name: str, count: int) -> None:
    wait_until(
        lambda: b.files_at(name, "triton", *TREE) == count, NOTICED_S, f"{count} files of {name}"
    )


@pytest.mark.quick
def test_files_of_an_equal_scope_arrive_with_equal_bytes_and_modes(trees: Trees) -> None:
    a, b = trees(SCOPE, "torch=2.6.0 gpu=sm_90")  # the same words
    fill(a)
    (folder(a) / "deep/er/launcher.so").chmod(0o755)
    wait_for_files(b, "a", len(FILES))

    b.warm("triton", *TREE, "--nodes", "self")

    assert contents(b) == contents(a) == FILES
    assert os.access(folder(b) / "deep/er/launcher.so", os.X_OK)
    assert not os.access(folder(b) / "top.py", os.X_OK)
    assert all(path.stat().st_nlink == 1 for path in folder(b).rglob("*") if path.is_file())
    wait_until(lambda: b.holds_all_of("b", "triton", *TREE), NOTICED_S, "b tells of it too")
    assert b.roost_json("status")["problems"] == []


@pytest.mark.quick
def test_nothing_crosses_where_the_scope_differs_and_warm_says_why(trees: Trees) -> None:
    a, b = trees(SCOPE, "gpu=sm_80,torch=2.6.0")
    fill(a)
    wait_until(lambda: tree(a)["files"] == len(FILES), NOTICED_S, "a has read its tree")
    wait_until(lambda: "gpu=sm_90" in tree(b).get("why", ""), NOTICED_S, "b knows why not")

    pulled = b.roost("warm", "triton", *TREE, "--nodes", "self")
    pushed = a.roost("warm", "triton", *TREE, "--nodes", "b")

    assert pulled.returncode == NOT_FOUND
    assert "equal scopes" in pulled.stderr and "gpu=sm_80" in pulled.stderr
    assert pushed.returncode != 0
    assert "the scope differs" in pushed.stdout + pushed.stderr
    assert not folder(b).exists() or contents(b) == {}
    shown = b.roost("status").stdout
    assert "TREE triton" in shown and "gpu=sm_90" in shown


@pytest.mark.quick
def test_without_being_told_nothing_is_shared(trees: Trees) -> None:
    a, b, c = trees(SCOPE, None, SCOPE)
    fill(a)
    for name, content in FILES.items():
        (b.home / ".triton/cache" / name).parent.mkdir(parents=True, exist_ok=True)
        (b.home / ".triton/cache" / name).write_bytes(content + b"b")
    wait_for_files(c, "a", len(FILES))

    pushed = a.roost("warm", "triton", *TREE, "--nodes", "b")

    assert pushed.returncode != 0
    assert "not told to share" in pushed.stdout + pushed.stderr
    assert b.roost_json("status")["trees"] == []
    assert list(c.where("triton", *TREE)) == ["a"]


def test_temporaries_locks_links_and_foreign_metadata_never_cross(trees: Trees) -> None:
    a, b = trees(SCOPE, SCOPE)
    fill(a)
    for name in (
        "tmp.pid_7_ab/kernel.cubin",
        "A2BC/x.tmp",
        "A2BC/x.lock",
        "x.incomplete",
        ".cache/huggingface/download/top.py.metadata",
        ".roost-staging/other/x",
    ):
        write(a, name, b"no")
    secret = a.home / "secret"
    secret.write_bytes(b"secret")
    (folder(a) / "link").symlink_to(secret)
    (folder(a) / "linked").symlink_to(a.home)
    os.mkfifo(folder(a) / "pipe")
    wait_for_files(b, "a", len(FILES))

    b.warm("triton", *TREE, "--nodes", "self")

    assert contents(b) == FILES
    assert not (folder(b) / "link").is_symlink()


def test_what_is_there_is_never_overwritten(trees: Trees) -> None:
    a, b = trees(SCOPE, SCOPE)
    fill(a)
    own = write(b, "A2BC/kernel.json", b"b's own")
    inode = own.stat().st_ino
    wait_for_files(b, "a", len(FILES))

    done = b.roost("warm", "triton", *TREE, "--nodes", "self")

    assert done.returncode == PARTIAL, done.stderr
    assert own.read_bytes() == b"b's own" and own.stat().st_ino == inode
    others = {name: data for name, data in FILES.items() if not name.startswith("A2BC/")}
    assert contents(b) == others | {"A2BC/kernel.json": b"b's own"}, "A2BC is not mixed"


def test_two_nodes_add_to_each_other(trees: Trees) -> None:
    a, b, c = trees(SCOPE, SCOPE, SCOPE)
    fill(a, {"one/k": b"of a", "both/k": b"equal"})
    fill(b, {"two/k": b"of b", "both/k": b"equal"})
    wait_for_files(c, "a", 2)
    wait_for_files(c, "b", 2)

    c.warm("triton", *TREE, "--nodes", "self")

    assert contents(c) == {"one/k": b"of a", "two/k": b"of b", "both/k": b"equal"}


def test_a_file_that_is_written_all_the_time_is_never_there_in_half(trees: Trees) -> None:
    """In place and by rename, while the other node asks for it again and again."""
    a, b = trees(SCOPE, SCOPE)
    size = 8 << 20
    versions = [bytes([number]) * size for number in range(1, 5)]
    fill(a, {"calm/k": b"calm", "busy/k": versions[0], "busy/renamed": versions[0]})
    wait_for_files(b, "a", 3)
    go_on = threading.Event()

    def rewrite() -> None:
        number = 0
        while not go_on.is_set():
            number += 1
            content = versions[number % len(versions)]
            with (folder(a) / "busy/k").open("r+b") as file:
                for at in range(0, size, 1 << 20):
                    file.seek(at)
                    file.write(content[at : at + (1 << 20)])
            other = folder(a) / "busy/renamed.tmp"
            other.write_bytes(content)
            other.rename(folder(a) / "busy/renamed")

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        seen = []
        for _ in range(3):
            b.roost("warm", "triton", *TREE, "--nodes", "self")
            seen += [data for name, data in contents(b).items() if name.startswith("busy/")]
    finally:
        go_on.set()
        writer.join()

    assert all(data in versions for data in seen), [len(set(data)) for data in seen]
    wait_for_files(b, "a", 3)
    done = b.roost("warm", "triton", *TREE, "--nodes", "self")
    assert done.returncode in (0, PARTIAL), done.stderr
    assert contents(b)["calm/k"] == b"calm"
    assert contents(b)["busy/k"] in versions and contents(b)["busy/renamed"] in versions


def test_a_compiler_may_write_into_what_arrived(trees: Trees) -> None:
    """No file is another name of one elsewhere: writing in place changes that one alone."""
    a, b = trees(SCOPE, SCOPE)
    fill(a, {"one/k": b"equal" * 1000, "two/k": b"equal" * 1000})
    wait_for_files(b, "a", 2)
    b.warm("triton", *TREE, "--nodes", "self")

    with (folder(b) / "one/k").open("r+b") as file:
        file.write(b"other")

    assert (folder(b) / "two/k").read_bytes() == b"equal" * 1000
    wait_until(lambda: b.files_at("b", "triton", *TREE) == 2, NOTICED_S, "b has read it anew")
    wait_until(
        lambda: len({node["commit"] for node in b.where("triton", *TREE).values()}) == 2,
        NOTICED_S,
        "b tells of another content than a",
    )


def test_with_pull_it_comes_by_itself(trees: Trees) -> None:
    a, b = trees(SCOPE, SCOPE, pull=True)
    fill(a)
    wait_until(lambda: folder(b).exists() and contents(b) == FILES, NOTICED_S, "b has all")

    write(b, "new/k", b"of b")

    wait_until(lambda: (folder(a) / "new/k").exists(), NOTICED_S, "a has what b compiled")


def test_the_http_endpoint_gives_nothing_of_a_tree(trees: Trees) -> None:
    (a,) = trees(SCOPE)
    fill(a)
    wait_until(lambda: tree(a)["files"] == len(FILES), NOTICED_S, "a has read its tree")
    (held,) = [one for one in a.roost_json("ls")["repos"] if one["type"] == "tree"]
    name = held["repo"].removeprefix("trees/")

    for path in (
        f"/api/trees/{name}",
        f"/trees/{name}/resolve/{held['commit']}/{KERNEL}",
        f"/{name}/resolve/{held['commit']}/{KERNEL}",
        f"/api/models/{name}/tree/{held['commit']}",
    ):
        assert ask(a.endpoint, "GET", path).status >= 400, path


def test_it_is_listed_with_its_scope(trees: Trees) -> None:
    a, b = trees(SCOPE, SCOPE)
    fill(a)
    wait_for_files(b, "a", len(FILES))

    (held,) = [one for one in a.roost_json("ls")["repos"] if one["type"] == "tree"]

    assert held["scope"] == "gpu=sm_90/torch=2.6.0" and held["files"] == len(FILES)
    assert tree(b)["other_nodes"] == 1 and "why" not in tree(b)
    verified = a.roost_json("verify", "triton", *TREE)["repos"]
    assert verified[0]["files_ok"] == len(FILES) and not verified[0]["wrong"]


def test_a_gathered_scope_has_what_the_machine_says(
    clusters: Callable[..., Cluster], tmp_path: Path
) -> None:
    """Two Python environments with different torch are two scopes."""
    site = tmp_path / "venv/lib/python3.11/site-packages"
    (site / "torch-2.6.0+cu124.dist-info").mkdir(parents=True)

    def prepare(cluster: Cluster) -> None:
        configure(cluster["a"], "gathered", python=str(tmp_path / "venv"))
        configure(cluster["b"], "gathered")

    a, b = clusters(2, prepare)
    fill(a)
    wait_until(lambda: tree(a)["files"] == len(FILES), NOTICED_S, "a has read its tree")

    assert "torch=2.6.0+cu124" in tree(a)["scope"].split("/")
    assert "torch=none" in tree(b)["scope"].split("/")
    assert b.roost("warm", "triton", *TREE, "--nodes", "self").returncode == NOT_FOUND


def by_option(option: str) -> Callable[[Cluster], None]:
    """Each agent has this tree; `{home}` in it is the agent's."""

    def prepare(cluster: Cluster) -> None:
        for agent in cluster:
            agent.options = ["--root", option.format(home=agent.home)]

    return prepare


def test_the_option_names_path_scope_and_name(clusters: Callable[..., Cluster]) -> None:
    (a,) = clusters(1, by_option("{home}/triton:tree:arch=x:kernels"))
    assert (tree(a)["name"], tree(a)["scope"]) == ("kernels", "arch=x")


def test_a_tree_around_secrets_is_refused() -> None:
    cluster = Cluster(1)
    (a,) = cluster
    a.options = ["--root", f"{a.folder}:tree:arch=x"]
    try:
        a.start()
        wait_until(lambda: not a.running, NOTICED_S, "the agent has ended")
        assert "cannot be shared" in a.log
    finally:
        cluster.remove()


def test_wheels_that_a_built_are_not_built_again_on_b(clusters: Callable[..., Cluster]) -> None:
    """pip's folder of locally built wheels is a tree as any other, if it is configured."""
    cluster = clusters(2, by_option("{home}/.cache/pip/wheels:tree:python=3.11:pip-wheels"))
    a, b = cluster
    with Index(metadata=False) as index:
        index.add(make_source("built"))
        builds = cluster.folder / "builds"

        def load(agent: Agent) -> None:
            # The wheel is found by the address of its source: the same index on both nodes.
            done = install(agent, "pip26", "built", PIP_INDEX_URL=index.url, BUILDS=str(builds))
            assert done.returncode == 0, done.stderr
            assert installed(agent, "pip26", "built") == "1.0"

        load(a)
        assert builds.read_text() == "built\n"
        wait_until(lambda: b.files_at("a", "pip-wheels", *TREE) > 0, NOTICED_S, "a tells of it")
        b.warm("pip-wheels", *TREE, "--nodes", "self")
        load(b)
        assert builds.read_text() == "built\n", "b built it again"
