"""Every way in which a real client loads something, as values: tests go through `LOADS` and treat
all clients alike."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Collection

from tests.clients import repos
from tests.clients.drive import OFFLINE_CLIENTS, Outcome, drive
from tests.hub import Hub

MODEL, CSV, PARQUET = "org/model", "org/csv", "org/parquet"


@dataclass(frozen=True)
class Load:
    client: str
    action: str
    repo: str = MODEL
    files: Collection[str] = ()  # what it reads; none: everything the repo has
    rows: bool = False  # it tells the rows of a dataset
    keeps: bool = True  # it has a cache, in which it finds again what it read
    offline: bool = True  # it loads from its cache without an endpoint

    def __str__(self) -> str:
        repo = "" if self.repo == MODEL else f"-{self.repo.partition('/')[2]}"
        return f"{self.client}-{self.action}{repo}"

    @property
    def type(self) -> str:
        return "model" if self.repo == MODEL else "dataset"

    def run(self, home: Path, endpoint: str | None, **more: Any) -> Outcome:
        """`hf download` and snapshots find out by themselves what there is."""
        names = () if self.action in ("cli", "snapshot") and endpoint else self._names()
        if self.action == "cli":
            names = ()
        place = {"home": home, "repo": self.repo, "type": self.type, "files": names}
        return drive(self.client, self.action, endpoint=endpoint, **(place | more))

    def assert_right(self, outcome: Outcome, version: int = 1) -> None:
        """Everything that it reads came, as the hub has it in that version, and nothing else."""
        assert outcome.ok, f"{self}: {outcome.error}: {outcome.text}"
        content = contents(version)[self.repo]
        names = set(self._names())
        if self.keeps or not self.rows:
            right = repos.digests({name: content[name] for name in names})
            assert outcome.files == right, f"{self} got other bytes than the hub has"
        if self.rows:
            assert outcome.more["rows"] == repos.rows(version)

    def _names(self) -> tuple[str, ...]:
        return tuple(self.files or contents(1)[self.repo])


def contents(version: int) -> dict[str, dict[str, bytes]]:
    """The repos at their first commit (1) and after the branch has moved (2)."""
    return {
        MODEL: repos.model(version),
        CSV: repos.csv_dataset(version),
        PARQUET: repos.parquet_dataset(version),
    }


def add_repos(hub: Hub) -> None:
    for repo, files in contents(1).items():
        hub.add_repo(repo, "model" if repo == MODEL else "dataset", files)


def move_branches(hub: Hub) -> None:
    for repo, files in contents(2).items():
        hub.commit(repo, files, "model" if repo == MODEL else "dataset")


def _hub_loads(client: str) -> list[Load]:
    kept = [Load(client, action) for action in ("cli", "snapshot", "file")]
    return [*kept, Load(client, "fs", keeps=False, offline=False)]


def _transformers_loads(client: str) -> list[Load]:
    texts = ("config.json", "tokenizer.json", "tokenizer_config.json")
    return [Load(client, "config", files=texts), Load(client, "weights", files=repos.WEIGHTS)]


def _datasets_loads() -> list[Load]:
    loads = []
    for repo in (CSV, PARQUET):
        loads.append(Load("datasets", "load", repo, rows=True))
        loads.append(Load("datasets", "stream", repo, rows=True, keeps=False, offline=False))
    return loads


LOADS = (
    *_hub_loads("hub2"),
    *_hub_loads("hub1"),
    *_hub_loads("hub036"),
    *_transformers_loads("transformers5"),
    *_transformers_loads("transformers4"),
    *_datasets_loads(),
    Load("js", "snapshot", offline=False),
    Load("js", "file", offline=False),
    Load("rust", "snapshot"),
    Load("rust", "file"),
    Load("rust", "download"),
    Load("curl", "file", keeps=False, offline=False),
)
# One for each client: what a quick round can afford.
QUICK_LOADS = tuple(
    next(load for load in LOADS if load.client == client and load.action != "cli")
    for client in dict.fromkeys(load.client for load in LOADS)
)
assert all(load.client in OFFLINE_CLIENTS for load in LOADS if load.offline)
