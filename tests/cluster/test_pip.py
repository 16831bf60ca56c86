"""The pip index of the agents: real pip and uv install from it, from peers, and without the index."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import subprocess
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from tests.clients.run import Result, client_environment
from tests.clients.setup import python
from tests.cluster.agent import Agent
from tests.cluster.endpoint import Reply, ask
from tests.cluster.harness import Cluster
from tests.cluster.waiting import wait_until
from tests.hub.tls import make_certificates
from tests.pip import Index, Wheel, make_wheel
from tests.pip.clients import CLIENTS, install, installed

MIB = 1 << 20
JSON = "application/vnd.pypi.simple.v1+json"
TOLD_S = 30
CLOSED = "http://127.0.0.1:9"  # a hub that nobody answers for
MakeIndex = Callable[..., Index]


@pytest.fixture
def index() -> Iterator[Index]:
    with Index() as index:
        yield index


@pytest.fixture
def make_index() -> Iterator[MakeIndex]:
    made: list[Index] = []

    def make(**arguments: Any) -> Index:
        made.append(Index(**arguments).start())
        return made[-1]

    yield make
    for index in made:
        index.stop()


def of_index(index: Index) -> dict[str, Any]:
    return {"pip_index": index.url}


def page(agent: Agent, project: str, accept: str = JSON, **headers: str) -> Reply:
    target = f"/pip/simple/{project}/"
    return ask(agent.endpoint, "GET", target, {"Accept": accept} | headers)


def file_target(wheel: Wheel, suffix: str = "") -> str:
    project = wheel.name.partition("-")[0].replace("_", "-")
    return f"/pip/files/{project}/{wheel.sha256}/{wheel.name}{suffix}"


def get(agent: Agent, wheel: Wheel, suffix: str = "", **headers: str) -> Reply:
    """`Range="..."` and the like."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return ask(agent.endpoint, "GET", file_target(wheel, suffix), named)


def assert_installed(agent: Agent, client: str, requirement: str, module: str, **rest: Any) -> None:
    done = install(agent, client, requirement, **rest)
    assert done.returncode == 0, f"{client}: {done.stdout}\n{done.stderr}\n{agent.log[-3000:]}"
    assert installed(agent, client, module) == "1.0"


def wait_advertised(agent: Agent, wheel: Wheel, holder: str) -> None:
    wait_until(
        lambda: holder in agent.where(f"sha256:{wheel.sha256}"),
        TOLD_S,
        f"{agent.name} knows that {holder} has {wheel.name}",
    )


# -- installing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_installs_through_the_agent(
    clusters: Callable[..., Cluster], index: Index, client: str
) -> None:
    index.add(make_wheel("leaf"))
    index.add(make_wheel("tree", requires=("leaf",), size=3 * MIB))
    (a,) = clusters(1, **of_index(index))
    assert_installed(a, client, "tree", "tree")
    assert installed(a, client, "leaf") == "1.0"


@pytest.mark.parametrize("client", CLIENTS)
def test_another_node_installs_from_its_peer_while_the_index_is_down(
    clusters: Callable[..., Cluster], index: Index, client: str
) -> None:
    leaf, tree = make_wheel("leaf"), make_wheel("tree", requires=("leaf",), size=3 * MIB)
    for wheel in (leaf, tree):
        index.add(wheel)
    a, b = clusters(2, **of_index(index))
    assert_installed(a, client, "tree", "tree")
    for wheel in (leaf, tree):
        wait_advertised(b, wheel, "a")
    index.stop()
    assert_installed(b, client, "tree", "tree")
    assert installed(b, client, "leaf") == "1.0"
    index.start()


def test_the_index_is_asked_once_for_all_nodes(
    clusters: Callable[..., Cluster], make_index: MakeIndex
) -> None:
    index = make_index(max_age=600)
    wheel = index.add(make_wheel("tree", size=3 * MIB))
    nodes = list(clusters(3, **of_index(index)))
    for node in nodes:
        assert_installed(node, "pip26", "tree", "tree")
    assert index.count("/simple/tree/") == 1
    assert index.sent_bytes <= 1.05 * len(wheel.data) + len(wheel.metadata)


def test_a_page_that_still_counts_is_not_asked_for_again_and_one_that_does_not_is_checked(
    clusters: Callable[..., Cluster], make_index: MakeIndex
) -> None:
    index = make_index(max_age=0)
    index.add(make_wheel("leaf"))
    (a,) = clusters(1, **of_index(index))
    assert page(a, "leaf").status == page(a, "leaf").status == 200
    assert [one.status for one in index.all_asked()] == [200, 304]


# -- pages -----------------------------------------------------------------------------------------


def test_both_forms_say_the_same_with_addresses_of_the_agent(
    clusters: Callable[..., Cluster], index: Index
) -> None:
    wheel = index.add(make_wheel("leaf", requires_python=">=3.8"), yanked="it is <old>")
    (a,) = clusters(1, **of_index(index))
    (file,) = page(a, "leaf").json()["files"]
    assert file["url"] == f"../..{file_target(wheel).removeprefix('/pip')}"
    assert file["hashes"] == {"sha256": wheel.sha256}
    assert (file["yanked"], file["requires-python"]) == ("it is <old>", ">=3.8")
    assert file["core-metadata"] == {"sha256": hashlib.sha256(wheel.metadata).hexdigest()}
    text = page(a, "leaf", accept="text/html").body.decode()
    assert f'href="{file["url"]}#sha256={wheel.sha256}"' in text
    assert 'data-yanked="it is &lt;old&gt;"' in text
    assert 'data-requires-python="&gt;=3.8"' in text


@pytest.mark.parametrize("client", CLIENTS)
def test_an_index_that_knows_only_html_will_do(
    clusters: Callable[..., Cluster], make_index: MakeIndex, client: str
) -> None:
    index = make_index(forms=("html",), metadata=False, prefix="/some/where/simple")
    index.add(make_wheel("leaf", size=2 * MIB))
    (a,) = clusters(1, **of_index(index))
    assert_installed(a, client, "leaf", "leaf")


def test_a_yanked_version_and_one_for_another_python_are_not_chosen(
    clusters: Callable[..., Cluster], index: Index
) -> None:
    index.add(make_wheel("leaf", "1.0"))
    index.add(make_wheel("leaf", "2.0"), yanked="broken")
    index.add(make_wheel("leaf", "3.0", requires_python=">=4"))
    (a,) = clusters(1, **of_index(index))
    for client in CLIENTS:
        assert_installed(a, client, "leaf", "leaf")


def test_names_are_made_one_and_lead_to_one_address(
    clusters: Callable[..., Cluster], index: Index
) -> None:
    index.add(make_wheel("my-leaf"))
    (a,) = clusters(1, **of_index(index))
    for name in ("My_Leaf/", "my..leaf/", "my-leaf"):
        reply = ask(a.endpoint, "GET", f"/pip/simple/{name}")
        assert (reply.status, reply.headers["location"]) == (301, "/pip/simple/my-leaf/")


def test_a_page_has_what_clients_keep_it_by(
    clusters: Callable[..., Cluster], make_index: MakeIndex
) -> None:
    index = make_index(max_age=600)
    index.add(make_wheel("leaf"))
    (a,) = clusters(1, **of_index(index))
    first = page(a, "leaf")
    age = int(first.headers["cache-control"].removeprefix("max-age="))
    assert 500 < age <= 600
    assert first.headers["vary"] == "Accept" and first.headers["date"].endswith("GMT")
    again = page(a, "leaf", **{"If-None-Match": first.headers["etag"]})
    assert (again.status, again.body) == (304, b"")
    other = page(a, "leaf", "text/html", **{"If-None-Match": first.headers["etag"]})
    assert other.status == 200


def test_the_list_of_projects_is_the_indexs_own(
    clusters: Callable[..., Cluster], index: Index
) -> None:
    index.add(make_wheel("leaf"))
    (a,) = clusters(1, **of_index(index))
    reply = ask(a.endpoint, "GET", "/pip/simple/", {"Accept": JSON})
    assert reply.json()["projects"] == [{"name": "leaf"}]


# -- failures --------------------------------------------------------------------------------------


def test_only_the_index_says_that_there_is_no_such_project(
    clusters: Callable[..., Cluster], index: Index
) -> None:
    a, _ = clusters(2, **of_index(index))
    assert page(a, "absent").status == 404
    index.statuses["/simple/broken/"] = 500
    assert page(a, "broken").status == 503
    index.statuses["/simple/secret/"] = 403
    assert page(a, "secret").status == 502
    index.stop()
    assert page(a, "unknown").status == 503
    index.start()


def test_a_known_page_counts_while_the_index_has_errors_also_after_a_restart(
    clusters: Callable[..., Cluster], index: Index
) -> None:
    index.add(make_wheel("leaf"))
    (a,) = clusters(1, **of_index(index))
    known = without_metadata(page(a, "leaf").json())
    index.statuses["/simple/"] = 500
    stale = page(a, "leaf")
    # Metadata that no node has is not offered meanwhile.
    assert (stale.status, stale.json()) == (200, known)
    assert stale.headers["warning"].startswith("110") and stale.headers["cache-control"] == "max-age=0"
    a.stop()
    a.start().wait_ready()
    assert page(a, "leaf").json() == known


def without_metadata(page: Any) -> Any:
    files = [{k: v for k, v in file.items() if "metadata" not in k} for file in page["files"]]
    return {**page, "files": files}


@pytest.mark.parametrize("size", [1000, 5 * MIB])
def test_a_wheel_that_the_index_has_changed_is_never_completed(
    clusters: Callable[..., Cluster], index: Index, size: int
) -> None:
    wheel = index.add(make_wheel("leaf", size=size))
    index.tampered.add(wheel.name)
    (a,) = clusters(1, **of_index(index))
    assert not completes(a, wheel)
    done = install(a, "pip26", "leaf")
    assert done.returncode != 0 and installed(a, "pip26", "leaf") is None


def completes(agent: Agent, wheel: Wheel) -> bool:
    """Whether the whole file comes as it should in length, whatever is in it."""
    try:
        reply = get(agent, wheel)
    except http.client.IncompleteRead:  # the connection was cut
        return False
    return reply.status == 200 and len(reply.body) == len(wheel.data)


def test_metadata_that_the_index_has_changed_is_refused(
    clusters: Callable[..., Cluster], index: Index
) -> None:
    wheel = index.add(make_wheel("leaf"))
    index.tampered.add(f"{wheel.name}.metadata")
    (a,) = clusters(1, **of_index(index))
    assert get(a, wheel, ".metadata").status == 502
    assert get(a, wheel).body == wheel.data


def test_a_wheel_that_rotted_on_a_peer_comes_from_the_index(
    clusters: Callable[..., Cluster], index: Index
) -> None:
    wheel = index.add(make_wheel("leaf", size=3 * MIB))
    a, b = clusters(2, **of_index(index))
    assert get(a, wheel).body == wheel.data
    wait_advertised(b, wheel, "a")
    (kept,) = (a.state / "pip").rglob(f"blobs/{wheel.sha256}")
    flip(kept)
    get_despite_wrong_bytes(b, wheel)


def get_despite_wrong_bytes(agent: Agent, wheel: Wheel) -> None:
    """A client that was sent wrong bytes is cut off; what comes whole is right."""

    def whole() -> bytes | None:
        try:
            return get(agent, wheel).body
        except http.client.IncompleteRead:
            return None

    assert wait_until(whole, TOLD_S, f"{wheel.name} comes whole") == wheel.data


def flip(file: Path) -> None:
    """One bit, with the times as they were."""
    stat = file.stat()
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.chmod(0o644)
    with file.open("r+b") as out:
        out.write(data)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_a_file_without_a_hash_is_passed_on_and_not_kept(
    clusters: Callable[..., Cluster], index: Index
) -> None:
    index.add(make_wheel("leaf"), hashed=False)
    (a,) = clusters(1, **of_index(index))
    for client in CLIENTS:
        assert_installed(a, client, "leaf", "leaf", cache=False)
    assert index.count(".whl", "files") >= len(CLIENTS)
    assert not list((a.state / "pip").rglob("blobs/*"))


# -- files -----------------------------------------------------------------------------------------


def test_ranges_of_files_are_served(clusters: Callable[..., Cluster], index: Index) -> None:
    wheel = index.add(make_wheel("leaf", size=3 * MIB))
    (a,) = clusters(1, **of_index(index))
    whole = get(a, wheel)
    assert whole.headers["cache-control"] == "max-age=365000000, immutable, public"
    assert whole.etag == wheel.sha256
    part = get(a, wheel, Range="bytes=-100")
    assert (part.status, part.body) == (206, wheel.data[-100:])
    middle = get(a, wheel, Range="bytes=10-19", If_Range=f'"{wheel.sha256}"')
    assert (middle.status, middle.body) == (206, wheel.data[10:20])
    assert get(a, wheel, If_None_Match=f'"{wheel.sha256}"').status == 304


def test_only_what_the_page_names_is_served(clusters: Callable[..., Cluster], index: Index) -> None:
    wheel, other = index.add(make_wheel("leaf")), index.add(make_wheel("other"))
    (a,) = clusters(1, **of_index(index))
    assert get(a, wheel).status == get(a, other).status == 200
    stranger = f"/pip/files/leaf/{other.sha256}/{wheel.name}"
    assert ask(a.endpoint, "GET", stranger).status == 404


def test_a_size_that_the_index_does_not_say_is_asked_of_the_file(
    clusters: Callable[..., Cluster], make_index: MakeIndex
) -> None:
    index = make_index(sizes=False)
    wheel = index.add(make_wheel("leaf", size=2 * MIB))
    a, b = clusters(2, **of_index(index))
    assert get(a, wheel).body == wheel.data
    wait_advertised(b, wheel, "a")
    page(b, "leaf")
    index.stop()
    assert get(b, wheel).body == wheel.data
    index.start()


def test_without_its_metadata_a_wheel_of_a_peer_installs_while_the_index_is_down(
    clusters: Callable[..., Cluster], index: Index
) -> None:
    wheel = index.add(make_wheel("leaf", size=2 * MIB))
    a, b = clusters(2, **of_index(index))
    assert get(a, wheel).body == wheel.data
    wait_advertised(b, wheel, "a")
    index.stop()
    for client in CLIENTS:
        assert_installed(b, client, "leaf", "leaf")
    index.start()


# -- private indexes -------------------------------------------------------------------------------


def test_credentials_go_to_the_index_alone(
    clusters: Callable[..., Cluster], make_index: MakeIndex
) -> None:
    index = make_index(credentials=("me", "s3cret/word"))
    wheel = index.add(make_wheel("leaf", size=2 * MIB))
    url = index.url_with_credentials.replace("s3cret/word", "s3cret%2Fword")
    (a,) = clusters(1, pip_index=url, options=("--pip-share", "cluster"))
    assert_installed(a, "pip26", "leaf", "leaf")
    asked = index.all_asked()
    assert all("authorization" in one.headers for one in asked if one.origin == "index")
    assert not [one for one in asked if one.origin == "files" and "authorization" in one.headers]
    assert "s3cret" not in a.log + a.roost("status", "--json").stdout + a.roost("env").stdout
    assert get(a, wheel).body == wheel.data


@pytest.mark.parametrize("share", ["public", "cluster"])
def test_a_private_index_is_shared_only_if_that_is_configured(
    clusters: Callable[..., Cluster], make_index: MakeIndex, share: str
) -> None:
    index = make_index(credentials=("me", "secret"))
    wheel = index.add(make_wheel("leaf", size=2 * MIB))
    options = ("--pip-share", share)
    a, b = clusters(2, pip_index=index.url_with_credentials, options=options)
    assert_installed(a, "pip26", "leaf", "leaf")
    if share == "cluster":
        wait_advertised(b, wheel, "a")
    index.stop()
    assert install(b, "pip26", "leaf").returncode == (0 if share == "cluster" else 1)
    assert bool(a.where(f"sha256:{wheel.sha256}")) == (share == "cluster")
    index.start()


def test_an_index_with_a_ca_of_its_own(
    clusters: Callable[..., Cluster], make_index: MakeIndex, tmp_path: Path
) -> None:
    certificates = make_certificates(tmp_path)
    index = make_index(tls=certificates.context)
    index.add(make_wheel("leaf"))
    (a,) = clusters(1, pip_index=index.url, variables={"PIP_CERT": str(certificates.ca_file)})
    assert_installed(a, "pip26", "leaf", "leaf")


# -- one index -------------------------------------------------------------------------------------


def test_without_an_index_the_answer_says_how_to_set_one(clusters: Callable[..., Cluster]) -> None:
    (a,) = clusters(1)
    reply = page(a, "leaf")
    assert reply.status == 404 and b"--pip-index" in reply.body
    assert "PIP_INDEX_URL" not in a.roost("env").stdout


def test_pips_own_setting_names_the_index(clusters: Callable[..., Cluster], index: Index) -> None:
    index.add(make_wheel("leaf"))
    (a,) = clusters(
        1, hub_url=CLOSED, pip_index=None, variables={"PIP_INDEX_URL": index.url}
    )
    assert page(a, "leaf").status == 200
    printed = a.roost("env").stdout
    assert f"export PIP_INDEX_URL='{a.endpoint_url}/pip/simple/'" in printed
    assert "export PIP_TRUSTED_HOST='127.0.0.1'" in printed


def test_an_agent_in_a_shell_of_roost_env_does_not_ask_itself(
    clusters: Callable[..., Cluster], index: Index
) -> None:
    index.add(make_wheel("leaf"))
    (a,) = clusters(1, hub_url=CLOSED, **of_index(index))
    a.stop()
    a.pip_index = None
    a.variables = {"PIP_INDEX_URL": f"{a.endpoint_url}/pip/simple/", "PATH": "/nonexistent"}
    a.start().wait_ready()
    assert page(a, "leaf").status == 404


def test_the_hub_keeps_its_own_addresses(clusters: Callable[..., Cluster], index: Index) -> None:
    (a,) = clusters(1, **of_index(index))
    reply = ask(a.endpoint, "GET", "/pip/simple/resolve/main/config.json")
    assert reply.error_code == "RepoNotFound", json.dumps(dict(reply.headers))


# -- pip's own cache -------------------------------------------------------------------------------


def download(agent: Agent, index: Index, *requirements: str) -> Result:
    """pip on this node, with the index itself, as if there were no agent."""
    env = client_environment(
        agent.home,
        PIP_CONFIG_FILE="/dev/null",
        PIP_INDEX_URL=index.url,
        PIP_TRUSTED_HOST="127.0.0.1",
        PIP_CACHE_DIR=str(agent.home / ".cache/pip"),
    )
    command = [str(python("pip26")), "-m", "pip", "download", "--no-deps", *requirements]
    command += ["--dest", str(agent.home / "downloads"), "--disable-pip-version-check"]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)


def body_files(agent: Agent) -> list[Path]:
    return list((agent.home / ".cache/pip/http-v2").rglob("*.body"))


def bodies(agent: Agent) -> set[bytes]:
    return {path.read_bytes() for path in body_files(agent)}


def body_of(agent: Agent, wheel: Wheel) -> Path:
    (found,) = (path for path in body_files(agent) if path.stat().st_size == len(wheel.data))
    return found


def seed_cache(agent: Agent, index: Index, wheel: Wheel) -> None:
    """What pip leaves in its cache after a download from the index itself."""
    done = download(agent, index, wheel.name.partition("-")[0])
    assert done.returncode == 0, done.stdout + done.stderr


def cached_on_a(
    clusters: Callable[..., Cluster], make_index: MakeIndex, size: int
) -> tuple[Index, Wheel, Agent, Agent]:
    """An index with a wheel that pip on a has in its cache, and b knows."""
    index = make_index(file_max_age=365000000)
    wheel = index.add(make_wheel("leaf", size=size))
    a, b = clusters(2, **of_index(index))
    seed_cache(a, index, wheel)
    wait_advertised(b, wheel, "a")
    return index, wheel, a, b


def test_a_wheel_in_pips_cache_is_found_by_its_hash_and_installs_elsewhere(
    clusters: Callable[..., Cluster], make_index: MakeIndex
) -> None:
    # Files that pip may keep come with a Cache-Control of their own.
    index = make_index(file_max_age=365000000)
    wheel = index.add(make_wheel("leaf", size=2 * MIB))
    a, b = clusters(2, **of_index(index))
    assert page(b, "leaf").status == 200
    seed_cache(a, index, wheel)
    assert not list((a.state / "pip").rglob("blobs/*"))
    wait_advertised(b, wheel, "a")
    index.stop()
    assert_installed(b, "pip26", "leaf", "leaf")
    index.start()


def test_a_wheel_in_pips_cache_that_was_changed_is_not_found_by_its_hash(
    clusters: Callable[..., Cluster], make_index: MakeIndex
) -> None:
    index, wheel, a, b = cached_on_a(clusters, make_index, 2 * MIB)
    flip(body_of(a, wheel))
    get_despite_wrong_bytes(b, wheel)


def test_env_makes_pip_use_the_agent(clusters: Callable[..., Cluster], index: Index) -> None:
    index.add(make_wheel("leaf"))
    (a,) = clusters(1, **of_index(index))
    target = a.home / "site"
    done = a.roost(
        "exec", "--", str(python("pip26")), "-m", "pip", "install", "--target", str(target), "leaf"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (target / "leaf/__init__.py").exists()


# -- wheels in pip's cache of another node ---------------------------------------------------------


def downloads_of(index: Index, wheel: Wheel) -> int:
    """How often the file itself was read from the index."""
    return sum(
        one.path.endswith(f"/{wheel.name}") and one.method == "GET" for one in index.all_asked()
    )


def wheels_of(agent: Agent) -> dict[str, dict[str, Any]]:
    return {one["file"]: one for one in agent.roost_json("ls", "--type", "pip")["wheels"]}


def test_a_wheel_in_pips_cache_of_a_node_comes_into_that_of_another(
    clusters: Callable[..., Cluster], make_index: MakeIndex
) -> None:
    index, wheel, a, b = cached_on_a(clusters, make_index, 3 * MIB)
    assert downloads_of(index, wheel) == 1
    (brought,) = b.roost_json("warm", "--type", "pip", "leaf==1.0")["wheels"]
    assert (brought["file"], brought["state"], brought["from"]) == (wheel.name, "done", "peers")
    assert {wheel.data, wheel.metadata} <= bodies(b)
    asked = len(index.all_asked())
    done = download(b, index, "leaf")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Using cached" in done.stdout
    # Only the page is asked for: neither the file nor the metadata beside it.
    assert [one.path for one in index.all_asked()[asked:]] == ["/simple/leaf/"]
    assert (b.home / "downloads" / wheel.name).read_bytes() == wheel.data
    assert downloads_of(index, wheel) == 1


def test_a_wheel_that_pip_has_already_is_left_alone(
    clusters: Callable[..., Cluster], make_index: MakeIndex
) -> None:
    index = make_index(file_max_age=365000000)
    wheel = index.add(make_wheel("leaf", size=3 * MIB))
    (a,) = clusters(1, **of_index(index))
    seed_cache(a, index, wheel)
    wait_advertised(a, wheel, "a")
    cache = a.home / ".cache/pip/http-v2"
    before = {path: path.stat().st_mtime_ns for path in cache.rglob("*") if path.is_file()}
    (brought,) = a.roost_json("get", "--type", "pip", "leaf")["wheels"]
    assert (brought["state"], brought["from"]) == ("done", "cache")
    after = {path: path.stat().st_mtime_ns for path in cache.rglob("*") if path.is_file()}
    assert after == before


def test_a_wheel_that_no_node_holds_comes_from_the_index_if_it_is_named(
    clusters: Callable[..., Cluster], make_index: MakeIndex
) -> None:
    index = make_index(file_max_age=365000000)
    wheel, other = index.add(make_wheel("leaf", "1.0")), index.add(make_wheel("leaf", "2.0"))
    (a,) = clusters(1, **of_index(index))
    done = a.roost("warm", "--type", "pip", "leaf")
    assert done.returncode == 3 and "--include" in done.stderr
    (brought,) = a.roost_json("get", "--type", "pip", "leaf", wheel.name)["wheels"]
    assert brought["from"] == "index"
    assert wheel.data in bodies(a) and other.data not in bodies(a)
    done = download(a, index, "leaf==1.0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert downloads_of(index, wheel) == 1


def test_only_what_the_index_names_is_written(
    clusters: Callable[..., Cluster], make_index: MakeIndex
) -> None:
    index, wheel, a, b = cached_on_a(clusters, make_index, 3 * MIB)
    # The index now has another file of that name, which nobody holds.
    index.projects["leaf"].clear()
    index.add(make_wheel("leaf", size=2 * MIB))
    done = b.roost("warm", "--type", "pip", "leaf")
    assert done.returncode == 3, done.stdout + done.stderr
    index.projects["leaf"].clear()
    index.add(wheel, hashed=False)
    done = b.roost("warm", "--type", "pip", "leaf", "--include", "*")
    assert done.returncode == 3, done.stdout + done.stderr
    assert not bodies(b)


def test_a_wheel_that_rotted_in_pips_cache_of_a_peer_is_not_brought(
    clusters: Callable[..., Cluster], make_index: MakeIndex
) -> None:
    index, wheel, a, b = cached_on_a(clusters, make_index, 3 * MIB)
    flip(body_of(a, wheel))
    b.roost_json("warm", "--type", "pip", "leaf")
    assert wheel.data in bodies(b)  # of the index, which is asked instead
    assert all(len(body) != len(wheel.data) or body == wheel.data for body in bodies(b))


def test_a_dry_run_and_where_say_who_has_wheels(
    clusters: Callable[..., Cluster], make_index: MakeIndex
) -> None:
    index, wheel, a, b = cached_on_a(clusters, make_index, 2 * MIB)
    (planned,) = b.roost_json("warm", "--type", "pip", "leaf", "--dry-run")["wheels"]
    assert (planned["file"], planned["holders"]) == (wheel.name, ["a"])
    (node,) = b.roost_json("where", "--type", "pip", "leaf")["nodes"]
    assert (node["name"], node["wheels"], node["bytes"]) == ("a", [wheel.name], len(wheel.data))
    assert b.roost("where", "--type", "pip", "leaf==2.0").returncode == 3
    assert not (b.home / ".cache/pip").exists()


def test_wheels_are_listed_with_their_names_and_holders(
    clusters: Callable[..., Cluster], make_index: MakeIndex
) -> None:
    index = make_index(file_max_age=365000000)
    cached, fetched = index.add(make_wheel("my-leaf")), index.add(make_wheel("tree", "2.0"))
    a, b = clusters(2, **of_index(index))
    seed_cache(a, index, cached)
    assert get(a, fetched).body == fetched.data
    assert get(b, fetched).body == fetched.data
    both = {cached.name: ["a"], fetched.name: ["a", "b"]}
    listed = wait_until(
        lambda: {n: one["holders"] for n, one in wheels_of(a).items()} == both and wheels_of(a),
        TOLD_S,
        "a lists both wheels with their holders",
    )
    one = listed[cached.name]
    assert (one["project"], one["version"], one["nodes"]) == ("my-leaf", "1.0", 1)
    assert (one["bytes"], one["digest"]) == (len(cached.data), f"sha256:{cached.sha256}")
    table = a.roost("ls", "--type", "pip").stdout
    assert cached.name in table and "2.0" in table


def test_pips_cache_is_not_shared_where_pip_has_another_index_but_is_still_filled(
    clusters: Callable[..., Cluster], make_index: MakeIndex
) -> None:
    index = make_index(file_max_age=365000000)
    cached, fetched = index.add(make_wheel("leaf")), index.add(make_wheel("tree"))
    other = {"PIP_EXTRA_INDEX_URL": "http://127.0.0.1:9/simple"}
    a, b = clusters(2, variables=other, **of_index(index))
    seed_cache(a, index, cached)
    assert get(a, fetched).body == fetched.data
    wait_advertised(b, fetched, "a")
    assert "pip's cache)" not in a.log
    assert any("PIP_EXTRA_INDEX_URL" in one["what"] for one in a.roost_json("status")["problems"])
    assert list(wheels_of(a)) == [fetched.name]
    b.roost_json("warm", "--type", "pip", "tree")
    assert fetched.data in bodies(b)


def test_without_an_index_no_wheels_are_brought(clusters: Callable[..., Cluster]) -> None:
    (a,) = clusters(1)
    done = a.roost("warm", "--type", "pip", "leaf")
    assert done.returncode == 2 and "--pip-index" in done.stderr
    assert a.roost_json("ls", "--type", "pip")["wheels"] == []


def test_files_of_the_index_are_counted_by_where_they_were(
    clusters: Callable[..., Cluster], make_index: MakeIndex
) -> None:
    index = make_index()
    wheel = index.add(make_wheel("leaf", size=2 * MIB))
    a, b = clusters(2, **of_index(index))

    def counted(agent: Agent) -> dict[str, float]:
        lines = ask(agent.endpoint, "GET", "/metrics").body.decode().splitlines()
        parts = [line.rpartition(" ") for line in lines if not line.startswith("#")]
        return {name: float(value) for name, _, value in parts}

    assert page(a, "leaf").status == get(a, wheel).status == 200
    wait_advertised(b, wheel, "a")
    assert get(b, wheel).status == 200
    wait_advertised(a, wheel, "b")  # until then it is read while it arrives
    assert get(b, wheel).status == 200
    size = len(wheel.data)
    assert counted(a)['roost_pip_bytes_total{source="index"}'] == size
    assert counted(a)['roost_pip_requests_total{kind="page",status="2xx"}'] == 1
    assert counted(b)['roost_pip_bytes_total{source="peers"}'] == size
    assert counted(b)['roost_pip_bytes_total{source="cache"}'] == size
    assert counted(b)['roost_pip_requests_total{kind="file",status="2xx"}'] == 2
