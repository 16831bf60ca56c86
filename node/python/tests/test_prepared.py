"""Datasets that other nodes have prepared: what is ordered, and what it costs if nobody is there."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Callable, List

import pytest
from fake_agent import FakeAgent

from roost import bring_prepared

BUDGET_S = 2.0
SLACK_S = 3.0  # of a busy machine

Program = Callable[..., str]


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    return tmp_path / "orders"


@pytest.fixture
def program(tmp_path: Path, orders: Path) -> Program:
    """Makes a `roost` that writes down what it is called with."""

    def make(then: str = "exit 0") -> str:
        path = tmp_path / "roost"
        path.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {orders}\n{then}\n')
        path.chmod(0o755)
        return str(path)

    return make


@pytest.fixture
def here(agent: FakeAgent, monkeypatch: pytest.MonkeyPatch) -> FakeAgent:
    """The agent of this node."""
    monkeypatch.setenv("ROOST_ENDPOINT", f"127.0.0.1:{agent.port}")
    monkeypatch.setattr("roost.cache._agents", {})
    return agent


def ordered(orders: Path) -> List[str]:
    return orders.read_text().split() if orders.exists() else []


def test_all_of_a_dataset_is_ordered(here: FakeAgent, program: Program, orders: Path) -> None:
    assert bring_prepared("org/rows", program=program())

    assert ordered(orders)[:4] == ["warm", "org/rows", "--type", "dataset-cache"]
    assert "self" in ordered(orders) and "--revision" not in ordered(orders)


def test_or_one_config_of_it(here: FakeAgent, program: Program, orders: Path) -> None:
    assert bring_prepared("org/rows", "de", program=program())

    assert ordered(orders)[-2:] == ["--revision", "de"]


def test_what_nobody_has_is_no_error(here: FakeAgent, program: Program) -> None:
    assert not bring_prepared("org/rows", program=program("exit 3"))


def test_without_the_program_nothing_is_brought(here: FakeAgent) -> None:
    assert not bring_prepared("org/rows", program="/nowhere/roost")


def test_it_is_not_waited_for_longer_than_told(here: FakeAgent, program: Program) -> None:
    begun = time.monotonic()

    assert not bring_prepared("org/rows", program=program("exec sleep 60"), timeout_s=0.5)

    assert time.monotonic() - begun < 30


@pytest.mark.parametrize(
    ("path", "name"),
    [("./rows", None), ("/data/rows", None), ("--nodes=all", None), ("a/b/c", None), ("", None),
     ("org/rows", "--help"), ("org/rows", "a/b"), ("org/rows\n", None)],
)  # fmt: skip
def test_nothing_but_names_gets_to_the_command_line(
    here: FakeAgent, program: Program, orders: Path, path: str, name: str
) -> None:
    assert not bring_prepared(path, name, program=program())
    assert ordered(orders) == []


def test_an_agent_that_is_away_costs_two_seconds_once(
    monkeypatch: pytest.MonkeyPatch, program: Program, orders: Path
) -> None:
    monkeypatch.setattr("roost.cache._agents", {})
    with socket.socket() as silent:  # accepts, and says nothing
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("ROOST_ENDPOINT", f"127.0.0.1:{silent.getsockname()[1]}")
        begun = time.monotonic()

        assert not bring_prepared("org/rows", program=program())
        assert not bring_prepared("org/rows", program=program())

        assert time.monotonic() - begun < BUDGET_S + SLACK_S
    assert ordered(orders) == []
