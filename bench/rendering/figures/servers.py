"""Is it the protocol or the server? A row a server, a mark a transport, on a logarithmic axis.

Rules: the load that most servers had is drawn, or each server's own if it has but one; servers stand in the
order of their cheapest transport; nothing is compared across an emulated link.
"""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.analysis.estimate import Estimate
from bench.analysis.summary import Summary
from bench.rendering import arrange, names
from bench.rendering.arrange import Cell
from bench.rendering.figures.style import FAINT, LABEL_SIZE, STYLE, WIDTH, plain_log
from bench.rendering.looks import look
from bench.systems import registry

LEAST_SERVERS = 3
SERVER = ("system", "server_model")
"""The settings that a row tells."""
SPREAD = 0.8
"""How far apart the first and the last mark of one row lie, in rows: equal costs must not hide each other."""
ROW_INCHES = 0.75
MARK_POINTS = 8.5


def servers(summary: Summary, metric: str) -> tuple[Figure | None, str]:
    """One metric of every server and transport; None if fewer than three servers were measured alike."""
    cells = _alike(summary, metric)
    rows: dict[str, list[Cell]] = {}
    for cell in cells:
        rows.setdefault(registry.server_name(cell.system, cell.server_model), []).append(cell)
    if len(rows) < LEAST_SERVERS:
        return None, ""
    ordered = sorted(rows.items(), key=lambda row: min(_estimate(cell, metric).value for cell in row[1]))
    transports = list(dict.fromkeys(cell.transport for cell in arrange.in_order(cells)))
    figure = Figure(figsize=(WIDTH, 1.6 + ROW_INCHES * len(rows)), layout="constrained")
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
        panel.axhline(place + 0.5, color=STYLE["grid.color"], linewidth=STYLE["grid.linewidth"])
    handles = [
        Line2D(
            [],
            [],
            linestyle="",
            markersize=MARK_POINTS,
            marker=kind.marker,
            color=kind.colour,
            label=kind.label,
        )
        for kind in map(look, transports)
    ]
    figure.legend(
        handles=handles, loc="outside upper left", ncols=len(handles), frameon=False, fontsize=LABEL_SIZE
    )
    caption = (
        "Each mark is a median over valid trials with its 95 % interval; further left is less, and each step "
        "of the axis multiplies. "
    )
    if len({arrange.load_key(cell, *SERVER) for cell in cells}) == 1:
        caption += f"All with {names.load_names(cells, *SERVER)[0]}."
    else:
        caption += "Each at a load of its own, which the tables tell."
    polls = {cell.poll_interval_s for cell in cells if names.has_factor(cell.transport, "poll_interval_s")}
    if len(polls) == 1:
        caption += f" Short polls come every {polls.pop():g} s."
    if any(map(arrange.is_floor, cells)):
        caption += " Hollow: the noise floor, a server without a framework."
    return figure, caption


def _alike(summary: Summary, metric: str) -> list[Cell]:
    """Measured cells on loopback, one for each server and transport: those under the load that most servers
    share, and with the transport's own factors that most share, or all if each has but one."""
    cells = [
        cell
        for cell in arrange.cells_with(summary, [metric])
        if not arrange.is_linked(cell) and not cell.permessage_deflate
    ]
    if len(_one_each(cells)) == len(cells):
        return cells
    alike = _most_shared(cells, lambda cell: arrange.load_key(cell, *SERVER))
    by_transport: dict[str | None, list[Cell]] = {}
    for cell in alike:
        by_transport.setdefault(cell.transport, []).append(cell)
    return [
        cell
        for mine in by_transport.values()
        for cell in _one_each(_most_shared(mine, lambda cell: arrange.series_key(cell, *SERVER)))
    ]


def _most_shared(cells: list[Cell], key: Callable[[Cell], str]) -> list[Cell]:
    """Those of the cells that have the key that the most servers have."""
    found: dict[str, list[Cell]] = {}
    for cell in cells:
        found.setdefault(key(cell), []).append(cell)
    return max(found.values(), key=lambda alike: len({(cell.system, cell.server_model) for cell in alike}))


def _one_each(cells: list[Cell]) -> list[Cell]:
    """One cell for each server and transport."""
    return list({(cell.system, cell.server_model, cell.transport): cell for cell in cells}.values())


def _estimate(cell: Cell, metric: str) -> Estimate:
    """The metric, which a drawn cell has."""
    estimate = cell.metrics[metric]
    assert estimate is not None
    return estimate


def _mark(panel: Axes, cell: Cell, metric: str, row: float) -> None:
    estimate, kind = _estimate(cell, metric), look(cell.transport)
    if estimate.low is not None and estimate.high is not None:
        panel.plot([estimate.low, estimate.high], [row, row], color=kind.colour, linewidth=2)
    floor = arrange.is_floor(cell)
    panel.plot(
        estimate.value,
        row,
        marker=kind.marker,
        markersize=MARK_POINTS,
        color=kind.colour,
        markerfacecolor="white" if floor else kind.colour,
        markeredgecolor=kind.colour if floor else FAINT,
    )
