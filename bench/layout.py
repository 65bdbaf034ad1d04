"""How a summary is arranged for the eye: loads, labels, numbers. Shared by table, figures and report.

Rules: nothing is computed here, only chosen, ordered and written out. What was not measured is shown as "–",
never as 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from bench.colours import LOOKS, look
from bench.compare import number
from bench.metrics import METRICS
from bench.scenario import LOAD

Cell = dict[str, Any]

ABSENT = "–"
SHARES = ("empty_response_share", "generator_cpu_share", "server_core_busy_share")


def loads(summary: dict[str, Any]) -> list[list[Cell]]:
    """Our server's cells with subscribers, grouped by load, transports in their usual order, in the run's
    order."""
    groups: dict[str, list[Cell]] = {}
    for cell in summary["cells"]:
        if cell["transport"] is not None and cell.get("implementation", "wirelab") == "wirelab":
            groups.setdefault(str([cell.get(key) for key in LOAD]), []).append(cell)
    return [in_order(group) for group in groups.values()]


def main_load(summary: dict[str, Any]) -> list[Cell]:
    """The load to show first: busy, the most transports measured, the most valid, gevent before others, the
    largest."""

    def merit(group: list[Cell]) -> tuple[Any, ...]:
        first = group[0]
        transports = {cell["transport"] for cell in group if cell["valid"]}
        return (
            first["publish_rate"] > 0,
            len(transports),
            first["server_model"] == "gevent",
            first["subscribers"] * first["publish_rate"],
        )

    return max(loads(summary), key=merit, default=[])


def in_order(cells: Iterable[Cell]) -> list[Cell]:
    """Cells by load, then transport in the order of `LOOKS`, then poll interval."""
    transports = list(LOOKS)

    def place(cell: Cell) -> tuple[Any, ...]:
        transport = cell["transport"]
        rank = transports.index(transport) if transport in transports else len(transports)
        load = (str(cell["server_model"]), -cell["publish_rate"], cell["subscribers"])
        return (*load, rank, cell["poll_interval_s"], cell["id"])

    return sorted(cells, key=place)


def transport_name(cell: Cell, among: Sequence[Cell] = ()) -> str:
    """The transport's name, with what tells it from others of its kind among the given cells."""
    name = look(cell["transport"]).label
    kin = [other for other in among if other["transport"] == cell["transport"]]
    if len({other["poll_interval_s"] for other in kin}) > 1:
        name += f", T = {cell['poll_interval_s']:g} s"
    if len({other["permessage_deflate"] for other in kin}) > 1 and cell["permessage_deflate"]:
        name += ", deflate"
    return name if cell.get("implementation", "wirelab") == "wirelab" else f"{name}, bare server"


def load_name(cell: Cell) -> str:
    """The load in words: server model, subscribers, rate."""
    rate = f"{cell['publish_rate']:g} notifications/s" if cell["publish_rate"] else "nothing published"
    extra = "" if cell["schedule"] == "poisson" or not cell["publish_rate"] else f", {cell['schedule']}"
    return f"{cell['server_model'] or 'bare server'}, {cell['subscribers']:,} subscribers, {rate}{extra}"


def value_text(metric: str, value: float | None, digits: int = 3) -> str:
    """A value as it is shown, without its unit: shares in percent, counts whole, the rest to so many
    digits."""
    if value is None:
        return ABSENT
    if metric in SHARES:
        return f"{value * 100:.0f} %" if value * 100 >= 10 or value == 0 else f"{number(value * 100, 2)} %"
    if METRICS[metric].unit == "" and value == int(value) and abs(value) < 1e12:
        return f"{int(value):,}"
    return number(value, digits)


def figure_text(metric: str, figure: dict[str, Any] | None, digits: int = 3) -> str:
    """A metric with its interval, "1.2 (1.1–1.4)"; "–" where it was not measured."""
    if figure is None:
        return ABSENT
    value = value_text(metric, figure["value"], digits)
    if figure["low"] is None:
        return value
    low, high = (value_text(metric, figure[side], digits).removesuffix(" %") for side in ("low", "high"))
    return value if low == high == value.removesuffix(" %") else f"{value} ({low}–{high})"


def label(metric: str) -> str:
    """A metric's name with its unit, for tables and axes."""
    unit = METRICS[metric].unit
    return METRICS[metric].label + (f" ({unit})" if unit else "")


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
"""The metrics of a table, in order; the rest stand in summary.json."""


def shown_metrics(cells: Sequence[Cell]) -> list[str]:
    """Those of SHOWN that at least one of the cells has."""
    return [metric for metric in SHOWN if any(cell["metrics"].get(metric) for cell in cells)]
