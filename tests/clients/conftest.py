"""A hub with the repositories of `loads`, for clients without an agent between."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator

import pytest

from tests.clients.loads import add_repos
from tests.hub import Hub


@pytest.fixture
def hub() -> Iterator[Hub]:
    """Its files come from another host name, as the real ones do: huggingface_hub 1.33 takes
    another port of the same host for the hub itself."""
    with Hub(cdn_host="localhost") as hub:
        add_repos(hub)
        yield hub


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"
