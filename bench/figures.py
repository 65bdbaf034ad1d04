"""The figures of a run, as SVG and PNG: how late, at what cost, per transport.

Rules:
- Figures show what the summary holds and compute nothing; only valid cells are drawn.
- Every axis has a name and a unit, curves are labelled where they end rather than in a legend, and colour,
  marker and line all tell the transports apart (`bench/colours.py`).
- A figure with nothing to show is not drawn: a sentence says what was not measured.
- The same summary gives the same SVG, byte for byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from bench import layout
from bench.colours import look
from bench.compare import number
from bench.scenario import SERIES

Cell = dict[str, Any]

INK = "#222222"
FAINT = "#8A8A8A"
STYLE: Any = {
    "svg.hashsalt": "wirelab",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "axes.titlesize": 11.5,
    "axes.titlelocation": "left",
    "axes.labelsize": 11,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
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
WIDTH = 10.0
"""Of every figure, in inches, so that their texts are of one size on a page."""
RAISED, LOWERED = 40, -40
"""Where a latency curve's label stands, in points above its middle."""
PNG_DPI = 150
PANELS = 4
"""Panels of one figure at most; the loads with most transports come first, and the caption says what is
left out."""
SWEEP = 3
"""From so many numbers of subscribers on, a metric is drawn against them."""


@dataclass(frozen=True)
class Drawn:
    """One figure of the report. `svg` and `png` are None where nothing was drawn; then `caption` says why."""

    name: str
    title: str
    caption: str
    svg: Path | None = None
    png: Path | None = None


def draw(summary: dict[str, Any], directory: Path) -> list[Drawn]:
    """Draw every figure into `directory`, as NAME.svg and NAME.png, in the order of the report."""
    directory.mkdir(parents=True, exist_ok=True)
    drawn = []
    with mpl.rc_context(STYLE):
        drawn.append(_save(directory, "latency", "How late is a notification?", *_latency(summary)))
        for name, title, metrics, unmeasured in COSTS:
            drawn.append(_save(directory, name, title, *_costs(summary, metrics, unmeasured)))
        if _sweeps(summary, "latency_ms_p50"):
            drawn.append(_save(directory, "latency-sweep", *_latency_sweep(summary)))
    return drawn


COSTS: tuple[tuple[str, str, tuple[str, ...], str], ...] = (
    (
        "cpu",
        "What does it cost the server's CPU?",
        ("server_cpu_us_per_delivery", "server_cpu_us_per_request"),
        "The server's CPU was not measured in any valid cell that published.",
    ),
    (
        "idle",
        "What does waiting cost?",
        ("server_cpu_us_per_idle_subscriber_second",),
        "What an idle subscriber costs was not measured: it needs cells in which nothing is published, "
        "beside an empty server.",
    ),
    (
        "memory",
        "What does a waiting subscriber cost in memory?",
        ("server_memory_kb_per_subscriber",),
        "Memory was not measured: it needs 200 subscribers or more.",
    ),
    (
        "calls",
        "How many requests and bytes for each delivery?",
        ("requests_per_delivery", "wire_bytes_per_delivery"),
        "Requests and bytes were not measured in any valid cell that published.",
    ),
)
"""Cost figures: name, title, metrics (a panel each), and what to say where none of them was measured."""
WHILE_IDLE = ("server_cpu_us_per_idle_subscriber_second", "server_memory_kb_per_subscriber")
"""Metrics that speak of waiting; all others are drawn for cells that published."""


def _save(directory: Path, name: str, title: str, figure: Figure | None, caption: str) -> Drawn:
    svg, png = directory / f"{name}.svg", directory / f"{name}.png"
    if figure is None:
        svg.unlink(missing_ok=True)
        png.unlink(missing_ok=True)
        return Drawn(name, title, caption)
    figure.savefig(svg, format="svg", metadata={"Date": None, "Title": title, "Creator": "wirelab"})
    figure.savefig(png, format="png", dpi=PNG_DPI, metadata={"Software": "wirelab"})
    return Drawn(name, title, caption, svg, png)


# --- Latency ---


def _latency(summary: dict[str, Any]) -> tuple[Figure | None, str]:
    groups = [
        group
        for cells in layout.loads(summary)
        if (group := [cell for cell in cells if cell["valid"] and cell["latency_quantiles_ms"]])
    ]
    if not groups:
        return None, "Latency was not measured in any valid cell."
    groups.sort(key=lambda group: (-len({cell["transport"] for cell in group}), -group[0]["subscribers"]))
    shown, left_out = groups[:PANELS], groups[PANELS:]
    shown = sorted(shown, key=lambda group: (group[0]["server_model"], group[0]["subscribers"]))
    columns = 1 if len(shown) == 1 else 2
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(WIDTH, 0.6 + (4.6 if columns == 1 else 4.0) * rows), layout="constrained")
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for panel, group in zip(axes.flat, shown, strict=False):
        _latency_panel(panel, group, summary, near=2.2 if columns == 1 else 8.0)
    for panel in axes.flat[len(shown) :]:
        panel.set_visible(False)
    # The first percent is left out on the left: a single early delivery would squeeze the rest.
    least = min(cell["latency_quantiles_ms"][2] for group in shown for cell in group)
    axes[0][0].set_xlim(left=max(least, 1e-3) / 4)
    for panel in axes[:, 0]:
        panel.set_ylabel("share of deliveries that came\nwithin this latency (%)")
    for panel in axes[-1, :]:
        panel.set_xlabel("delivery latency (ms, from when it was due; log scale)")
    caption = (
        "Thick: measured, the median over valid trials. Thin and dashed: predicted, with two times as "
        "measured in the same cell: until acceptance, and the server's CPU for one delivery or request. "
        "Steep and to the left is better."
    )
    if left_out:
        caption += f" {len(left_out)} more loads are in the tables below."
    if any(cell["steady_trials"] < cell["valid_trials"] for group in shown for cell in group):
        caption += " Cells marked “not steady” were saturated or fell behind: their latency decides nothing."
    return figure, caption


def _latency_panel(panel: Axes, group: list[Cell], summary: dict[str, Any], *, near: float) -> None:
    """One load. Curves whose medians are less than `near` times apart are labelled at different heights."""
    shares = np.array(summary["quantiles"]) * 100.0
    panel.set_xscale("log")
    panel.set_ylim(0, 100)
    panel.set_title(layout.load_name(group[0]))
    labels = []
    for cell in group:
        style = look(cell["transport"])
        latency = np.maximum(np.array(cell["latency_quantiles_ms"]), 1e-3)
        panel.plot(latency, shares, color=style.colour, linestyle=style.line, linewidth=2.6)
        at = int(np.searchsorted(shares, 50))
        panel.plot(latency[at], shares[at], color=style.colour, marker=style.marker, markersize=8)
        predicted = (cell["predicted"] or {}).get("latency_quantiles_ms")
        if predicted:
            late = np.maximum(np.array(predicted), 1e-3)
            panel.plot(late, shares, color=style.colour, linestyle=(0, (2, 2)), linewidth=1.1)
        name = layout.transport_name(cell, group).replace(", ", "\n")
        steady = "" if cell["steady_trials"] >= cell["valid_trials"] else "\nnot steady"
        labels.append((latency[at], f"{name}\np50 {number(float(latency[at]), 2)} ms{steady}", style.colour))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    panel.xaxis.set_minor_formatter(NullFormatter())
    ordered = sorted(labels)
    height = LOWERED
    for place, (x, words, colour) in enumerate(ordered):
        # The fastest is named on its left, the others on their right at different heights, since curves of
        # like latency would write over each other.
        if place > 1 and x < near * ordered[place - 1][0]:
            height = RAISED if height == LOWERED else LOWERED
        offset, side = ((-10, RAISED), "right") if place == 0 else ((10, height), "left")
        panel.annotate(
            words,
            (x, 50),
            xytext=offset,
            textcoords="offset points",
            color=colour,
            fontweight="bold",
            fontsize=10,
            ha=side,
            va="center",
            path_effects=HALO,
        )


# --- Costs ---


def _costs(summary: dict[str, Any], metrics: Sequence[str], unmeasured: str) -> tuple[Figure | None, str]:
    measured = [metric for metric in metrics if _cells_with(summary, metric)]
    if not measured:
        return None, unmeasured
    if any(_sweeps(summary, metric) for metric in measured):
        return _sweep_figure(summary, measured)
    return _dot_figure(summary, measured)


def _cells_with(summary: dict[str, Any], metric: str) -> list[Cell]:
    """Valid cells with subscribers that have the metric, the bare server's after ours."""
    found = [
        cell
        for cell in summary["cells"]
        if cell["transport"] is not None
        and cell["valid"]
        and cell["metrics"].get(metric) is not None
        and (cell["publish_rate"] > 0 or metric in WHILE_IDLE)
    ]
    return sorted(layout.in_order(found), key=_is_bare)


def _is_bare(cell: Cell) -> bool:
    return bool(cell.get("implementation", "wirelab") != "wirelab")


def _row_name(cell: Cell, cells: Sequence[Cell]) -> str:
    """What tells this row from the others: transport, and the load where loads differ."""
    name = layout.transport_name(cell, cells)
    if len({other["server_model"] for other in cells if not _is_bare(other)}) > 1 and not _is_bare(cell):
        name += f", {cell['server_model']}"
    if len({(other["subscribers"], other["publish_rate"]) for other in cells}) > 1:
        rate = f" × {cell['publish_rate']:g}/s" if cell["publish_rate"] else ""
        name += f", {cell['subscribers']:,}{rate}"
    return name


def _dot_figure(summary: dict[str, Any], metrics: Sequence[str]) -> tuple[Figure, str]:
    """A row a cell, a panel a metric: a dot at the value on a line from zero, with its interval."""
    cells: dict[str, Cell] = {}
    for metric in metrics:
        cells.update({cell["id"]: cell for cell in _cells_with(summary, metric)})
    rows = sorted(layout.in_order(cells.values()), key=_is_bare)
    names = [_row_name(cell, rows) for cell in rows]
    figure = Figure(figsize=(WIDTH, 1.3 + 0.5 * len(rows)), layout="constrained")
    axes = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for panel, metric in zip(axes, metrics, strict=True):
        _dots(panel, rows, metric)
    axes[0].set_yticks(range(len(rows)), names)
    axes[0].set_ylim(len(rows) - 0.4, -0.6)
    for tick, cell in zip(axes[0].get_yticklabels(), rows, strict=True):
        tick.set_color(INK if _is_bare(cell) else look(cell["transport"]).colour)
        tick.set_fontweight("bold")
    caption = f"{layout.load_name(rows[0])}. " if len({_load(cell) for cell in rows}) == 1 else ""
    caption += "Dots: medians over valid trials; bars: 95 % intervals. Less is better."
    if any(_is_bare(cell) for cell in rows):
        caption += " Bare server: the harness's own floor, precomputed bytes without a framework."
    return figure, caption


def _load(cell: Cell) -> str:
    return layout.load_name(cell)


def _dots(panel: Axes, rows: Sequence[Cell], metric: str) -> None:
    top = max(
        (figure["high"] or figure["value"] for cell in rows if (figure := cell["metrics"].get(metric))),
        default=0,
    )
    for row, cell in enumerate(rows):
        figure = cell["metrics"].get(metric)
        style = look(cell["transport"])
        if figure is None:
            panel.annotate(
                _absent(metric, cell),
                (0, row),
                xytext=(6, 0),
                textcoords="offset points",
                va="center",
                color=FAINT,
            )
            continue
        value = figure["value"]
        hollow = "white" if _is_bare(cell) else style.colour
        panel.plot([0, value], [row, row], color=style.colour, linewidth=2, alpha=0.35, solid_capstyle="butt")
        if figure["low"] is not None:
            panel.plot(
                [figure["low"], figure["high"]], [row, row], color=style.colour, linewidth=4.5, alpha=0.6
            )
        panel.plot(value, row, marker=style.marker, color=style.colour, markerfacecolor=hollow, markersize=9)
        predicted = (cell["predicted"] or {}).get(metric)
        right = max(value, figure["high"] or value)
        if predicted is not None and predicted < right * 1.5:
            right = max(right, predicted)
        panel.annotate(
            layout.value_text(metric, value),
            (right, row),
            xytext=(9, 0),
            textcoords="offset points",
            va="center",
        )
        if predicted is not None:
            panel.plot(predicted, row, marker="|", color=INK, markersize=17, markeredgewidth=1.6)
    panel.set_xlim(0, (top or 1) * 1.25)
    panel.set_xlabel(
        layout.label(metric) + ("\n(upright mark: predicted)" if _any_predicted(rows, metric) else "")
    )
    panel.grid(axis="y", visible=False)
    panel.spines["left"].set_visible(False)
    panel.tick_params(axis="y", length=0)


def _any_predicted(rows: Sequence[Cell], metric: str) -> bool:
    return any((cell["predicted"] or {}).get(metric) is not None for cell in rows)


def _absent(metric: str, cell: Cell) -> str:
    if metric == "server_cpu_us_per_request" and cell["transport"] == "websocket":
        return "makes no requests"
    return "not measured"


# --- Against the number of subscribers ---


def _series(summary: dict[str, Any], metric: str) -> dict[tuple[Any, ...], list[Cell]]:
    """Valid cells that differ in nothing but subscribers, by what they share."""
    keys = ("server_model", "publish_rate", *SERIES)
    found: dict[tuple[Any, ...], list[Cell]] = {}
    for cell in _cells_with(summary, metric):
        found.setdefault(tuple(cell.get(key) for key in keys), []).append(cell)
    return {key: sorted(cells, key=lambda cell: cell["subscribers"]) for key, cells in found.items()}


def _sweeps(summary: dict[str, Any], metric: str) -> bool:
    return any(
        len({cell["subscribers"] for cell in cells}) >= SWEEP for cells in _series(summary, metric).values()
    )


def _sweep_figure(summary: dict[str, Any], metrics: Sequence[str]) -> tuple[Figure, str]:
    """A column a server model and rate, a row a metric: value against subscribers, a line a transport."""
    columns: list[tuple[Any, Any]] = []
    for metric in metrics:
        for key, cells in _series(summary, metric).items():
            place = (key[0], key[1])
            if (
                len({cell["subscribers"] for cell in cells}) >= SWEEP
                and place[0] is not None
                and place not in columns
            ):
                columns.append(place)
    columns = sorted(columns, key=str)[:PANELS]
    figure = Figure(figsize=(WIDTH, 0.5 + 3.4 * len(metrics)), layout="constrained")
    axes = figure.subplots(len(metrics), len(columns), squeeze=False, sharex=True, sharey="row")
    for row, metric in enumerate(metrics):
        for column, place in enumerate(columns):
            _sweep_panel(axes[row][column], summary, metric, place)
        axes[row][0].set_ylabel(layout.label(metric))
    for column, (model, rate) in enumerate(columns):
        published = f"{rate:g} notifications/s" if rate else "nothing published"
        axes[0][column].set_title(f"{model}, {published}")
        axes[-1][column].set_xlabel("subscribers (log scale)")
    caption = (
        "Medians over valid trials, with 95 % intervals, against the number of subscribers. Less is better."
    )
    if any(_is_bare(cell) for metric in metrics for cell in _cells_with(summary, metric)):
        caption += " Hollow marks: the bare server, the harness's own floor."
    return figure, caption


def _sweep_panel(panel: Axes, summary: dict[str, Any], metric: str, place: tuple[Any, Any]) -> None:
    panel.set_xscale("log")
    values: list[float] = []
    ends: list[tuple[float, float, str, str]] = []
    ticks: set[int] = set()
    for key, cells in _series(summary, metric).items():
        bare = _is_bare(cells[0])
        if key[1] != place[1] or (key[0] != place[0] and not bare):
            continue
        style = look(cells[0]["transport"])
        x = [cell["subscribers"] for cell in cells]
        y = [cell["metrics"][metric]["value"] for cell in cells]
        low = [cell["metrics"][metric]["low"] or at for cell, at in zip(cells, y, strict=True)]
        high = [cell["metrics"][metric]["high"] or at for cell, at in zip(cells, y, strict=True)]
        panel.plot(
            x, y, color=style.colour, linestyle=":" if bare else style.line, linewidth=1.2 if bare else 2.2,
            marker=style.marker, markersize=7, markerfacecolor="white" if bare else style.colour,
        )  # fmt: skip
        panel.vlines(x, low, high, color=style.colour, linewidth=3.5, alpha=0.5)
        name = layout.transport_name(cells[0], _cells_with(summary, metric))
        ends.append((y[-1], x[-1], name, style.colour))
        values.extend(y)
        ticks.update(x)
    if values and min(values) > 0:
        panel.set_yscale("log")
        panel.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
        panel.yaxis.set_minor_formatter(NullFormatter())
    else:
        panel.set_ylim(0, (max(values, default=0) or 1) * 1.15)
    if not values:
        panel.text(0.5, 0.5, "not measured", transform=panel.transAxes, ha="center", color=FAINT)
        return
    panel.set_xticks(sorted(ticks), [f"{tick:,}" for tick in sorted(ticks)])
    panel.minorticks_off()
    panel.set_xlim(min(ticks) * 0.85, max(ticks) * (max(ticks) / min(ticks)) ** 0.42 * 1.1)
    _label_ends(panel, ends)


def _label_ends(panel: Axes, ends: list[tuple[float, float, str, str]]) -> None:
    """Name each curve at its right end, moved apart where ends lie close together."""
    panel.figure.canvas.draw_idle()
    height = panel.get_window_extent().height
    least = 15.0
    placed = -1e9
    for y, x, name, colour in sorted(ends):
        at = panel.transData.transform((x, y))[1]
        wanted = max(at, placed + least)
        placed = wanted
        offset = min(wanted - at, height) * 72.0 / panel.figure.dpi
        panel.annotate(
            name, (x, y), xytext=(9, offset), textcoords="offset points", color=colour, fontweight="bold",
            fontsize=9.5, va="center",
        )  # fmt: skip


def _latency_sweep(summary: dict[str, Any]) -> tuple[str, Figure, str]:
    figure, caption = _sweep_figure(summary, ("latency_ms_p50", "latency_ms_p99"))
    return "How does latency grow with subscribers?", figure, caption
