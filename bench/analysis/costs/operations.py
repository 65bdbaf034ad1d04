"""Which cells are billed, which of them make one series, and whose cost each tells.

Rules:
- What an operation is, and which of them a cell tells the cost of, its transport's theory knows
  (`bench/analysis/theory/bill.py`). A transport without a theory has no bill.
- Loopback only: across a link the receiver's TCP input is billed elsewhere, and the two are never mixed.
- A series is one operation under several loads, with everything else alike.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from bench.analysis import theory
from bench.analysis.cells import Cell
from bench.analysis.theory import bill
from bench.analysis.theory.bill import Work
from bench.scenario.links import LOOPBACK
from bench.scenario.settings import MEASURING, SETTINGS
from bench.systems.registry import is_judged

SUBSCRIBER = "subscriber"
"""The operation that takes memory, and no CPU."""
LOADS = ("subscribers", "publish_rate", "poll_interval_s", "wait_s")
"""Settings by which the cells of a series may differ: they make the load."""
SERVED: dict[str, Any] = {
    "link": LOOPBACK,
    "connection": "kept",
    "permessage_deflate": False,
}
"""What is billed: a server that is judged, on loopback, connections kept, nothing compressed."""


def billed(cells: Iterable[Cell]) -> list[Cell]:
    """Those of the cells that are billed."""
    return [
        cell
        for cell in cells
        if is_judged(cell.settings["system"], cell.settings["server_model"])
        and all(cell.settings[name] == usual for name, usual in SERVED.items())
    ]


def works(cell: Cell) -> list[Work]:
    """What the cell tells the cost of: nothing without subscribers, or if its transport has no theory."""
    if not cell.valid_trials:
        return []
    known = theory.of(cell.transport)
    cpu = known.work(cell)
    found = [] if cpu is None else [cpu]
    if known.tells_memory(cell) and cell.metrics.get(bill.MEMORY) is not None:
        found.append(Work(SUBSCRIBER, float(cell.settings["subscribers"]), bill.MEMORY))
    return found


def shared(cell: Cell) -> dict[str, Any]:
    """The settings that the cells of a series share."""
    names = [name for name in SETTINGS if name not in (*LOADS, *MEASURING)]
    return {name: cell.settings[name] for name in sorted(names)}


def kind(cell: Cell) -> str:
    """The same for all cells of a series."""
    return json.dumps(shared(cell), sort_keys=True)


def who(cell: Cell) -> dict[str, Any]:
    """Whose cost an entry of the model is."""
    return {
        "transport": cell.settings["transport"],
        "server_model": cell.settings["server_model"],
        "settings": shared(cell),
    }
