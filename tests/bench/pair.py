"""Roost on loopback: a holder that stays, and a new receiver for each transfer."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

from tests.bench.repos import Repo, job_seconds
from tests.bench.usage import usage_of
from tests.cluster.agent import Agent
from tests.cluster.harness import make_key
from tests.cluster.waiting import wait_until

_SEEN_S, _CHECKED_S, _TRANSFER_S = 60, 600, 600


@dataclass(frozen=True)
class Received:
    """Seconds: of the job as its document says (order to done), until the last blob had its final
    name, and of the whole command. CPU seconds of both ends; the receiver's most memory, in
    bytes."""

    job: float
    there: float
    command: float
    holder_cpu: float
    receiver_cpu: float
    receiver_peak: int


class Pair:
    def __init__(self, folder: Path, repo: Repo, keyed: bool, link_only: bool = True) -> None:
        self.folder, self.repo, self._count = folder, repo, 0
        self._link_only = link_only
        folder.mkdir()
        self._key = make_key(folder / "key") if keyed else None
        self.holder = self._agent("a", "a")
        repo.show_in(self.holder.hub_cache)
        self.holder.start()
        try:
            self.holder.wait_ready()
            wait_until(self._hashed, _CHECKED_S, "the holder has hashed all files")
        except BaseException:
            self.stop()
            raise

    def receive(self) -> Received:
        self._count += 1
        receiver = self._agent("b", f"b{self._count}", join=[self.holder.listen])
        try:
            return self._into(receiver)
        finally:
            if receiver.running:
                receiver.kill9()
            shutil.rmtree(receiver.folder)

    def _agent(self, name: str, folder: str, join: Sequence[str] = ()) -> Agent:
        place = self.folder / folder
        return Agent(name, place, join=join, key_file=self._key, link_only=self._link_only)

    def stop(self) -> None:
        if self.holder.running:
            self.holder.kill9()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _hashed(self) -> bool:
        node = self.holder.nodes()["a"]
        blobs = len(set(self.repo.digests.values()))
        return bool(node["check_bytes_left"] == 0 and node["blobs"] == blobs)

    def _into(self, receiver: Agent) -> Received:
        receiver.start().wait_ready()
        files = len(self.repo.sizes)
        wait_until(
            lambda: receiver.files_at("a", self.repo.name) == files,
            _SEEN_S,
            "the receiver knows all files",
        )
        assert self.holder.process and receiver.process
        pids = self.holder.process.pid, receiver.process.pid
        before = [usage_of(pid) for pid in pids]
        began, began_at = time.monotonic(), time.time()
        job = receiver.roost_json(
            *("warm", self.repo.name, "--nodes", "b", "--from", "cluster"), timeout_s=_TRANSFER_S
        )
        command = time.monotonic() - began
        assert job["state"] == "done", job
        after = [usage_of(pid) for pid in pids]
        return Received(
            job_seconds(job),
            self.repo.arrived(receiver.hub_cache) - began_at,
            command,
            after[0].cpu - before[0].cpu,
            after[1].cpu - before[1].cpu,
            after[1].peak,
        )
