"""Tables for a notebook: metrics of a run, its cost model and what that makes of so many users, an exchange.

Rules: it arranges what a summary, `bench/analysis/costs/plan.py` and `clients.explain.exchange` say, and
computes nothing. What was not checked has no cost here.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from bench.analysis.costs import plan
from bench.analysis.estimate import Estimate
from bench.analysis.store import Run
from bench.analysis.summary import CostSeries, Summary
from bench.errors import UsageError
from bench.rendering import arrange, names
from bench.rendering.looks import look
from bench.scenario.settings import MEASURING, SETTINGS
from bench.words import number
from clients.explain.exchange import Exchange, Step, Sums

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
ARROWS = {"client": "client → server", "server": "client ← server"}

# --- Metrics ---


def only(summary: Summary, **settings: Any) -> Summary:
    """The summary with those cells alone that have these settings."""
    return summary.only(lambda cell: all(getattr(cell, key) == value for key, value in settings.items()))


def found(run: Run, metric: str, **settings: Any) -> dict[str, float | None]:
    """A metric of each transport, in the cells that have these settings: its value, None if it was not
    measured. Raises UsageError where several cells of a transport have them."""
    cells = [cell for cell in only(run.summary, **settings).cells if cell.transport is not None]
    values: dict[str, float | None] = {}
    for cell in arrange.in_order(cells):
        name = names.transport_name(cell)
        if name in values:
            raise UsageError(f"several cells of {name} have these settings: give more of them")
        estimate = cell.metrics.get(metric)
        values[name] = None if estimate is None else estimate.value
    return values


def metrics(run: Run, *wanted: str, **settings: Any) -> pd.DataFrame:
    """One row a cell that has these settings: its transport, what else tells the cells apart, and metrics,
    each with its interval."""
    cells = arrange.in_order(cell for cell in only(run.summary, **settings).cells if cell.transport)
    apart = [
        key
        for key in SETTINGS
        if key not in ("transport", *MEASURING) and len({getattr(cell, key) for cell in cells}) > 1
    ]
    return pd.DataFrame(
        [
            {
                "transport": cell.transport,
                **{key: getattr(cell, key) for key in apart},
                **{names.label(name): names.estimate_text(name, cell.metrics.get(name)) for name in wanted},
            }
            for cell in cells
        ]
    )


# --- Costs ---


def models(run: Run) -> pd.DataFrame:
    """One row a series that had the loads for a model: what was fitted, and how it foretold the load held
    out."""
    rows = []
    for series in _series(run):
        if series.held_out is None:
            continue
        fitted = [point.load for point in series.points if point.role == "fitted"]
        cost = series.cost
        rows.append(
            {
                "transport": series.transport,
                "server": series.server_model,
                "operation": series.operation,
                "fitted at": f"{number(fitted[0])} to {number(fitted[-1])}",
                "held out": series.held_out.load,
                "error there": f"{series.held_out.error:+.0%}",
                "one costs": None if cost is None else cost.value,
                "from … to": names.ABSENT if cost is None else _interval(cost),
                "unit": series.unit,
            }
        )
    return pd.DataFrame(rows)


def points(run: Run, transport: str, operation: str, server_model: str = "gevent") -> pd.DataFrame:
    """What one operation cost under each load that was measured, from the lightest on."""
    rows = [
        {
            LOADS[operation]: point.load,
            "core busy (%)": None if point.busy_share is None else round(point.busy_share * 100),
            f"one costs ({series.unit})": point.cost.value,
            "from … to": _interval(point.cost),
        }
        for series in _series(run, transport, operation, server_model)
        for point in sorted(series.points, key=lambda point: point.load)
        if point.cost
    ]
    return pd.DataFrame(rows)


def cost_of(run: Run, transport: str, operation: str, server_model: str = "gevent") -> float | None:
    """What one operation costs, in the unit of its series; None if it was not measured, or not checked."""
    costs = [series.cost for series in _series(run, transport, operation, server_model) if series.cost]
    return costs[0].value if costs else None


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
    for one in plan.plan(run.summary.costs, demand, run.run.get("machine", {}).get("memory_kb")):
        if one.server_model != server_model:
            continue
        row: dict[str, Any] = {"transport": look(one.transport).label}
        if isinstance(one, plan.Plan):
            first = one.limits[0]
            row |= {
                "cores": one.cores.value,
                "cores from … to": _interval(one.cores),
                "memory (GB)": one.memory_gb.value,
                "down, with headers (Mbit/s)": one.down_wire.value,
                "requests / s": one.requests_per_second,
                "one process ends at": f"{number(first.users, 2)} users: {first.what}",
            }
        else:
            row |= {"cores": None, "one process ends at": f"not planned: {one.why}"}
        rows.append(row)
    return pd.DataFrame(rows, columns=PLANNED if rows else None)


def _series(run: Run, *wanted: str) -> list[CostSeries]:
    """The series of the cost model: all, or those of a transport, an operation and a server model."""
    found = run.summary.costs.series if run.summary.costs else []
    return [one for one in found if not wanted or (one.transport, one.operation, one.server_model) == wanted]


def _interval(estimate: Estimate) -> str:
    if estimate.interval is None:
        return names.ABSENT
    return " … ".join(number(side) for side in estimate.interval)


# --- What is on the wire ---


def conversation(found: Exchange) -> pd.DataFrame:
    """One row a message of an exchange, and one for all of them: who said what, in how many bytes of which
    kind."""
    rows = [
        {"ms": round(step.at_ms, 1), "who": ARROWS[step.sender], "what": step.title, **_bytes(step.sums)}
        for step in found.steps
    ]
    return pd.DataFrame([*rows, {"ms": None, "who": "", "what": "together", **_bytes(found.sums())}])


def spans(step: Step) -> pd.DataFrame:
    """Every byte of one message: where it stands, what it is and why it is there."""
    return pd.DataFrame(
        [
            {
                "bytes": span.size,
                "part": span.part,
                "what": span.label,
                "is": span.shows,
                "why": " ".join(
                    [span.why, *(f"{bits.bits} {bits.name}: {bits.says}." for bits in span.bits)]
                ),
            }
            for span in step.spans
        ]
    )


def _bytes(sums: Sums) -> dict[str, int]:
    return {**sums._asdict(), "bytes": sums.whole}
