"""Rows on limited links: which scenarios there are, and the tables that they fill."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterator, Sequence

from tests.bench.links import LimitedNetwork, Line
from tests.bench.measure import Figures, size_text
from tests.bench.repos import Repo, make_repo
from tests.bench.rivals import RsyncDaemon
from tests.bench.site import Plan
from tests.bench.spread import Outcome, late_joiners, lost_holder, slow_node, spread
from tests.bench.torrent import TorrentPeer, make_torrent, missing_libtorrent

_PIECE_BYTES = 256 << 10
_TORRENT_PORT = 6881
RSYNC_ONCE = "rsync from the holder alone"

Run = Callable[[Path, Repo, Line], Outcome]


@dataclass(frozen=True)
class Scenario:
    """`row` is what --rows picks it by. `once`: in the first round alone, for it takes long."""

    row: str
    way: str
    run: Run
    once: bool = False


def scenarios(counts: Sequence[int], faults_at: int) -> list[Scenario]:
    """T(n) for all of `counts`; the faults with `faults_at` wanters."""
    n = faults_at
    both = Plan(n, holders=2)

    def ours(plan: Plan) -> Run:
        return lambda folder, repo, line: spread(folder, repo, plan, line)

    made = [Scenario("nodes", f"n={count}", ours(Plan(count))) for count in counts]
    made += [
        Scenario("plain", f"n={n}, plain", ours(Plan(n, keyed=False))),
        Scenario("holders", f"n={n}, two holders", ours(both)),
        Scenario(
            "loss",
            f"n={n}, one of two holders is killed at half",
            lambda folder, repo, line: lost_holder(folder, repo, both, line),
        ),
        Scenario(
            "loss",
            f"n={n}, one of two holders falls silent at half",
            lambda folder, repo, line: lost_holder(folder, repo, both, line, silent=True),
        ),
        Scenario(
            "slow",
            f"n={n}, one of them 10 × slower: the others",
            lambda folder, repo, line: slow_node(folder, repo, Plan(n, slow=True), line),
        ),
        Scenario(
            "late",
            f"n={n}, each 2 s after the one before: from its own order",
            lambda folder, repo, line: late_joiners(folder, repo, Plan(n), line),
        ),
        Scenario("zones", f"n={n}, half of them in another zone", ours(Plan(n, zones=True))),
        *(
            Scenario("swarm", f"n={count}, swarm", ours(Plan(count, swarm=True)))
            for count in sorted({min(counts), n})
        ),
    ]
    if why := missing_libtorrent():
        print(f"libtorrent is left out: {why}", file=sys.stderr)
    else:
        made += [
            Scenario("torrent", f"libtorrent, n={count}", functools.partial(_torrent, count))
            for count in sorted({min(counts), n})
        ]
    alone = functools.partial(_rsync, n)
    made.append(Scenario("alone", f"{RSYNC_ONCE}, n={n}", alone, once=True))
    return made


def network_rows(
    folder: Path, size: int, line: Line, rounds: int, chosen: Sequence[Scenario]
) -> list[Figures]:
    """All scenarios in turn, round by round."""
    links = f"links of {line.bits // 1_000_000} Mbit/s, frames of {line.frame_bytes}"
    title = f"{size_text(size)} to n nodes, {links}"
    job = Figures(f"{title}: the job", "s")
    last = Figures(f"{title}: the last node has it", "s")
    sent = Figures("sent by all holders ÷ size, by their interfaces", "×")
    told = Figures("sent by all holders ÷ size, by their own count", "×")
    crossed = Figures("over the boundary of the zones ÷ size", "×")
    repo = make_repo("bench/file", folder / "source", {"weights.bin": size})
    for number in range(rounds):
        for scenario in chosen:
            if scenario.once and number:
                continue
            outcome = scenario.run(folder / "site", repo, line)
            job.add(scenario.way, number, [outcome.job])
            last.add(scenario.way, number, [outcome.last])
            sent.add(scenario.way, number, [outcome.sent / size])
            if outcome.told:
                told.add(scenario.way, number, [outcome.told / size])
            if outcome.crossed:
                crossed.add(scenario.way, number, [outcome.crossed / size])
            print(
                f"round {number + 1}, {scenario.way}: {outcome.job:.2f} s,"
                f" sent {outcome.sent / size:.2f} ×",
                file=sys.stderr,
                flush=True,
            )
    repo.remove()
    return [table for table in (job, last, sent, told, crossed) if table.samples]


# ---- The rivals on the same links.


@contextmanager
def _network(folder: Path, line: Line) -> Iterator[LimitedNetwork]:
    folder.mkdir()
    try:
        with LimitedNetwork(keyed=True, line=line) as network:
            yield network
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _torrent(count: int, folder: Path, repo: Repo, line: Line) -> Outcome:
    """A seed and `count` peers, who know each other from the start and are told to go at once."""
    peers: dict[str, TorrentPeer] = {}
    with _network(folder, line) as network:
        torrent = folder / "torrent"
        make_torrent(repo.file, torrent, _PIECE_BYTES)
        names = [f"n{number + 1}" for number in range(count)]
        nodes = {name: network.add(name) for name in ("h1", *names)}
        listens = {name: f"{network.address(nodes[name])}:{_TORRENT_PORT}" for name in nodes}
        try:
            for number, (name, node) in enumerate(nodes.items()):
                into = repo.folder if name == "h1" else folder / name
                into.mkdir(exist_ok=True)
                # Each pair has one link: those named later dial those named before.
                known = list(listens.values())[:number]
                way = "seed" if name == "h1" else "get"
                peers[name] = TorrentPeer(
                    way, torrent, into, listens[name], known, prefix=node.prefix
                )
            for peer in peers.values():
                peer.wait_ready()
            before, began = network.sent(nodes["h1"]), time.time()
            for name in names:
                peers[name].go()
            took = {name: peers[name].finished() - began for name in names}
            sent = network.sent(nodes["h1"]) - before
            return Outcome(max(took.values()), took, sent, 0)
        finally:
            for peer in peers.values():
                peer.stop()


def _rsync(count: int, folder: Path, repo: Repo, line: Line) -> Outcome:
    """Every node from the holder, at once."""
    with _network(folder, line) as network:
        nodes = [network.add(f"n{number + 1}") for number in range(count)]
        holder = network.add("h1")
        daemon = RsyncDaemon(
            folder / "rsync", repo.folder, network.address(holder), holder.prefix
        )
        running = []
        try:
            before, began = network.sent(holder), time.time()
            for number, node in enumerate(nodes):
                command = ["rsync", "-W", "--inplace", daemon.url + repo.file.name]
                running.append(
                    subprocess.Popen([*node.prefix, *command, str(folder / f"{number}")])
                )
            took = {}
            for number, process in enumerate(running):
                assert process.wait() == 0, "rsync failed"
                took[f"n{number + 1}"] = time.time() - began
            return Outcome(max(took.values()), took, network.sent(holder) - before, 0)
        finally:
            for process in running:
                process.kill()
                process.wait()
            daemon.stop()
