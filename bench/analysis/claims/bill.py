"""The server's bill, long poll's beside a WebSocket's: what the claims `long-poll-cost` and `cheaper` share.

Rules:
- CPU that was measured on loopback (there the sender pays for the receiver's TCP input) is never compared
  with CPU measured across a link. If a run has both, loopback decides: nothing else costs CPU there.
- A bill needs both server models: another server model may differ. A server that is judged by itself is
  judged by the resources that were measured on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bench.analysis.cells import Cell, Measured
from bench.analysis.verdicts.comparison import Comparison, Judged, evidence
from bench.evidence.metrics import METRICS
from bench.scenario.links import LOOPBACK
from bench.systems.registry import server_name

BUSY_CPU = "server_cpu_us_per_delivery"
IDLE_CPU = "server_cpu_us_per_idle_subscriber_second"
MEMORY = "server_memory_kb_per_subscriber"
RESOURCES = {BUSY_CPU: "CPU while publishing", IDLE_CPU: "CPU while idle", MEMORY: "memory"}
PER_UNIT = {
    BUSY_CPU: "CPU per delivery",
    IDLE_CPU: "CPU per idle subscriber",
    MEMORY: "memory per subscriber",
}
SERVER_MODELS = 2
"""The server models on which each resource must have been measured."""

Pair = tuple[str, Cell, Cell]
"""A metric, long poll's cell and a WebSocket's under the same load."""


def judge(
    measured: Measured, metrics: Sequence[str], compare: Callable[[str, Cell, Cell], Comparison | None]
) -> Judged:
    """`compare` on every pair of cells, for each of the metrics."""
    pairs, reasons = _pairs(measured, metrics)
    comparisons = (compare(*pair) for pair in pairs)
    return Judged(
        tuple(comparison for comparison in comparisons if comparison is not None),
        tuple(dict.fromkeys(reasons)),
        _lacks(pairs, metrics, alone=measured.server is not None),
    )


def condition(metric: str, cell: Cell) -> dict[str, Any]:
    """The resource, and the factors under which it was measured."""
    factors = ["server_model", "publish_rate", "subscribers", "payload_bytes"]
    if cell.settings["link"] != LOOPBACK:
        factors.append("one_way_ms")
    return {"resource": RESOURCES[metric], **cell.factors(*factors)}


def sides(metric: str, *cells: Cell) -> list[dict[str, Any]]:
    """Both sides of a ratio, as evidence of their own."""
    named = METRICS[metric]
    entries = []
    for cell in cells:
        cost = cell.estimate(metric)
        if cost is not None:
            says = f"{named.label}: {cost.text()} {named.unit}"
            entries.append(evidence(cell.id, metric, cost, "for comparison", says))
    return entries


def in_words(metric: str, cell: Cell) -> str:
    """What is compared, and the load."""
    settings = cell.settings
    rate = f" × {settings['publish_rate']:g}/s" if metric == BUSY_CPU else ""
    return (
        f"{PER_UNIT[metric]} on {server_name(*cell.server)} ({settings['subscribers']:,} subscribers{rate})"
    )


def _pairs(measured: Measured, metrics: Sequence[str]) -> tuple[list[Pair], list[str]]:
    """The pairs under the same load, and why others could not be made."""
    pairs: list[Pair] = []
    reasons = []
    for metric in metrics:
        for held in measured.of("long-poll"):
            push = measured.partner(held, "websocket")
            busy = held.settings["publish_rate"] > 0
            if push is None or (metric != MEMORY and busy != (metric == BUSY_CPU)):
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


def _lacks(pairs: Sequence[Pair], metrics: Sequence[str], *, alone: bool) -> str | None:
    """What the pairs lack to speak for a bill per server model, or for one server `alone`; None if nothing is
    lacking."""
    if alone and pairs:
        return None
    for metric in metrics:
        what = RESOURCES[metric]
        models = sorted({held.settings["server_model"] for name, held, _ in pairs if name == metric})
        if not models:
            return f"this run did not measure {what} of long poll and WebSocket under the same load"
        if len(models) < SERVER_MODELS:
            only = " and ".join(models)
            return f"this run measured {what} on {only} alone, and another server model may differ"
    return None
