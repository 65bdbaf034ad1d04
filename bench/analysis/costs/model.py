"""What each operation costs the server: fitted on some loads, checked on a larger one, or not projected.

The words of it: an operation (`bench/analysis/theory/bill.py`), a series (`operations.py`), a form
(`forms.py`).

Rules:
- CPU is fitted on loads that keep the server's core 0.3 to 0.8 busy with the server's own work (`BAND`):
  below, a process that wakes up for each event pays more for it; above, it queues. Memory is fitted on all.
- The largest load is held out. The fitted loads are at most about half of it (`HELD_OUT_TIMES`), and at least
  two.
- A form that misses the held-out load by more than `HELD_OUT_ERROR` projects nothing. One that is within it
  is fitted again on all of them, and projects the cost *at the held-out load*: a larger service is more of
  such cores, not a busier one.
- The interval comes from the bootstrap over trials (`bench/analysis/intervals.py`), widened on both sides by
  the error at the held-out load, so that it speaks of a prediction and not of the fit alone.

`summary.costs` is null if there is no series, else as follows. An estimate is {"value", "low", "high"};
errors are predicted/measured − 1; loads are operations a second, or subscribers.

    {"band": [0.3, 0.8], "most_error": 0.25,
     "series": [{"transport", "server_model", "settings": {what else its cells share}, "operation",
                 "unit": "µs" or "kB",
                 "points": [{"cell", "load", "cost": estimate, "busy_share": null for memory,
                             "role": "fitted", "held out" or "not used", "why_not": null if used}],
                 "candidates": {form: error when left out},    those that there were loads enough for
                 "form", "parameters": {name: value},          fitted on the fitted loads; null without
                 "held_out": null or {"cell", "load", "measured": estimate, "predicted", "error"},
                 "curve": [[load, cost]],                      what was fitted, up to the held-out load
                 "checked": bool, "why_not": null if checked,
                 "cost": estimate or null}],                     what to project with
     "wire": [{"transport", "server_model", "settings",
               "per_poll": null or counts,           a request without news; for WebSocket a ping and pong
               "per_notification": null or counts}], what each notification adds
                    counts: {"bytes_up", "bytes_down", "packets_up", "packets_down": estimate}, without TCP/IP
     "threads": [{"transport", "server_model", "settings", "threads_per_subscriber": number or null}],
     "publish": [{"server_model", "cell", "load", "cost": estimate}]}    nobody listening; not checked
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.analysis import intervals, theory
from bench.analysis.cells import Cell
from bench.analysis.costs import forms, operations, wire
from bench.analysis.costs.operations import SUBSCRIBER
from bench.analysis.estimate import Estimate
from bench.analysis.theory import bill
from bench.analysis.theory.bill import Work
from bench.evidence.gates.steadiness import SERVER_CORE_BUSY_SHARE

Floats = npt.NDArray[np.float64]

BAND = (0.3, 0.8)
"""How busy the server's core must be with the server's own work for a load to be fitted."""
FULL = SERVER_CORE_BUSY_SHARE
"""From here on a load is not even held out. Like the band it is a share of the server's own CPU time, without
what else ran on its core, which `server_core_busy_share` has too."""
HELD_OUT_TIMES = 1.9
"""The held-out load is twice the largest fitted one; what was done may lie a little beside what was asked."""
HELD_OUT_ERROR = 0.25
CURVE_POINTS = 40


@dataclass(frozen=True)
class Point:
    """The cost of one operation under one load."""

    cell: Cell
    load: float
    cost: Estimate
    replicates: Floats
    busy_share: float | None


def summarise(cells: Iterable[Cell]) -> dict[str, Any] | None:
    """The whole model of a run, in the form above. Pure."""
    billed = operations.billed(cells)
    groups: dict[tuple[str, str], list[tuple[Cell, Work]]] = {}
    for cell in billed:
        for work in operations.works(cell):
            groups.setdefault((operations.kind(cell), work.operation), []).append((cell, work))
    series = [_series(operation, done) for (_, operation), done in groups.items()]
    publish = [told for cell in billed if (told := _publish(cell)) is not None]
    if not series and not publish:
        return None
    alike: dict[str, list[Cell]] = {}
    for cell in billed:
        if cell.transport is not None:
            alike.setdefault(operations.kind(cell), []).append(cell)
    return {
        "band": list(BAND),
        "most_error": HELD_OUT_ERROR,
        "series": series,
        "wire": [wire.summarise(group) for group in alike.values()],
        "threads": [_threads(group) for group in alike.values()],
        "publish": publish,
    }


def _series(operation: str, done: list[tuple[Cell, Work]]) -> dict[str, Any]:
    """One series, fitted, checked, and priced if the check was passed."""
    points, shown = [], []
    for cell, work in sorted(done, key=lambda pair: pair[1].load):
        point, why_not = _point(cell, work)
        if point is None:
            estimate = cell.metrics.get(work.metric)
            cost = None if estimate is None else estimate.times(work.factor)
            shown.append(_shown(cell, work.load, cost, None, why_not))
        else:
            points.append(point)
    held_out = points[-1] if len(points) > 1 else None
    fitted: list[Point] = []
    for point in points[:-1] if held_out else points:
        why_not = _unfit(point, held_out)
        fitted += [] if why_not else [point]
        shown.append(_shown(point.cell, point.load, point.cost, point.busy_share, why_not))
    if held_out is not None:
        role = "held out" if fitted else "not used"
        shown.append(_shown(held_out.cell, held_out.load, held_out.cost, held_out.busy_share, None, role))
    found: dict[str, Any] = {
        **operations.who(done[0][0]),
        "operation": operation,
        "unit": "kB" if operation == SUBSCRIBER else "µs",
        "points": sorted(shown, key=lambda one: float(one["load"])),
        **_fit_and_check(operation, fitted, held_out),
    }
    return found


def _point(cell: Cell, work: Work) -> tuple[Point | None, str | None]:
    """A cell's cost of one operation if it may decide something, else why not."""
    estimate, drawn = cell.estimate(work.metric), cell.replicates.get(work.metric)
    if estimate is None or drawn is None:
        return None, cell.why_not(work.metric)
    if theory.of(cell.transport).came_back(cell):
        return None, f"{cell.id} had peers cut and connect again, which is no ping"
    if estimate.value <= 0 or (drawn <= 0).any() or work.load <= 0:
        return None, f"{cell.id} cost no more than an empty server"
    cost = estimate.times(work.factor)
    busy = None if work.operation == SUBSCRIBER else work.load * cost.value / 1e6
    if busy is not None and busy >= FULL:
        return None, f"{cell.id} filled the server's core, where a queue only grows"
    return Point(cell, work.load, cost, drawn * work.factor, busy), None


def _unfit(point: Point, held_out: Point | None) -> str | None:
    """Why a load is not among the fitted; None if it is."""
    if point.busy_share is not None and not BAND[0] <= point.busy_share <= BAND[1]:
        return f"it kept the core {point.busy_share:.0%} busy, which is not {BAND[0]:.0%} to {BAND[1]:.0%}"
    if held_out is not None and held_out.load < HELD_OUT_TIMES * point.load:
        return "it is more than half of the load that is held out"
    return None


def _fit_and_check(operation: str, fitted: list[Point], held_out: Point | None) -> dict[str, Any]:
    """The form, what it predicts for the held-out load, and what may be projected."""
    found: dict[str, Any] = dict.fromkeys(("form", "parameters", "held_out", "cost"))
    found |= {"candidates": {}, "curve": [], "checked": False}
    if held_out is None or len(fitted) < 2:
        busy = f" that keep the server's core {BAND[0]:g} to {BAND[1]:g} busy"
        found["why_not"] = (
            f"fewer than two loads{busy if operation != SUBSCRIBER else ''} are at most half of the largest"
        )
        return found
    loads = np.array([point.load for point in fitted])
    costs = np.array([point.cost.value for point in fitted])
    candidates = forms.candidates(operation, loads, costs)
    form = forms.choose(candidates)
    parameters = forms.fit(form, loads, costs)
    predicted = float(forms.evaluate(form, parameters, held_out.load))
    error = predicted / held_out.cost.value - 1.0
    checked = abs(error) <= HELD_OUT_ERROR
    curve = np.linspace(loads[0], held_out.load, CURVE_POINTS)
    found |= {
        "candidates": candidates,
        "form": form,
        "parameters": dict(zip(forms.PARAMETERS[form], parameters.tolist(), strict=True)),
        "held_out": {
            "cell": held_out.cell.id,
            "load": held_out.load,
            "measured": held_out.cost.as_data(),
            "predicted": predicted,
            "error": error,
        },
        "curve": np.stack([curve, forms.evaluate(form, parameters, curve)], axis=1).tolist(),
        "checked": checked,
        "why_not": None if checked else f"fitted on smaller loads, it misses the largest by {error:+.0%}",
        "cost": _projected(form, [*fitted, held_out], abs(error)).as_data() if checked else None,
    }
    return found


def _projected(form: str, points: list[Point], error: float) -> Estimate:
    """The cost of one operation at the largest load, by the form fitted to all of them."""
    loads = np.array([point.load for point in points])
    costs = np.array([point.cost.value for point in points])
    drawn = np.stack([point.replicates for point in points], axis=1)
    value = float(forms.evaluate(form, forms.fit(form, loads, costs), loads[-1]))
    low, high = intervals.interval(forms.evaluate(form, forms.fit(form, loads, drawn), loads[-1]))
    assert low is not None
    assert high is not None
    return Estimate(value, low * (1.0 - error), high * (1.0 + error))


def _threads(cells: list[Cell]) -> dict[str, Any]:
    """Threads that one more subscriber takes: between the smallest and the largest number of them."""
    known = sorted(
        (int(cell.settings["subscribers"]), threads)
        for cell in cells
        if bill.is_idle(cell) and (threads := bill.value(cell, "server_threads")) is not None
    )
    slope = None
    if known and known[-1][0] > known[0][0]:
        (few, least), (many, most) = known[0], known[-1]
        slope = max(0.0, (most - least) / (many - few))
    return {**operations.who(cells[0]), "threads_per_subscriber": slope}


def _publish(cell: Cell) -> dict[str, Any] | None:
    """What accepting a notification costs with nobody listening; the load is notifications a second."""
    estimate = cell.estimate("server_cpu_us_per_publish")
    if estimate is None:
        return None
    return {
        "server_model": cell.settings["server_model"],
        "cell": cell.id,
        "load": float(cell.settings["publish_rate"]),
        "cost": estimate.as_data(),
    }


def _shown(
    cell: Cell,
    load: float,
    cost: Estimate | None,
    busy_share: float | None,
    why_not: str | None,
    role: str = "fitted",
) -> dict[str, Any]:
    """One entry of a series' points."""
    return {
        "cell": cell.id,
        "load": load,
        "cost": None if cost is None else cost.as_data(),
        "busy_share": busy_share,
        "role": "not used" if why_not else role,
        "why_not": why_not,
    }
