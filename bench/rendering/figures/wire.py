"""What delivering one notification puts on the wire: head, framing and payload of each transport, as bars.

Rules: it draws the sums of `clients.explain.exchange`; parts differ by hatching
too, and are named where they stand.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.rendering import arrange
from bench.rendering.figures.style import INK, STYLE, WIDTH
from bench.rendering.looks import PART_COLOURS, look
from clients.explain.exchange import Exchange, Sums
from clients.explain.spans import PARTS
from clients.headers import HEADER_SETS

HATCHES = {"head": "///", "framing": "xxx", "payload": ""}
CAPTION = (
    "Bytes that delivering one notification takes, both ways: the request that asks and the answer that "
    "brings it, or the frame. Without TCP's and IP's own headers."
)


def delivery(found: Mapping[str, Mapping[str, Exchange]]) -> tuple[Figure, str]:
    """A row a transport and header set; `found` maps header sets to transports to exchanges."""
    rows = [
        (kind, name, found[kind][name].sums("deliver"))
        for kind in HEADER_SETS
        if kind in found
        for name in sorted(found[kind], key=arrange.rank)
    ]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 1.1 + 0.55 * len(rows)), layout="constrained")
        panel = figure.subplots()
        for row, (_, _, each) in enumerate(rows):
            _bar(panel, row, each)
        panel.set_yticks(range(len(rows)), [f"{look(name).label}, {kind} headers" for kind, name, _ in rows])
        for tick, (_, name, _) in zip(panel.get_yticklabels(), rows, strict=True):
            tick.set_color(look(name).colour)
            tick.set_fontweight("bold")
        panel.set_ylim(len(rows) - 0.4, -1.0)
        panel.margins(x=0.14)
        panel.set_xlim(left=0)
        panel.set_xlabel("bytes for one delivery")
        panel.grid(axis="y", visible=False)
        _name_parts(panel, rows[0][2])
    return figure, CAPTION


def delivery_bytes(found: Mapping[str, Exchange]) -> dict[str, float]:
    """What each transport takes for one delivery, in bytes, under its name for readers."""
    return {look(name).label: found[name].sums("deliver").whole for name in sorted(found, key=arrange.rank)}


def _bar(panel: Axes, row: int, sums: Sums) -> None:
    left = 0
    for part, count in zip(PARTS, sums, strict=True):
        hatched: Any = {"hatch": HATCHES[part], "edgecolor": "white", "linewidth": 0.4}
        panel.barh(row, count, left=left, height=0.62, color=PART_COLOURS[part], **hatched)
        left += count
    words = f"{sums.whole:,}" + (f", {sums.framing} of them framing" if sums.framing else "")
    panel.annotate(
        words,
        (sums.whole, row),
        xytext=(7, 0),
        textcoords="offset points",
        va="center",
        color=INK,
        fontweight="bold",
    )


def _name_parts(panel: Axes, sums: Sums) -> None:
    """Above the first bar, over their own bytes. Framing is too little to write over: its bar tells it."""
    left = 0
    for part, count in zip(PARTS, sums, strict=True):
        if part != "framing" and count:
            panel.annotate(
                part, (left + count / 2, -0.36), xytext=(0, 3), textcoords="offset points", ha="center",
                color=PART_COLOURS[part], fontweight="bold",
            )  # fmt: skip
        left += count
