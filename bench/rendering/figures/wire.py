"""What delivering one notification puts on the wire: head, framing and payload of each transport, as bars.

Rules: it draws the sums of `clients.explain.exchange` and counts nothing itself; parts differ by hatching
too, and are named where they stand.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.rendering.figures.style import INK, STYLE, WIDTH
from bench.rendering.looks import PART_COLOURS, look
from clients.explain.exchange import Exchange
from clients.explain.spans import PARTS

HATCHES = {"head": "///", "framing": "xxx", "payload": ""}
CAPTION = (
    "Bytes that delivering one notification takes, both ways: the request that asks and the answer that "
    "brings it, or the frame. Without TCP's and IP's own headers."
)


def delivery(found: Mapping[str, Mapping[str, Exchange]]) -> tuple[Figure, str]:
    """A row a transport and header set; `found` maps header sets to transports to exchanges."""
    rows = [(kind, name, each) for kind, mine in found.items() for name, each in mine.items()]
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
    return {look(name).label: sum(_parts(each).values()) for name, each in found.items()}


def _parts(found: Exchange) -> dict[str, int]:
    return {part: sum(side[part] for side in found.totals("deliver").values()) for part in PARTS}


def _bar(panel: Axes, row: int, found: Exchange) -> None:
    left = 0
    for part, count in _parts(found).items():
        hatched: Any = {"hatch": HATCHES[part], "edgecolor": "white", "linewidth": 0.4}
        panel.barh(row, count, left=left, height=0.62, color=PART_COLOURS[part], **hatched)
        left += count
    framing = _parts(found)["framing"]
    words = f"{left:,}" + (f", {framing} of them framing" if framing else "")
    panel.annotate(
        words,
        (left, row),
        xytext=(7, 0),
        textcoords="offset points",
        va="center",
        color=INK,
        fontweight="bold",
    )


def _name_parts(panel: Axes, found: Exchange) -> None:
    """Above the first bar, over their own bytes. Framing is too little to write over: its bar tells it."""
    left = 0
    for part, count in _parts(found).items():
        if part != "framing" and count:
            panel.annotate(
                part, (left + count / 2, -0.36), xytext=(0, 3), textcoords="offset points", ha="center",
                color=PART_COLOURS[part], fontweight="bold",
            )  # fmt: skip
        left += count
