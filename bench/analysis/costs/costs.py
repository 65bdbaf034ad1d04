"""What each operation costs the server: fitted on some loads, checked on a larger one, or not projected.

An *operation* is what a transport does over and over; a *series* is one operation under several loads, with
everything else alike:

    request      an answered poll, with news or without: the work is the same. A long poll's is measured where
                 it brings news; one that runs out costs as much on a busy core
    delivery     a notification written to a WebSocket
    renewal      a WebSocket's ping and its pong
    subscriber   memory, not CPU: one more subscriber that waits (by short poll: that asks)

Waiting itself costs the server nothing (rule 6 of `servers/stream.py`; one thread pings everybody), so an
idle subscriber-second is 1/wait_s requests or pings, and the cost at 25 s follows from busier loads.

Long polls that run out are not fitted themselves. Evenly spaced by their joining, they come one by one, and
what each costs falls steeply somewhere above half a core, down to what an answer with news costs: no load
below foretells it. What a fan-out sets free at once is as cheap from the start.

Rules:
- Loopback only: across a link the receiver's TCP input is billed elsewhere, and the two are never mixed.
- CPU is fitted on loads that keep the server's core 0.3 to 0.8 busy with the server's own work (`BAND`):
  below, a process that wakes up for each event pays more for it; above, it queues. Memory is fitted on all.
- The largest load is held out. What is fitted is at most about half of it (`HELD_OUT_TIMES`), and at least
  two loads.
- The form is chosen on the fitted loads alone: the one that misses least when each load is left out in turn,
  the simpler of equals. A form with two parameters needs three loads that span a factor of `SLOPE_SPAN`:
  an error of one cost, carried on to twice the load, counts ln 2/ln(span) times in what a slope foretells,
  so four times over a span of 1.2.
- A form that misses the held-out load by more than `HELD_OUT_ERROR` projects nothing. One that is within it
  is fitted again on all of them, and projects the cost *at the held-out load*: a larger service is more of
  such cores, not a busier one.
- The interval comes from the bootstrap over trials (`bench/analysis/intervals.py`), widened on both sides by
  the error at the held-out load, so that it speaks of a prediction and not of the fit alone.

Forms, for the cost u of one operation where x are done a second (of one subscriber where there are x):

    constant   u = c            in proportion
    overhead   u = c + a/x      a fixed cost a ≥ 0 beside it
    power      u = c·x^q        cheaper (q < 0) or dearer with the load; not of memory, where nobody's share
                                goes with a power of how many others there are

`summary["costs"]` is null where there is no series, else as follows. A figure is {"value", "low", "high"};
errors are predicted/measured − 1; loads are operations a second, or subscribers.

    {"band": [0.3, 0.8], "most_error": 0.25,
     "series": [{"transport", "server_model", "settings": {what else its cells share}, "operation",
                 "unit": "µs" or "kB",
                 "points": [{"cell", "load", "cost": figure, "busy_share": null for memory,
                             "role": "fitted", "held out" or "not used", "why_not": null where used}],
                 "candidates": {form: error when left out},    those that there were loads enough for
                 "form", "parameters": {name: value},          fitted on the fitted loads; null without
                 "held_out": null or {"cell", "load", "measured": figure, "predicted", "error"},
                 "curve": [[load, cost]],                      what was fitted, up to the held-out load
                 "checked": bool, "why_not": null where checked,
                 "cost": figure or null}],                     what to project with
     "wire": [{"transport", "server_model", "settings",
               "per_poll": null or counts,           a request without news; for WebSocket a ping and pong
               "per_notification": null or counts}], what each notification adds
                    counts: {"bytes_up", "bytes_down", "packets_up", "packets_down": figure}, without TCP/IP
     "threads": [{"transport", "server_model", "settings", "threads_per_subscriber": number or null}],
     "publish": [{"server_model", "cell", "load", "cost": figure}]}    nobody listening; not checked
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bench.analysis import intervals
from bench.analysis.cells import Cell
from bench.analysis.estimate import Estimate
from bench.evidence.gates import SERVER_CORE_BUSY_SHARE
from bench.scenario.links import LOOPBACK
from bench.scenario.scenario import MEASURING, SETTINGS

Floats = npt.NDArray[np.float64]

BAND = (0.3, 0.8)
"""How busy the server's core must be with the server's own work for a load to be fitted."""
FULL = SERVER_CORE_BUSY_SHARE
"""From here on a load is not even held out. Like the band it is a share of the server's own CPU time: what
else ran on its core, which `server_core_busy_share` has too, makes a trial not steady, and its costs
stand."""
HELD_OUT_TIMES = 1.9
"""The held-out load is twice the largest fitted one; what was done may lie a little beside what was asked."""
HELD_OUT_ERROR = 0.25
SLOPE_SPAN = 1.5
"""The largest fitted load over the smallest, from which on a slope is told from noise."""
CURVE_POINTS = 40
APART = 0.01
"""The least ratio of singular values at which bytes are told apart by poll and by notification: where every
poll brings news the two counts are the same but for the window's edges, and only noise would be told."""

LOADS = ("subscribers", "publish_rate", "poll_interval_s", "wait_s")
"""Settings by which the cells of a series may differ: they make the load."""
BILLED = ("short-poll", "long-poll", "websocket")
"""The transports whose operations are known here."""
SERVED: dict[str, Any] = {
    "implementation": "wirelab",
    "link": LOOPBACK,
    "connection": "kept",
    "permessage_deflate": False,
}
"""What is billed: our own server on loopback, connections kept, nothing compressed. A setting that a run does
not name had this value."""

CPU_PER_REQUEST = "server_cpu_us_per_request"
CPU_PER_DELIVERY = "server_cpu_us_per_delivery"
CPU_IDLE = "server_cpu_us_per_idle_subscriber_second"
MEMORY = "server_memory_kb_per_subscriber"
REQUESTS = "requests_per_subscriber_second"
WIRE = ("bytes_up", "bytes_down", "packets_up", "packets_down")


class Work(NamedTuple):
    """What a cell did: its operation, how many a second (or how many subscribers), and the metric that tells
    the cost of one, which is to be multiplied by `factor`."""

    operation: str
    load: float
    metric: str
    factor: float = 1.0


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
    served = [
        cell
        for cell in cells
        if all(cell.settings.get(name, usual) == usual for name, usual in SERVED.items())
    ]
    groups: dict[tuple[str, str], list[tuple[Cell, Work]]] = {}
    for cell in served:
        for work in _works(cell):
            groups.setdefault((_kind(cell), work.operation), []).append((cell, work))
    series = [_series(operation, done) for (_, operation), done in groups.items()]
    publish = [told for cell in served if (told := _publish(cell)) is not None]
    if not series and not publish:
        return None
    alike: dict[str, list[Cell]] = {}
    for cell in served:
        if cell.transport is not None:
            alike.setdefault(_kind(cell), []).append(cell)
    return {
        "band": list(BAND),
        "most_error": HELD_OUT_ERROR,
        "series": series,
        "wire": [_wire(group) for group in alike.values()],
        "threads": [_threads(group) for group in alike.values()],
        "publish": publish,
    }


def _works(cell: Cell) -> list[Work]:
    """What a cell tells the cost of; nothing without subscribers, or for a transport not known here."""
    settings = cell.settings
    subscribers, idle = int(settings["subscribers"]), settings["publish_rate"] == 0
    requests = (_value(cell, REQUESTS) or 0.0) * subscribers
    deliveries = (_value(cell, "deliveries") or 0.0) / float(settings["window_s"])
    cpu = {
        ("short-poll", True): Work("request", requests, CPU_PER_REQUEST),
        ("short-poll", False): Work("request", requests, CPU_PER_REQUEST),
        ("long-poll", False): Work("request", requests, CPU_PER_REQUEST),
        ("websocket", True): Work(
            "renewal", subscribers / settings["wait_s"], CPU_IDLE, float(settings["wait_s"])
        ),
        ("websocket", False): Work("delivery", deliveries, CPU_PER_DELIVERY),
    }.get((str(cell.transport), idle))
    if not cell.valid_trials or cell.transport not in BILLED:
        return []
    waits = idle or cell.transport == "short-poll"
    memory = waits and cell.metrics.get(MEMORY) is not None
    found = [cpu] if cpu is not None else []
    return [*found, Work("subscriber", float(subscribers), MEMORY)] if memory else found


def _series(operation: str, done: list[tuple[Cell, Work]]) -> dict[str, Any]:
    """One series, fitted, checked, and priced where the check was passed."""
    points, shown = [], []
    for cell, work in sorted(done, key=lambda pair: pair[1].load):
        point, why_not = _point(cell, work)
        if point is None:
            figure = cell.metrics.get(work.metric)
            cost = None if figure is None else _times(figure, work.factor)
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
    first = done[0][0].settings
    found: dict[str, Any] = {
        "transport": first["transport"],
        "server_model": first["server_model"],
        "settings": json.loads(_kind(done[0][0])),
        "operation": operation,
        "unit": "kB" if operation == "subscriber" else "µs",
        "points": sorted(shown, key=lambda one: float(one["load"])),
        **_fit_and_check(operation, fitted, held_out),
    }
    return found


def _point(cell: Cell, work: Work) -> tuple[Point | None, str | None]:
    """A cell's cost of one operation if it may decide something, else why not."""
    figure, drawn = cell.estimate(work.metric), cell.replicates.get(work.metric)
    if figure is None or drawn is None:
        return None, cell.why_not(work.metric)
    if _came_back(cell):
        return None, f"{cell.id} had peers cut and connect again, which is no ping"
    if figure.value <= 0 or (drawn <= 0).any() or work.load <= 0:
        return None, f"{cell.id} cost no more than an empty server"
    cost = _times(figure, work.factor)
    busy = None if work.operation == "subscriber" else work.load * cost.value / 1e6
    if busy is not None and busy >= FULL:
        return None, f"{cell.id} filled the server's core, where a queue only grows"
    return Point(cell, work.load, cost, drawn * work.factor, busy), None


def _unfit(point: Point, held_out: Point | None) -> str | None:
    """Why a load is not among the fitted; None where it is."""
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
            f"fewer than two loads{busy if operation != 'subscriber' else ''} are at most half of the largest"
        )
        return found
    loads = np.array([point.load for point in fitted])
    costs = np.array([point.cost.value for point in fitted])
    most = 2 if loads[-1] >= SLOPE_SPAN * loads[0] else 1
    candidates = {
        form: left_out_error(form, loads, costs)
        for form, parameters in FORMS.items()
        if parameters <= most and len(fitted) > parameters and (operation, form) != ("subscriber", "power")
    }
    form = choose(candidates)
    parameters = fit(form, loads, costs)
    predicted = float(evaluate(form, parameters, held_out.load))
    error = predicted / held_out.cost.value - 1.0
    checked = abs(error) <= HELD_OUT_ERROR
    curve = np.linspace(loads[0], held_out.load, CURVE_POINTS)
    found |= {
        "candidates": candidates,
        "form": form,
        "parameters": dict(zip(PARAMETERS[form], parameters.tolist(), strict=True)),
        "held_out": {
            "cell": held_out.cell.id,
            "load": held_out.load,
            "measured": _figure(held_out.cost),
            "predicted": predicted,
            "error": error,
        },
        "curve": np.stack([curve, evaluate(form, parameters, curve)], axis=1).tolist(),
        "checked": checked,
        "why_not": None if checked else f"fitted on smaller loads, it misses the largest by {error:+.0%}",
        "cost": _figure(_projected(form, [*fitted, held_out], abs(error))) if checked else None,
    }
    return found


def _projected(form: str, points: list[Point], error: float) -> Estimate:
    """The cost of one operation at the largest load, by the form fitted to all of them."""
    loads = np.array([point.load for point in points])
    costs = np.array([point.cost.value for point in points])
    drawn = np.stack([point.replicates for point in points], axis=1)
    value = float(evaluate(form, fit(form, loads, costs), loads[-1]))
    low, high = intervals.interval(evaluate(form, fit(form, loads, drawn), loads[-1]))
    assert low is not None
    assert high is not None
    return Estimate(value, low * (1.0 - error), high * (1.0 + error))


# --- forms ---

FORMS = {"constant": 1, "overhead": 2, "power": 2}
"""Each form and its number of parameters, the simplest first."""
PARAMETERS = {"constant": ("c",), "overhead": ("c", "a"), "power": ("c", "q")}


def fit(form: str, loads: Floats, costs: Floats) -> Floats:
    """The form's parameters, by least squares; of `constant` and `power`, on logarithms. `costs` is (loads,)
    or (draws, loads); the answer is (parameters,) or (draws, parameters)."""
    level: Floats = np.exp(np.log(costs).mean(axis=-1, keepdims=True))
    if form == "constant":
        return level
    if form == "power":
        line = np.stack([np.ones_like(loads), np.log(loads)], axis=1)
        solved: Floats = np.log(costs) @ np.linalg.pinv(line).T
        solved[..., 0] = np.exp(solved[..., 0])
        return solved
    line = np.stack([np.ones_like(loads), 1.0 / loads], axis=1)
    solved = costs @ np.linalg.pinv(line).T
    without = np.concatenate([level, np.zeros_like(level)], axis=-1)
    chosen: Floats = np.where(solved[..., 1:] > 0, solved, without)
    return chosen


def evaluate(form: str, parameters: Floats, loads: float | Floats) -> Floats:
    """The cost of one operation under these loads; one set of parameters and many loads, or the reverse."""
    loads = np.asarray(loads, dtype=float)
    first, second = parameters[..., 0], parameters[..., -1]
    if form == "constant":
        cost: Floats = first * np.ones_like(loads)
    elif form == "overhead":
        cost = first + second / loads
    else:
        cost = first * loads**second
    return cost


def left_out_error(form: str, loads: Floats, costs: Floats) -> float:
    """How far the form, fitted on all loads but one, misses that one: mean over all, as a share."""
    errors = []
    for place in range(len(loads)):
        rest = np.arange(len(loads)) != place
        predicted = evaluate(form, fit(form, loads[rest], costs[rest]), loads[place])
        errors.append(abs(float(predicted) / costs[place] - 1.0))
    return float(np.mean(errors))


def choose(candidates: dict[str, float]) -> str:
    """The form with the smallest error; of equals, the simplest."""
    return min(candidates, key=lambda form: (candidates[form], FORMS[form]))


# --- what is not CPU ---


def _wire(cells: list[Cell]) -> dict[str, Any]:
    """Bytes and packets of a poll that brings nothing (of a WebSocket: of a ping and its pong), and what a
    notification adds. Exact sums, so least squares over the cells: a·polls + b·notifications."""
    known = [
        cell
        for cell in cells
        if not _came_back(cell) and all(cell.estimate(_wire_metric(name)) is not None for name in WIRE)
    ]
    rates = np.array([_wire_rates(cell) for cell in known]).reshape(-1, 2)
    told = [index for index in (0, 1) if len(known) and rates[:, index].any()]
    found: dict[str, Any] = {**_who(cells[0]), "per_poll": None, "per_notification": None}
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
        for quantity in WIRE:
            metric = _wire_metric(quantity)
            values = np.array([_value(cell, metric) for cell in known], dtype=float)
            drawn = np.stack([cell.replicates[metric] for cell in known], axis=1)
            low, high = intervals.interval(drawn * weight @ solver[place])
            found[name][quantity] = _figure(Estimate(float(values * weight @ solver[place]), low, high))
    return found


def _wire_metric(quantity: str) -> str:
    return f"{quantity}_per_subscriber_second"


def _wire_rates(cell: Cell) -> tuple[float, float]:
    """Polls and notifications a second of each subscriber. While news come, no ping is due in a window."""
    settings = cell.settings
    delivered = (_value(cell, "deliveries") or 0.0) / settings["window_s"] / settings["subscribers"]
    if cell.transport == "websocket":
        return (1.0 / settings["wait_s"] if settings["publish_rate"] == 0 else 0.0), delivered
    return _value(cell, REQUESTS) or 0.0, delivered


def _threads(cells: list[Cell]) -> dict[str, Any]:
    """Threads that one more subscriber takes: between the smallest and the largest number of them."""
    known = sorted(
        (int(cell.settings["subscribers"]), threads)
        for cell in cells
        if cell.settings["publish_rate"] == 0 and (threads := _value(cell, "server_threads")) is not None
    )
    slope = None
    if known and known[-1][0] > known[0][0]:
        (few, least), (many, most) = known[0], known[-1]
        slope = max(0.0, (most - least) / (many - few))
    return {**_who(cells[0]), "threads_per_subscriber": slope}


def _publish(cell: Cell) -> dict[str, Any] | None:
    """What accepting a notification costs with nobody listening; the load is notifications a second."""
    figure = cell.estimate("server_cpu_us_per_publish")
    if figure is None:
        return None
    return {
        "server_model": cell.settings["server_model"],
        "cell": cell.id,
        "load": float(cell.settings["publish_rate"]),
        "cost": _figure(figure),
    }


# --- small things ---


def _kind(cell: Cell) -> str:
    """What the cells of a series share, as canonical JSON."""
    shared = [name for name in SETTINGS if name not in (*LOADS, *MEASURING) and name in cell.settings]
    return json.dumps({name: cell.settings[name] for name in shared}, sort_keys=True)


def _who(cell: Cell) -> dict[str, Any]:
    settings = cell.settings
    return {
        "transport": settings["transport"],
        "server_model": settings["server_model"],
        "settings": json.loads(_kind(cell)),
    }


def _came_back(cell: Cell) -> bool:
    """Whether WebSockets were opened in the window: peers that answered a ping too late, and were cut."""
    return cell.transport == "websocket" and bool(_value(cell, REQUESTS))


def _value(cell: Cell, metric: str) -> float | None:
    figure = cell.metrics.get(metric)
    return None if figure is None else figure.value


def _times(figure: Estimate, factor: float) -> Estimate:
    low, high = (None if side is None else side * factor for side in figure[1:])
    return Estimate(figure.value * factor, low, high)


def _figure(figure: Estimate) -> dict[str, float | None]:
    return figure._asdict()


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
        "cost": None if cost is None else _figure(cost),
        "busy_share": busy_share,
        "role": "not used" if why_not else role,
        "why_not": why_not,
    }
