"""Judges of cost: long-poll-cost, cheaper.

The bands stand here, and no run moves them. A judge returns comparisons, never a verdict;
`bench/analysis/claims/__init__.py` makes one of them.

CPU that was measured on loopback (where the sender's pays for the receiver's TCP input) is never compared
with CPU measured across a link. Where a run has both, loopback decides: nothing else costs CPU there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bench.analysis.cells import Cell, Measured, ratio
from bench.analysis.estimate import Band
from bench.analysis.verdicts.comparison import Comparison, Judged, evidence
from bench.evidence.metrics import METRICS
from bench.scenario.links import LOOPBACK

COST_FACTOR = 2.0
"""long-poll-cost: "lots" is at least this many times what a WebSocket costs."""
CHEAPER_MARGIN = 0.10
"""cheaper: less is below 1 − this, as a ratio; within the margin is the same."""

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
            lacking = next((cell for cell in (held, push) if cell.estimate(metric) is None), None)
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
        says = f"long poll takes {times.text()} times a WebSocket's {_plain(metric, held)}"
        found = evidence(f"{held.id} / {push.id}", metric, times, f"at least {COST_FACTOR:g}", says)
        return Comparison(
            Band(low=COST_FACTOR).outcome(times),
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
        outcome = Band(high=1 - CHEAPER_MARGIN).outcome(share)
        if outcome == "unclear" and Band.around(1, CHEAPER_MARGIN).outcome(share) == "holds":
            outcome = "fails"
        says = f"a WebSocket takes {share.text()} times long poll's {_plain(metric, held)}"
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
        figure = cell.estimate(metric)
        if figure is not None:
            found.append(
                evidence(
                    cell.id, metric, figure, "for comparison", f"{label.label}: {figure.text()} {label.unit}"
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
