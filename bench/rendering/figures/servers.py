"""Is it the protocol or the server? A row a server, a mark a transport, on a logarithmic axis.

Rules: the load that most servers had is drawn, or each server's own if it has but one; servers stand in the
order of their cheapest transport; nothing is compared across an emulated link.
"""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.analysis.summary import Summary
from bench.rendering import arrange, names
from bench.rendering.arrange import Cell
from bench.rendering.figures.style import FAINT, LABEL_SIZE, WIDTH, plain_log
from bench.rendering.looks import look

LEAST_SERVERS = 3
SPREAD = 0.34
"""How far apart the marks of one row lie, in rows."""


def servers(summary: Summary, metric: str) -> tuple[Figure | None, str]:
    """One metric of every server and transport; None if fewer than three servers were measured alike."""
    cells = _alike(summary, metric)
    rows: dict[str, list[Cell]] = {}
    for cell in cells:
        rows.setdefault(names.server_name(cell.system, cell.server_model), []).append(cell)
    if len(rows) < LEAST_SERVERS:
        return None, ""
    ordered = sorted(rows.items(), key=lambda row: min(_value(cell, metric) for cell in row[1]))
    shown = [cell for cell in arrange.in_order(cells) if cell.transport]
    transports = list(dict.fromkeys(cell.transport for cell in shown))
    figure = Figure(figsize=(WIDTH, 1.6 + 0.62 * len(rows)), layout="constrained")
    panel = figure.subplots()
    for place, (_, mine) in enumerate(ordered):
        for cell in mine:
            step = transports.index(cell.transport) / max(1, len(transports) - 1) - 0.5
            _mark(panel, cell, metric, place + SPREAD * step)
    panel.set_yticks(range(len(ordered)), [name for name, _ in ordered])
    panel.set_ylim(len(ordered) - 0.4, -0.6)
    panel.set_xscale("log")
    plain_log(panel.xaxis)
    panel.set_xlabel(names.label(metric))
    panel.grid(visible=False, axis="y")
    for place in range(len(ordered) - 1):
        panel.axhline(place + 0.5, color="#E4E4E4", linewidth=0.8)
    handles = [
        Line2D([], [], linestyle="", markersize=10, marker=kind.marker, color=kind.colour, label=kind.label)
        for kind in map(look, transports)
    ]
    figure.legend(
        handles=handles, loc="outside upper left", ncols=len(handles), frameon=False, fontsize=LABEL_SIZE
    )
    loads = {arrange.load_key(cell, "system", "server_model") for cell in cells}
    alike = f"All with {names.load_names(cells, 'system', 'server_model')[0]}." if len(loads) == 1 else ""
    each = "" if alike else "Each at a load of its own, which the tables tell."
    return figure, (
        "Each mark is a median over valid trials with its 95 % interval; further left is less, and each step "
        f"of the axis multiplies. {alike}{each}"
    )


def _alike(summary: Summary, metric: str) -> list[Cell]:
    """Measured cells on loopback, one for each server and transport: those under the load that most share, or
    all if each has but one."""
    cells = [
        cell
        for cell in arrange.cells_with(summary, [metric])
        if not arrange.is_linked(cell) and not cell.permessage_deflate
    ]
    one = {(cell.system, cell.server_model, cell.transport): cell for cell in cells}
    if len(one) == len(cells):
        return cells
    loads: dict[str, list[Cell]] = {}
    for cell in cells:
        loads.setdefault(arrange.load_key(cell, "system", "server_model"), []).append(cell)
    most = max(loads.values(), key=lambda group: len({(c.system, c.server_model) for c in group}))
    return list({(cell.system, cell.server_model, cell.transport): cell for cell in most}.values())


def _value(cell: Cell, metric: str) -> float:
    estimate = cell.metrics[metric]
    assert estimate is not None
    return float(estimate.value)


def _mark(panel: Axes, cell: Cell, metric: str, row: float) -> None:
    estimate, kind = cell.metrics[metric], look(cell.transport)
    assert estimate is not None
    if estimate.low is not None and estimate.high is not None:
        panel.plot([estimate.low, estimate.high], [row, row], color=kind.colour, linewidth=2)
    floor = arrange.is_floor(cell)
    panel.plot(
        estimate.value,
        row,
        marker=kind.marker,
        markersize=10,
        color=kind.colour,
        markerfacecolor="white" if floor else kind.colour,
        markeredgecolor=kind.colour if floor else FAINT,
    )
