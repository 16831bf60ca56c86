"""Representations between real agents: what is put on one node is there on the others, and nothing
is there that was not put."""

from __future__ import annotations

import hashlib
import json
import os
import random
import struct
import threading
from pathlib import Path
from typing import Any, Callable

import pytest

from tests.cluster.agent import Agent
from tests.cluster.endpoint import ask
from tests.cluster.harness import Cluster
from tests.cluster.representing import (
    ROOT,
    bundle,
    canonical,
    file_of,
    get,
    get_many,
    key_of,
    lease,
    provenance,
    put,
    put_many,
    value,
)
from tests.cluster.waiting import wait_until

SOON_S = 20
MIB = 1 << 20


@pytest.fixture
def one(clusters: Callable[..., Cluster]) -> Agent:
    return clusters(1)["a"]


@pytest.fixture
def pair(clusters: Callable[..., Cluster]) -> tuple[Agent, Agent]:
    cluster = clusters(2)
    return cluster["a"], cluster["b"]


def comes(agent: Agent, key: str) -> Any:
    """Waits until the node has heard of it: adverts take a moment."""

    def look() -> Any:
        reply = get(agent, key)
        return reply if reply.status == 200 else None

    return wait_until(look, SOON_S, f"{key} can be had on {agent.name}")


def conflicts(agent: Agent) -> list[Any]:
    listed: list[Any] = agent.roost_json("ls", "--type", "representation")["conflicts"]
    return listed


def rot(agent: Agent, key: str) -> None:
    """Changes the value's last byte, with nothing to be seen of it."""
    file = file_of(agent, key)
    before = file.stat()
    with file.open("r+b") as changed:
        changed.seek(-1, os.SEEK_END)
        changed.write(b"!")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


# ---- One node


def test_what_was_put_is_got_with_all_that_is_known_of_it(one: Agent) -> None:
    what, body = provenance(), value(b"abc")
    key = key_of(what)
    done = put(one, what, body)
    assert done.status == 201
    assert done.json() == {
        "key": key,
        "sha256": hashlib.sha256(body).hexdigest(),
        "stored": True,
    }
    got = get(one, key)
    assert (got.status, got.body) == (200, body)
    assert got.etag == hashlib.sha256(body).hexdigest()
    assert got.headers["x-roost-provenance"] == canonical(what)
    assert got.headers["x-roost-producer"] == "a"
    assert got.headers["x-roost-created"].endswith("Z")
    head = get(one, key, "HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(body))
    assert get(one, key, **{"If-None-Match": f'"{got.etag}"'}).status == 304
    part = get(one, key, Range="bytes=2-5")
    assert (part.status, part.body) == (206, body[2:6])
    assert get(one, key, Range=f"bytes={len(body)}-").status == 416


def test_the_same_again_is_known(one: Agent) -> None:
    what, body = provenance(), value()
    assert put(one, what, body).status == 201
    again = put(one, what, body)
    assert (again.status, again.json()["stored"]) == (200, True)


def test_another_value_for_a_key_is_not_kept_and_said(one: Agent) -> None:
    what = provenance()
    first, second = value(b"first"), value(b"second")
    put(one, what, first)
    done = put(one, what, second)
    assert (done.status, done.json()["stored"]) == (200, False)
    digests = {"kept": hashlib.sha256(first).hexdigest(), "refused": hashlib.sha256(second).hexdigest()}
    assert done.json()["conflict"] == digests
    assert get(one, key_of(what)).body == first


def test_a_wrong_or_missing_part_is_a_miss(one: Agent) -> None:
    what = provenance(layer=-1, pooling="mean", dtype="float32", scale=0.5)
    put(one, what, value())
    others = [what | {part: "x"} for part in what]
    others += [{k: v for k, v in what.items() if k != part} for part in what]
    others += [what | {"layer": "-1"}, what | {"scale": 0.25}, what | {"more": 1}]
    for other in others:
        reply = get(one, key_of(other))
        assert (reply.status, reply.error_code) == (404, "RepresentationNotFound"), other


def test_a_value_that_says_itself_what_it_is_needs_no_header(one: Agent) -> None:
    what = provenance()
    body = value(b"x", says=what)
    assert ask(one.endpoint, "PUT", ROOT + key_of(what), {}, body).status == 201
    assert get(one, key_of(what)).body == body


def test_keys_are_those_of_pythons_json(one: Agent) -> None:
    tricky = ["é", "😀", "\x7f", "\u2028", "a\"b\\c/d\b\f\n\r\t", "", "￿", "\x01", "ÿ"]
    numbers: list[Any] = [0, -1, 0.1, 1e16, 1e-7, 1.0, 10**25, 2**63, 1.7976931348623157e308]
    chance = random.Random(7)
    for round in range(20):
        more: dict[str, Any] = {}
        for _ in range(8):
            name = "".join(chance.choices(tricky, k=2)) + str(round)
            more[name] = chance.choice(tricky + numbers)
        what = provenance(f"{round}") | more
        # The header as it is, and the same object written otherwise.
        sent = canonical(what) if round % 2 else json.dumps(what, indent=0).replace("\n", " ")
        done = ask(one.endpoint, "PUT", ROOT + key_of(what), {"X-Roost-Provenance": sent}, value())
        assert done.status == 201, (what, done)
        assert get(one, key_of(what)).headers["x-roost-provenance"] == canonical(what)


def test_what_is_no_representation_is_refused(one: Agent) -> None:
    what = provenance()
    good = value()

    def status(body: bytes, key: str | None = None, said: str | None = None) -> int:
        headers = {"X-Roost-Provenance": canonical(what) if said is None else said}
        return ask(one.endpoint, "PUT", ROOT + (key or key_of(what)), headers, body).status

    assert status(good, key="0" * 64) == 400
    assert status(good, key="A" * 64) == 400
    assert status(good, key="../x") == 400
    assert status(b"") == 400
    assert status(b"\x80\x04\x95pickle") == 400
    assert status(good[:-1]) == 400
    assert status(good + b"x") == 400
    assert status(struct.pack("<Q", 1 << 62) + b"{}") == 400
    assert status(good, said="{}") == 400
    assert status(good, said="[") == 400
    assert status(good, said='{"a":' * 5000) == 400
    assert status(value(says=provenance("other"))) == 400
    assert ask(one.endpoint, "PUT", ROOT + key_of(what), {}, good).status == 400
    for part in ("kind", "model", "tokenizer", "input", "code"):
        lacking = {k: v for k, v in what.items() if k != part}
        assert status(good, key_of(lacking), canonical(lacking)) == 400
        empty = what | {part: ""}
        assert status(good, key_of(empty), canonical(empty)) == 400
    odd = what | {"flag": True}
    assert status(good, key_of(odd), canonical(odd)) == 400
    assert ask(one.endpoint, "DELETE", ROOT + key_of(what)).status == 405
    for path, body in [
        ("get", b"{}"),
        ("get", b'{"keys":["x"]}'),
        ("get", b'{"keys":' + b"[" * 100_000),
        ("put", b""),
        ("put", struct.pack("<Q", 1 << 60)),
        ("put", bundle([(what, good)])[:-1]),
        ("lease", b'{"keys":[]}'),
        ("lease", b'{"keys":[],"holder":"x","seconds":-1}'),
    ]:
        assert ask(one.endpoint, "POST", ROOT + path, body=body).status == 400, (path, body[:40])
    overlapping = json.dumps({"entries": [{"offset": 0, "size": len(good)}] * 2}).encode()
    twice = struct.pack("<Q", len(overlapping)) + overlapping + good
    assert ask(one.endpoint, "POST", ROOT + "put", body=twice).status == 400
    assert get(one, key_of(what)).status == 404


def test_pages_of_other_places_get_nothing(one: Agent) -> None:
    what = provenance()
    put(one, what, value())
    assert get(one, key_of(what), Origin="https://example.com").status == 403
    assert get(one, key_of(what), Host="example.com").status == 403
    assert put(one, provenance("x"), value(), Origin="https://example.com").status == 403


def test_a_batch_keeps_what_it_can(one: Agent) -> None:
    first, second, own = provenance("1"), provenance("2"), provenance("3")
    put(one, second, value(b"before"))
    results = put_many(
        one,
        [
            (first, value(b"1")),
            (second, value(b"2")),
            (None, value(b"3", says=own)),
            (None, value(b"4")),
            (provenance("5") | {"kind": "pickle"}, value(b"5")),
            (provenance("6"), b"no tensors"),
            (first, value(b"1")),
            (first, value(b"another")),
        ],
    )
    assert [r.get("stored") for r in results] == [True, False, True, None, None, None, True, False]
    assert [("error" in r) for r in results] == [False] * 3 + [True] * 3 + [False] * 2
    assert results[1]["conflict"]["kept"] == hashlib.sha256(value(b"before")).hexdigest()
    got = get_many(one, [key_of(own), key_of(provenance("5")), key_of(first)])
    assert got.values == {key_of(own): value(b"3", says=own), key_of(first): value(b"1")}
    assert got.missing == [key_of(provenance("5"))]


def test_a_batch_answers_64_mib_and_names_the_rest(one: Agent) -> None:
    whats = [provenance(str(i)) for i in range(3)]
    body = value(os.urandom(30 * MIB))
    for what in whats:
        assert put(one, what, body).status == 201
    got = get_many(one, [key_of(what) for what in whats])
    assert list(got.values) == [key_of(what) for what in whats[:2]]
    assert got.left == [key_of(whats[2])]
    assert got.missing == []


def test_values_survive_a_restart(one: Agent) -> None:
    small, large = provenance("small"), provenance("large")
    bodies = {key_of(small): value(b"s"), key_of(large): value(os.urandom(3 * MIB))}
    put(one, small, bodies[key_of(small)])
    put(one, large, bodies[key_of(large)])
    one.stop()
    one.start().wait_ready()
    for key, body in bodies.items():
        assert get(one, key).body == body
    one.kill9()
    one.start().wait_ready()
    for key, body in bodies.items():
        assert get(one, key).body == body


def test_a_put_that_is_cut_off_leaves_nothing(one: Agent) -> None:
    what = provenance()
    body = value(bytes(64 * MIB))
    host, _, port = one.endpoint.rpartition(":")
    import socket

    with socket.create_connection((host, int(port))) as connection:
        head = (
            f"PUT {ROOT}{key_of(what)} HTTP/1.1\r\nHost: {one.endpoint}\r\n"
            f"X-Roost-Provenance: {canonical(what)}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        connection.sendall(head.encode() + body[: 8 * MIB])
        folder = file_of(one, key_of(what)).parent
        wait_until(lambda: folder.exists() and any(folder.iterdir()), SOON_S, "it is written")
        one.kill9()
    one.start().wait_ready()
    assert get(one, key_of(what)).status == 404
    wait_until(lambda: not any(folder.iterdir()), SOON_S, "nothing is left of it")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(head.encode() + body[: 8 * MIB])
    wait_until(lambda: not any(folder.iterdir()), SOON_S, "nothing is left of it")
    assert get(one, key_of(what)).status == 404


@pytest.mark.parametrize("size", [1000, 3 * MIB], ids=["small", "large"])
def test_a_file_that_somebody_changed_is_not_served(one: Agent, size: int) -> None:
    what = provenance()
    put(one, what, value(bytes(size)))
    file = file_of(one, key_of(what))
    with file.open("r+b") as changed:
        changed.seek(-1, os.SEEK_END)
        changed.write(b"!")
    assert get(one, key_of(what)).status == 404
    assert get_many(one, [key_of(what)]).missing == [key_of(what)]
    # It can be computed and put again.
    assert put(one, what, value(bytes(size))).status == 201


def test_a_small_file_that_rots_unseen_is_not_served(one: Agent) -> None:
    what = provenance()
    put(one, what, value(bytes(1000)))
    rot(one, key_of(what))
    assert get(one, key_of(what)).status == 404


def test_the_quota_is_kept_by_giving_up_what_was_used_longest_ago(
    clusters: Callable[..., Cluster],
) -> None:
    agent = clusters(1, options=("--representations-quota", "1MB"))["a"]
    whats = [provenance(str(i)) for i in range(3)]
    body = value(bytes(400_000))
    for what in whats[:2]:
        put(agent, what, body)
    assert get(agent, key_of(whats[0])).status == 200
    put(agent, whats[2], body)
    assert [get(agent, key_of(what)).status for what in whats] == [200, 404, 200]
    wait_until(lambda: not file_of(agent, key_of(whats[1])).exists(), SOON_S, "its file is gone")
    assert put(agent, provenance("huge"), value(bytes(1_000_001))).status == 413
    (result,) = put_many(agent, [(provenance("huge"), value(bytes(1_000_001)))])
    assert "representations_quota" in result["error"]
    # The order is remembered.
    assert get(agent, key_of(whats[0])).status == 200
    agent.stop()
    agent.start().wait_ready()
    put(agent, whats[1], body)
    assert [get(agent, key_of(what)).status for what in whats] == [200, 200, 404]


def test_ls_counts_by_kind_model_and_namespace_and_evict_gives_up(one: Agent) -> None:
    whats = [provenance(str(i)) for i in range(3)] + [provenance("x", namespace="bob")]
    for what in whats:
        put(one, what, value())
    listed = one.roost_json("ls", "--type", "representation")
    size = len(value())
    assert [
        (g["kind"], g["model"], g["namespace"], g["count"], g["bytes"])
        for g in listed["representations"]
    ] == [
        ("embedding", whats[0]["model"], "bob", 1, size),
        ("embedding", whats[0]["model"], "tests", 3, 3 * size),
    ]
    assert (listed["count"], listed["own_bytes"]) == (4, 4 * size)
    assert "embedding" in one.roost("ls", "--type", "representation").stdout

    done = one.roost_json("evict", "--type", "representation", key_of(whats[0]))
    assert (done["evicted"], done["bytes"]) == (1, size)
    assert get(one, key_of(whats[0])).status == 404
    assert one.roost("evict", "--type", "representation", key_of(whats[0])).returncode == 3
    assert one.roost("evict", "--type", "representation").returncode == 2
    assert one.roost("evict", "--type", "representation", "x").returncode == 2
    done = one.roost_json("evict", "--type", "representation", "--free", f"{size + 1}B")
    assert done["evicted"] == 2
    assert get(one, key_of(whats[3])).status == 200


# ---- Two nodes


def test_what_was_put_on_one_node_is_got_on_another(pair: tuple[Agent, Agent]) -> None:
    a, b = pair
    what, body = provenance(), value(b"abc")
    put(a, what, body)
    got = comes(b, key_of(what))
    assert got.body == body
    assert got.headers["x-roost-provenance"] == canonical(what)
    assert got.headers["x-roost-producer"] == "a"
    assert got.headers["x-roost-created"] == get(a, key_of(what)).headers["x-roost-created"]
    wait_until(file_of(b, key_of(what)).exists, SOON_S, "b keeps it")
    a.stop()
    assert get(b, key_of(what)).body == body


def test_the_head_is_told_without_the_value(pair: tuple[Agent, Agent]) -> None:
    a, b = pair
    what, body = provenance(), value(bytes(3 * MIB))
    put(a, what, body)
    head = wait_until(
        lambda: (r := get(b, key_of(what), "HEAD")).status == 200 and r, SOON_S, "b hears of it"
    )
    assert head.headers["content-length"] == str(len(body))
    assert head.headers["x-roost-provenance"] == canonical(what)
    assert not file_of(b, key_of(what)).exists()


def test_a_large_value_comes_whole_and_in_parts(pair: tuple[Agent, Agent]) -> None:
    a, b = pair
    what, body = provenance(), value(os.urandom(20 * MIB + 7))
    put(a, what, body)
    assert comes(b, key_of(what)).body == body
    assert get(b, key_of(what), Range="bytes=1048570-1048590").body == body[1048570:1048591]


def test_a_batch_comes_from_the_other_node(pair: tuple[Agent, Agent]) -> None:
    a, b = pair
    whats = [provenance(str(i)) for i in range(600)]
    bodies = [value(os.urandom(1536), says=what if i % 2 else None) for i, what in enumerate(whats)]
    results = put_many(a, list(zip(whats, bodies)))
    assert all(result["stored"] for result in results)
    keys = [key_of(what) for what in whats]
    wait_until(lambda: not get_many(b, keys).missing, SOON_S, "b has heard of all")
    got = get_many(b, keys + ["0" * 64])
    assert got.values == dict(zip(keys, bodies))
    assert (got.missing, got.left) == (["0" * 64], [])
    wait_until(lambda: all(file_of(b, key).exists() for key in keys), SOON_S, "b keeps them")
    a.stop()
    assert get_many(b, keys).values == dict(zip(keys, bodies))
    assert get(b, keys[0]).headers["x-roost-provenance"] == canonical(whats[0])


def test_a_large_value_elsewhere_is_left_to_be_asked_alone(pair: tuple[Agent, Agent]) -> None:
    a, b = pair
    small, large = provenance("small"), provenance("large")
    put(a, large, value(bytes(2 * MIB)))
    put(a, small, value())
    keys = [key_of(large), key_of(small)]
    wait_until(lambda: not get_many(b, keys).missing, SOON_S, "b has heard of both")
    assert get_many(b, keys).left == [key_of(large)]


def test_a_restarted_node_has_what_its_peers_hold_at_once(pair: tuple[Agent, Agent]) -> None:
    a, b = pair
    what = provenance()
    b.stop()
    put(a, what, value())
    b.start().wait_ready()
    assert get(b, key_of(what)).status == 200


def test_one_of_two_holders_that_rots_does_not_stop_a_large_value(
    clusters: Callable[..., Cluster],
) -> None:
    a, b, c = clusters(3)
    what, body = provenance(), value(os.urandom(20 * MIB + 7))
    key = key_of(what)
    put(a, what, body)
    assert comes(b, key).body == body
    rot(a, key)
    # As soon as c has heard of b too.
    assert comes(c, key).body == body


def test_warm_brings_what_peers_have(pair: tuple[Agent, Agent]) -> None:
    a, b = pair
    bodies = {key_of(w): value(os.urandom(900)) for w in (provenance(str(i)) for i in range(40))}
    put_many(a, [(provenance(str(i)), body) for i, body in enumerate(bodies.values())])
    large, body = provenance("large"), value(os.urandom(3 * MIB))
    put(a, large, body)
    bodies[key_of(large)] = body
    wait_until(lambda: get(b, key_of(large), "HEAD").status == 200, SOON_S, "b hears of the last")

    some = list(bodies)[:2]
    done = b.roost_json("warm", "--type", "representation", *some)
    assert (done["fetched"], done["left"], done["failed"]) == (2, 0, 0)
    done = b.roost_json("warm", "--type", "representation")
    assert (done["fetched"], done["left"], done["failed"]) == (len(bodies) - 2, 0, 0)
    a.stop()
    assert {key: get(b, key).body for key in bodies} == bodies
    assert b.roost_json("warm", "--type", "representation")["fetched"] == 0
    unknown = b.roost("warm", "--type", "representation", "0" * 64)
    assert unknown.returncode == 10
    assert "1 that no node has" in unknown.stderr


def test_warm_gives_up_nothing_for_what_it_brings(clusters: Callable[..., Cluster]) -> None:
    a, b = clusters(2, options=("--representations-quota", "1MB"))
    own, others = ([provenance(f"{name}{i}") for i in range(2)] for name in "ba")
    body = value(bytes(400_000))
    for agent, whats in ((b, own), (a, others)):
        for what in whats:
            put(agent, what, body)
    wait_until(lambda: get(b, key_of(others[1]), "HEAD").status == 200, SOON_S, "b hears of them")
    done = b.roost("warm", "--type", "representation")
    assert done.returncode == 10
    assert "2 for which representations_quota leaves no room" in done.stderr
    a.stop()
    assert [get(b, key_of(what)).status for what in own + others] == [200, 200, 404, 404]


def test_wrong_bytes_of_a_peer_are_not_taken(pair: tuple[Agent, Agent]) -> None:
    a, b = pair
    for size in (1000, 3 * MIB):
        what = provenance(str(size))
        put(a, what, value(bytes(size)))
        wait_until(lambda: get(b, key_of(what), "HEAD").status == 200, SOON_S, "b hears of it")
        rot(a, key_of(what))
        assert get(b, key_of(what)).status == 404
        assert get_many(b, [key_of(what)]).values == {}
        assert not file_of(b, key_of(what)).exists()


def test_of_two_values_the_older_is_used_by_all_and_the_conflict_is_shown(
    pair: tuple[Agent, Agent],
) -> None:
    a, b = pair
    what = provenance()
    key = key_of(what)
    older, newer = value(b"older"), value(b"newer")
    b.stop()
    put(a, what, older)
    a.stop()
    b.start().wait_ready()
    assert put(b, what, newer).status == 201
    a.start().wait_ready()
    digests = ["sha256:" + hashlib.sha256(body).hexdigest() for body in (older, newer)]
    shown = {"key": key, "used": digests[0], "others": digests[1:]}
    for agent in pair:
        wait_until(lambda: conflicts(agent) == [shown], SOON_S, f"{agent.name} shows the conflict")
        assert "different values were claimed for 1 representation" in agent.roost("status").stdout
    assert get(b, key).body == older
    assert get(a, key).body == older


def test_computing_is_leased_to_one(pair: tuple[Agent, Agent]) -> None:
    a, b = pair
    whats = [provenance(str(i)) for i in range(50)]
    keys = [key_of(what) for what in whats]
    first = lease(a, keys, "one")
    assert sorted(first["granted"]) == sorted(keys)
    assert lease(b, keys, "two")["granted"] == []
    assert sorted(lease(b, keys, "two")["others"]) == sorted(keys)
    assert sorted(lease(b, keys, "one")["granted"]) == sorted(keys)  # renewed, wherever
    lease(a, keys[:10], "two", release=True)  # not its own
    assert lease(b, keys, "two")["granted"] == []
    lease(a, keys[:10], "one", release=True)
    assert sorted(lease(b, keys, "two")["granted"]) == sorted(keys[:10])
    put_many(a, [(what, value()) for what in whats[10:]])
    wait_until(
        lambda: sorted(lease(b, keys, "three")["present"]) == sorted(keys[10:]),
        SOON_S,
        "what was put is present",
    )


def test_a_lease_ends_with_its_time(one: Agent) -> None:
    key = key_of(provenance())
    assert lease(one, [key], "one", seconds=0.5)["granted"] == [key]
    wait_until(lambda: lease(one, [key], "two")["granted"] == [key], SOON_S, "it has ended")


def test_without_the_registrar_everybody_computes(pair: tuple[Agent, Agent]) -> None:
    a, b = pair
    keys = [key_of(provenance(str(i))) for i in range(50)]
    lease(a, keys, "one")
    b.kill9()  # it decided about some of them
    granted = set(lease(a, keys, "two")["granted"])
    assert 0 < len(granted) < len(keys)
    assert granted == set(lease(a, keys, "two")["granted"])


# ---- Watched folders


def test_a_file_that_a_program_writes_is_shared(clusters: Callable[..., Cluster], tmp_path: Path) -> None:
    folder = tmp_path / "vectors"
    folder.mkdir()
    cluster = clusters(2)
    a, b = cluster["a"], cluster["b"]
    a.stop()
    a.options = ("--root", f"{folder}:representations")
    before = provenance("before")
    (folder / "before.safetensors").write_bytes(value(b"before", says=before))
    a.start().wait_ready()
    assert comes(b, key_of(before)).body == value(b"before", says=before)

    later = provenance("later")
    body = value(b"later", says=later)
    (folder / "deep").mkdir()
    temporary = folder / "deep/.vectors.tmp"
    temporary.write_bytes(body)
    temporary.rename(folder / "deep/vectors.safetensors")
    got = comes(b, key_of(later))
    assert (got.body, got.headers["x-roost-producer"]) == (body, "a")
    large = provenance("large")
    (folder / "large.safetensors").write_bytes(value(os.urandom(2 * MIB), says=large))
    comes(b, key_of(large))
    a.stop()
    a.start().wait_ready()
    assert get(a, key_of(later)).body == body


def test_what_a_program_deletes_is_not_there_any_more(
    clusters: Callable[..., Cluster], tmp_path: Path
) -> None:
    agent = clusters(1, options=("--root", f"{tmp_path}:representations"))["a"]
    what = provenance()
    file = tmp_path / "x.safetensors"
    file.write_bytes(value(says=what))
    comes(agent, key_of(what))
    file.unlink()
    wait_until(lambda: get(agent, key_of(what)).status == 404, SOON_S, "it is gone")
    assert not file_of(agent, key_of(what)).exists()


def test_files_that_cannot_be_used_are_told(
    clusters: Callable[..., Cluster], tmp_path: Path
) -> None:
    (tmp_path / "silent.safetensors").write_bytes(value())
    (tmp_path / "broken.safetensors").write_bytes(b"\x80pickle")
    (tmp_path / "notes.txt").write_bytes(b"")
    for file in tmp_path.iterdir():
        os.utime(file, (1, 1))
    agent = clusters(1, options=("--root", f"{tmp_path}:representations"))["a"]

    def told() -> bool:
        texts = " ".join(p["what"] for p in agent.roost_json("status")["problems"])
        return "silent.safetensors" in texts and "broken.safetensors" in texts

    wait_until(told, SOON_S, "status names them")


def test_a_file_that_is_written_slowly_is_shared_when_it_is_whole(
    clusters: Callable[..., Cluster], tmp_path: Path
) -> None:
    agent = clusters(1, options=("--root", f"{tmp_path}:representations"))["a"]
    what = provenance()
    body = value(bytes(100_000), says=what)
    with (tmp_path / "slow.safetensors").open("wb") as file:
        file.write(body[:50_000])
        file.flush()
        other = provenance("other")
        (tmp_path / "other.safetensors").write_bytes(value(says=other))
        comes(agent, key_of(other))  # the folder was looked at meanwhile
        assert get(agent, key_of(what)).status == 404
        file.write(body[50_000:])
    assert comes(agent, key_of(what)).body == body


def test_many_at_once_put_and_get(pair: tuple[Agent, Agent]) -> None:
    a, b = pair
    failures: list[str] = []

    def work(agent: Agent, number: int) -> None:
        try:
            whats = [provenance(f"{number}-{i}") for i in range(100)]
            put_many(agent, [(what, value(bytes([number]) * 100)) for what in whats])
            got = get_many(agent, [key_of(what) for what in whats])
            assert len(got.values) == 100, got.missing
        except AssertionError as failure:
            failures.append(str(failure))

    threads = [threading.Thread(target=work, args=((a, b)[i % 2], i)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
