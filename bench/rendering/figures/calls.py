"""How many calls polling makes: requests and empty answers against the notifications due in one interval.

Rules: λT, the notifications published in one poll interval, is all that a short poll's calls depend on; so
cells of every T and every rate lie on the same two curves. A cell stands at the λT that came out, where it
has a prediction (`bench/analysis/theory/curves.py`), else at the one that was asked for.
"""

from __future__ import annotations

from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.analysis.summary import Summary
from bench.evidence.metrics import METRICS
from bench.rendering import arrange, names
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


def per_interval(summary: Summary) -> tuple[Figure | None, str]:
    """Both panels against λT; None if the run has too few values of it."""
    cells = [
        cell
        for cell in arrange.cells_with(summary, [PANELS[0].metric])
        if cell.notifications_per_interval is not None
        and arrange.is_ours(cell)
        and not arrange.is_floor(cell)
    ]
    asked = {cell.id: cell.notifications_per_interval or 0.0 for cell in cells}
    if len({round(value, 9) for value in asked.values()}) < LEAST:
        return None, f"This run has fewer than {LEAST} values of λT, the notifications due in one interval."
    curves = [curve for curve in summary.curves if curve.factor == "notifications_per_interval"]
    came = {name: at for curve in curves for name, at in zip(curve.cells, curve.at, strict=True)}
    figure, axes = grid(2, 4.6)
    flagged = False
    for axis, panel in zip(axes, PANELS, strict=True):
        axis.set_xscale("log")
        percent = 100.0 if METRICS[panel.metric].kind == "share" else 1.0
        flagged |= _points(axis, panel.metric, percent, cells, {**asked, **came})
        drawn = [(curve.x, whole) for curve in curves if (whole := curve.whole(panel.metric))]
        for x, whole in drawn:
            axis.plot(x, [value * percent for value in whole], color=INK, **PREDICTED)
        if drawn:
            x, whole = drawn[0]
            at = int(len(x) * panel.along)
            written = axis.annotate(
                panel.formula, (x[at], whole[at] * percent), xytext=(-12, -14),
                textcoords="offset points", fontsize=17, ha="right", path_effects=HALO,
            )  # fmt: skip
            # A formula of ours; nothing that comes from a run is one.
            written.set_parse_math(True)
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
    intervals = sorted({cell.poll_interval_s for cell in cells})
    flagged = False
    for cell in cells:
        style = look(cell.transport)
        estimate, x = cell.metrics.get(metric), at[cell.id]
        if estimate is None:
            continue
        y = estimate.value * percent
        if estimate.interval is not None:
            low, high = estimate.interval
            axis.vlines(x, low * percent, high * percent, color=style.colour, linewidth=4, alpha=0.5)
        axis.plot(
            x, y, marker=style.marker, color=style.colour, markersize=10, clip_on=False, zorder=3,
            markerfacecolor=FILLS[intervals.index(cell.poll_interval_s) % len(FILLS)],
        )  # fmt: skip
        if names.mark(metric, cell):
            flag(axis, x, y)
            flagged = True
    if len(intervals) > 1 and metric == PANELS[0].metric:
        for interval in intervals:
            mine = [
                (at[cell.id], estimate.value * percent, look(cell.transport).colour)
                for cell in cells
                if cell.poll_interval_s == interval and (estimate := cell.metrics.get(metric))
            ]
            x, y, colour = min(mine, key=lambda one: one[0])
            axis.annotate(
                f"T = {interval:g} s", (x, y), xytext=(9, 7), textcoords="offset points", color=colour,
                fontweight="bold", fontsize=LABEL_SIZE, path_effects=HALO,
            )  # fmt: skip
    return flagged
