from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "src")]

from fake_agent import FakeAgent  # noqa: E402


@pytest.fixture(autouse=True)
def own_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """No agent of this machine is asked, and no user's settings count."""
    for name in ("HF_ENDPOINT", "ROOST_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ROOST_ENDPOINT", "127.0.0.1:9")


@pytest.fixture
def agents() -> Iterator[Callable[..., FakeAgent]]:
    """Makes agents; at the end none of them has seen the contract broken."""
    made = []

    def make(**settings: Any) -> FakeAgent:
        made.append(FakeAgent(**settings))
        return made[-1]

    yield make
    for agent in made:
        agent.close()
    broken = [what for agent in made for what in agent.broken]
    assert not broken, broken


@pytest.fixture
def agent(agents: Callable[..., FakeAgent]) -> FakeAgent:
    return agents()
