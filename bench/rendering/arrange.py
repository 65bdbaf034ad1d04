"""How a summary is arranged for the eye: loads, labels, numbers. Shared by table, figures and report.

Rules: nothing is computed here, only chosen, ordered and written out. What was not measured is shown as "–",
never as 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.evidence.metrics import METRICS
from bench.rendering.looks import LOOKS, look
from bench.scenario.labels import load_key, series_key
from bench.scenario.settings import DEFAULTS
from bench.systems import registry
from bench.words import number

Cell = dict[str, Any]

ABSENT = "–"
OUTSIDE = "†"
"""Beside a figure that lies outside the band around its prediction."""


def loads(summary: dict[str, Any]) -> list[list[Cell]]:
    """The cells with subscribers, without the bare server's, grouped by load; loads and transports in their
    usual order."""
    groups: dict[str, list[Cell]] = {}
    for cell in in_order(summary["cells"]):
        if cell["transport"] is not None and not is_floor(cell):
            groups.setdefault(load_key(cell), []).append(cell)
    return list(groups.values())


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


def far_load(summary: dict[str, Any]) -> list[Cell]:
    """The load across the longest link, the most transports measured, the busiest; empty where no load is
    linked."""

    def merit(group: list[Cell]) -> tuple[Any, ...]:
        transports = {cell["transport"] for cell in group if cell["valid"]}
        return len(transports), group[0]["one_way_ms"], group[0]["publish_rate"]

    return max((group for group in loads(summary) if is_linked(group[0])), key=merit, default=[])


def in_order(cells: Iterable[Cell]) -> list[Cell]:
    """Cells by load, then transport in the order of `LOOKS`, then poll interval."""

    def place(cell: Cell) -> tuple[Any, ...]:
        load = (str(cell["server_model"]), -cell["publish_rate"], cell["subscribers"])
        network = (cell["one_way_ms"], cell["link"])
        kind = (len(unusual(cell)), str(cell["schedule"]), cell["payload_bytes"], str(cell["headers"]))
        return (*load, *kind, *network, rank(cell["transport"]), cell["poll_interval_s"], cell["id"])

    return sorted(cells, key=place)


def rank(transport: str | None) -> int:
    """A transport's place in the order of `LOOKS`, after them one that is not listed."""
    transports = list(LOOKS)
    return transports.index(transport) if transport in transports else len(transports)


def transport_name(cell: Cell, among: Sequence[Cell] = (), *, system: bool = True) -> str:
    """The transport's name, with what tells it from others of its kind among the given cells, and with
    `system` also the system, if it is not ours."""
    name = look(cell["transport"]).label
    kin = [other for other in among if other["transport"] == cell["transport"]]
    if len({other["poll_interval_s"] for other in kin}) > 1:
        name += f", T = {cell['poll_interval_s']:g} s"
    idle = {other["wait_s"] for other in kin if other["publish_rate"] == 0}
    if len(idle) > 1 and cell["transport"] != "short-poll" and cell["publish_rate"] == 0:
        name += f", wait = {cell['wait_s']:g} s"
    if cell["connection"] == "fresh":
        name += ", fresh connections"
    if len({other["permessage_deflate"] for other in kin}) > 1 and cell["permessage_deflate"]:
        name += ", deflate"
    return f"{name}, {registry.label(cell['system'])}" if system and not is_ours(cell) else name


def is_ours(cell: Cell) -> bool:
    """Was it our own server?"""
    return registry.is_ours(cell["system"])


def is_floor(cell: Cell) -> bool:
    """Was it the bare server, which shows the noise floor?"""
    return registry.is_noise_floor(cell["system"])


def server_name(cell: Mapping[str, Any]) -> str:
    """The server model of ours; of another system its label, and the model if it has any."""
    model = cell["server_model"]
    if model and registry.is_ours(cell["system"]):
        return str(model)
    return ", ".join(filter(None, (registry.label(cell["system"]), model)))


def is_linked(cell: Cell) -> bool:
    """Was there an emulated link between server and subscribers?"""
    return bool(cell["link"] != "loopback")


def load_name(cell: Cell) -> str:
    """The load in words: server model, subscribers, rate, what is unusual, and the network."""
    return load_names([cell])[0]


def load_names(cells: Sequence[Cell], *without: str) -> tuple[str, list[str]]:
    """What the loads of these cells have in common, and what each has of its own, in words; without the
    factors that an axis tells. What is as usual in all of them is not worth a word."""
    if not cells:
        return "", []
    words = [{key: said for key, said in _load_words(cell).items() if key not in without} for cell in cells]
    common = [key for key in words[0] if len({some[key] for some in words}) == 1]
    told = [key for key in common if key not in USUAL or key in unusual(cells[0])]
    own = [", ".join(said for key, said in some.items() if key not in common and said) for some in words]
    return ", ".join(words[0][key] for key in told if words[0][key]), own


USUAL = ("schedule", "payload_bytes", "headers")
"""Settings of a load that are told only where they differ, or are not as they usually are."""


def unusual(settings: Mapping[str, Any]) -> dict[str, str]:
    """What of a load is not as it usually is, in words by the name of the setting."""
    return {key: said for key, said in _usual_words(settings).items() if settings[key] != DEFAULTS[key]}


def _usual_words(settings: Mapping[str, Any]) -> dict[str, str]:
    return {
        "schedule": "" if not settings.get("publish_rate", 1) else f"{settings['schedule']} schedule",
        "payload_bytes": f"{settings['payload_bytes']:,} B payload",
        "headers": f"{settings['headers']} headers",
    }


def _load_words(cell: Cell) -> dict[str, str]:
    rate = cell["publish_rate"]
    return {
        "server_model": server_name(cell),
        "subscribers": f"{cell['subscribers']:,} subscribers",
        "publish_rate": f"{rate:g} notification{'' if rate == 1 else 's'}/s" if rate else "nothing published",
        **_usual_words(cell),
        "one_way_ms": network_name(cell),
    }


def network_name(cell: Cell) -> str:
    """What lay between server and subscribers, in words: "on loopback", "50 ms one way", "4g link"."""
    link, one_way_ms = cell["link"], cell["one_way_ms"]
    if link == "loopback":
        return "on loopback"
    delay = f"{one_way_ms:g} ms one way"
    return delay if link == "constant" else f"{link} link, {delay}"


def spread(items: Sequence[Any], most: int) -> list[Any]:
    """So many of the items at most, evenly from the first to the last."""
    if len(items) <= most:
        return list(items)
    if most == 1:
        return list(items[-1:])
    return [items[round(place * (len(items) - 1) / (most - 1))] for place in range(most)]


def sentence(words: str) -> str:
    """Words as a sentence: a capital first, a stop at the end; nothing stays nothing."""
    return f"{words[:1].upper()}{words[1:]}." if words else ""


def left_out(loads_: int) -> str:
    """What a caption says of so many loads that a figure has no room for."""
    many = f"{loads_} more loads are" if loads_ > 1 else "One more load is"
    return f" {many} in the tables below." if loads_ else ""


def cells_with(summary: dict[str, Any], metrics: Sequence[str]) -> list[Cell]:
    """Valid cells with subscribers that have one of the metrics, the bare server's last. What is not
    about waiting is asked of cells that published."""
    found = [
        cell
        for cell in summary["cells"]
        if cell["transport"] is not None
        and cell["valid"]
        and any(
            cell["metrics"].get(metric) and (cell["publish_rate"] > 0 or METRICS[metric].idle)
            for metric in metrics
        )
    ]
    return sorted(in_order(found), key=is_floor)


def floor(summary: dict[str, Any], cell: Cell, metric: str) -> Cell | None:
    """The bare server's cell under the same load as this one, where the run has it and it has the metric."""
    here = series_key(cell, "server_model", "system")
    for other in cells_with(summary, [metric]):
        if is_floor(other) and not is_floor(cell) and series_key(other, "server_model", "system") == here:
            return other
    return None


def outcomes(summary: dict[str, Any]) -> dict[str, int]:
    """How many figures that theory was held against are within the band, unclear, and outside."""
    judged = [
        one["outcome"]
        for cell in summary["cells"]
        if cell["valid"]
        for one in (cell.get("residuals") or {}).values()
    ]
    return {name: judged.count(name) for name in ("within", "unclear", "outside")}


def short_load(cell: Cell) -> str:
    """The load in a few letters, for a label within a figure: "100×2/s, 50 ms"."""
    words = [f"{cell['subscribers']:,}×{cell['publish_rate']:g}/s"]
    if cell["transport"] == "short-poll":
        words[0] += f" T{cell['poll_interval_s']:g}"
    if is_linked(cell):
        words.append(f"{cell['one_way_ms']:g} ms" if cell["link"] == "constant" else str(cell["link"]))
    return ", ".join(words)


def figure_mark(metric: str, cell: Cell) -> str:
    """`OUTSIDE` where the metric lies outside the band around its prediction, else nothing."""
    found = (cell.get("residuals") or {}).get(metric)
    return OUTSIDE if found and found["outcome"] == "outside" else ""


def outside(summary: dict[str, Any]) -> list[tuple[Cell, str]]:
    """Every cell and metric outside the band around its prediction, in the order of the run."""
    return [
        (cell, metric)
        for cell in summary["cells"]
        for metric in cell.get("residuals") or {}
        if cell["valid"] and figure_mark(metric, cell)
    ]


def value_text(metric: str, value: float | None, digits: int = 3) -> str:
    """A value as it is shown, without its unit: shares in percent, counts whole, the rest to so many
    digits."""
    if value is None:
        return ABSENT
    if METRICS[metric].kind == "share":
        return f"{value * 100:.0f} %" if value * 100 >= 10 or value == 0 else f"{number(value * 100, 2)} %"
    if METRICS[metric].unit == "" and value == int(value) and abs(value) < 1e12:
        return f"{int(value):,}"
    return number(value, digits)


def bytes_text(count: float) -> str:
    """A number of bytes with its unit, short: 100 B, 10 kB, 1 MB."""
    for unit, size in (("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{number(count / size)} {unit}"
    return f"{number(count)} B"


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
"""The metrics of a short table, in order; the report's full tables have all."""


def shown_metrics(cells: Sequence[Cell]) -> list[str]:
    """Those of SHOWN that at least one of the cells has."""
    return [metric for metric in SHOWN if any(cell["metrics"].get(metric) for cell in cells)]


def measured_metrics(cells: Sequence[Cell]) -> list[str]:
    """Every metric that at least one of the cells has."""
    return [metric for metric in METRICS if any(cell["metrics"].get(metric) for cell in cells)]
