"""What the benchmarks share: sizes, files of random bytes, samples by way and round, and how they
are printed."""

from __future__ import annotations

import csv
import hashlib
import math
import os
import statistics
from dataclasses import dataclass, field
from pathlib import Path

UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
CHUNK = 8 << 20


def size_of(text: str) -> int:
    """The type of an option: BYTES, …MiB, …GiB."""
    for unit, factor in UNITS.items():
        if text.endswith(unit):
            return int(float(text.removesuffix(unit)) * factor)
    return int(text)


def size_text(size: int) -> str:
    """The same, to be read."""
    for unit, factor in reversed(UNITS.items()):
        if size >= factor:
            return f"{size / factor:.4g} {unit}"
    return f"{size} B"


def make_file(path: Path, size: int) -> str:
    """Random bytes; returns their SHA-256."""
    digest = hashlib.sha256()
    with path.open("wb") as out:
        for offset in range(0, size, CHUNK):
            piece = os.urandom(min(CHUNK, size - offset))
            digest.update(piece)
            out.write(piece)
    return digest.hexdigest()


def use_memory(folder: Path, size: int) -> None:
    """So that who comes next finds memory that was used before: on a virtual machine the first use
    of a page costs as much as a copy of it."""
    path = folder / "used"
    piece = os.urandom(min(CHUNK, size))
    with path.open("wb") as out:
        for _ in range(0, size, CHUNK):
            out.write(piece)
    path.unlink()


def load_average() -> str:
    return " ".join(f"{value:.2f}" for value in os.getloadavg())


def percentile(values: list[float], percent: float) -> float:
    """The smallest value that so many percent do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


@dataclass
class Figures:
    """Samples of one row of the table: by way, then by round."""

    name: str
    unit: str
    samples: dict[str, dict[int, list[float]]] = field(default_factory=dict)

    def add(self, way: str, number: int, values: list[float]) -> None:
        self.samples.setdefault(way, {}).setdefault(number, []).extend(values)

    def of_rounds(self, way: str, percent: float = 50) -> list[float]:
        """One figure a round."""
        return [percentile(values, percent) for values in self.samples[way].values()]

    def median(self, way: str, percent: float = 50) -> float:
        """Over the rounds, of each round's percentile."""
        return statistics.median(self.of_rounds(way, percent))

    def many(self) -> bool:
        """Whether a round has samples enough for a 99th percentile."""
        return any(len(values) >= 50 for ways in self.samples.values() for values in ways.values())


def print_table(table: Figures, references: tuple[str, ...] = ()) -> None:
    """With the ratio to the first of `references` that is a way of this table."""
    reference = next((way for way in references if way in table.samples), None)
    tail = f" {'p99':>8}" if table.many() else ""
    print(f"\n{table.name}, {table.unit}")
    ratio = f"÷ {reference}" if reference else ""
    print(f"  {'':36} {'median':>8} {'least':>8} {'most':>8}{tail}  {ratio}".rstrip())
    for way in table.samples:
        rounds = table.of_rounds(way)
        values = [table.median(way), min(rounds), max(rounds)]
        line = " ".join(f"{value:8.2f}" for value in values)
        if tail:
            line += f" {table.median(way, 99):8.2f}"
        if reference and way != reference:
            line += f"  {table.median(way) / table.median(reference):.2f}"
        print(f"  {way:36} {line}")


def machine() -> str:
    model = Path("/proc/cpuinfo").read_text().partition("model name")[2].partition("\n")[0]
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / (1 << 20)
    return f"{os.cpu_count()} cores,{model.partition(':')[2]}, {memory:.0f} GiB"


def write_csv(path: Path, tables: list[Figures]) -> None:
    with path.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(("row", "way", "round", "value", "unit"))
        for table in tables:
            for way, rounds in table.samples.items():
                for number, values in rounds.items():
                    for value in values:
                        writer.writerow((table.name, way, number, f"{value:.6g}", table.unit))
