"""Representations as a program makes and asks for them, without any package between: keys, values,
bundles."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterable, Mapping, Sequence

from tests.cluster.agent import Agent
from tests.cluster.endpoint import Reply, ask

ROOT = "/roost/v1/representations/"


def provenance(text: str = "hello", **more: str | int | float) -> dict[str, Any]:
    return {
        "kind": "embedding",
        "model": "sha256:" + "0" * 64,
        "tokenizer": "none",
        "input": hashlib.sha256(text.encode()).hexdigest(),
        "code": "tests 1",
        "namespace": "tests",
    } | more


def canonical(what: Mapping[str, Any]) -> str:
    return json.dumps(what, sort_keys=True, separators=(",", ":"))


def key_of(what: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical(what).encode()).hexdigest()


def value(data: bytes = b"\0" * 1536, says: Mapping[str, Any] | None = None) -> bytes:
    """A safetensors file of one tensor; `says`: its own provenance."""
    header: dict[str, Any] = {
        "embedding": {"dtype": "U8", "shape": [len(data)], "data_offsets": [0, len(data)]}
    }
    if says is not None:
        header["__metadata__"] = {"roost.provenance": canonical(says)}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def put(
    agent: Agent, what: Mapping[str, Any], body: bytes, key: str | None = None, **headers: str
) -> Reply:
    sent = {"X-Roost-Provenance": canonical(what)} | headers
    return ask(agent.endpoint, "PUT", ROOT + (key or key_of(what)), sent, body)


def get(agent: Agent, key: str, method: str = "GET", **headers: str) -> Reply:
    return ask(agent.endpoint, method, ROOT + key, headers)


def bundle(values: Sequence[tuple[Mapping[str, Any] | None, bytes]]) -> bytes:
    """What `put` takes: (provenance, value); without provenance the value's own counts."""
    entries, offset = [], 0
    for what, body in values:
        entry: dict[str, Any] = {"offset": offset, "size": len(body)}
        if what is not None:
            entry["provenance"] = what
        entries.append(entry)
        offset += len(body)
    header = json.dumps({"entries": entries}).encode()
    return struct.pack("<Q", len(header)) + header + b"".join(body for _, body in values)


@dataclass(frozen=True)
class Bundle:
    values: dict[str, bytes]
    missing: list[str]
    left: list[str]


def get_many(agent: Agent, keys: Iterable[str]) -> Bundle:
    reply = ask(agent.endpoint, "POST", ROOT + "get", body=json.dumps({"keys": list(keys)}).encode())
    assert reply.status == 200, reply
    (length,) = struct.unpack("<Q", reply.body[:8])
    header = json.loads(reply.body[8 : 8 + length])
    data = reply.body[8 + length :]
    return Bundle(
        {e["key"]: data[e["offset"] : e["offset"] + e["size"]] for e in header["entries"]},
        header["missing"],
        header["left"],
    )


def put_many(
    agent: Agent, values: Sequence[tuple[Mapping[str, Any] | None, bytes]]
) -> list[dict[str, Any]]:
    reply = ask(agent.endpoint, "POST", ROOT + "put", body=bundle(values))
    assert reply.status == 200, reply
    results: list[dict[str, Any]] = reply.json()["results"]
    return results


def lease(agent: Agent, keys: Iterable[str], holder: str, **more: Any) -> dict[str, Any]:
    question = {"keys": list(keys), "holder": holder} | more
    reply = ask(agent.endpoint, "POST", ROOT + "lease", body=json.dumps(question).encode())
    assert reply.status == 200, reply
    answer: dict[str, Any] = reply.json()
    return answer


def file_of(agent: Agent, key: str) -> Path:
    """Where the agent keeps what it was given."""
    return agent.state / "representations" / key[:2] / f"{key}.safetensors"
