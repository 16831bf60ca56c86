"""Rows on loopback: one large file beside other programs, sizes, memory."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Callable, Protocol

from tests.bench.measure import Figures, size_text, use_memory
from tests.bench.pair import Pair
from tests.bench.repos import Repo, make_repo
from tests.bench.rivals import Copy, FromNginx, Limits, Round, Rsync, Torrent
from tests.bench.torrent import missing_libtorrent
from tests.bench.usage import available_bytes

# How a Pair is made. Only in the last is the common file system made use of.
MODES = {
    "plain": {"keyed": False},
    "key": {"keyed": True},
    "key, copied on one file system": {"keyed": True, "link_only": False},
}
MANY_BYTES = 4 << 10


class _Way(Protocol):
    def round(self) -> Round: ...

    def stop(self) -> None: ...


class _Ours:
    def __init__(self, folder: Path, repo: Repo, mode: str) -> None:
        self.name, self.pair = f"roost, {mode}", Pair(folder, repo, **MODES[mode])

    def round(self) -> Round:
        got = self.pair.receive()
        done = Round()
        done.add(self.name, (got.job, got.receiver_cpu))
        done.seconds[f"{self.name}, whole command"] = got.command
        done.cpu[f"{self.name}, the holder"] = got.holder_cpu
        return done

    def stop(self) -> None:
        self.pair.stop()


def copy_rows(folder: Path, size: int, rounds: int) -> list[Figures]:
    """One file, beside all rivals, in turn."""
    repo = make_repo("bench/file", folder / "source", {"weights.bin": size})
    name = f"1 → 1, {size_text(size)}, loopback"
    speed, cpu = Figures(name, "MB/s"), Figures(f"{name}: the receiver's CPU", "s")
    makers: list[Callable[[], _Way]] = [
        lambda: _Ours(folder / "plain", repo, "plain"),
        lambda: _Ours(folder / "keyed", repo, "key"),
        lambda: _Ours(folder / "near", repo, "key, copied on one file system"),
        lambda: Rsync(folder / "rsync", repo.file),
        lambda: Copy(folder, repo.file),
        lambda: FromNginx(folder / "nginx", repo.file),
        lambda: Limits(size),
    ]
    if why := missing_libtorrent():
        print(f"libtorrent is left out: {why}", file=sys.stderr)
    else:
        makers.append(lambda: Torrent(folder / "torrent", repo.file))
    with ExitStack() as stack:
        ways = []
        for make in makers:
            ways.append(make())
            stack.callback(ways[-1].stop)
        use_memory(folder, size)
        for number in range(rounds):
            for way in ways:
                done = way.round()
                for label, seconds in done.seconds.items():
                    speed.add(label, number, [size / seconds / 1e6])
                for label, seconds in done.cpu.items():
                    cpu.add(label, number, [seconds])
    repo.remove()
    return [speed, cpu]


def size_rows(folder: Path, sizes: list[int], many: int, rounds: int) -> list[Figures]:
    """Repos of one file of each size, and one of `many` small files; a new receiver for each, so that
    its memory is of this transfer alone."""
    time = Figures("1 → 1 by size: the job", "ms")
    speed = Figures("1 → 1 by size", "MB/s")
    peak = Figures("the receiver's most memory, by size", "MB")
    repos = {size_text(size): {"weights.bin": size} for size in sizes}
    small = {f"part-{number:04}.bin": MANY_BYTES for number in range(many)}
    repos[f"{many} × {size_text(MANY_BYTES)}"] = small
    for label, files in repos.items():
        needed = 2 * sum(files.values()) + (1 << 30)
        if available_bytes() < needed:
            print(f"{label} is left out: it needs {size_text(needed)} of memory", file=sys.stderr)
            continue
        repo = make_repo("bench/sizes", folder / "source", files)
        with ExitStack() as stack:
            pairs = {}
            for mode in ("plain", "key"):
                pairs[mode] = Pair(folder / f"sizes-{mode}", repo, **MODES[mode])
                stack.callback(pairs[mode].stop)
            use_memory(folder, repo.size)
            for number in range(rounds):
                for mode, pair in pairs.items():
                    got = pair.receive()
                    time.add(f"{label}, {mode}", number, [got.job * 1000])
                    if repo.size >= 1 << 20:
                        speed.add(f"{label}, {mode}", number, [repo.size / got.job / 1e6])
                    peak.add(f"{label}, {mode}", number, [got.receiver_peak / 1e6])
        repo.remove()
    return [table for table in (time, speed, peak) if table.samples]
