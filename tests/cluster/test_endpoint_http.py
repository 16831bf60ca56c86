"""The endpoint's HTTP, rule by rule: what real clients were seen to depend on.

Each rule is asked of a repo that the agent has never heard of and of one that it holds."""

from __future__ import annotations

import hashlib
import http.client
import itertools
import json
import resource
import socket
import time
from dataclasses import dataclass
from typing import Iterator
from urllib.parse import quote

import pytest

from tests.cluster.agent import Agent
from tests.cluster.endpoint import Reply, api_path, ask, ask_on, bearer, connect, file_path
from tests.cluster.harness import Cluster
from tests.hub import Hub
from tests.hub.content import make_content

FIRST_BYTE_S = 10  # the clients' time-out for a HEAD
CONFIG, WEIGHTS, EMPTY = "config.json", "model.safetensors", "empty.txt"
ODD_NAMES = (
    "sub/with space.txt",
    "sub/größe.txt",
    "sub/日本語.json",
    "sub/a+b&c=d;e.txt",
    "50%.txt",
)
FILES = {
    CONFIG: b'{"model_type": "bert"}\n',
    WEIGHTS: hashlib.shake_128(b"weights").digest(1 << 20),
    EMPTY: b"",
    "sub/extra.txt": b"extra\n",
    **{name: name.encode() for name in ODD_NAMES},
}
SIZE = len(FILES[WEIGHTS])
WRITER = "hf_writer"
_POST = b"POST /api/whoami-v2 HTTP/1.1\r\nHost: x\r\n"
NONSENSE = {
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "no request": b"NONSENSE\r\n\r\n",
    "another version": b"GET /api/whoami-v2 HTTP/9.9\r\nHost: x\r\n\r\n",
    "no host": b"GET /api/whoami-v2 HTTP/1.1\r\n\r\n",
    "negative length": _POST + b"Content-Length: -1\r\n\r\n",
    "two lengths": _POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "length and chunks": _POST
    + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunk without a size": _POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "control characters": b"GET /\x01\x02 HTTP/1.1\r\nHost: x\r\n\r\n",
}


@dataclass(frozen=True)
class Place:
    """A repo on the hub, and the agent that is asked for it."""

    agent: Agent
    hub: Hub
    repo: str
    commit: str

    def file(self, path: str, method: str = "GET", revision: str = "main", **headers: str) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return ask(self.agent.endpoint, method, file_path(self.repo, path, revision), named)

    def api(self, rest: str = "") -> Reply:
        return ask(self.agent.endpoint, "GET", api_path(self.repo, rest))


@pytest.fixture(scope="module")
def standing_hub() -> Iterator[Hub]:
    with Hub(cdn_host="localhost", tokens={WRITER: ["*"]}) as hub:
        yield hub


@pytest.fixture(scope="module")
def agent(standing_hub: Hub) -> Iterator[Agent]:
    with Cluster(1, hub_url=standing_hub.url) as (agent,):
        yield agent


_numbers = itertools.count()


def new_place(agent: Agent, hub: Hub, xet: bool = False) -> Place:
    repo = f"org/repo{next(_numbers)}"
    return Place(agent, hub, repo, hub.add_repo(repo, files=FILES, xet=xet))


@pytest.fixture(params=("unheard of", "held"))
def place(request: pytest.FixtureRequest, agent: Agent, standing_hub: Hub) -> Iterator[Place]:
    place = new_place(agent, standing_hub)
    if request.param == "held":
        agent.warm(place.repo, "--nodes", "self")
    yield place
    standing_hub.clear_fault()


@pytest.fixture(params=("unheard of", "held"))
def xet_place(request: pytest.FixtureRequest, agent: Agent, standing_hub: Hub) -> Place:
    place = new_place(agent, standing_hub, xet=True)
    if request.param == "held":
        agent.warm(place.repo)
    return place


@pytest.mark.quick
class TestFiles:
    """Rules 1 and 2: the file itself, with all that clients need on the one answer."""

    @pytest.mark.parametrize("path", FILES)
    @pytest.mark.parametrize("revision", ("branch", "commit"))
    def test_get_answers_with_the_file(self, path: str, revision: str, place: Place) -> None:
        reply = place.file(path, revision="main" if revision == "branch" else place.commit)
        assert (reply.status, reply.body) == (200, FILES[path])

    @pytest.mark.parametrize("path", FILES)
    def test_head_tells_the_size_and_sends_nothing(self, path: str, place: Place) -> None:
        reply = place.file(path, "HEAD")
        told = (reply.status, reply.headers.get("content-length"), reply.body)
        assert told == (200, str(len(FILES[path])), b"")

    @pytest.mark.parametrize("method", ("HEAD", "GET"))
    @pytest.mark.parametrize("path", (CONFIG, WEIGHTS, EMPTY))
    def test_etag_is_the_hubs_hash(self, path: str, method: str, place: Place) -> None:
        etag = place.file(path, method).headers.get("etag")
        assert etag == f'"{make_content(path, FILES[path]).etag}"'

    @pytest.mark.parametrize("method", ("HEAD", "GET"))
    @pytest.mark.parametrize("path", (CONFIG, WEIGHTS, EMPTY))
    def test_commit_is_told(self, path: str, method: str, place: Place) -> None:
        assert place.file(path, method).headers.get("x-repo-commit") == place.commit

    @pytest.mark.parametrize("method", ("HEAD", "GET"))
    @pytest.mark.parametrize("path", (CONFIG, WEIGHTS, EMPTY))
    def test_ranges_are_offered(self, path: str, method: str, place: Place) -> None:
        assert place.file(path, method).headers.get("accept-ranges") == "bytes"

    def test_body_is_not_compressed(self, place: Place) -> None:
        reply = place.file(CONFIG, Accept_Encoding="gzip, deflate, br, zstd")
        assert "content-encoding" not in reply.headers and reply.body == FILES[CONFIG]

    def test_revision_may_be_quoted(self, place: Place) -> None:
        pull = place.hub.commit(place.repo, {CONFIG: b"{}"}, branch="refs/pr/1")
        reply = place.file(CONFIG, revision="refs/pr/1")  # goes out as refs%2Fpr%2F1
        assert (reply.status, reply.headers.get("x-repo-commit"), reply.body) == (200, pull, b"{}")

    def test_etag_that_the_client_has_is_answered_304_or_whole(self, place: Place) -> None:
        etag = place.file(WEIGHTS, "HEAD").headers["etag"]
        reply = place.file(WEIGHTS, If_None_Match=etag)
        assert (reply.status, reply.body) in ((304, b""), (200, FILES[WEIGHTS]))

    @pytest.mark.parametrize("type", ("dataset", "space"))
    def test_other_types_have_their_own_places(self, type: str, place: Place) -> None:
        data = f"{type}\n".encode()
        place.hub.add_repo(place.repo, type=type, files={CONFIG: data})
        target = file_path(place.repo, CONFIG, type=type)
        assert ask(place.agent.endpoint, "GET", target).body == data

    def test_moved_branch_is_followed(self, place: Place) -> None:
        assert place.file(CONFIG).headers["x-repo-commit"] == place.commit
        second = place.hub.commit(place.repo, {CONFIG: b"{}"})
        reply = place.file(CONFIG)
        assert (reply.headers["x-repo-commit"], reply.body) == (second, b"{}")

    def test_old_commit_stays_what_it_was(self, place: Place) -> None:
        place.hub.commit(place.repo, {CONFIG: b"{}"})
        assert place.file(CONFIG, revision=place.commit).body == FILES[CONFIG]

    def test_renamed_repo_is_found_under_its_old_name(
        self, agent: Agent, standing_hub: Hub
    ) -> None:
        place = new_place(agent, standing_hub)
        standing_hub.repos.rename("model", place.repo, f"{place.repo}-new")
        reply = place.file(CONFIG)
        assert (reply.status, reply.body) == (200, FILES[CONFIG])


@pytest.mark.quick
class TestRanges:
    """Rules 3 and 24: JavaScript and Rust ask for one byte where others ask for the head."""

    @pytest.mark.parametrize(
        "wanted, start, end",
        [
            ("0-0", 0, 0),
            ("0-", 0, SIZE - 1),
            ("10-19", 10, 19),
            (f"{SIZE - 5}-", SIZE - 5, SIZE - 1),
            ("-5", SIZE - 5, SIZE - 1),
            (f"100-{2 * SIZE}", 100, SIZE - 1),
            (f"-{2 * SIZE}", 0, SIZE - 1),
        ],
    )
    def test_part_comes_with_its_place(
        self, wanted: str, start: int, end: int, place: Place
    ) -> None:
        reply = place.file(WEIGHTS, Range=f"bytes={wanted}")
        told = (reply.status, reply.headers.get("content-range"))
        assert told == (206, f"bytes {start}-{end}/{SIZE}")
        assert reply.body == FILES[WEIGHTS][start : end + 1]

    def test_part_has_what_the_whole_has(self, place: Place) -> None:
        headers = place.file(WEIGHTS, Range="bytes=0-0").headers
        told = (headers.get("etag"), headers.get("x-repo-commit"), headers.get("content-length"))
        etag = make_content(WEIGHTS, FILES[WEIGHTS]).etag
        assert told == (f'"{etag}"', place.commit, "1")

    def test_several_ranges_give_the_whole_or_the_first(self, place: Place) -> None:
        reply = place.file(WEIGHTS, Range="bytes=0-9,20-29")
        whole, first = (200, FILES[WEIGHTS]), (206, FILES[WEIGHTS][:10])
        assert (reply.status, reply.body) in (whole, first)

    def test_range_beyond_the_end_is_refused_with_the_size(self, place: Place) -> None:
        reply = place.file(WEIGHTS, Range=f"bytes={SIZE}-")
        told = (reply.status, reply.headers.get("content-range"))
        assert told == (416, f"bytes */{SIZE}")

    @pytest.mark.parametrize("wanted", ("bytes=abc", "bytes=9-3", "lines=0-5", "bytes="))
    def test_what_is_no_range_is_as_if_not_there(self, wanted: str, place: Place) -> None:
        reply = place.file(CONFIG, Range=wanted)
        assert (reply.status, reply.body) == (200, FILES[CONFIG])

    @pytest.mark.parametrize("wanted", ("bytes=0-0", "bytes=0-"))
    def test_empty_file_is_no_error(self, wanted: str, place: Place) -> None:
        """Both clients read the size behind the slash, and stop at any 4xx."""
        reply = place.file(EMPTY, Range=wanted)
        assert reply.status in (200, 206) and reply.body == b""
        assert reply.headers.get("content-range", "").endswith("/0")

    def test_range_of_a_changed_file_gives_the_whole(self, place: Place) -> None:
        reply = place.file(WEIGHTS, Range="bytes=10-19", If_Range='"another"')
        assert (reply.status, reply.body) == (200, FILES[WEIGHTS])


@pytest.mark.quick
class TestXet:
    """Rule 4: nothing leads a client past the agent."""

    @pytest.mark.parametrize("method", ("HEAD", "GET"))
    def test_headers_have_no_trace(self, method: str, xet_place: Place) -> None:
        reply = xet_place.file(WEIGHTS, method)
        assert reply.status == 200
        assert not [name for name in reply.headers if "xet" in name]
        assert "xet" not in reply.headers.get("link", "")

    @pytest.mark.parametrize(
        "rest",
        (
            "/tree/main",
            "/tree/main?recursive=true&expand=false",
            "/tree/main?recursive=True&expand=True",
            "/revision/main",
            "/revision/main?expand=siblings&expand=sha",
            "",
        ),
    )
    def test_listings_have_no_trace(self, rest: str, xet_place: Place) -> None:
        reply = xet_place.api(rest)
        assert reply.status == 200 and b"xet" not in reply.body.lower()

    @pytest.mark.parametrize("form", ("json", "form"))
    def test_paths_info_has_no_trace(self, form: str, xet_place: Place) -> None:
        reply = ask_paths_info(xet_place, [WEIGHTS], form)
        assert [entry["path"] for entry in reply.json()] == [WEIGHTS]
        assert b"xet" not in reply.body.lower()

    def test_who_asks_for_xet_gets_the_file(self, xet_place: Place) -> None:
        accept = "application/vnd.xet-fileinfo+json, */*"
        reply = xet_place.file(WEIGHTS, Accept=accept, Range="bytes=0-0")
        assert "xet" not in reply.headers.get("content-type", "")
        assert (reply.status, reply.body) == (206, FILES[WEIGHTS][:1])


@pytest.mark.quick
class TestErrors:
    """Rules 5 and 6: clients decide by X-Error-Code, and by X-Repo-Commit what they remember."""

    @pytest.mark.parametrize("method", ("HEAD", "GET"))
    def test_missing_file(self, method: str, place: Place) -> None:
        reply = place.file("none.txt", method)
        told = (reply.status, reply.error_code, reply.headers.get("x-repo-commit"))
        assert told == (404, "EntryNotFound", place.commit)

    @pytest.mark.parametrize("method", ("HEAD", "GET"))
    def test_missing_revision(self, method: str, place: Place) -> None:
        reply = place.file(CONFIG, method, revision="none")
        assert (reply.status, reply.error_code) == (404, "RevisionNotFound")

    @pytest.mark.parametrize("method", ("HEAD", "GET"))
    @pytest.mark.parametrize("token, status", ((None, 401), (WRITER, 404)))
    def test_missing_repo(self, token: str | None, status: int, method: str, agent: Agent) -> None:
        target = file_path("org/none", CONFIG)
        reply = ask(agent.endpoint, method, target, bearer(token))
        assert (reply.status, reply.error_code) == (status, "RepoNotFound")

    def test_missing_folder(self, place: Place) -> None:
        reply = place.api("/tree/main/none?recursive=false&expand=false")
        assert (reply.status, reply.error_code) == (404, "EntryNotFound")

    def test_error_says_why_in_json(self, place: Place) -> None:
        assert place.file("none.txt").json()["error"]

    @pytest.mark.parametrize(
        "target",
        (
            "/org/tiny/resolve/main/../../../../etc/passwd",
            "/org/tiny/resolve/main/%2e%2e/%2e%2e/secret",
            "/org/tiny/resolve/main//etc/passwd",
            "/org/tiny/resolve/main/a%00b",
            "/..%2f..%2fetc/resolve/main/passwd",
            "/api/models/%2e%2e/%2e%2e/tree/main",
            "//",
            "/org",
        ),
    )
    def test_path_that_leads_out_is_refused(self, target: str, agent: Agent) -> None:
        reply = ask(agent.endpoint, "GET", target)
        assert 400 <= reply.status < 500 and b"root:" not in reply.body


def ask_paths_info(place: Place, paths: list[str], form: str) -> Reply:
    target = api_path(place.repo, "/paths-info/main")
    if form == "json":
        body = json.dumps({"paths": paths, "expand": True})
        kind = "application/json"
    else:
        body = "&".join(f"paths={quote(path, safe='')}" for path in paths) + "&expand=True"
        kind = "application/x-www-form-urlencoded"
    headers = {"Content-Type": kind}
    return ask(place.agent.endpoint, "POST", target, headers, body.encode())


@pytest.mark.quick
class TestListings:
    """Rule 10: every listing that some client lives by."""

    @pytest.mark.parametrize("rest", ("", "/revision/main", "/revision/COMMIT"))
    def test_repo_tells_commit_and_files(self, rest: str, place: Place) -> None:
        info = place.api(rest.replace("COMMIT", place.commit)).json()
        names = {file["rfilename"] for file in info["siblings"]}
        assert (info["id"], info["sha"], names) == (place.repo, place.commit, set(FILES))

    @pytest.mark.parametrize(
        "flags", ("recursive=true&expand=false", "recursive=True&expand=False")
    )
    def test_tree_has_every_file_with_its_hashes(self, flags: str, place: Place) -> None:
        entries = place.api(f"/tree/{place.commit}?{flags}").json()
        listed = {entry["path"]: entry for entry in entries if entry["type"] == "file"}
        assert set(listed) == set(FILES)
        for path, data in FILES.items():
            content = make_content(path, data)
            assert (listed[path]["oid"], listed[path]["size"]) == (content.oid, content.size)
            assert ("lfs" in listed[path]) == content.lfs

    def test_tree_tells_the_sha256_of_large_files(self, place: Place) -> None:
        (entry,) = [e for e in place.api("/tree/main").json() if e["path"] == WEIGHTS]
        content = make_content(WEIGHTS, FILES[WEIGHTS])
        told = (entry["lfs"]["oid"], entry["lfs"]["size"], entry["lfs"]["pointerSize"])
        assert told == (content.sha256, SIZE, len(content.pointer))

    def test_tree_of_a_folder_is_that_level(self, place: Place) -> None:
        entries = place.api("/tree/main/sub?recursive=false").json()
        assert {e["path"] for e in entries} == {path for path in FILES if path.startswith("sub/")}

    def test_top_level_names_folders(self, place: Place) -> None:
        entries = place.api("/tree/main?recursive=false").json()
        folders = [entry["path"] for entry in entries if entry["type"] == "directory"]
        assert folders == ["sub"]

    def test_pages_lead_on_at_the_agent(self, place: Place) -> None:
        """The hub links to itself; a client that followed that would leave the agent."""
        target, seen = api_path(place.repo, "/tree/main?recursive=true&limit=3"), []
        for _ in range(len(FILES) + 1):
            reply = ask(place.agent.endpoint, "GET", target)
            seen += [entry["path"] for entry in reply.json() if entry["type"] == "file"]
            link = reply.headers.get("link", "").partition(">")[0].lstrip("<")
            if not link:
                break
            assert link.startswith((f"{place.agent.endpoint_url}/", "/"))
            target = link.removeprefix(place.agent.endpoint_url)
        assert sorted(seen) == sorted(FILES)

    @pytest.mark.parametrize("form", ("json", "form"))
    def test_paths_info_describes_what_is_asked_for(self, form: str, place: Place) -> None:
        reply = ask_paths_info(place, [WEIGHTS, "sub", "none", ODD_NAMES[0]], form)
        paths = sorted(entry["path"] for entry in reply.json())
        assert paths == sorted([WEIGHTS, "sub", ODD_NAMES[0]])

    def test_paths_info_tells_the_last_commit(self, place: Place) -> None:
        """JavaScript names its snapshot folder by it."""
        (entry,) = ask_paths_info(place, [CONFIG], "json").json()
        assert entry["lastCommit"]["id"] == place.commit

    def test_refs_name_the_commit_of_main(self, place: Place) -> None:
        (main,) = [b for b in place.api("/refs").json()["branches"] if b["name"] == "main"]
        assert main["targetCommit"] == place.commit


@pytest.mark.quick
class TestPassedThrough:
    """What is the hub's business goes there and comes back as it was."""

    def test_whoami(self, agent: Agent) -> None:
        reply = ask(agent.endpoint, "GET", "/api/whoami-v2", bearer(WRITER))
        assert (reply.status, reply.json()["name"]) == (200, "tester")

    def test_whoami_without_a_token(self, agent: Agent) -> None:
        assert ask(agent.endpoint, "GET", "/api/whoami-v2").status == 401

    def test_telemetry(self, agent: Agent) -> None:
        assert ask(agent.endpoint, "HEAD", "/api/telemetry/transformers").status == 200

    def test_agent_harnesses(self, agent: Agent) -> None:
        """Every start of Python with huggingface_hub waits for this one, up to 3 s."""
        assert ask(agent.endpoint, "GET", "/api/agent-harnesses", timeout_s=3).status in (200, 404)

    def test_xet_token_is_not_given(self, xet_place: Place) -> None:
        assert xet_place.api(f"/xet-read-token/{xet_place.commit}").status == 404

    @pytest.mark.parametrize("chunked", (False, True), ids=("with length", "in chunks"))
    @pytest.mark.parametrize("method", ("POST", "PUT"))
    def test_upload_arrives_byte_by_byte(
        self, method: str, chunked: bool, agent: Agent, standing_hub: Hub
    ) -> None:
        place = new_place(agent, standing_hub)
        commit = {"key": "header", "value": {"summary": "größer"}}
        body = json.dumps(commit).encode() if method == "POST" else bytes(range(256)) * 8192
        rest = "/commit/main" if method == "POST" else "/anything/at/all"
        target = api_path(place.repo, f"{rest}?create_pr=1&x=%2F")
        headers = {"Content-Type": "application/x-ndjson", **bearer(WRITER)}
        sent = iter([body[:100], body[100:]]) if chunked else body

        reply = ask(agent.endpoint, method, target, headers, sent)

        assert reply.status == 200, reply.body
        upload = standing_hub.uploads[-1]
        assert (upload.method, f"{upload.path}?{upload.query}") == (method, target)
        assert upload.body == body
        assert upload.headers["content-type"] == "application/x-ndjson"

    def test_refused_upload_is_refused_as_the_hub_does(
        self, agent: Agent, standing_hub: Hub
    ) -> None:
        place = new_place(agent, standing_hub)
        target = api_path(place.repo, "/commit/main")
        assert ask(agent.endpoint, "POST", target, body=b"{}").status == 401

    def test_commit_is_seen_at_once(self, agent: Agent, standing_hub: Hub) -> None:
        place = new_place(agent, standing_hub)
        assert place.file("new.txt").status == 404
        line = {
            "key": "file",
            "value": {"path": "new.txt", "content": "bmV3", "encoding": "base64"},
        }
        target = api_path(place.repo, "/commit/main")
        body = json.dumps(line).encode()
        ask(agent.endpoint, "POST", target, bearer(WRITER), body)
        assert place.file("new.txt").body == b"new"


class TestConnections:
    """Rules 7, 7b and 22: there is always an answer, in time, and the connection stays."""

    def test_many_requests_on_one_connection(self, place: Place) -> None:
        host, _, port = place.agent.endpoint.rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=30)
        try:
            for path in (CONFIG, "none.txt", WEIGHTS, EMPTY) * 5:
                for method in ("HEAD", "GET"):
                    reply = ask_on(connection, method, file_path(place.repo, path))
                    assert reply.headers.get("connection", "").lower() != "close", path
                    assert reply.status == (404 if path == "none.txt" else 200)
        finally:
            connection.close()

    def test_two_requests_sent_at_once_are_both_answered(self, place: Place) -> None:
        line = f"GET {file_path(place.repo, CONFIG)} HTTP/1.1\r\nHost: x\r\n"
        with connect(place.agent) as link:
            link.sendall(f"{line}\r\n{line}Connection: close\r\n\r\n".encode())
            assert read_to_end(link).count(FILES[CONFIG]) == 2

    @pytest.mark.parametrize("method", ("HEAD", "GET"))
    def test_slow_hub_is_answered_for_in_time(
        self, method: str, agent: Agent, standing_hub: Hub
    ) -> None:
        place = new_place(agent, standing_hub)
        standing_hub.fault("latency", seconds=FIRST_BYTE_S + 2)
        began = time.monotonic()
        try:
            status = ask_status(agent, method, file_path(place.repo, WEIGHTS), FIRST_BYTE_S + 5)
        finally:
            standing_hub.clear_fault()
        assert time.monotonic() - began < FIRST_BYTE_S
        assert status != 404, "what is not known is not missing"

    def test_header_that_is_too_large_is_refused_with_an_answer(self, agent: Agent) -> None:
        reply = ask(agent.endpoint, "GET", "/api/whoami-v2", {"X-Large": "x" * (1 << 20)})
        assert reply.status in (400, 413, 431)

    def test_address_that_is_too_long_is_refused_with_an_answer(self, agent: Agent) -> None:
        assert ask(agent.endpoint, "GET", f"/{'x' * (1 << 20)}").status in (400, 404, 413, 414, 431)

    @pytest.mark.parametrize("name", NONSENSE)
    def test_nonsense_is_refused_and_ends(self, name: str, agent: Agent) -> None:
        with connect(agent) as link:
            link.sendall(NONSENSE[name])
            link.shutdown(socket.SHUT_WR)
            answer = read_to_end(link)
        assert not answer or answer.split()[1][:1] in (b"4", b"5"), answer[:200]
        assert_serves(agent)

    def test_half_a_header_does_not_hold_the_others_up(self, place: Place) -> None:
        halves = [connect(place.agent) for _ in range(100)]
        try:
            for link in halves:
                link.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Half: ")
            assert place.file(CONFIG).status == 200
        finally:
            for link in halves:
                link.close()

    def test_idle_connections_do_not_hold_the_others_up(self, place: Place) -> None:
        """Two thousand, as a node full of workers keeps them."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = min(4096, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
        idle = []
        try:
            idle = [connect(place.agent) for _ in range(2000)]
            assert place.file(WEIGHTS).body == FILES[WEIGHTS]
        finally:
            for link in idle:
                link.close()
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert_serves(place.agent)

    def test_client_that_goes_away_in_the_body_harms_nobody(self, place: Place) -> None:
        for _ in range(20):
            with connect(place.agent) as link:
                target = file_path(place.repo, WEIGHTS)
                link.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                link.recv(100)
        assert place.file(WEIGHTS).body == FILES[WEIGHTS]

    def test_stopped_agent_refuses_connections(self, standing_hub: Hub) -> None:
        """Refused is what clients fall back to their cache for; closed without an answer is not."""
        with Cluster(1, hub_url=standing_hub.url) as (agent,):
            assert_serves(agent)
            agent.stop()
            with pytest.raises(ConnectionRefusedError):
                connect(agent)


def ask_status(agent: Agent, method: str, target: str, timeout_s: float) -> int:
    """The status alone: a body may come later."""
    host, _, port = agent.endpoint.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=timeout_s)
    try:
        connection.request(method, target)
        return connection.getresponse().status
    finally:
        connection.close()


def read_to_end(link: socket.socket) -> bytes:
    """Until the other side closes; a time-out fails the test."""
    received = b""
    try:
        while data := link.recv(1 << 16):
            received += data
    except ConnectionResetError:
        pass
    return received


def assert_serves(agent: Agent) -> None:
    assert ask(agent.endpoint, "GET", "/api/whoami-v2", bearer(WRITER)).status == 200
    agent.assert_sane()


class TestOwnPages:
    def test_status_is_told_under_a_loopback_name(self, agent: Agent) -> None:
        reply = ask(agent.endpoint, "GET", "/roost/v1/status", {"Host": "localhost:8377"})
        assert (reply.status, reply.json()["schema"]) == (200, "roost.status.1")

    @pytest.mark.parametrize("path", ("/", "/roost/v1/status", "/readyz"))
    def test_other_names_are_told_nothing(self, path: str, agent: Agent) -> None:
        """A page in a browser may have its own name pointed at this node."""
        assert ask(agent.endpoint, "GET", path, {"Host": "rebound.example:8377"}).status == 403

    def test_env_names_the_endpoint(self, agent: Agent) -> None:
        assert f"HF_ENDPOINT='{agent.endpoint_url}'" in agent.roost("env").stdout
