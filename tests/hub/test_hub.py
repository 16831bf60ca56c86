"""The hub of the tests is itself tested: its HTTP by hand, then with the real clients.

python3 -m unittest tests.hub.test_hub
"""

from __future__ import annotations

import hashlib
import http.client
import json
import socket
import ssl
import tempfile
import time
import unittest
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit
from urllib.request import urlopen

from tests.clients.run import client_environment, run_cli, run_code
from tests.hub import Hub
from tests.hub.content import git_blob_sha1
from tests.hub.tls import make_certificates

CONFIG = b'{"model_type": "bert"}\n'
WEIGHTS = hashlib.sha256(b"weights").digest() * 4096  # 128 KiB
FILES = {
    "config.json": CONFIG,
    "model.safetensors": WEIGHTS,
    "sub/extra file.txt": b"extra\n",
    "empty.txt": b"",
}


def ask(
    url: str, method: str = "GET", body: Any = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """One request on a connection of its own, without following redirects."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            body, named["Content-Type"] = json.dumps(body), "application/json"
        connection.request(
            method, parts.path + (f"?{parts.query}" if parts.query else ""), body, named
        )
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def ask_json(url: str, **rest: Any) -> Any:
    return json.loads(ask(url, **rest)[2])


class HubTest(unittest.TestCase):
    def setUp(self) -> None:
        self.hub = Hub(
            tokens={"hf_member": ["org/private", "org/gated"], "hf_stranger": []}
        ).start()
        self.addCleanup(self.hub.stop)
        self.commit = self.hub.add_repo("org/tiny", files=FILES)
        self.resolve = f"{self.hub.url}/org/tiny/resolve"

    def signed_url(self, path: str = "model.safetensors") -> str:
        return ask(f"{self.resolve}/main/{path}")[1]["location"]


class Listings(HubTest):
    def test_revision_names_commit_and_files(self) -> None:
        info = ask_json(f"{self.hub.url}/api/models/org/tiny/revision/main")
        self.assertEqual(info["sha"], self.commit)
        self.assertEqual({s["rfilename"] for s in info["siblings"]}, set(FILES))
        self.assertIs(info["private"], False)

    def test_every_name_of_a_commit_leads_to_it(self) -> None:
        self.hub.tag("org/tiny", "v1", self.commit)
        for name in ("main", "v1", self.commit, self.commit[:8]):
            self.assertEqual(
                ask_json(f"{self.hub.url}/api/models/org/tiny/revision/{name}")["sha"], self.commit
            )

    def test_pull_request_refs_are_found_quoted_and_plain(self) -> None:
        pull = self.hub.commit("org/tiny", {"config.json": b"{}"}, branch="refs/pr/1")
        for name in ("refs%2Fpr%2F1", "refs/pr/1"):
            self.assertEqual(
                ask_json(f"{self.hub.url}/api/models/org/tiny/revision/{name}")["sha"], pull
            )

    def test_tree_has_git_and_lfs_hashes(self) -> None:
        entries = {
            e["path"]: e
            for e in ask_json(f"{self.hub.url}/api/models/org/tiny/tree/main?recursive=True")
        }
        self.assertEqual(entries["config.json"]["oid"], git_blob_sha1(CONFIG))
        self.assertNotIn("lfs", entries["config.json"])
        lfs = entries["model.safetensors"]["lfs"]
        self.assertEqual(
            (lfs["oid"], lfs["size"]), (hashlib.sha256(WEIGHTS).hexdigest(), len(WEIGHTS))
        )
        self.assertEqual(entries["sub"]["type"], "directory")

    def test_tree_of_a_folder_lists_only_that_level(self) -> None:
        entries = ask_json(f"{self.hub.url}/api/models/org/tiny/tree/main?recursive=false")
        self.assertNotIn("sub/extra file.txt", [e["path"] for e in entries])
        entries = ask_json(f"{self.hub.url}/api/models/org/tiny/tree/main/sub")
        self.assertEqual([e["path"] for e in entries], ["sub/extra file.txt"])

    def test_tree_pages_are_linked(self) -> None:
        self.hub.page_size = 2
        url, paths = f"{self.hub.url}/api/models/org/tiny/tree/main?recursive=true", []
        while url:
            _, headers, body = ask(url)
            paths += [e["path"] for e in json.loads(body)]
            url = headers.get("link", "").partition(">")[0].lstrip("<")
        self.assertEqual(sorted(paths), sorted([*FILES, "sub"]))

    def test_missing_folder_is_entry_not_found(self) -> None:
        status, headers, _ = ask(f"{self.hub.url}/api/models/org/tiny/tree/main/none")
        self.assertEqual((status, headers["x-error-code"]), (404, "EntryNotFound"))

    def test_paths_info_describes_files_and_folders(self) -> None:
        url = f"{self.hub.url}/api/models/org/tiny/paths-info/main"
        entries = ask_json(
            url, method="POST", body={"paths": ["config.json", "sub", "none"], "expand": True}
        )
        self.assertEqual([e["path"] for e in entries], ["config.json", "sub"])
        self.assertEqual(entries[0]["lastCommit"]["id"], self.commit)

    def test_refs_list_branches_and_tags(self) -> None:
        self.hub.tag("org/tiny", "v1", self.commit)
        refs = ask_json(f"{self.hub.url}/api/models/org/tiny/refs")
        self.assertEqual(
            [(b["name"], b["targetCommit"]) for b in refs["branches"]], [("main", self.commit)]
        )
        self.assertEqual([t["name"] for t in refs["tags"]], ["v1"])

    def test_datasets_have_a_place_of_their_own(self) -> None:
        self.hub.add_repo("org/tiny", type="dataset", files={"a.csv": b"a\n1\n"})
        self.assertEqual(ask(f"{self.hub.url}/datasets/org/tiny/resolve/main/a.csv")[0], 307)
        self.assertEqual(ask(f"{self.resolve}/main/a.csv")[0], 404)

    def test_places_that_clients_probe(self) -> None:
        self.assertEqual(ask_json(f"{self.hub.url}/api/agent-harnesses")["harnesses"], {})
        self.assertEqual(ask(f"{self.hub.url}/api/telemetry/hub", method="HEAD")[0], 200)
        self.assertEqual(
            ask(f"{self.hub.url}/api/whoami-v2", Authorization="Bearer hf_member")[0], 200
        )
        self.assertEqual(ask(f"{self.hub.url}/api/whoami-v2")[0], 401)


class Files(HubTest):
    def test_git_file_is_redirected_relatively_and_served_with_its_git_hash(self) -> None:
        status, headers, _ = ask(f"{self.resolve}/main/config.json", method="HEAD")
        self.assertEqual((status, headers["x-repo-commit"]), (307, self.commit))
        self.assertTrue(headers["location"].startswith("/api/resolve-cache/models/org/tiny/"))
        status, headers, body = ask(self.hub.url + headers["location"].partition("?")[0])
        self.assertEqual((status, body), (200, CONFIG))
        self.assertEqual(headers["etag"], f'"{git_blob_sha1(CONFIG)}"')

    def test_lfs_file_is_redirected_to_a_signed_url_that_tells_nothing(self) -> None:
        status, headers, _ = ask(f"{self.resolve}/main/model.safetensors", method="HEAD")
        self.assertEqual((status, headers["x-linked-size"]), (302, str(len(WEIGHTS))))
        self.assertEqual(headers["x-linked-etag"], f'"{hashlib.sha256(WEIGHTS).hexdigest()}"')
        self.assertTrue(headers["location"].startswith(self.hub.cdn_url))
        status, headers, body = ask(headers["location"])
        self.assertEqual((status, body), (200, WEIGHTS))
        self.assertNotIn("x-repo-commit", headers)
        self.assertNotIn(hashlib.sha256(WEIGHTS).hexdigest(), headers["etag"])

    def test_signed_url_is_refused_when_changed_or_expired(self) -> None:
        url = self.signed_url()
        self.assertEqual(ask(url.replace("Signature=", "Signature=0"))[0], 403)
        self.hub.expire_urls()
        self.assertEqual(ask(url)[0], 403)
        self.assertEqual(ask(self.signed_url())[0], 200)

    def test_ranges(self) -> None:
        url, size = self.signed_url(), len(WEIGHTS)
        for wanted, start, end in (
            ("0-0", 0, 0),
            ("10-19", 10, 19),
            ("100-", 100, size - 1),
            ("-5", size - 5, size - 1),
        ):
            status, headers, body = ask(url, Range=f"bytes={wanted}")
            self.assertEqual((status, body), (206, WEIGHTS[start : end + 1]))
            self.assertEqual(headers["content-range"], f"bytes {start}-{end}/{size}")
        status, headers, _ = ask(url, Range=f"bytes={size}-")
        self.assertEqual((status, headers["content-range"]), (416, f"bytes */{size}"))

    def test_missing_things_are_told_apart(self) -> None:
        status, headers, _ = ask(f"{self.resolve}/main/none.txt")
        found = (status, headers["x-error-code"], headers["x-repo-commit"])
        self.assertEqual(found, (404, "EntryNotFound", self.commit))
        self.assertEqual(
            ask(f"{self.resolve}/none/config.json")[1]["x-error-code"], "RevisionNotFound"
        )
        status, headers, _ = ask(f"{self.hub.url}/org/none/resolve/main/config.json")
        self.assertEqual((status, headers["x-error-code"]), (401, "RepoNotFound"))

    def test_renamed_repo_redirects_to_its_new_name(self) -> None:
        self.hub.repos.rename("model", "org/tiny", "org/big")
        status, headers, _ = ask(f"{self.resolve}/main/config.json")
        self.assertEqual((status, headers["location"]), (307, "/org/big/resolve/main/config.json"))

    def test_second_commit_keeps_the_first(self) -> None:
        second = self.hub.commit("org/tiny", {"config.json": b"{}"}, delete=["empty.txt"])
        self.assertNotEqual(second, self.commit)
        self.assertEqual(ask(f"{self.resolve}/main/empty.txt")[0], 404)
        self.assertEqual(ask(f"{self.resolve}/{self.commit}/empty.txt")[0], 307)

    def test_empty_file_has_no_first_byte(self) -> None:
        url = self.hub.url + ask(f"{self.resolve}/main/empty.txt")[1]["location"]
        status, headers, _ = ask(url, Range="bytes=0-0")
        self.assertEqual((status, headers["content-range"]), (416, "bytes */0"))
        self.assertEqual(ask(url)[0], 200)

    def test_names_with_spaces_and_unicode(self) -> None:
        name = "sub/größe 1+2 #3?.txt"
        self.hub.commit("org/tiny", {name: b"odd\n"})
        place = f"{self.resolve}/main/{quote(name)}"
        self.assertEqual(ask(self.hub.url + ask(place)[1]["location"])[2], b"odd\n")
        entries = ask_json(f"{self.hub.url}/api/models/org/tiny/tree/main/sub")
        self.assertIn(name, [entry["path"] for entry in entries])


class XetTraces(HubTest):
    """Of one repo; the others have none."""

    def setUp(self) -> None:
        super().setUp()
        self.hub.add_repo("org/xet", files=FILES, xet=True)

    def test_resolve_tells_hash_and_where_to_ask(self) -> None:
        headers = ask(f"{self.hub.url}/org/xet/resolve/main/model.safetensors", method="HEAD")[1]
        self.assertRegex(headers["x-xet-hash"], "^[0-9a-f]{64}$")
        self.assertNotEqual(headers["x-xet-hash"], hashlib.sha256(WEIGHTS).hexdigest())
        self.assertIn('rel="xet-auth"', headers["link"])

    def test_listings_tell_the_hash(self) -> None:
        tree = ask_json(f"{self.hub.url}/api/models/org/xet/tree/main")
        told = {entry["path"] for entry in tree if "xetHash" in entry}
        self.assertEqual(told, {"model.safetensors"})

    def test_who_asks_for_xet_gets_its_description(self) -> None:
        accept = "application/vnd.xet-fileinfo+json, */*"
        url = f"{self.hub.url}/org/xet/resolve/main/model.safetensors"
        status, headers, _ = ask(url, Accept=accept)
        self.assertEqual((status, headers["content-type"]), (200, accept.partition(",")[0]))

    def test_read_token_names_a_store(self) -> None:
        told = ask_json(f"{self.hub.url}/api/models/org/xet/xet-read-token/main")
        self.assertEqual(set(told), {"casUrl", "exp", "accessToken"})

    def test_other_repos_have_no_trace(self) -> None:
        headers = ask(f"{self.resolve}/main/model.safetensors", method="HEAD")[1]
        self.assertFalse([name for name in headers if "xet" in name or name == "link"])
        url = f"{self.hub.url}/api/models/org/tiny/xet-read-token/main"
        self.assertEqual(ask(url)[0], 404)


class Sent(HubTest):
    """What clients send is kept as it came."""

    COMMIT = "/api/models/org/tiny/commit/main"

    def test_body_is_recorded_byte_by_byte(self) -> None:
        url, body = f"{self.hub.url}/api/some/place?x=1", bytes(range(256)) * 100
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
        self.addCleanup(connection.close)
        chunks = (body[n : n + 1000] for n in range(0, len(body), 1000))
        headers = {"Authorization": "Bearer hf_member", "X-Mine": "yes"}
        connection.request("PUT", f"{parts.path}?{parts.query}", chunks, headers)
        self.assertEqual(connection.getresponse().status, 200)
        (upload,) = self.hub.uploads
        self.assertEqual((upload.method, upload.query, upload.body), ("PUT", "x=1", body))
        self.assertEqual(upload.headers["x-mine"], "yes")

    def test_nobody_writes_without_a_known_token(self) -> None:
        for headers in ({}, {"Authorization": "Bearer hf_nobody"}):
            answer = ask(self.hub.url + self.COMMIT, "POST", body={}, **headers)
            self.assertEqual(answer[0], 401)
        self.assertEqual(self.hub.uploads, [])


    def test_early_answer_comes_before_the_body(self) -> None:
        self.hub.fault("early", method="PUT", status=413)
        with socket.create_connection(("127.0.0.1", urlsplit(self.hub.url).port), 10) as link:
            link.sendall(b"PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
            self.assertIn(b" 413 ", link.recv(1000).splitlines()[0])
        self.assertEqual(self.hub.uploads, [])

    def test_who_asks_first_is_told_to_go_on(self) -> None:
        with socket.create_connection(("127.0.0.1", urlsplit(self.hub.url).port), 10) as link:
            link.sendall(b"PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n")
            link.sendall(b"Authorization: Bearer hf_member\r\nExpect: 100-continue\r\n\r\n")
            self.assertEqual(link.recv(1000), b"HTTP/1.1 100 Continue\r\n\r\n")
            link.sendall(b"ab")
            self.assertIn(b" 200 ", link.recv(1000).splitlines()[0])
        self.assertEqual(self.hub.uploads[0].body, b"ab")


class Mirror(unittest.TestCase):
    """A hub under a prefix, by TLS."""

    def test_everything_lies_under_the_prefix(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            made = make_certificates(Path(folder))
            trust = ssl.create_default_context(cafile=str(made.ca_file))
            with Hub(tls=made.context, prefix="/hf", cdn_host="localhost") as hub:
                hub.add_repo("org/tiny", files=FILES)
                for path in ("config.json", "model.safetensors"):  # redirects of both kinds
                    url = f"{hub.url}/org/tiny/resolve/main/{path}"
                    with urlopen(url, context=trust, timeout=10) as answer:
                        self.assertEqual(answer.read(), FILES[path])
                elsewhere = hub.url.replace("/hf", "/org/tiny/resolve/main/config.json")
                with self.assertRaises(HTTPError):
                    urlopen(elsewhere, context=trust, timeout=10)


class AccessRules(HubTest):
    def setUp(self) -> None:
        super().setUp()
        self.hub.add_repo("org/private", files=FILES, private=True)
        self.hub.add_repo("org/gated", files=FILES, gated=True)

    def code(self, repo: str, token: str | None) -> tuple[int, str | None]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        status, answered, _ = ask(f"{self.hub.url}/{repo}/resolve/main/config.json", **headers)
        return status, answered.get("x-error-code")

    def test_private_repo_looks_missing_to_others(self) -> None:
        self.assertEqual(self.code("org/private", None), (401, "RepoNotFound"))
        self.assertEqual(self.code("org/private", "hf_stranger"), (404, "RepoNotFound"))
        self.assertEqual(self.code("org/private", "hf_member"), (307, None))

    def test_gated_repo_shows_its_list_but_not_its_files(self) -> None:
        self.assertEqual(ask(f"{self.hub.url}/api/models/org/gated")[0], 200)
        self.assertEqual(self.code("org/gated", None), (401, "GatedRepo"))
        self.assertEqual(self.code("org/gated", "hf_stranger"), (403, "GatedRepo"))
        self.assertEqual(self.code("org/gated", "hf_member"), (307, None))

    def test_token_at_the_cdn_is_a_leak_and_no_token_is_logged(self) -> None:
        ask(self.signed_url())
        self.assertEqual(self.hub.ledger.leaks, [])
        ask(self.signed_url(), Authorization="Bearer hf_member")
        self.assertEqual(len(self.hub.ledger.leaks), 1)
        self.assertNotIn("hf_member", json.dumps(self.hub.requests))


class Counting(HubTest):
    def test_egress_counts_what_was_sent_of_each_file(self) -> None:
        ask(self.signed_url())
        ask(self.signed_url(), Range="bytes=0-99")
        self.assertEqual(self.hub.egress_of("org/tiny", "model.safetensors"), len(WEIGHTS) + 100)
        self.assertEqual(ask_json(f"{self.hub.url}/_stats")["egress_bytes"], self.hub.egress_bytes)

    def test_an_interrupted_body_counts_only_its_part(self) -> None:
        self.hub.fault("reset", origin="cdn", after_bytes=1000)
        with self.assertRaises((OSError, http.client.HTTPException)):
            ask(self.signed_url())
        self.assertEqual(self.hub.egress_bytes, 1000)

    def test_log_is_json_lines(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder, "log")
            with Hub(log=log) as hub:
                hub.add_repo("org/tiny", files=FILES)
                ask(f"{hub.url}/api/models/org/tiny")
            line = json.loads(log.read_text())
        self.assertEqual(
            (line["path"], line["status"], line["origin"]), ("/api/models/org/tiny", 200, "hub")
        )

    def test_rate_holds_a_connection_back(self) -> None:
        self.hub.rate = 10 * len(WEIGHTS)
        began = time.monotonic()
        ask(self.signed_url())
        self.assertGreater(time.monotonic() - began, 0.08)


class Misbehaviour(HubTest):
    def test_status_fault_hits_as_often_as_told(self) -> None:
        self.hub.fault(
            "status", status=429, headers={"Retry-After": "1"}, path="/resolve/", times=2
        )
        codes = [ask(f"{self.resolve}/main/config.json")[0] for _ in range(3)]
        self.assertEqual(codes, [429, 429, 307])

    def test_close_fault_gives_no_answer(self) -> None:
        self.hub.fault("close", times=1)
        with self.assertRaises(http.client.RemoteDisconnected):
            ask(f"{self.resolve}/main/config.json")

    def test_refused_port_opens_again_as_the_same_port(self) -> None:
        url, fault = self.hub.url, self.hub.fault("refuse", origin="hub")
        with self.assertRaises(ConnectionRefusedError):
            ask(f"{url}/api/models/org/tiny")
        self.hub.clear_fault(fault)
        self.assertEqual(self.hub.url, url)
        self.assertEqual(ask(f"{url}/api/models/org/tiny")[0], 200)

    def test_no_range_sends_everything(self) -> None:
        self.hub.fault("no_range")
        self.assertEqual(ask(self.signed_url(), Range="bytes=0-0")[0], 200)

    def test_weak_etag(self) -> None:
        self.hub.fault("weak_etag")
        etag = ask(f"{self.resolve}/main/config.json")[1]["x-linked-etag"]
        self.assertEqual(etag, f'W/"{git_blob_sha1(CONFIG)}"')

    def test_etag_that_is_no_hash(self) -> None:
        self.hub.fault("odd_etag")
        etag = ask(f"{self.resolve}/main/config.json")[1]["x-linked-etag"]
        self.assertEqual(etag, '"version-7.gz"')

    def test_ratelimit_tells_how_long_to_wait(self) -> None:
        self.hub.fault("ratelimit", seconds=3, times=1)
        status, headers, _ = ask(f"{self.hub.url}/api/models/org/tiny")
        self.assertEqual((status, headers["ratelimit"]), (429, '"api";r=0;t=3'))
        self.assertEqual(ask(f"{self.hub.url}/api/models/org/tiny")[0], 200)

    def test_abort_resets_without_an_answer(self) -> None:
        self.hub.fault("abort", times=1)
        with self.assertRaises(ConnectionResetError):
            ask(f"{self.resolve}/main/config.json")

    def test_cut_ends_the_body_early_and_in_good_order(self) -> None:
        self.hub.fault("cut", origin="cdn", after_bytes=1000, times=1)
        with self.assertRaises(http.client.IncompleteRead) as caught:
            ask(self.signed_url())
        self.assertEqual(caught.exception.partial, WEIGHTS[:1000])
        self.assertEqual(ask(self.signed_url())[2], WEIGHTS)

    def test_body_fault_waits_for_a_body_that_reaches_it(self) -> None:
        self.hub.fault("cut", origin="cdn", after_bytes=1000, times=1)
        self.assertEqual(ask(self.signed_url(), Range="bytes=0-0")[0], 206)
        with self.assertRaises(http.client.IncompleteRead):
            ask(self.signed_url())

    def test_corrupt_flips_one_bit_wherever_the_range_begins(self) -> None:
        self.hub.fault("corrupt", path="model.safetensors", at=100)
        for wanted, byte in (("bytes=0-", 100), ("bytes=90-", 10)):
            body = ask(self.signed_url(), Range=wanted)[2]
            good = WEIGHTS[100 - byte :]
            self.assertEqual([i for i, (a, b) in enumerate(zip(body, good)) if a != b], [byte])

    def test_stall_goes_on_when_cleared(self) -> None:
        fault = self.hub.fault("stall", after_bytes=1000)
        parts = urlsplit(self.signed_url())
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
        self.addCleanup(connection.close)
        connection.request("GET", f"{parts.path}?{parts.query}")
        answer = connection.getresponse()
        self.assertEqual(answer.read(1000), WEIGHTS[:1000])
        self.hub.clear_fault(fault)
        self.assertEqual(answer.read(), WEIGHTS[1000:])

    def test_control_by_http(self) -> None:
        control = f"{self.hub.cdn_url}/_control"
        fault = ask_json(
            control,
            method="POST",
            body={"fault": {"kind": "status", "status": 503, "origin": "hub"}},
        )
        self.assertEqual(ask(f"{self.hub.url}/api/models/org/tiny")[0], 503)
        ask(control, method="POST", body={"clear": fault["id"], "rate": 1000})
        self.assertEqual(ask(f"{self.hub.url}/api/models/org/tiny")[0], 200)
        self.assertEqual(self.hub.rate, 1000)
        self.assertEqual(ask(control, method="POST", body={"fault": {"kind": "nonsense"}})[0], 400)
        self.assertEqual(ask(control, method="POST", body={"nonsense": 1})[0], 400)


class RealClients(HubTest):
    """Both versions of huggingface_hub take this hub for the real one."""

    VERSIONS = ("hub2", "hub036")

    def home(self) -> Path:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return Path(folder.name)

    def test_snapshot_is_downloaded_once_and_loads_offline(self) -> None:
        code = "from huggingface_hub import snapshot_download as s; print(s('org/tiny'))"
        for version in self.VERSIONS:
            with self.subTest(version):
                self.hub.reset_stats()
                home = self.home()
                online = run_code(version, code, client_environment(home, self.hub.url))
                self.assertEqual(online.returncode, 0, online.stderr)
                snapshot = Path(online.stdout.strip())
                self.assertEqual({p: (snapshot / p).read_bytes() for p in FILES}, FILES)
                self.assertEqual(self.hub.egress_bytes, sum(map(len, FILES.values())))
                offline = run_code(version, code, client_environment(home))
                self.assertEqual(offline.stdout.strip(), str(snapshot), offline.stderr)

    def test_errors_are_the_clients_own(self) -> None:
        self.hub.add_repo("org/gated", files=FILES, gated=True)
        for version, missing in (
            ("hub2", "RemoteEntryNotFoundError"),
            ("hub036", "EntryNotFoundError"),
        ):
            for arguments, error in (
                ("'org/tiny', 'none.txt'", missing),
                ("'org/tiny', 'config.json', revision='none'", "RevisionNotFoundError"),
                ("'org/none', 'config.json'", "RepositoryNotFoundError"),
                ("'org/gated', 'config.json'", "GatedRepoError"),
            ):
                with self.subTest(f"{version} {error}"):
                    code = f"from huggingface_hub import hf_hub_download as d; d({arguments})"
                    done = run_code(version, code, client_environment(self.home(), self.hub.url))
                    self.assertIn(error, done.stderr)

    def test_token_opens_and_does_not_leak(self) -> None:
        self.hub.add_repo("org/private", files=FILES, private=True)
        for version in self.VERSIONS:
            with self.subTest(version):
                env = client_environment(self.home(), self.hub.url, HF_TOKEN="hf_member")
                done = run_cli(version, "download", "org/private", env=env)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertEqual(self.hub.ledger.leaks, [])

    def test_uploaded_files_are_the_next_commit(self) -> None:
        for version in self.VERSIONS:
            with self.subTest(version):
                code = (
                    "from huggingface_hub import HfApi\n"
                    "for name in ('note.txt', 'more.safetensors'):\n"
                    f"    data = b'{version}' * 50\n"
                    "    place = dict(path_in_repo=name, repo_id='org/tiny')\n"
                    "    HfApi().upload_file(path_or_fileobj=data, **place)\n"
                )
                env = client_environment(self.home(), self.hub.url, HF_TOKEN="hf_member")
                done = run_code(version, code, env)
                self.assertEqual(done.returncode, 0, done.stderr)
                note = ask(f"{self.resolve}/main/note.txt")[1]["location"]
                self.assertEqual(ask(self.hub.url + note)[2], version.encode() * 50)
                self.assertEqual(ask(self.signed_url("more.safetensors"))[2], version.encode() * 50)

    def test_cache_verify_agrees(self) -> None:
        env = client_environment(self.home(), self.hub.url)
        self.assertEqual(run_cli("hub2", "download", "org/tiny", env=env).returncode, 0)
        done = run_cli("hub2", "cache", "verify", "org/tiny", env=env)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
