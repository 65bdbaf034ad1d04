"""May theory and measurement be believed? How far every cell lies from its prediction, and where calls stand.

Rules: nothing is left out for being far away; what leaves the axis is written at its edge. The band stands
in `bench/analysis/theory/base.py` and does not move with the results.
"""

from __future__ import annotations

import re

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bench.analysis.summary import Summary
from bench.evidence.metrics import METRICS
from bench.rendering import arrange, names
from bench.rendering.arrange import Cell
from bench.rendering.figures.style import BAND, FAINT, HALO, INK, WIDTH
from bench.rendering.looks import look

NAMED_ROWS = 18
"""Up to so many cells each has its name; more are named by transport, and only those outside their band."""
NAME_LETTERS = 36
"""In one line of a row's name."""
MOST_NAMED = 6
"""Figures outside their bands that the caption names; all are marked in the tables."""
LEAST_LIMIT_PERCENT = 30.0
MOST_LIMIT_PERCENT = 100.0


def residuals(summary: Summary) -> tuple[Figure | None, str]:
    """A row a cell, a panel a metric: measured over predicted, less one, in percent, with the band shaded."""
    cells = [cell for cell in summary.cells if cell.valid and cell.residuals]
    if not cells:
        return None, "No valid cell of this run has a prediction to be held against."
    transports = sorted({cell.transport for cell in cells}, key=arrange.rank)
    cells = [cell for name in transports for cell in arrange.in_order(cells) if cell.transport == name]
    metrics = [metric for metric in METRICS if any(metric in cell.residuals for cell in cells)]
    named = len(cells) <= NAMED_ROWS
    height = (0.42 if named else 0.17) * len(cells)
    figure = Figure(figsize=(WIDTH, 1.6 + min(height, 11.0)), layout="constrained")
    axes = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for panel, metric in zip(axes, metrics, strict=True):
        _residual_panel(panel, cells, metric, named=named)
    common, own = names.load_names(cells)
    if named:
        rows_named = []
        for cell, load in zip(cells, own, strict=True):
            words = (names.transport_name(cell, cells), re.sub(" notifications?/s", "/s", load))
            whole = ", ".join(filter(None, words))
            rows_named.append(whole if len(whole) <= NAME_LETTERS else ",\n".join(words))
        axes[0].set_yticks(range(len(cells)), rows_named)
        rows = cells
    else:
        rows = [next(cell for cell in cells if cell.transport == name) for name in transports]
        places = [[row for row, cell in enumerate(cells) if cell.transport == name] for name in transports]
        axes[0].set_yticks(
            [sum(mine) / len(mine) for mine in places], [look(name).label for name in transports]
        )
        for panel in axes:
            for mine in places[1:]:
                panel.axhline(mine[0] - 0.5, color=FAINT, linewidth=0.8)
    axes[0].set_ylim(len(cells) - 0.4, -0.6)
    for tick, cell in zip(axes[0].get_yticklabels(), rows, strict=True):
        tick.set_color(look(cell.transport).colour)
        tick.set_fontweight("bold")
    count = summary.outcomes
    caption = (
        f"{names.sentence(common)} Measured over predicted, less one, with 95 % intervals; shaded: the "
        f"band that was stated beforehand. Of {count.together} figures {count.within} lie within it, "
        f"{count.unclear} reach over its edge or have no interval, {count.outside} lie outside"
    )
    far = [f"{METRICS[metric].label}, {cell.id}" for cell, metric in arrange.outside(summary.cells)]
    more = f"; and {len(far) - MOST_NAMED} more" if len(far) > MOST_NAMED else ""
    return (
        figure,
        f"{caption} ({names.OUTSIDE} {'; '.join(far[:MOST_NAMED])}{more})." if far else f"{caption}.",
    )


def _residual_panel(panel: Axes, cells: list[Cell], metric: str, *, named: bool) -> None:
    found = [
        (row, cell, cell.residuals[metric]) for row, cell in enumerate(cells) if metric in cell.residuals
    ]
    widest = max(abs(one.residual_share) for _, _, one in found) * 130
    band = min(one.band_share for _, _, one in found) * 100
    limit = min(max(widest, 2 * band, LEAST_LIMIT_PERCENT), MOST_LIMIT_PERCENT)
    panel.set_xlim(-limit, limit)
    # No label at the very edge, where it would run into the next panel's.
    panel.xaxis.set_major_locator(MaxNLocator(5, prune="both"))
    panel.axvline(0, color=INK, linewidth=1.2)
    for row, cell, one in found:
        style = look(cell.transport)
        mine = one.band_share * 100
        panel.fill_betweenx([row - 0.5, row + 0.5], -mine, mine, color=BAND, linewidth=0, zorder=0)
        residual = one.residual_share * 100
        low, high = (residual if side is None else side * 100 for side in (one.low_share, one.high_share))
        at = min(max(residual, -limit), limit)
        panel.plot(
            [low, high],
            [row, row],
            color=style.colour,
            linewidth=4 if named else 2.5,
            alpha=0.55,
            solid_capstyle="butt",
        )
        beyond = ">" if residual > limit else "<" if residual < -limit else style.marker
        panel.plot(at, row, marker=beyond, color=style.colour, markersize=9 if named else 6, clip_on=False)
        if one.outcome == "outside":
            panel.plot(
                at,
                row,
                marker="o",
                markersize=17 if named else 12,
                markerfacecolor="none",
                markeredgecolor=INK,
                markeredgewidth=1.6,
                clip_on=False,
            )
            where = "" if named else f" {names.short_load(cell)}"
            left = at > 0
            panel.annotate(
                f"{names.OUTSIDE} {residual:+.0f} %".replace("-", "−") + where,
                (at, row),
                xytext=(-13 if left else 13, 0),
                textcoords="offset points",
                ha="right" if left else "left",
                va="center",
                fontsize=12 if named else 10.5,
                fontweight="bold",
                path_effects=HALO,
            )
    panel.set_xlabel(f"{METRICS[metric].label}\n(% off)")
    panel.grid(axis="y", visible=False)
    panel.tick_params(axis="y", length=0)
