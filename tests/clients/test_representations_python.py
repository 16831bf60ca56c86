"""The Python package `roost` with the real all-MiniLM-L6-v2 and real agents: computed on A, read on B.

What is compared are bits, and the forward passes that torch itself was asked for."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any, Iterator

import pytest

from tests.clients.run import client_environment
from tests.clients.setup import missing_for, model_folder, python
from tests.cluster.agent import Agent
from tests.cluster.endpoint import ask
from tests.cluster.harness import Cluster
from tests.cluster.waiting import wait_until

DRIVER = Path(__file__).resolve().parent / "drivers/with_roost.py"
CLIENT_S = 1500  # ten thousand sentences on a busy machine
SHOWN_S = 30
SENTENCES = 10_000 if os.environ.get("ROOST_TEST_LONG") else 1_000
_KEPT = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


@pytest.fixture(autouse=True, scope="module")
def can_run() -> None:
    if why := missing_for("representations"):
        pytest.skip(why)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(2, key=True) as cluster:
        yield cluster


def run(agent: Agent, action: str, count: int, model: Path | None = None, **job: Any) -> Any:
    """One program on the agent's node."""
    asked = {"action": action, "count": count, "model": str(model or model_folder()), **job}
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    env = client_environment(agent.home, agent.endpoint_url, HF_HUB_OFFLINE="1", **kept)
    done = subprocess.run(
        [str(python("representations")), "-W", "ignore", str(DRIVER), json.dumps(asked)],
        env=env,
        capture_output=True,
        text=True,
        timeout=CLIENT_S,
        stdin=subprocess.DEVNULL,
        cwd=agent.home,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert "error" not in told, (told, done.stderr[-4000:])
    return told


def wait_shown(agent: Agent, told: Any) -> None:
    """Until the agent knows of what another node has computed."""
    for key in told["keys"]:
        target = f"/roost/v1/representations/{key}"
        wait_until(
            lambda: ask(agent.endpoint, "HEAD", target).status == 200,
            SHOWN_S,
            f"agent {agent.name} knows of representation {key}",
        )


def test_embeddings_of_a_need_no_model_call_on_b(cluster: Cluster) -> None:
    a, b = cluster
    first = run(a, "embeddings", SENTENCES)
    assert (first["rows"], first["stored"]) == (SENTENCES, SENTENCES)
    assert abs(first["norm"] - 1) < 1e-3, "MiniLM's embeddings have length one"
    wait_shown(b, first)

    second = run(b, "embeddings", SENTENCES)

    assert (second["passes"], second["hits"]) == (0, SENTENCES)
    assert second["digest"] == first["digest"] and second["shape"] == [SENTENCES, 384]
    print(f"{SENTENCES} sentences: {first['seconds']:.1f} s, then {second['seconds']:.1f} s")


@pytest.mark.quick
def test_hidden_states_and_attentions_of_a_need_no_forward_pass_on_b(cluster: Cluster) -> None:
    a, b = cluster
    first = run(a, "states", 32)
    assert (first["passes"], first["stored"]) == (4, 4)
    assert (first["hidden_states"], first["attentions"]) == (7, 6)
    wait_shown(b, first)

    second = run(b, "states", 32)

    assert (second["passes"], second["hits"]) == (0, 4)
    assert second["digest"] == first["digest"]


def test_datasets_map_on_b_needs_no_model_call(cluster: Cluster) -> None:
    a, b = cluster
    first = run(a, "mapped", 250)
    wait_shown(b, first)

    second = run(b, "mapped", 250)

    assert (second["passes"], second["hits"]) == (0, 250)
    assert second["digest"] == first["digest"]


@pytest.fixture(scope="module")
def known(cluster: Cluster) -> Any:
    """Embeddings of eight sentences that both nodes know of."""
    a, b = cluster
    told = run(a, "embeddings", 8)
    wait_shown(b, told)
    return told


@pytest.mark.parametrize("change", ["pooling", "dtype", "tokenizer"])
def test_another_computation_is_all_misses(cluster: Cluster, known: Any, change: str) -> None:
    told = run(cluster["b"], "embeddings", 8, change=change)

    assert (told["hits"], told["computed"]) == (0, 8)


def test_another_namespace_is_all_misses(cluster: Cluster, known: Any) -> None:
    told = run(cluster["b"], "embeddings", 8, namespace="shared")

    assert (told["hits"], told["computed"]) == (0, 8)


def test_another_revision_is_all_misses_under_the_same_name(
    cluster: Cluster, known: Any, tmp_path: Path
) -> None:
    """Of 22 million weights one has another value."""
    folder = tmp_path / "all-MiniLM-L6-v2"
    shutil.copytree(model_folder(), folder)
    _change_one_weight(folder / "model.safetensors", "encoder.layer.5.output.dense.bias")

    told = run(cluster["b"], "embeddings", 8, model=folder)

    assert (told["hits"], told["computed"]) == (0, 8)
    assert run(cluster["b"], "embeddings", 8)["hits"] == 8, "the first is there as ever"


def test_a_killed_agent_costs_the_program_nothing_but_the_cache(known: Any) -> None:
    with Cluster(1) as cluster:
        agent = cluster["a"]
        agent.kill9()

        told = run(agent, "embeddings", 8)

    assert (told["hits"], told["computed"], told["stored"]) == (0, 8, 0)
    assert abs(told["norm"] - 1) < 1e-3


def _change_one_weight(file: Path, name: str) -> None:
    with file.open("r+b") as weights:
        (size,) = struct.unpack("<Q", weights.read(8))
        begin, _ = json.loads(weights.read(size))[name]["data_offsets"]
        weights.seek(8 + size + begin)
        (value,) = struct.unpack("<f", weights.read(4))
        weights.seek(8 + size + begin)
        weights.write(struct.pack("<f", value + 0.5))
