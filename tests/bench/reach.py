"""What must be reached: ratios within one run, beside their bounds. Nothing fails by them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Iterator, Sequence

from tests.bench.measure import Figures


@dataclass(frozen=True)
class Reach:
    """The median of `way` ÷ that of `over`: the smaller, of several; 1 without any. `table` is how
    the table's name ends or begins."""

    text: str
    table: str
    way: str
    over: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    then: float | None = None


_COPY = r"1 → 1, .* loopback"
_JOB = r".*: the job"
_LAST = r".*: the last node has it"
_SENT = r"sent by all holders ÷ size, by their interfaces"

REACHES = (
    *(
        reach
        for mode in ("plain", "key")
        for reach in (
            Reach(
                f"1 → 1, {mode} ÷ rsync then openssl dgst, the same work",
                _COPY,
                f"roost, {mode}",
                ("rsync, openssl dgst",),
                least=1.5,
                then=2.0,
            ),
            Reach(
                f"1 → 1, {mode} ÷ rsync alone, which verifies nothing",
                _COPY,
                f"roost, {mode}",
                ("rsync",),
                least=0.95,
                then=1.3,
            ),
        )
    ),
    Reach(
        "1 → 1, plain ÷ SHA-256 on one core",
        _COPY,
        "roost, plain",
        ("SHA-256, one core",),
        least=0.8,
        then=0.95,
    ),
    Reach(
        "1 → 1, key ÷ the slower of plain and AES-128-GCM on one core",
        _COPY,
        "roost, key",
        ("roost, plain", "AES-128-GCM, one core"),
        least=0.8,
    ),
    Reach("T(8) ÷ T(1), the job", _JOB, "n=8", ("n=1",), most=1.25, then=1.1),
    Reach("T(8) ÷ T(1), the last node has it", _LAST, "n=8", ("n=1",), most=1.25, then=1.1),
    Reach("T(16) ÷ T(1), the job", _JOB, "n=16", ("n=1",)),
    Reach("holder sent ÷ size, n=8", _SENT, "n=8", most=1.1, then=1.02),
    Reach("two holders sent ÷ size, n=8", _SENT, "n=8, two holders", most=1.1, then=1.02),
    Reach(
        "the others beside a slow node ÷ without it",
        _LAST,
        "n=8, one of them 10 × slower: the others",
        ("n=8",),
        most=1.1,
    ),
    Reach(
        "one of two holders is killed ÷ undisturbed",
        _JOB,
        "n=8, one of two holders is killed at half",
        ("n=8, two holders",),
    ),
    Reach(
        "one of two holders falls silent ÷ undisturbed",
        _JOB,
        "n=8, one of two holders falls silent at half",
        ("n=8, two holders",),
    ),
    Reach(
        "over the boundary ÷ size: one copy",
        r"over the boundary .*",
        "n=8, half of them in another zone",
        most=1.1,
    ),
    Reach("T(8) ÷ T(1), swarm", _JOB, "n=8, swarm", ("n=1, swarm",), most=1.5, then=1.2),
    Reach("holder sent ÷ size, n=8, swarm", _SENT, "n=8, swarm", most=1.1, then=1.02),
    Reach("T(8) ÷ libtorrent's", _JOB, "n=8", ("libtorrent, n=8",)),
    Reach(
        "the receiver's memory, 8 GiB ÷ 256 MiB",
        "the receiver's most memory.*",
        "8 GiB, key",
        ("256 MiB, key",),
        most=1.1,
    ),
)


def lines(tables: Sequence[Figures]) -> Iterator[str]:
    """One for each reach whose rows were measured."""
    for reach in REACHES:
        table = next((one for one in tables if re.fullmatch(reach.table, one.name)), None)
        if table is None or not {reach.way, *reach.over} <= set(table.samples):
            continue
        over = min(table.median(way) for way in reach.over) if reach.over else 1.0
        value = table.median(reach.way) / over
        yield f"  {reach.text:62} {value:6.2f}  {_judged(reach, value)}".rstrip()


def _judged(reach: Reach, value: float) -> str:
    def within(bound: float) -> bool:
        return value >= bound if reach.least is not None else value <= bound

    bound = reach.least if reach.least is not None else reach.most
    if bound is None:
        return ""
    sign = "≥" if reach.least is not None else "≤"
    said = f"{sign} {bound:g} {'reached' if within(bound) else 'NOT reached'}"
    if reach.then is not None:
        said += f"; then {sign} {reach.then:g} {'reached' if within(reach.then) else 'not yet'}"
    return said
