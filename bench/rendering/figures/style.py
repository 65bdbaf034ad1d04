"""How every figure looks: letters, lines, labels at the ends of curves, and the mark of a bad prediction.

Rules:
- Letters are large: a figure is shown to a class, as wide as the screen.
- Curves are named where they end, moved apart where ends lie close together; there are no legends.
- Measured is thick, predicted thin and dashed, the noise floor thin and grey. What lies outside the
  band around its prediction wears a ring and a dagger.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from bench.rendering import names
from bench.rendering.plain import PLAIN
from bench.words import number

INK = "#222222"
FAINT = "#767676"
BAND = "#E9E4D4"
STYLE: Any = PLAIN | {
    "svg.hashsalt": "wirelab",
    "svg.fonttype": "path",
    # Names come from runs: a dollar sign in one is a dollar sign.
    "text.parse_math": False,
    "font.family": "DejaVu Sans",
    "font.size": 13,
    "axes.titlesize": 13,
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.labelsize": 13,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 12,
    "ytick.labelsize": 12,
    "text.color": INK,
    "axes.grid": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}
HALO = [withStroke(linewidth=4, foreground="white")]
"""Around a label, so that it can be read where it crosses a curve."""
WIDTH = 11.0
"""Of every figure, in inches, so that their texts are of one size on a page."""
PREDICTED: Any = {"linestyle": (0, (5, 2)), "linewidth": 1.3}
FLOOR: Any = {"linestyle": ":", "linewidth": 1.4, "markerfacecolor": "white", "markersize": 8}
PANELS = 4
"""Panels of one figure at most; the caption says what is left out."""
TITLE_LETTERS = 40
"""In one line of a panel's title."""
LABEL_SIZE = 12.0
LINE_PT = 15.5
"""Height of one line of a label, in points."""


class End(NamedTuple):
    """A curve's end in data coordinates, and what to write beside it."""

    x: float
    y: float
    text: str
    colour: str


def grid(panels: int, height: float, **shared: Any) -> tuple[Figure, list[Axes]]:
    """A figure of so many panels, each of that height in inches, two in a row."""
    columns = 1 if panels == 1 else 2
    rows = -(-panels // columns)
    figure = Figure(figsize=(WIDTH, 0.6 + height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **shared)
    for panel in axes.flat:
        panel.tick_params(labelbottom=True)
    for panel in axes.flat[panels:]:
        panel.set_visible(False)
    return figure, list(axes.flat[:panels])


def entitle(panel: Axes, words: str) -> None:
    """A panel's title, in as many lines as it needs, broken at commas."""
    lines = [""]
    for part in words.split(", "):
        joined = f"{lines[-1]}, {part}" if lines[-1] else part
        lines = (
            [*lines[:-1], joined] if len(joined) <= TITLE_LETTERS else [*lines[:-1], f"{lines[-1]},", part]
        )
    panel.set_title("\n".join(lines))


def key(figure: Figure, measured: dict[str, Any], *, predicted: bool, floor: bool) -> None:
    """Above the figure, how measured, predicted and the noise floor are drawn: the one thing that no label at
    a curve's end tells."""
    kinds = [
        ("measured", measured, True),
        ("predicted", PREDICTED, predicted),
        ("noise floor", {"marker": "o", **FLOOR}, floor),
    ]
    handles = [Line2D([], [], color=FAINT, label=name, **drawn) for name, drawn, there in kinds if there]
    if len(handles) > 1:
        figure.legend(
            handles=handles,
            loc="outside upper right",
            ncols=len(handles),
            frameon=False,
            fontsize=LABEL_SIZE,
            labelcolor=FAINT,
        )


def name_ends(figure: Figure, ends: dict[Axes, list[End]]) -> None:
    """Name curves to the right of their panels, moved apart, each with a line to its end.

    Called last: it needs the panels where they will stand.
    """
    figure.draw_without_rendering()
    for panel, mine in ends.items():
        scale = 72.0 / figure.dpi
        box = panel.get_window_extent()
        wanted = [panel.transData.transform((end.x, end.y))[1] * scale for end in mine]
        heights = [LINE_PT * (1 + end.text.count("\n")) for end in mine]
        placed = apart(wanted, heights, box.y0 * scale, box.y1 * scale)
        for end, at in zip(mine, placed, strict=True):
            panel.annotate(
                end.text,
                (end.x, end.y),
                xytext=(1.04, (at / scale - box.y0) / box.height),
                textcoords="axes fraction",
                color=end.colour,
                fontsize=LABEL_SIZE,
                fontweight="bold",
                va="center",
                annotation_clip=False,
                arrowprops={
                    "arrowstyle": "-",
                    "color": end.colour,
                    "linewidth": 0.8,
                    "alpha": 0.6,
                    "shrinkB": 3,
                },
            )


def apart(wanted: Sequence[float], heights: Sequence[float], low: float, high: float) -> list[float]:
    """Where labels of these heights stand without touching: as near as may be to where they want, and
    between low and high as long as there is room. All in points."""
    order = sorted(range(len(wanted)), key=lambda place: wanted[place])
    placed = list(wanted)
    floor = low
    for place in order:
        placed[place] = max(placed[place], floor + heights[place] / 2)
        floor = placed[place] + heights[place] / 2
    ceiling = max(high, low + sum(heights))
    for place in reversed(order):
        placed[place] = min(placed[place], ceiling - heights[place] / 2)
        ceiling = placed[place] - heights[place] / 2
    return placed


def flag(panel: Axes, x: float, y: float) -> None:
    """The ring and the dagger of a figure outside the band around its prediction."""
    panel.plot(
        x, y, marker="o", markersize=17, markerfacecolor="none", markeredgecolor=INK, markeredgewidth=1.6
    )
    panel.annotate(
        names.OUTSIDE,
        (x, y),
        xytext=(9, 7),
        textcoords="offset points",
        fontsize=15,
        fontweight="bold",
        path_effects=HALO,
    )


FLAGGED = (
    f" A ring and {names.OUTSIDE}: measured outside the band around the prediction; see “What does theory "
    "miss?”."
)


def plain_log(axis: Axis) -> None:
    """Write a logarithmic axis, whose limits are set, in plain numbers, as densely as they have room."""
    low, high = axis.get_view_interval()
    decades = math.log10(high / low)
    room = 1.3 if isinstance(axis, XAxis) else 3.0
    if decades < room / 3:
        marks: tuple[float, ...] = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
    else:
        marks = (1.0, 2.0, 5.0) if decades < room else (1.0, 3.0) if decades < 2 * room else (1.0,)
    axis.set_major_locator(LogLocator(subs=marks))
    axis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    axis.set_minor_formatter(NullFormatter())
