"""How many calls polling makes: requests and empty answers against the notifications due in one interval.

Rules: λT, the notifications published in one poll interval, is all that a short poll's calls depend on;
so cells of every T and every rate lie on the same two curves.
"""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench import layout
from bench.colours import look
from bench.figure_style import FAINT, FLAGGED, HALO, INK, LABEL_SIZE, PREDICTED, flag, grid, plain_log
from bench.layout import Cell

LEAST = 3
"""Values of λT that make a curve worth drawing."""
PANELS = (
    ("requests_per_delivery", "requests for each notification\n(log scale)", r"$1\,/\,\lambda T$", 0.6),
    ("empty_response_share", "answers that bring nothing (%)", r"$e^{-\lambda T}$", 0.4),
)
FILLS = ("white", "#F3C9A8", "#D55E00", "#8A3C00")


def per_interval(summary: dict[str, Any]) -> tuple[Figure | None, str]:
    """Both panels against λT; None where the run has too few values of it."""
    cells = [
        cell
        for cell in layout.cells_with(summary, [PANELS[0][0]])
        if cell["transport"] == "short-poll" and layout.is_ours(cell)
    ]
    if len({_expected(cell) for cell in cells}) < LEAST:
        return (
            None,
            f"This run has fewer than {LEAST} values of λT, the notifications due in one poll interval.",
        )
    figure, axes = grid(2, 4.6)
    flagged = False
    for panel, (metric, name, formula, along) in zip(axes, PANELS, strict=True):
        percent = 100.0 if metric in layout.SHARES else 1.0
        flagged |= _panel(panel, cells, metric, percent)
        for curve in summary.get("curves") or []:
            if curve["factor"] == "notifications_per_interval":
                y = [value * percent for value in curve[metric]]
                panel.plot(curve["x"], y, color=INK, **PREDICTED)
                at = int(len(y) * along)
                panel.annotate(
                    formula, (curve["x"][at], y[at]), xytext=(-12, -14), textcoords="offset points",
                    fontsize=17, ha="right", path_effects=HALO,
                )  # fmt: skip
        panel.set_ylabel(name)
        panel.set_xlabel("notifications due in one interval, λT (log scale)")
    axes[0].set_yscale("log")
    plain_log(axes[0].yaxis)
    axes[0].axhline(1, color=FAINT, linewidth=1)
    axes[0].annotate(
        "one for each", (1, 1), xycoords=("axes fraction", "data"), xytext=(0, 4), textcoords="offset points",
        ha="right", color=FAINT, path_effects=HALO,
    )  # fmt: skip
    axes[1].set_ylim(0, 100)
    caption = (
        "Short poll at every rate λ and interval T of this run. Dashed: predicted. Where fewer than one "
        "notification is due in an interval, polling asks more often than there is news."
    )
    return figure, caption + (FLAGGED if flagged else "")


def _expected(cell: Cell) -> float:
    """λT, an axis coordinate: both factors are settings."""
    return round(float(cell["publish_rate"]) * float(cell["poll_interval_s"]), 9)


def _panel(panel: Axes, cells: list[Cell], metric: str, percent: float) -> bool:
    style = look("short-poll")
    intervals = sorted({cell["poll_interval_s"] for cell in cells})
    flagged = False
    panel.set_xscale("log")
    for interval in intervals:
        fill = FILLS[(intervals.index(interval) + 2 * (len(intervals) == 1)) % len(FILLS)]
        mine = sorted((cell for cell in cells if cell["poll_interval_s"] == interval), key=_expected)
        for cell in mine:
            figure = cell["metrics"].get(metric)
            if figure is None:
                continue
            x, y = _expected(cell), figure["value"] * percent
            if figure["low"] is not None:
                panel.vlines(
                    x,
                    figure["low"] * percent,
                    figure["high"] * percent,
                    color=style.colour,
                    linewidth=4,
                    alpha=0.5,
                )
            panel.plot(
                x,
                y,
                marker=style.marker,
                color=style.colour,
                markerfacecolor=fill,
                markersize=10,
                clip_on=False,
                zorder=3,
            )
            if layout.figure_mark(metric, cell):
                flag(panel, x, y)
                flagged = True
        if len(intervals) > 1 and mine and metric == PANELS[0][0]:
            first = mine[0]["metrics"][metric]["value"] * percent
            panel.annotate(
                f"T = {interval:g} s", (_expected(mine[0]), first), xytext=(9, 7), textcoords="offset points",
                color=style.colour, fontweight="bold", fontsize=LABEL_SIZE, path_effects=HALO,
            )  # fmt: skip
    plain_log(panel.xaxis)
    return flagged
