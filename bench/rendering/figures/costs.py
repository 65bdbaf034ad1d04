"""What the server pays: a row a cell, a panel a metric, the noise floor beside ours.

Rules: lengths start at zero, so that they compare by eye; cells that ran on different networks never share
a figure of CPU, for across a link the kernel's work lies elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from bench.analysis.summary import Summary
from bench.rendering import arrange, names
from bench.rendering.arrange import Cell
from bench.rendering.figures import against
from bench.rendering.figures.style import FAINT, HALO, INK, WIDTH
from bench.rendering.looks import look
from bench.words import number
from clients import TRANSPORTS

ROWS = 16
"""Rows of one figure at most; the fullest loads come first, and the caption says what is left out."""
ELSEWHERE = " Cells across a link are in the tables below: their CPU is not to be compared with loopback's."


def costs(summary: Summary, metrics: Sequence[str], unmeasured: str) -> tuple[Figure | None, str]:
    """The metrics against the factor that varies, else a row a cell; `unmeasured` says why there is none."""
    measured = [metric for metric in metrics if arrange.cells_with(summary, [metric])]
    if not measured:
        return None, unmeasured
    left_out = ""
    if any("cpu" in metric for metric in measured):
        shown = arrange.on_one_network(summary, measured)
        left_out = "" if shown is summary else ELSEWHERE
        summary = shown
    for factor in ("subscribers", "publish_rate", "payload_bytes", "one_way_ms"):
        if against.suits(summary, factor, measured):
            figure, caption = against.against(summary, factor, measured)
            return figure, caption + left_out
    figure, caption = _rows(summary, measured)
    return figure, caption + left_out


def _rows(summary: Summary, metrics: Sequence[str]) -> tuple[Figure, str]:
    """A row a cell under the name of its load: a dot at the value on a line from zero, with its interval."""
    cells = arrange.cells_with(summary, metrics)
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(arrange.load_key(cell), []).append(cell)
    chosen: list[list[Cell]] = []
    for group in sorted(groups.values(), key=lambda group: -len(group)):
        if not chosen or sum(map(len, chosen)) + len(group) <= ROWS:
            chosen.append(group)
    shown = [group for group in groups.values() if group in chosen]
    common, own = names.load_names([group[0] for group in shown])
    rows: list[Cell | str] = []
    for name, group in zip(own, shown, strict=True):
        rows += [name] if name else []
        rows += group
    figure = Figure(figsize=(WIDTH, 1.5 + 0.46 * len(rows)), layout="constrained")
    axes = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for panel, metric in zip(axes, metrics, strict=True):
        _dots(panel, rows, metric)
    named = ["" if isinstance(row, str) else names.transport_name(row, cells, system=False) for row in rows]
    axes[0].set_yticks(range(len(rows)), named)
    axes[0].set_ylim(len(rows) - 0.4, -0.6)
    for place, (tick, row) in enumerate(zip(axes[0].get_yticklabels(), rows, strict=True)):
        if isinstance(row, str):
            # On a row of its own, a load's name has all the width of the figure.
            name = axes[0].annotate(
                row, (0, place), xytext=(0, -3), textcoords="offset points", va="center", path_effects=HALO
            )
            name.set_in_layout(False)
        else:
            tick.set_color(look(row.transport).colour)
            tick.set_fontweight("bold")
    caption = (
        f"{names.sentence(common)} Dots: medians over valid trials; bars: 95 % intervals. Less is better."
    )
    drawn = [row for row in rows if not isinstance(row, str)]
    if any(_predicted(cell, metric) is not None for cell in drawn for metric in metrics):
        caption += " Upright marks: predicted."
    if any(map(arrange.is_floor, drawn)):
        caption += " Hollow: the noise floor, a server without a framework; subtracted nowhere."
    if any(names.mark(metric, cell) for cell in drawn for metric in metrics):
        caption += f" {names.OUTSIDE}: outside the band around the prediction; see “What does theory miss?”."
    return figure, caption + names.left_out(len(groups) - len(chosen))


def _predicted(cell: Cell, metric: str) -> float | None:
    return cell.predicted.of(metric) if cell.predicted else None


def _dots(panel: Axes, rows: Sequence[Cell | str], metric: str) -> None:
    top = 0.0
    for row, cell in enumerate(rows):
        if isinstance(cell, str):
            continue
        estimate = cell.metrics.get(metric)
        style = look(cell.transport)
        if estimate is None:
            panel.annotate(
                _absent(metric, cell),
                (0, row),
                xytext=(6, 0),
                textcoords="offset points",
                va="center",
                color=FAINT,
            )
            continue
        value = estimate.value
        hollow = "white" if arrange.is_floor(cell) else style.colour
        panel.plot([0, value], [row, row], color=style.colour, linewidth=2, alpha=0.35, solid_capstyle="butt")
        if estimate.interval is not None:
            panel.plot(estimate.interval, [row, row], color=style.colour, linewidth=5, alpha=0.6)
        panel.plot(
            value,
            row,
            marker=style.marker,
            color=style.colour,
            markerfacecolor=hollow,
            markersize=10,
            clip_on=False,
        )
        predicted = _predicted(cell, metric)
        right = max(value, estimate.high or value)
        if predicted is not None:
            panel.plot(predicted, row, marker="|", color=INK, markersize=18, markeredgewidth=1.8)
            right = max(right, predicted) if predicted < right * 1.5 else right
        panel.annotate(
            names.value_text(metric, value) + names.mark(metric, cell),
            (right, row),
            xytext=(10, 0),
            textcoords="offset points",
            va="center",
            path_effects=HALO,
        )
        top = max(top, right)
    panel.set_xlim(0, (top or 1) * 1.25)
    panel.set_xlabel(names.label(metric))
    panel.xaxis.set_major_locator(MaxNLocator(5))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    panel.patch.set_visible(False)
    panel.grid(axis="y", visible=False)
    panel.spines["left"].set_visible(False)
    panel.tick_params(axis="y", length=0, pad=12)


def _absent(metric: str, cell: Cell) -> str:
    kind = TRANSPORTS.get(str(cell.transport))
    if metric == "server_cpu_us_per_request" and kind is not None and not kind.asks_again:
        return "makes no requests"
    return "not measured"
