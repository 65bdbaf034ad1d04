"""What tests of judges share: cells with narrow intervals, and a claim's verdict on them."""

from __future__ import annotations

from functools import partial
from typing import Any

import made_cells

from bench.analysis.cells import Cell, Measured
from bench.analysis.claims import CLAIMS
from bench.analysis.verdicts import claim as verdicts

made = partial(made_cells.made, width=0.02)


def judged(claim: str, cells: list[Cell], probes: dict[str, Any] | None = None) -> dict[str, Any]:
    """The claim's verdict on these cells."""
    chosen = next(one for one in CLAIMS if one.id == claim)
    return verdicts.judge(chosen, Measured(tuple(cells), probes or {}))


def three(short_ms: float, long_ms: float, socket_ms: float, **changed: Any) -> list[Cell]:
    """A cell of each transport with this mean latency."""
    means = {"short-poll": short_ms, "long-poll": long_ms, "websocket": socket_ms}
    return [made(transport, {"latency_ms_mean": mean}, **changed) for transport, mean in means.items()]
