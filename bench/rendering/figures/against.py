"""One factor on the horizontal axis: how latency and costs grow with delay, rate, subscribers or payload.

Rules: points are measured, with their intervals; where there is a theory its curve is drawn through them
(`bench/analysis/theory/curves.py`), else they are joined. Cells that differ in anything but the factor are
never joined.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.analysis.summary import Summary
from bench.rendering import arrange, names
from bench.rendering.arrange import Cell
from bench.rendering.figures.style import (
    FAINT,
    FLAGGED,
    FLOOR,
    HALO,
    PANELS,
    PREDICTED,
    End,
    entitle,
    flag,
    grid,
    key,
    name_ends,
    plain_log,
)
from bench.rendering.looks import look
from bench.words import number


class Factor(NamedTuple):
    """How a factor is called, in a sentence and on its axis, and in what its cells may differ."""

    words: str
    label: str
    logarithmic: bool
    settings: tuple[str, ...]


FACTORS = {
    # A link that does nothing but delay is known by its delay: loopback, and the relay at 0 and at 20 ms, are
    # points of one curve.
    "one_way_ms": Factor(
        "the network's one-way delay", "one-way network delay (ms)", False, ("one_way_ms", "link")
    ),
    "subscribers": Factor("the number of subscribers", "subscribers (log scale)", True, ("subscribers",)),
    "publish_rate": Factor(
        "the rate of publishing", "notifications per second (log scale)", True, ("publish_rate",)
    ),
    "payload_bytes": Factor("the payload", "payload (log scale)", True, ("payload_bytes",)),
}
TRANSITS = ("1 transit", "2 transits", "3 transits")
"""What RFC 6202 (section 2.2) counts long polling's latency in."""
SQUEEZED = 8.0
"""From so many times the longest delay on, a latency squeezes the lines of the transits together."""
TICK_ROOM = 0.08
"""Share of the axis that a tick's label takes, in the narrower of the panels."""
LEAST, SOME = 3, 2
"""Values of a factor that make a curve worth drawing, and those that make a line beside it."""

Series = list[Cell]


def against(
    summary: Summary, factor: str, metrics: Sequence[str], least: int = LEAST
) -> tuple[Figure | None, str]:
    """A panel a load and metric, a line a transport; None if no load has at least so many values of the
    factor."""
    columns = _loads(summary, factor, metrics, least)
    if not columns:
        return None, f"This run does not vary {FACTORS[factor].words}."
    shown = arrange.spread(columns, PANELS // len(metrics))
    common, own = names.load_names([column[0][0] for column in shown], *FACTORS[factor].settings)
    panels = [(metric, column) for metric in metrics for column in shown]
    share = {"sharex": True, "sharey": "row" if len(shown) > 1 and len(metrics) > 1 else len(metrics) == 1}
    figure, axes = grid(len(panels), 4.3 if len(panels) == 1 else 3.9, **share)
    ends: dict[Axes, list[End]] = {}
    flagged = predicted = False
    for place, (panel, (metric, column)) in enumerate(zip(axes, panels, strict=True)):
        values = [
            estimate.value
            for beside in shown
            for series in beside
            for cell in series
            if (estimate := cell.metrics.get(metric))
        ]
        _scales(panel, factor, column, values)
        ends[panel], marks, theory = _panel(panel, summary, factor, metric, column)
        flagged, predicted = flagged or marks, predicted or theory
        entitle(panel, own[place % len(shown)] if place < len(shown) else "")
        if place % 2 == 0 or len(shown) == 1:
            panel.set_ylabel(names.label(metric))
        panel.set_xlabel(FACTORS[factor].label)
    floors = any(
        arrange.floor(summary, cell, metric) for metric, column in panels for line in column for cell in line
    )
    key(figure, {"marker": "o", "markersize": 9, "linestyle": "none"}, predicted=predicted, floor=floors)
    name_ends(figure, ends)
    caption = (
        f"{names.sentence(common)} Points: measured, against {FACTORS[factor].words}; medians over valid "
        "trials with 95 % intervals."
    )
    if predicted:
        caption += (
            " Dashed curves: predicted, from the rate as it came out, the service time, the acceptance and "
            "the client's turnaround that were measured in the same cells; shaded: the band that was stated "
            "beforehand."
        )
    if floors:
        caption += " Hollow and dotted: the noise floor, a server without a framework; subtracted nowhere."
    if flagged:
        caption += FLAGGED
    drawn = {cell.id for column in shown for series in column for cell in series}
    others = [cell for cell in _ours(summary, metrics) if cell.id not in drawn]
    return figure, caption + names.left_out(len({arrange.load_key(cell) for cell in others}))


def suits(summary: Summary, factor: str, metrics: Sequence[str]) -> bool:
    """Would a figure against the factor show at least half of our cells that have one of the metrics?"""
    drawn = sum(len(line) for load in _loads(summary, factor, metrics, LEAST) for line in load)
    return 0 < len(_ours(summary, metrics)) <= 2 * drawn


def _ours(summary: Summary, metrics: Sequence[str]) -> list[Cell]:
    return [
        cell
        for cell in arrange.cells_with(summary, metrics)
        if arrange.is_ours(cell) and not arrange.is_floor(cell)
    ]


def _loads(summary: Summary, factor: str, metrics: Sequence[str], least: int) -> list[list[Series]]:
    """Our cells as series by load, both without the factor. Loads are left out in which no series has enough
    values of it, or one transport alone has more than one where others were measured too."""
    differing = FACTORS[factor].settings
    cells = _ours(summary, metrics)
    found: dict[str, dict[str, Series]] = {}
    for cell in cells:
        load = found.setdefault(arrange.load_key(cell, *differing), {})
        load.setdefault(arrange.series_key(cell, *differing), []).append(cell)
    wanted = min(2, len({cell.transport for cell in cells}))
    kept = []
    for load in found.values():
        series = [sorted(line, key=lambda cell: float(getattr(cell, factor))) for line in load.values()]
        values = [len({getattr(cell, factor) for cell in line}) for line in series]
        lines = {line[0].transport for line, count in zip(series, values, strict=True) if count >= SOME}
        if max(values) >= least and len(lines) >= wanted:
            kept.append(series)
    # The fullest loads, in their usual order, the rarest notifications before the others.
    most = max((len(series) for series in kept), default=0)
    full = [series for series in kept if len(series) == most]
    return sorted(full, key=lambda series: (str(series[0][0].server_model), series[0][0].publish_rate))


def _scales(panel: Axes, factor: str, column: list[Series], values: list[float]) -> None:
    """The scales of a panel, from all values of its metric in this figure: panels in a row share them."""
    positive = [value for value in values if value > 0]
    longest = max(float(getattr(cell, factor)) for series in column for cell in series)
    # A slow short poll is off the scale on which the transits can be told apart.
    squeezed = factor == "one_way_ms" and max(values, default=0) > SQUEEZED * longest
    if (FACTORS[factor].logarithmic or squeezed) and positive:
        panel.set_yscale("log")
        panel.set_ylim(min(positive) / 2, max(positive) * 2)
        plain_log(panel.yaxis)
    else:
        panel.set_ylim(0, (max(values, default=0) or 1) * 1.12)
    if FACTORS[factor].logarithmic:
        panel.set_xscale("log")
    ticks = sorted({float(getattr(cell, factor)) for series in column for cell in series})
    written = names.bytes_text if factor == "payload_bytes" else number
    kept = legible(ticks, logarithmic=FACTORS[factor].logarithmic)
    panel.set_xticks(ticks, [written(tick) if tick in kept else "" for tick in ticks])
    panel.minorticks_off()


def legible(ticks: Sequence[float], *, logarithmic: bool) -> set[float]:
    """Those of the ascending ticks whose labels do not run into each other: the ends, and what has room."""
    places = [math.log(tick) for tick in ticks] if logarithmic else list(ticks)
    room = TICK_ROOM * (places[-1] - places[0])
    kept = [0]
    for place in range(1, len(ticks) - 1):
        if min(places[place] - places[kept[-1]], places[-1] - places[place]) >= room:
            kept.append(place)
    return {ticks[place] for place in (*kept, len(ticks) - 1)}


def _panel(
    panel: Axes, summary: Summary, factor: str, metric: str, column: list[Series]
) -> tuple[list[End], bool, bool]:
    """One panel; returns the ends to be named, whether any point is flagged and whether theory was drawn."""
    among = [cell for series in column for cell in series]
    measured = [line for series in column if (line := [cell for cell in series if cell.metrics.get(metric)])]
    if factor == "one_way_ms" and metric.startswith("latency"):
        _transits(panel, max(float(getattr(cell, factor)) for cell in among))
    # On a logarithmic scale what is nothing stands at the bottom, and is named so.
    floor = panel.get_ylim()[0]
    ends = []
    flagged = theory = False
    for series in measured:
        style = look(series[0].transport)
        curve = predicted_curve(summary, factor, metric, {cell.id for cell in series})
        if curve is not None:
            theory = True
            panel.plot(curve.x, curve.y, color=style.colour, **PREDICTED)
            panel.fill_between(curve.x, curve.low, curve.high, color=style.colour, alpha=0.13, linewidth=0)
        places = {} if curve is None else curve.at
        estimates = [estimate for cell in series if (estimate := cell.metrics[metric])]
        x = [places.get(cell.id, float(getattr(cell, factor))) for cell in series]
        y = [max(estimate.value, floor) for estimate in estimates]
        panel.plot(
            x, y, color=style.colour, linestyle="none" if curve else style.line, linewidth=2.2,
            marker=style.marker, markersize=9, clip_on=False, zorder=3,
        )  # fmt: skip
        for at, value, cell, estimate in zip(x, y, series, estimates, strict=True):
            if estimate.interval is not None:
                low, high = (max(side, floor) for side in estimate.interval)
                panel.vlines(at, low, high, color=style.colour, linewidth=4, alpha=0.5)
            if names.mark(metric, cell):
                flag(panel, at, value)
                flagged = True
        name = names.transport_name(series[0], among)
        none = "" if any(estimate.value for estimate in estimates) else ": none"
        ends.append(End(x[-1], y[-1], name.replace(", ", ",\n") + none, style.colour))
        _floor(panel, summary, factor, metric, series)
    return ends, flagged, theory


class Predicted(NamedTuple):
    """A predicted curve, the edges of the band around it, and each cell's place along it."""

    x: list[float]
    y: list[float]
    low: list[float]
    high: list[float]
    at: dict[str, float]


def predicted_curve(summary: Summary, factor: str, metric: str, mine: set[str]) -> Predicted | None:
    """The predicted curve through the cells of these ids; None if there is none."""
    for curve in summary.curves:
        y = curve.whole(metric)
        # A transport that asks nothing has a curve of zeros, which has no place on a logarithmic scale.
        if curve.factor == factor and mine & set(curve.cells) and y and any(y):
            band = curve.bands[metric]
            low, high = ([edge or 0.0 for edge in side] for side in (band.low, band.high))
            return Predicted(curve.x, y, low, high, dict(zip(curve.cells, curve.at, strict=True)))
    return None


def _transits(panel: Axes, longest_ms: float) -> None:
    """Lines of one, two and three one-way delays."""
    delay_ms = np.linspace(0, longest_ms, 101)
    top = panel.get_ylim()[1]
    for count, name in enumerate(TRANSITS, 1):
        panel.plot(delay_ms, count * delay_ms, color=FAINT, linewidth=0.9, zorder=1)
        named_ms = 0.97 * min(longest_ms, top / count)
        along = panel.get_yscale() == "linear"
        panel.text(
            named_ms,
            count * named_ms,
            name,
            rotation=math.degrees(math.atan(count)) if along else 0.0,
            rotation_mode="anchor",
            transform_rotates_text=along,
            ha="right",
            va="bottom",
            color=FAINT,
            fontsize=11,
            path_effects=HALO,
        )


def _floor(panel: Axes, summary: Summary, factor: str, metric: str, series: Series) -> None:
    """The noise floor under the same loads, hollow."""
    style = look(series[0].transport)
    points = [
        (float(getattr(cell, factor)), estimate.value)
        for cell in series
        if (floor := arrange.floor(summary, cell, metric)) and (estimate := floor.metrics[metric])
    ]
    if points:
        panel.plot(
            *zip(*points, strict=True), color=style.colour, marker=style.marker, **FLOOR,
        )  # fmt: skip
