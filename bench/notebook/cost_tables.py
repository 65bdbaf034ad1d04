"""The cost model of a run, and what it makes of so many users, as tables for a notebook.

Rules: it arranges `summary["costs"]` (`bench/analysis/costs/model.py` has its form) and what
`bench/analysis/costs/plan.py` says, and computes nothing. What was not checked has no cost here.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from bench.analysis.costs import plan
from bench.analysis.store import Run
from bench.rendering import arrange
from bench.rendering.looks import look
from bench.words import number

PLANNED = [
    "transport",
    "cores",
    "cores from … to",
    "memory (GB)",
    "down, with headers (Mbit/s)",
    "requests / s",
    "one process ends at",
]
"""The columns of `planned`, whatever its first row has."""
LOADS = {
    "request": "requests a second",
    "delivery": "deliveries a second",
    "renewal": "renewals a second",
    "subscriber": "subscribers",
}
"""What the load of each operation of the cost model is."""


def models(run: Run) -> pd.DataFrame:
    """One row a series that had the loads for a model: what was fitted, and how it foretold the load held
    out."""
    rows = []
    for series in _series(run):
        if not series["form"]:
            continue
        fitted = [point["load"] for point in series["points"] if point["role"] == "fitted"]
        cost = series["cost"]
        rows.append(
            {
                "transport": series["transport"],
                "server": series["server_model"],
                "operation": series["operation"],
                "fitted at": f"{number(min(fitted))} to {number(max(fitted))}",
                "held out": series["held_out"]["load"],
                "error there": f"{series['held_out']['error']:+.0%}",
                "one costs": None if cost is None else cost["value"],
                "from … to": arrange.ABSENT if cost is None else _interval(**cost),
                "unit": series["unit"],
            }
        )
    return pd.DataFrame(rows)


def points(run: Run, transport: str, operation: str, server_model: str = "gevent") -> pd.DataFrame:
    """What one operation cost under each load that was measured, from the lightest on."""
    rows = [
        {
            LOADS[operation]: point["load"],
            "core busy (%)": None if point["busy_share"] is None else round(point["busy_share"] * 100),
            f"one costs ({series['unit']})": point["cost"]["value"],
            "from … to": _interval(**point["cost"]),
        }
        for series in _series(run, transport, operation, server_model)
        for point in sorted(series["points"], key=lambda point: point["load"])
        if point["cost"]
    ]
    return pd.DataFrame(rows)


def cost_of(run: Run, transport: str, operation: str, server_model: str = "gevent") -> float | None:
    """What one operation costs, in the unit of its series; None where it was not measured, or not checked."""
    costs = [series["cost"] for series in _series(run, transport, operation, server_model) if series["cost"]]
    return float(costs[0]["value"]) if costs else None


def planned(
    run: Run,
    *,
    users: int,
    rate: float,
    payload_bytes: int = 200,
    poll_interval_s: float = 5.0,
    server_model: str = "gevent",
) -> pd.DataFrame:
    """One row a transport: what so many users would take (`bench/analysis/costs/plan.py`), and what ends the
    growth of one process first; or why that cannot be told."""
    demand = plan.Demand(users, rate, payload_bytes, poll_interval_s)
    rows = []
    for one in plan.plan(run.summary["costs"], demand, run.run.get("machine", {}).get("memory_kb")):
        if one.server_model != server_model:
            continue
        row: dict[str, Any] = {"transport": look(one.transport).label}
        if isinstance(one, plan.Plan):
            first = one.limits[0]
            row |= {
                "cores": one.cores.value,
                "cores from … to": _interval(*one.cores),
                "memory (GB)": one.memory_gb.value,
                "down, with headers (Mbit/s)": one.down_wire.value,
                "requests / s": one.requests_per_second,
                "one process ends at": f"{number(first.users, 2)} users: {first.what}",
            }
        else:
            row |= {"cores": None, "one process ends at": f"not planned: {one.why}"}
        rows.append(row)
    return pd.DataFrame(rows, columns=PLANNED if rows else None)


def _series(run: Run, *wanted: str) -> list[dict[str, Any]]:
    """The series of the cost model: all, or those of a transport, an operation and a server model."""
    names = ("transport", "operation", "server_model")
    found = (run.summary["costs"] or {"series": []})["series"]
    return [series for series in found if not wanted or tuple(series[name] for name in names) == wanted]


def _interval(value: float, low: float | None, high: float | None) -> str:
    return arrange.ABSENT if low is None or high is None else f"{number(low)} … {number(high)}"
