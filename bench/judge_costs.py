"""Judges of cost: long-poll-cost, cheaper, million.

The bands stand here, and no run moves them; `million`'s budgets were changed once, while the laboratory was
built, after its first runs. A judge returns comparisons, never a verdict; `bench/claims.py` makes one of
them.

CPU that was measured on loopback (where the sender's pays for the receiver's TCP input) is never compared
with CPU measured across a link. Where a run has both, loopback decides: nothing else costs CPU there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bench import bootstrap
from bench.colours import look
from bench.compare import (
    Cell,
    Comparison,
    Figure,
    Judged,
    Measured,
    Outcome,
    above,
    below,
    evidence,
    ratio,
    text,
    within,
)
from bench.link import LOOPBACK
from bench.metrics import METRICS

Floats = npt.NDArray[np.float64]

COST_FACTOR = 2.0
"""long-poll-cost: "lots" is at least this many times what a WebSocket costs."""
CHEAPER_MARGIN = 0.10
"""cheaper: less is below 1 − this, as a ratio; within the margin is the same."""
MILLION = 1_000_000
MILLION_CORES = 4.0
MILLION_MEMORY_GB = 128.0
"""million: "much computing" is more than four cores busy with nothing but waiting, or 128 GB."""
MILLION_WAIT_S = 25.0
"""million: how often a held poll is renewed and a WebSocket pinged, unless told otherwise."""
MILLION_HELD_OUT_ERROR = 0.25
"""million: a cost model that misses its held-out load by more than this projects nothing."""


BUSY_CPU = "server_cpu_us_per_delivery"
IDLE_CPU = "server_cpu_us_per_idle_subscriber_second"
MEMORY = "server_memory_kb_per_subscriber"
RESOURCES = {BUSY_CPU: "CPU while publishing", IDLE_CPU: "CPU while idle", MEMORY: "memory"}


def _bills(measured: Measured, metrics: Sequence[str]) -> tuple[list[tuple[str, Cell, Cell]], list[str]]:
    """Pairs (metric, long poll's cell, WebSocket's cell) under the same load, and why others could not be
    made."""
    pairs, reasons = [], []
    for metric in metrics:
        for held in measured.of("long-poll"):
            push = measured.partner(held, "websocket")
            wanted = (
                held.settings["publish_rate"] > 0
                if metric == BUSY_CPU
                else held.settings["publish_rate"] == 0
            )
            if push is None or (metric != MEMORY and not wanted):
                continue
            if metric == MEMORY and (held.metrics.get(metric) is None or push.metrics.get(metric) is None):
                continue
            lacking = next((cell for cell in (held, push) if cell.figure(metric) is None), None)
            if lacking is not None:
                reasons.append(lacking.why_not(metric))
                continue
            pairs.append((metric, held, push))
    on_loopback = {metric for metric, held, _ in pairs if held.settings["link"] == LOOPBACK}
    return [
        (metric, held, push)
        for metric, held, push in pairs
        if metric not in on_loopback or held.settings["link"] == LOOPBACK
    ], reasons


def _lacking(pairs: list[tuple[str, Cell, Cell]], metrics: Sequence[str], models: int = 2) -> str | None:
    """What the pairs lack to speak for a bill per server model; None where nothing is lacking."""
    for metric in metrics:
        found = {held.settings["server_model"] for name, held, _ in pairs if name == metric}
        if len(found) < models:
            what = RESOURCES[metric]
            if not found:
                return f"this run did not measure {what} of long poll and WebSocket under the same load"
            models_found = " and ".join(sorted(found))
            return f"this run measured {what} on {models_found} alone, and another server model may differ"
    return None


def _bill_condition(metric: str, cell: Cell) -> dict[str, Any]:
    factors = ["server_model", "publish_rate", "subscribers", "payload_bytes"]
    if cell.settings["link"] != LOOPBACK:
        factors.append("one_way_ms")
    return {"resource": RESOURCES[metric], **{factor: cell.settings[factor] for factor in factors}}


def _bill(
    measured: Measured, metrics: Sequence[str], compare: Callable[[str, Cell, Cell], Comparison | None]
) -> Judged:
    pairs, reasons = _bills(measured, metrics)
    lacks = _lacking(pairs, metrics)
    comparisons = [compare(metric, held, push) for metric, held, push in pairs]
    return Judged(tuple(c for c in comparisons if c is not None), tuple(dict.fromkeys(reasons)), lacks)


def long_poll_cost(measured: Measured) -> Judged:
    """Long poll's CPU per delivery and memory over a WebSocket's."""

    def compare(metric: str, held: Cell, push: Cell) -> Comparison | None:
        times = ratio(held, push, metric)
        if times is None:
            return None
        says = f"long poll takes {text(times)} times a WebSocket's {_plain(metric, held)}"
        found = evidence(f"{held.id} / {push.id}", metric, times, f"at least {COST_FACTOR:g}", says)
        return Comparison(
            above(times, COST_FACTOR),
            says,
            _bill_condition(metric, held),
            (found, *_sides(metric, held, push)),
        )

    return _bill(measured, (BUSY_CPU, MEMORY), compare)


def cheaper(measured: Measured) -> Judged:
    """A WebSocket's bill over long poll's: CPU while publishing, CPU while idle, memory."""

    def compare(metric: str, held: Cell, push: Cell) -> Comparison | None:
        share = ratio(push, held, metric)
        if share is None:
            return None
        outcome = below(share, 1 - CHEAPER_MARGIN)
        if outcome == "unclear" and within(share, 1 - CHEAPER_MARGIN, 1 + CHEAPER_MARGIN) == "holds":
            outcome = "fails"
        says = f"a WebSocket takes {text(share)} times long poll's {_plain(metric, held)}"
        low, high = 1 - CHEAPER_MARGIN, 1 + CHEAPER_MARGIN
        band = f"less is below {low:g}; {low:g} to {high:g} is the same"
        found = evidence(f"{push.id} / {held.id}", metric, share, band, says)
        return Comparison(outcome, says, _bill_condition(metric, held), (found, *_sides(metric, push, held)))

    return _bill(measured, (BUSY_CPU, IDLE_CPU, MEMORY), compare)


def _sides(metric: str, *cells: Cell) -> list[dict[str, Any]]:
    """Both sides of a ratio, as evidence of their own."""
    label = METRICS[metric]
    found = []
    for cell in cells:
        figure = cell.figure(metric)
        if figure is not None:
            found.append(
                evidence(
                    cell.id, metric, figure, "for comparison", f"{label.label}: {text(figure)} {label.unit}"
                )
            )
    return found


def _plain(metric: str, cell: Cell) -> str:
    what = {
        BUSY_CPU: "CPU per delivery",
        IDLE_CPU: "CPU per idle subscriber",
        MEMORY: "memory per subscriber",
    }[metric]
    settings = cell.settings
    load = f"{settings['subscribers']:,} subscribers" + (
        f" × {settings['publish_rate']:g}/s" if metric == BUSY_CPU else ""
    )
    return f"{what} on {settings['server_model']} ({load})"


def million(measured: Measured) -> Judged:
    """Cores and memory for a million idle subscribers, for each transport and server model."""
    groups: dict[tuple[str, str, float], list[Cell]] = {}
    for transport in ("long-poll", "websocket", "short-poll"):
        for cell in measured.of(transport, busy=False):
            settings = cell.settings
            period_s = settings["poll_interval_s"] if transport == "short-poll" else settings["wait_s"]
            groups.setdefault((transport, str(settings["server_model"]), float(period_s)), []).append(cell)
    comparisons: list[Comparison] = []
    reasons: list[str] = []
    transports: set[str] = set()
    for (transport, model, period_s), cells in groups.items():
        name = f"{look(transport).label} {PERIOD[transport]} {_projected_period_s(transport, period_s):g} s"
        usable = sorted(
            (cell for cell in cells if cell.figure(IDLE_CPU) is not None),
            key=lambda cell: cell.settings["subscribers"],
        )
        reasons.extend(cell.why_not(IDLE_CPU) for cell in cells if cell.figure(IDLE_CPU) is None)
        if len({cell.settings["subscribers"] for cell in usable}) < 2:
            reasons.append(f"{name} on {model} was idle at fewer than two loads, so nothing can be checked")
            continue
        transports.add(transport)
        per_period = period_s / _projected_period_s(transport, period_s)
        comparisons.append(_projection(name, model, usable, per_period))
    if not {"long-poll", "websocket"} <= transports:
        lacks = "this run did not measure long poll and WebSocket idle at two loads, one to be predicted"
        return Judged(tuple(comparisons), tuple(reasons), lacks)
    return Judged(tuple(comparisons), tuple(dict.fromkeys(reasons)))


PERIOD = {"long-poll": "renewed every", "websocket": "pinged every", "short-poll": "asking every"}
"""How an idle subscriber of each transport keeps the server busy."""


def _projected_period_s(transport: str, period_s: float) -> float:
    """The period (s) for which a million is projected: the default wait for what is renewed or pinged,
    which a short run measures at a shorter one (CPU while idle goes with the number of renewals); T for
    short poll."""
    return period_s if transport == "short-poll" else MILLION_WAIT_S


PROJECTED = (
    (IDLE_CPU, "cores", MILLION / 1e6, MILLION_CORES),
    (MEMORY, "GB", MILLION * 1024 / 1e9, MILLION_MEMORY_GB),
)
"""What is projected: metric, unit of the projection, factor from one subscriber to it, and the limit."""


def _projection(name: str, model: str, cells: list[Cell], per_period: float) -> Comparison:
    """Whether a million idle subscribers of one transport would need more than one ordinary server.
    `per_period`
    is the period that was measured over the period that is projected, and CPU goes with it."""
    outcomes: list[Outcome] = []
    shown, open_, found = [], [], []
    for metric, unit, scale, limit in PROJECTED:
        usable = [cell for cell in cells if cell.figure(metric) is not None]
        if len(usable) < 2:
            open_.append(f"{METRICS[metric].label} was not measured at two loads")
            continue
        one, error = _at_a_million(usable, metric)
        checked = f"fitted on smaller loads, {METRICS[metric].label} misses the largest by {error:+.0%}"
        found.append(
            evidence(usable[-1].id, metric, usable[-1].figure(metric), "predicted within 25 %", checked)
        )
        if abs(error) > MILLION_HELD_OUT_ERROR:
            open_.append(f"{checked}, so it is not projected")
            continue
        factor = scale * (per_period if metric == IDLE_CPU else 1.0)
        whole = Figure(*(None if x is None else x * factor for x in one))  # type: ignore[arg-type]
        outcomes.append(above(whole, limit))
        shown.append(f"{text(whole, 2)} {unit}")
        says = f"a million: {text(whole)} {unit}"
        found.append(evidence(f"{name}, {model}", f"{metric} × 10^6", whole, f"above {limit:g} {unit}", says))
    would = f"would take {' and '.join(shown)}" if shown else "cannot be projected"
    says = "; ".join([f"a million idle subscribers by {name} on {model} {would}", *open_])
    outcome: Outcome = "unclear"
    if "holds" in outcomes:
        outcome = "holds"
    elif outcomes == ["fails"] * len(PROJECTED):
        outcome = "fails"
    return Comparison(outcome, says, {"transport": name, "server_model": model}, tuple(found))


def _at_a_million(cells: Sequence[Cell], metric: str) -> tuple[Figure, float]:
    """The metric of one subscriber among a million, and the error with which the model, fitted on all loads
    but the largest, predicts the largest (0.1: 10 % too high).

    The model is a line: what N subscribers take together is a + c·N. The part a ≥ 0 is there because an
    almost idle process pays more for each event (it wakes up for each), so cost per subscriber falls as N
    grows. With a single load to fit, a is 0.
    """
    subscribers = np.array([cell.settings["subscribers"] for cell in cells], dtype=float)
    values = np.array([figure.value for cell in cells if (figure := cell.figure(metric)) is not None])
    fixed, slope = _line(subscribers[:-1], (subscribers * values)[None, :-1])
    predicted = float(fixed[0] + slope[0] * subscribers[-1])
    together = float(subscribers[-1] * values[-1])
    error = predicted / together - 1 if together > 0 else float("inf")
    fixed, slope = _line(subscribers, (subscribers * values)[None, :])
    draws = [cell.replicates[metric] for cell in cells if metric in cell.replicates]
    low, high = None, None
    if len(draws) == len(cells):
        fixed_drawn, slope_drawn = _line(subscribers, subscribers * np.stack(draws, axis=1))
        low, high = bootstrap.interval(slope_drawn + fixed_drawn / MILLION)
    return Figure(float(slope[0] + fixed[0] / MILLION), low, high), error


def _line(subscribers: Floats, totals: Floats) -> tuple[Floats, Floats]:
    """Fixed part and slope of the line through each row of totals, least squares weighted by 1/N; the fixed
    part is 0 where it would be negative, and with a single load."""
    weight = 1.0 / subscribers
    slope = (totals.sum(axis=1)) / subscribers.sum()
    fixed = np.zeros_like(slope)
    if len(subscribers) > 1:
        mean = (weight * subscribers).sum() / weight.sum()
        means = (totals * weight).sum(axis=1) / weight.sum()
        spread = (weight * (subscribers - mean) ** 2).sum()
        steeper = ((totals - means[:, None]) * weight * (subscribers - mean)).sum(axis=1) / spread
        intercept = means - steeper * mean
        positive = intercept > 0
        fixed, slope = np.where(positive, intercept, 0.0), np.where(positive, steeper, slope)
    return fixed, slope
