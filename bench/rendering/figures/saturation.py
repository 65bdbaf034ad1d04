"""How much load each transport takes before its p99 breaks the budget, and what broke it.

Rules: a step that keeps the budget is filled, one that breaks it is crossed, and one of which the harness
could not tell is hollow; what broke the budget is written where the curve ends.
`bench/analysis/saturation.py` has the form of `summary.saturation` and of each cause.
"""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.analysis.summary import SaturationSeries, Summary
from bench.rendering import arrange, names
from bench.rendering.figures import against
from bench.rendering.figures.style import (
    INK,
    LABEL_SIZE,
    PANELS,
    PREDICTED,
    End,
    entitle,
    grid,
    name_ends,
    plain_log,
)
from bench.rendering.looks import look

CAUSES = {
    "died": "the server died",
    "lost": "notifications lost",
    "harness": "the harness's limit",
    "gaps": "fell behind the log",
    "cores": "core full",
    "delay": "transits alone",
    "interval": "asks too rarely",
    "fan-out": "one fan-out too long",
    "queue": "queueing",
    "threads": "threads in turns",
    "unknown": "cause unknown",
}
"""What is written where a budget broke, by the name of its cause."""


def budget(summary: Summary) -> tuple[Figure | None, str]:
    """A panel a load: p99 against the number of subscribers, with the budget as a line."""
    found = summary.saturation
    loads: dict[str, list[SaturationSeries]] = {}
    for series in found.series if found else []:
        if any(step.p99_ms for step in series.steps):
            loads.setdefault(arrange.load_key(series, "subscribers"), []).append(series)
    if not found or not loads:
        return None, "This run did not step its load up against a budget of latency."
    rising = sorted(loads.values(), key=lambda group: (str(group[0].server_model), group[0].publish_rate))
    shown = arrange.spread(rising, PANELS)
    common, own = names.load_names([group[0] for group in shown], "subscribers")
    figure, axes = grid(len(shown), 4.6, sharex=True, sharey=True)
    ends = {}
    for panel, group, title in zip(axes, shown, own, strict=True):
        ends[panel] = _panel(panel, group, found.p99_budget_ms, summary)
        entitle(panel, title)
        panel.set_xlabel("subscribers (log scale)")
    for panel in axes[::2]:
        panel.set_ylabel("latency, p99 (ms, log scale)")
    drawn = [step.p99_ms for group in shown for series in group for step in series.steps if step.p99_ms]
    axes[0].set_ylim(min(*drawn, found.p99_budget_ms) / 1.6, max(*drawn, found.p99_budget_ms) * 1.6)
    for panel in axes:
        plain_log(panel.xaxis)
        plain_log(panel.yaxis)
    name_ends(figure, ends)
    says = " ".join(
        f"{names.transport_name(series, group)}{f' ({title})' if title else ''}: {series.says}"
        for group, title in zip(shown, own, strict=True)
        for series in group
    )
    return figure, (
        f"{names.sentence(common)} Points: the median p99 of each step's valid trials, filled where most "
        "repeats kept the budget, crossed where they broke it, hollow where neither is known. Dashed: "
        f"predicted, up to where a queue grows and theory ends. {says}"
    )


def _panel(panel: Axes, group: list[SaturationSeries], budget_ms: float, summary: Summary) -> list[End]:
    """One load; returns the ends to be named."""
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.axhline(budget_ms, color=INK, linewidth=1.4)
    # In the corner that is empty: many subscribers are never so early.
    panel.text(
        0.97, 0.03, f"line: budget {budget_ms:g} ms", transform=panel.transAxes, ha="right", va="bottom",
        size=LABEL_SIZE,
    )  # fmt: skip
    ends = []
    for series in sorted(group, key=lambda one: arrange.rank(one.transport)):
        style = look(series.transport)
        steps = [(step, step.p99_ms) for step in series.steps if step.p99_ms]
        if not steps:
            continue
        panel.plot(
            [step.subscribers for step, _ in steps], [p99_ms for _, p99_ms in steps], color=style.colour,
            linestyle=style.line, linewidth=2.2,
        )  # fmt: skip
        mine = {step.cell for step, _ in steps if step.cell}
        curve = against.predicted_curve(summary, "subscribers", "latency_ms_p99", mine)
        if curve is not None:
            panel.plot(curve.x, curve.y, color=style.colour, **PREDICTED)
        for step, p99_ms in steps:
            broke = step.outcome == "broke"
            panel.plot(
                step.subscribers, p99_ms, color=style.colour,
                marker="X" if broke else style.marker, markersize=11 if broke else 9,
                markeredgecolor=INK if broke else style.colour,
                markerfacecolor="white" if step.outcome == "unknown" else style.colour,
            )  # fmt: skip
        name = names.transport_name(series, group).replace(", ", ",\n")
        if series.why:
            start = "then" if series.beyond is None else f"from {series.beyond:,}"
            name += f"\n{start}: {CAUSES.get(series.why, series.why)}"
        last, p99_ms = steps[-1]
        ends.append(End(last.subscribers, p99_ms, name, style.colour))
    return ends
