"""Tables as one SVG: a panel of bars each; a line goes from the least to the greatest."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Iterator, Sequence

from tests.bench.measure import Figures

_WIDTH, _LABELS, _VALUES, _MARGIN = 960, 380, 90, 16
_BAR, _STEP, _TITLE = 14, 20, 40
_OURS, _OTHERS, _SPREAD, _TEXT = "#c2410c", "#64748b", "#0f172a", "#1e293b"


def write_svg(path: Path, tables: Sequence[Figures], header: str) -> None:
    body = [f'<text x="{_MARGIN}" y="24" font-weight="bold">{escape(header)}</text>']
    top = 40
    for table in tables:
        body += _panel(table, top)
        top += _TITLE + _STEP * len(table.samples)
    size = f'width="{_WIDTH}" height="{top + _MARGIN}"'
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12"'
        f' fill="{_TEXT}">\n<rect {size} fill="white"/>\n' + "\n".join(body) + "\n</svg>\n"
    )


def _panel(table: Figures, top: int) -> Iterator[str]:
    yield (
        f'<text x="{_MARGIN}" y="{top + 24}" font-weight="bold">'
        f"{escape(table.name)}, {escape(table.unit)}</text>"
    )
    most = max(max(table.of_rounds(way)) for way in table.samples)
    scale = (_WIDTH - _LABELS - _VALUES - _MARGIN) / most if most > 0 else 0.0
    for number, way in enumerate(table.samples):
        y = top + _TITLE - 6 + number * _STEP
        rounds, median = table.of_rounds(way), table.median(way)
        middle = y + _BAR / 2
        least, greatest = (_LABELS + value * scale for value in (min(rounds), max(rounds)))
        yield f'<text x="{_LABELS - 8}" y="{y + 11}" text-anchor="end">{escape(way)}</text>'
        yield (
            f'<rect x="{_LABELS}" y="{y}" width="{median * scale:.1f}" height="{_BAR}"'
            f' fill="{_OURS if _is_ours(way) else _OTHERS}"/>'
        )
        yield (
            f'<line x1="{least:.1f}" x2="{greatest:.1f}" y1="{middle}" y2="{middle}"'
            f' stroke="{_SPREAD}" stroke-width="2"/>'
        )
        yield f'<text x="{greatest + 6:.1f}" y="{y + 11}">{median:,.4g}</text>'


def _is_ours(way: str) -> bool:
    others = ("iperf3", "cp", "rsync", "nginx", "libtorrent", "SHA-256", "AES-128", "olah", "hub")
    return not way.startswith(others)
