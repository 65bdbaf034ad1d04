"""From loads that were measured to one that was not: the cost model with its held-out check.

Rules: what was fitted, what was held out and what was not used are told apart; a model that missed its
held-out load says so where its curve ends, since nothing is projected from it.
`bench/analysis/costs/model.py` has the form of `summary.costs`.
"""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.analysis.summary import CostSeries, Summary
from bench.rendering import arrange, names
from bench.rendering.figures.style import INK, PANELS, PREDICTED, End, entitle, grid, name_ends, plain_log
from bench.rendering.looks import look

UNITS = {"µs": "CPU of one operation (µs, log scale)", "kB": "memory of one subscriber (kB, log scale)"}
LOADS = {"µs": "operations a second (log scale)", "kB": "subscribers (log scale)"}


def costs(summary: Summary) -> tuple[Figure | None, str]:
    """A panel a server model and unit: the cost of one operation against how many there were."""
    model = summary.costs
    panels: dict[tuple[str, str], list[CostSeries]] = {}
    for series in model.series if model else []:
        if any(point.cost for point in series.points):
            title = ", ".join((series.server_model, *names.unusual_words(series.settings)))
            panels.setdefault((title, series.unit), []).append(series)
    fitted = sorted(
        (key for key, mine in panels.items() if any(series.form for series in mine)),
        key=lambda key: (key[0], key[1] != "µs"),
    )
    if model is None or not fitted:
        return (
            None,
            "This run lacks the loads of a cost model: two to be fitted, and a larger one to check it.",
        )
    shown = arrange.spread(fitted, PANELS)
    figure, axes = grid(len(shown), 4.6)
    ends = {}
    for panel, (title, unit) in zip(axes, shown, strict=True):
        ends[panel] = _panel(panel, panels[title, unit])
        entitle(panel, title)
        panel.set_ylabel(UNITS[unit])
        panel.set_xlabel(LOADS[unit])
    name_ends(figure, ends)
    low, high = (f"{share * 100:g}" for share in model.band)
    caption = (
        "What one operation costs, with 95 % intervals. Filled: fitted. Ringed: the largest load, held out; "
        "the dashed curve was fitted without it, and the cross is what that predicts there. Hollow: not "
        f"used, as the server's core was not {low} to {high} % busy with it, or as it lies too near the load "
        f"held out. A curve that misses by more than {model.most_error * 100:g} % projects nothing."
    )
    if len(shown) < len(fitted):
        caption += f" {len(fitted) - len(shown)} more models are in summary.json."
    return figure, caption


def _panel(panel: Axes, series: list[CostSeries]) -> list[End]:
    """One panel; returns the ends to be named."""
    panel.set_xscale("log")
    panel.set_yscale("log")
    values: list[float] = []
    ends = []
    for mine in sorted(series, key=lambda one: (arrange.rank(one.transport), one.operation)):
        style = look(mine.transport)
        points = [(point.load, point.cost, point.role) for point in mine.points if point.cost]
        for load, cost, role in points:
            values.append(cost.value)
            if cost.interval is not None:
                panel.vlines(load, *cost.interval, color=style.colour, linewidth=4, alpha=0.4)
            panel.plot(
                load, cost.value, color=style.colour, marker=style.marker, markersize=9, clip_on=False,
                markerfacecolor="white" if role == "not used" else style.colour,
            )  # fmt: skip
            if role == "held out":
                panel.plot(
                    load, cost.value, marker="o", markersize=18, color=INK, markerfacecolor="none",
                    clip_on=False,
                )  # fmt: skip
        if mine.curve:
            panel.plot(*zip(*mine.curve, strict=True), color=style.colour, **PREDICTED)
        name = f"{style.label} {mine.operation}"
        held_out = mine.held_out
        if held_out:
            panel.plot(
                held_out.load,
                held_out.predicted,
                marker="x",
                markersize=10,
                color=INK,
                markeredgewidth=2,
                clip_on=False,
            )
            values.append(held_out.predicted)
            error = round(held_out.error * 100)
            name += f"\noff by {error:+d} %".replace("-", "−") + ("" if mine.checked else ": refused")
        if points:
            load, cost, _ = points[-1]
            ends.append(End(load, cost.value, name, style.colour))
    panel.set_ylim(min(values) / 1.6, max(values) * 1.6)
    plain_log(panel.xaxis)
    plain_log(panel.yaxis)
    return ends
