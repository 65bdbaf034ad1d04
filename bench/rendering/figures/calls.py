"""How many calls polling makes: requests and empty answers against the notifications due in one interval.

Rules: λT, the notifications published in one poll interval, is all that a short poll's calls depend on; so
cells of every T and every rate lie on the same two curves. A cell stands at the λT that came out, where it
has a prediction (`bench/analysis/theory/curves.py`), else at the one that was asked for.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.evidence.metrics import METRICS
from bench.rendering import arrange
from bench.rendering.arrange import Cell
from bench.rendering.figures.style import (
    FAINT,
    FLAGGED,
    HALO,
    INK,
    LABEL_SIZE,
    PREDICTED,
    flag,
    grid,
    plain_log,
)
from bench.rendering.looks import look

LEAST = 3
"""Values of λT that make a curve worth drawing."""
FILLS = ("#D55E00", "white", "#F3C9A8", "#8A3C00")
"""How the marks of each T are filled, in turn."""


class Panel(NamedTuple):
    """A metric, its axis, its formula, and where along the curve that is written, as a share."""

    metric: str
    label: str
    formula: str
    along: float


PANELS = (
    Panel("requests_per_delivery", "requests for each notification\n(log scale)", r"$1\,/\,\lambda T$", 0.6),
    Panel("empty_response_share", "answers that bring nothing (%)", r"$e^{-\lambda T}$", 0.4),
)


def per_interval(summary: dict[str, Any]) -> tuple[Figure | None, str]:
    """Both panels against λT; None where the run has too few values of it."""
    cells = [
        cell
        for cell in arrange.cells_with(summary, [PANELS[0].metric])
        if cell["transport"] == "short-poll" and arrange.is_ours(cell)
    ]
    asked = {cell["id"]: cell["publish_rate"] * cell["poll_interval_s"] for cell in cells}
    if len({round(value, 9) for value in asked.values()}) < LEAST:
        return None, f"This run has fewer than {LEAST} values of λT, the notifications due in one interval."
    curves = [curve for curve in summary["curves"] if curve["factor"] == "notifications_per_interval"]
    came = {name: at for curve in curves for name, at in zip(curve["cells"], curve["at"], strict=True)}
    figure, axes = grid(2, 4.6)
    flagged = False
    for axis, panel in zip(axes, PANELS, strict=True):
        axis.set_xscale("log")
        percent = 100.0 if METRICS[panel.metric].kind == "share" else 1.0
        flagged |= _points(axis, panel.metric, percent, cells, {**asked, **came})
        drawn = [curve for curve in curves if None not in curve[panel.metric]]
        for curve in drawn:
            y = [value * percent for value in curve[panel.metric]]
            axis.plot(curve["x"], y, color=INK, **PREDICTED)
        if drawn:
            at = int(len(drawn[0]["x"]) * panel.along)
            axis.annotate(
                panel.formula, (drawn[0]["x"][at], drawn[0][panel.metric][at] * percent), xytext=(-12, -14),
                textcoords="offset points", fontsize=17, ha="right", path_effects=HALO,
            )  # fmt: skip
        axis.set_ylabel(panel.label)
        axis.set_xlabel("notifications due in one interval, λT (log scale)")
        plain_log(axis.xaxis)
    axes[0].set_yscale("log")
    plain_log(axes[0].yaxis)
    axes[0].axhline(1, color=FAINT, linewidth=1)
    axes[0].annotate(
        "one for each", (1, 1), xycoords=("axes fraction", "data"), xytext=(0, 4),
        textcoords="offset points", ha="right", color=FAINT, path_effects=HALO,
    )  # fmt: skip
    axes[1].set_ylim(0, 100)
    caption = (
        "Short poll at every rate λ and interval T of this run, at the λT that came out. Dashed: predicted. "
        "Where fewer than one notification is due in an interval, polling asks more often than there is news."
    )
    return figure, caption + (FLAGGED if flagged else "")


def _points(axis: Axes, metric: str, percent: float, cells: list[Cell], at: dict[str, float]) -> bool:
    """Draw the cells with their intervals, the first of each T named; returns whether any is flagged."""
    style = look("short-poll")
    intervals = sorted({cell["poll_interval_s"] for cell in cells})
    flagged = False
    for cell in cells:
        figure, x = cell["metrics"].get(metric), at[cell["id"]]
        if figure is None:
            continue
        y = figure["value"] * percent
        if figure["low"] is not None:
            low, high = figure["low"] * percent, figure["high"] * percent
            axis.vlines(x, low, high, color=style.colour, linewidth=4, alpha=0.5)
        axis.plot(
            x, y, marker=style.marker, color=style.colour, markersize=10, clip_on=False, zorder=3,
            markerfacecolor=FILLS[intervals.index(cell["poll_interval_s"]) % len(FILLS)],
        )  # fmt: skip
        if arrange.figure_mark(metric, cell):
            flag(axis, x, y)
            flagged = True
    if len(intervals) > 1 and metric == PANELS[0].metric:
        for interval in intervals:
            mine = [cell for cell in cells if cell["poll_interval_s"] == interval]
            first = min(mine, key=lambda cell: at[cell["id"]])
            axis.annotate(
                f"T = {interval:g} s", (at[first["id"]], first["metrics"][metric]["value"] * percent),
                xytext=(9, 7), textcoords="offset points", color=style.colour, fontweight="bold",
                fontsize=LABEL_SIZE, path_effects=HALO,
            )  # fmt: skip
    return flagged
