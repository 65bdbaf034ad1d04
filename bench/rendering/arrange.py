"""What of a summary is shown, in which order and in which groups. Shared by table, figures and report.

Rules: nothing is computed here, only chosen and ordered. Order comes from registries or from sorting, never
from how a dict happens to be ordered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec.structs import asdict

from bench.analysis.summary import CellSummary, Summary
from bench.evidence.metrics import METRICS
from bench.rendering.looks import LOOKS
from bench.scenario import labels
from bench.scenario.settings import DEFAULTS, Settings
from bench.systems import registry

Cell = CellSummary

USUAL = ("schedule", "payload_bytes", "headers")
"""Settings of a load that are told only where they differ, or are not as they usually are."""
SHOWN = (
    "latency_ms_mean",
    "latency_ms_p50",
    "latency_ms_p90",
    "latency_ms_p99",
    "fanout_spread_ms_p50",
    "requests_per_delivery",
    "empty_response_share",
    "wire_bytes_per_delivery",
    "wire_packets_per_delivery",
    "server_cpu_us_per_delivery",
    "server_cpu_us_per_request",
    "server_cpu_us_per_idle_subscriber_second",
    "server_memory_kb_per_subscriber",
    "server_threads",
    "server_core_busy_share",
    "generator_cpu_share",
)
"""The metrics of a short table, in order; the report's full tables have all."""


def is_ours(cell: Settings) -> bool:
    """Was it our own server?"""
    return registry.is_ours(cell.system)


def is_floor(cell: Settings) -> bool:
    """Was it the server without a framework, which shows the noise floor?"""
    return registry.is_noise_floor(cell.system, cell.server_model)


def is_linked(cell: Settings) -> bool:
    """Was there an emulated link between server and subscribers?"""
    return cell.link != "loopback"


def load_key(cell: Settings, *without: str) -> str:
    """What cells under the same load share; without some factors, what is the same for all their values."""
    return labels.load_key(asdict(cell), *without)


def series_key(cell: Settings, *without: str) -> str:
    """What cells share that differ in some factors alone: they lie on one curve."""
    return labels.series_key(asdict(cell), *without)


def loads(cells: Iterable[Cell], *, with_floor: bool = False) -> list[list[Cell]]:
    """The cells with subscribers, without the noise floor's unless asked, grouped by load; loads and
    transports in their usual order."""
    groups: dict[str, list[Cell]] = {}
    for cell in in_order(cells):
        if cell.transport is not None and (with_floor or not is_floor(cell)):
            groups.setdefault(load_key(cell), []).append(cell)
    return list(groups.values())


def main_load(summary: Summary) -> list[Cell]:
    """The load to show first: busy, the most transports measured, the most valid, gevent before others, the
    largest."""

    def merit(group: list[Cell]) -> tuple[Any, ...]:
        first = group[0]
        transports = {cell.transport for cell in group if cell.valid}
        return (
            first.publish_rate > 0,
            len(transports),
            first.server_model == "gevent",
            first.subscribers * first.publish_rate,
        )

    return max(loads(summary.cells), key=merit, default=[])


def far_load(summary: Summary) -> list[Cell]:
    """The load across the longest link, the most transports measured, the busiest; empty if no load is
    linked."""

    def merit(group: list[Cell]) -> tuple[Any, ...]:
        transports = {cell.transport for cell in group if cell.valid}
        return len(transports), group[0].one_way_ms, group[0].publish_rate

    return max((group for group in loads(summary.cells) if is_linked(group[0])), key=merit, default=[])


def in_order(cells: Iterable[Cell]) -> list[Cell]:
    """Cells by load, then transport in the order of `LOOKS`, then poll interval."""

    def place(cell: Cell) -> tuple[Any, ...]:
        load = (str(cell.server_model), -cell.publish_rate, cell.subscribers)
        kind = (len(unusual(asdict(cell))), cell.schedule, cell.payload_bytes, cell.headers)
        network = (cell.one_way_ms, cell.link)
        return (*load, *kind, *network, rank(cell.transport), cell.poll_interval_s, cell.id)

    return sorted(cells, key=place)


def rank(transport: str | None) -> int:
    """A transport's place in the order of `LOOKS`, after them one that is not listed."""
    transports = list(LOOKS)
    return transports.index(transport) if transport in transports else len(transports)


def unusual(settings: Mapping[str, Any]) -> list[str]:
    """Which settings of a load are not as they usually are."""
    return [name for name in USUAL if settings[name] != DEFAULTS[name]]


def spread(items: Sequence[Any], most: int) -> list[Any]:
    """So many of the items at most, evenly from the first to the last."""
    if len(items) <= most:
        return list(items)
    if most == 1:
        return list(items[-1:])
    return [items[round(place * (len(items) - 1) / (most - 1))] for place in range(most)]


def cells_with(summary: Summary, metrics: Sequence[str]) -> list[Cell]:
    """Valid cells with subscribers that have one of the metrics, the noise floor's last. What is not
    about waiting is asked of cells that published."""
    having = [
        cell
        for cell in summary.cells
        if cell.transport is not None
        and cell.valid
        and any(
            cell.metrics.get(metric) and (cell.publish_rate > 0 or METRICS[metric].idle) for metric in metrics
        )
    ]
    return sorted(in_order(having), key=is_floor)


def on_one_network(summary: Summary, metrics: Sequence[str]) -> Summary:
    """The summary of the cells on loopback alone where any of these have the metrics; else as it is: across a
    link the kernel's work lies elsewhere, and the CPU of the two is not compared."""
    linked = {is_linked(cell) for cell in cells_with(summary, metrics)}
    return summary.only(lambda cell: not is_linked(cell)) if len(linked) > 1 else summary


def floor(summary: Summary, cell: Cell, metric: str) -> Cell | None:
    """The noise floor's cell under the same load as this one, where the run has it and it has the metric."""
    here = series_key(cell, "server_model", "system")
    for other in cells_with(summary, [metric]):
        if is_floor(other) and not is_floor(cell) and series_key(other, "server_model", "system") == here:
            return other
    return None


def is_outside(metric: str, cell: Cell) -> bool:
    """Does the metric lie outside the band around its prediction?"""
    residual = cell.residuals.get(metric)
    return residual is not None and residual.outcome == "outside"


def outside(cells: Iterable[Cell]) -> list[tuple[Cell, str]]:
    """Every cell and metric outside the band around its prediction, in the order of the cells."""
    return [(cell, metric) for cell in cells if cell.valid for metric in METRICS if is_outside(metric, cell)]


def shown_metrics(cells: Sequence[Cell]) -> list[str]:
    """Those of SHOWN that at least one of the cells has."""
    return [metric for metric in SHOWN if any(cell.metrics.get(metric) for cell in cells)]


def measured_metrics(cells: Sequence[Cell]) -> list[str]:
    """Every metric that at least one of the cells has."""
    return [metric for metric in METRICS if any(cell.metrics.get(metric) for cell in cells)]
