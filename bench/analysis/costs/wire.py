"""What goes over the wire: bytes and packets of a poll without news, and what a notification adds.

Exact sums, so least squares over the cells: a·polls + b·notifications. A WebSocket's polls are its pings. A
cell in whose window neither came says nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.analysis import intervals, theory
from bench.analysis.cells import Cell
from bench.analysis.costs import operations
from bench.analysis.estimate import Estimate
from bench.analysis.theory import bill

APART = 0.01
"""The least ratio of singular values at which bytes are told apart by poll and by notification: where every
poll brings news the two counts are the same but for the window's edges, and only noise would be told."""
QUANTITIES = ("bytes_up", "bytes_down", "packets_up", "packets_down")


def summarise(cells: list[Cell]) -> dict[str, Any]:
    """The counts of cells that differ in their load alone; None each if they cannot be told apart."""
    known = [
        cell
        for cell in cells
        if not theory.of(cell.transport).came_back(cell)
        and any(_rates(cell))
        and all(cell.estimate(_metric(quantity)) is not None for quantity in QUANTITIES)
    ]
    rates = np.array([_rates(cell) for cell in known]).reshape(-1, 2)
    told = [index for index in (0, 1) if len(known) and rates[:, index].any()]
    found: dict[str, Any] = {**operations.who(cells[0]), "per_poll": None, "per_notification": None}
    if not told:
        return found
    weight = 1.0 / rates.sum(axis=1)
    strengths = np.linalg.svd(rates[:, told] * weight[:, None], compute_uv=False)
    if len(strengths) < len(told) or strengths[-1] < APART * strengths[0]:
        return found
    solver = np.linalg.pinv(rates[:, told] * weight[:, None])
    for place, index in enumerate(told):
        name = ("per_poll", "per_notification")[index]
        found[name] = {}
        for quantity in QUANTITIES:
            metric = _metric(quantity)
            values = np.array([bill.value(cell, metric) for cell in known], dtype=float)
            drawn = np.stack([cell.replicates[metric] for cell in known], axis=1)
            low, high = intervals.interval(drawn * weight @ solver[place])
            found[name][quantity] = Estimate(float(values * weight @ solver[place]), low, high).as_data()
    return found


def _metric(quantity: str) -> str:
    return f"{quantity}_per_subscriber_second"


def _rates(cell: Cell) -> tuple[float, float]:
    """Polls and notifications a second of each subscriber."""
    notifications = bill.deliveries_per_second(cell) / int(cell.settings["subscribers"])
    return theory.of(cell.transport).polls_per_second(cell), notifications
