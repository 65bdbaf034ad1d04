"""The distribution of delivery latency: measured, predicted, the noise floor's, and what a naive clock shows.

Rules: a distribution is drawn whole, as the share of deliveries that came within a latency; steep and to
the left is better. Latency counts from when a notification was due, here and everywhere else.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.analysis.summary import Summary
from bench.rendering import arrange, names
from bench.rendering.arrange import Cell
from bench.rendering.figures.style import (
    FLOOR,
    HALO,
    LABEL_SIZE,
    PANELS,
    PREDICTED,
    End,
    entitle,
    grid,
    key,
    name_ends,
    plain_log,
)
from bench.rendering.looks import look
from bench.words import number

LEVELS = (18, 46, 74)
"""Where on its curve, in percent of deliveries, a label stands: curves lie close, neighbours take turns."""
LEAST_MS = 1e-3
"""What is earlier is drawn here: a logarithmic axis has no zero."""


def distribution(summary: Summary) -> tuple[Figure | None, str]:
    """A panel a load, a curve a transport, with the predicted one beside it."""
    groups = [
        group
        for cells in arrange.loads(summary.cells)
        if (group := [cell for cell in cells if cell.valid and cell.latency_quantiles_ms])
    ]
    if not groups:
        return None, "Latency was not measured in any valid cell."
    # The loads with most transports, from the first to the last; where there is room, those with fewer.
    most = [group for group in groups if _transports(group) == max(map(_transports, groups))]
    fewer = sorted((group for group in groups if group not in most), key=lambda group: -_transports(group))
    chosen = arrange.spread(most, PANELS) + fewer[: max(0, PANELS - len(most))]
    shown = [group for group in groups if group in chosen]
    common, own = names.load_names([group[0] for group in shown])
    figure, axes = grid(len(shown), 5.0 if len(shown) == 1 else 4.3, sharex=True, sharey=True)
    floors = False
    for panel, group, title in zip(axes, shown, own, strict=True):
        floors |= _panel(panel, group, summary)
        entitle(panel, title)
    axes[0].set_xlim(*_limits(shown, 0.14 if len(shown) == 1 else 0.33))
    for panel in axes:
        plain_log(panel.xaxis)
    for panel in axes[:: 1 if len(shown) == 1 else 2]:
        panel.set_ylabel("deliveries that came\nwithin this latency (%)")
    for panel in axes[-2:]:
        panel.set_xlabel("delivery latency (ms from when due; log scale)")
    theory = any(_predicted_ms(cell) for group in shown for cell in group)
    key(figure, {"linewidth": 2.8}, predicted=theory, floor=floors)
    caption = (
        f"{names.sentence(common)} Thick: measured, the median over valid trials. Dashed: predicted, with "
        "what theory cannot know as measured in the same cell: the rate as it came out, the time until "
        "acceptance, the server's CPU for one delivery or request, and a poller's time to ask again. Steep "
        "and to the left is better."
    )
    if floors:
        caption += (
            " Dotted, with a hollow mark: the noise floor, a server without a framework; subtracted nowhere."
        )
    caption += names.left_out(len(groups) - len(shown))
    if any(cell.steady_trials < cell.valid_trials for group in shown for cell in group):
        caption += " Cells marked “not steady” were saturated or fell behind: their latency decides nothing."
    return figure, caption


def _drawn(latency_ms: list[float]) -> npt.NDArray[np.float64]:
    """Latencies as a logarithmic axis can show them."""
    late: npt.NDArray[np.float64] = np.maximum(np.array(latency_ms), LEAST_MS)
    return late


def _predicted_ms(cell: Cell) -> list[float] | None:
    return cell.predicted.latency_quantiles_ms if cell.predicted else None


def _limits(shown: list[list[Cell]], label: float) -> tuple[float, float]:
    """From where to where latency is drawn (ms), with room for a label of that share of the axis to the left
    of the fastest curve. The first percent is left out: a single early delivery would squeeze the rest."""
    all_ms = np.array([cell.latency_quantiles_ms for group in shown for cell in group])
    floor = np.maximum(all_ms, LEAST_MS).min(axis=0)
    most = np.log(float(all_ms.max()) * 1.2 + LEAST_MS)
    beside = np.log(float(np.interp(LEVELS[-1], np.linspace(0, 100, len(floor)), floor)))
    left = min(np.log(floor[2]), (beside - label * most) / (1 - label))
    return float(np.exp(left)), float(np.exp(most))


def _panel(panel: Axes, group: list[Cell], summary: Summary) -> bool:
    """One load; returns whether the noise floor's curve was drawn."""
    shares = np.array(summary.quantiles) * 100.0
    middle = int(np.searchsorted(shares, 50))
    panel.set_xscale("log")
    panel.set_ylim(0, 100)
    labels = []
    floors = False
    for cell in group:
        style = look(cell.transport)
        floor = arrange.floor(summary, cell, "latency_ms_p50")
        if floor is not None and floor.latency_quantiles_ms:
            late = _drawn(floor.latency_quantiles_ms)
            panel.plot(late, shares, color=style.colour, marker=style.marker, markevery=[middle], **FLOOR)
            floors = True
        latency = _drawn(cell.latency_quantiles_ms or [])
        panel.plot(latency, shares, color=style.colour, linestyle=style.line, linewidth=2.8)
        panel.plot(latency[middle], 50, color=style.colour, marker=style.marker, markersize=9)
        predicted_ms = _predicted_ms(cell)
        if predicted_ms:
            panel.plot(_drawn(predicted_ms), shares, color=style.colour, **PREDICTED)
        name = names.transport_name(cell, group).replace(", ", "\n")
        steady = "" if cell.steady_trials >= cell.valid_trials else "\nnot steady"
        mark = names.mark("latency_ms_mean", cell)
        p50 = number(float(latency[middle]), 2)
        labels.append((float(latency[middle]), latency, f"{name}\np50 {p50} ms{mark}{steady}", style.colour))
    labels.sort(key=lambda one: one[0])
    for place, (_, latency, words, colour) in enumerate(labels):
        # The fastest is named on its left, the others on their right.
        level = LEVELS[(place - 1) % len(LEVELS)]
        at = int(np.searchsorted(shares, level))
        panel.annotate(
            words,
            (latency[at], level),
            xytext=(-9 if place == 0 else 9, 0),
            textcoords="offset points",
            color=colour,
            fontweight="bold",
            fontsize=LABEL_SIZE,
            ha="right" if place == 0 else "left",
            # A curve leans to the right: above a label on its left, and below one on its right, is room.
            va="bottom" if place == 0 else "top",
            path_effects=HALO,
        )
    return floors


PERCENTILES = (50, 90, 99, 99.9)
DUE: tuple[str, dict[str, Any]] = ("", {"linewidth": 2.8})
WRITTEN: tuple[str, dict[str, Any]] = ("from written", {"linewidth": 1.6, "linestyle": ":"})
ANSWERED: tuple[str, dict[str, Any]] = (
    "request to answer",
    {"linewidth": 1.6, "linestyle": (0, (6, 2, 1, 2))},
)
"""Three clocks of one delivery: what each is called at its curve's end, and how it is drawn."""


def naive(summary: Summary) -> tuple[Figure | None, str]:
    """Latency from when a notification was due beside what other clocks show, by percentile: of the loads
    with most transports, under the one in which the publisher's lateness hides most."""
    groups = [
        group
        for cells in arrange.loads(summary.cells)
        if (group := [cell for cell in cells if cell.valid and cell.naive_latency_quantiles_ms])
    ]
    if not groups:
        return None, "When the publisher wrote each notification is not known in this run."
    group = max(groups, key=lambda group: (_transports(group), max(cell.hidden_ms or 0.0 for cell in group)))
    figure, (panel,) = grid(1, 5.2)
    # A percentile stands at the number of deliveries among which one is later: 10, 100, 1,000.
    rarity = 1.0 / (1.0 - np.array(summary.quantiles))
    drawn = rarity > 1.6
    ends, values = [], []
    for cell in group:
        style = look(cell.transport)
        whole_ms = _drawn(cell.latency_quantiles_ms or [])
        for quantiles_ms, clock, line in (
            (cell.latency_quantiles_ms, *DUE),
            (cell.naive_latency_quantiles_ms, *WRITTEN),
            (cell.response_quantiles_ms, *ANSWERED),
        ):
            if quantiles_ms is None:
                continue
            late = _drawn(quantiles_ms)
            panel.plot(rarity, late, color=style.colour, **({"linestyle": style.line} | line))
            values.append(late[drawn])
            name = ", ".join(filter(None, (names.transport_name(cell, group), clock)))
            text = f"{name}, {number(late[-1], 2)} ms"
            if clock != WRITTEN[0] or late[-1] < 0.95 * whole_ms[-1]:
                ends.append(End(rarity[-1], late[-1], text, style.colour))
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_xlim(rarity[drawn][0], rarity[-1])
    panel.set_ylim(np.min(values) / 1.4, np.max(values) * 1.4)
    panel.set_xticks(
        [1 / (1 - percent / 100) for percent in PERCENTILES], [f"p{percent:g}" for percent in PERCENTILES]
    )
    panel.minorticks_off()
    panel.set_ylabel("what the clock shows (ms, log scale)")
    panel.set_xlabel("percentile (the further right, the rarer)")
    plain_log(panel.yaxis)
    name_ends(figure, {panel: ends})
    return figure, (
        f"{names.sentence(names.group_name(group))} Thick, under the transport's name: latency from "
        "when a notification was due, which every other figure here shows. Dotted: the naive clock, which "
        "starts when the publisher has written it, and hides how late that was. Dash-dotted: request to "
        "answer, as a load generator prints it, which is no latency of a notification at all."
    )


def _transports(group: list[Cell]) -> int:
    return len({cell.transport for cell in group})
