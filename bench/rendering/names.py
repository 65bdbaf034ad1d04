"""What is shown in words: names of cells and loads, labels of metrics, numbers as text.

Rules: nothing is computed here. What was not measured is shown as "–", never as 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import asdict

from bench.analysis.estimate import Estimate
from bench.evidence.metrics import METRICS
from bench.rendering.arrange import USUAL, Cell, is_floor, is_linked, is_ours, is_outside, unusual
from bench.rendering.looks import look
from bench.scenario.settings import Settings
from bench.systems import registry
from bench.words import number
from clients import TRANSPORTS

ABSENT = "–"
OUTSIDE = "†"
"""Beside a value that lies outside the band around its prediction."""

# --- Cells and loads ---


def has_factor(transport: str | None, factor: str) -> bool:
    """Does the transport use this setting? One that is not registered is taken to use all."""
    if transport is None:
        return False
    return transport not in TRANSPORTS or factor in TRANSPORTS[transport].factors


def transport_name(cell: Settings, among: Sequence[Settings] = (), *, system: bool = True) -> str:
    """The transport's name, with what tells it from others of its kind among the given cells, and with
    `system` also the system, if it is not ours."""
    name = look(cell.transport).label
    alike = [other for other in among if other.transport == cell.transport]
    if len({other.poll_interval_s for other in alike}) > 1:
        name += f", T = {cell.poll_interval_s:g} s"
    idle = {other.wait_s for other in alike if other.publish_rate == 0}
    if len(idle) > 1 and has_factor(cell.transport, "wait_s") and cell.publish_rate == 0:
        name += f", wait = {cell.wait_s:g} s"
    if cell.connection == "fresh":
        name += ", fresh connections"
    if len({other.permessage_deflate for other in alike}) > 1 and cell.permessage_deflate:
        name += ", deflate"
    if system and is_floor(cell):
        return f"{name}, {registry.server_name(cell.system, cell.server_model)}"
    return f"{name}, {registry.label(cell.system)}" if system and not is_ours(cell) else name


def load_name(cell: Settings) -> str:
    """The load in words: server model, subscribers, rate, what is unusual, and the network."""
    return load_names([cell])[0]


def group_name(group: Sequence[Settings]) -> str:
    """The load that these cells share, in words. Servers without a choice of models may be several."""
    words = load_name(group[0])
    one = registry.server_name(group[0].system, group[0].server_model)
    several = {cell.system for cell in group if cell.server_model is None}
    return f"other servers{words.removeprefix(one)}" if len(several) > 1 else words


def load_names(cells: Sequence[Settings], *without: str) -> tuple[str, list[str]]:
    """What the loads of these cells have in common, and what each has of its own, in words; without the
    factors that an axis tells. What is as usual in all of them is not worth a word."""
    if not cells:
        return "", []
    words = [{key: said for key, said in _load_words(cell).items() if key not in without} for cell in cells]
    common = [key for key in words[0] if len({some[key] for some in words}) == 1]
    told = [key for key in common if key not in USUAL or key in unusual(asdict(cells[0]))]
    own = [", ".join(said for key, said in some.items() if key not in common and said) for some in words]
    return ", ".join(words[0][key] for key in told if words[0][key]), own


def unusual_words(settings: Mapping[str, Any]) -> list[str]:
    """What of a load is not as it usually is."""
    words = _usual_words(settings)
    return [words[name] for name in unusual(settings)]


def _usual_words(settings: Mapping[str, Any]) -> dict[str, str]:
    return {
        "schedule": "" if not settings.get("publish_rate", 1) else f"{settings['schedule']} schedule",
        "payload_bytes": f"{settings['payload_bytes']:,} B payload",
        "headers": f"{settings['headers']} headers",
    }


def _load_words(cell: Settings) -> dict[str, str]:
    rate = cell.publish_rate
    return {
        "server_model": registry.server_name(cell.system, cell.server_model),
        "subscribers": f"{cell.subscribers:,} subscribers",
        "publish_rate": f"{rate:g} notification{'' if rate == 1 else 's'}/s" if rate else "nothing published",
        **_usual_words(asdict(cell)),
        "one_way_ms": network_name(cell),
    }


def network_name(cell: Settings) -> str:
    """What lay between server and subscribers, in words: "on loopback", "50 ms one way", "4g link"."""
    if not is_linked(cell):
        return "on loopback"
    delay = f"{cell.one_way_ms:g} ms one way"
    return delay if cell.link == "constant" else f"{cell.link} link, {delay}"


def short_load(cell: Settings) -> str:
    """The load in a few letters, for a label within a figure: "100×2/s, 50 ms"."""
    words = [f"{cell.subscribers:,}×{cell.publish_rate:g}/s"]
    if has_factor(cell.transport, "poll_interval_s"):
        words[0] += f" T{cell.poll_interval_s:g}"
    if is_linked(cell):
        words.append(f"{cell.one_way_ms:g} ms" if cell.link == "constant" else cell.link)
    return ", ".join(words)


def sentence(words: str) -> str:
    """Words as a sentence: a capital first, a stop at the end; nothing stays nothing."""
    return f"{words[:1].upper()}{words[1:]}." if words else ""


def left_out(loads: int) -> str:
    """What a caption says of so many loads that a figure has no room for."""
    many = f"{loads} more loads are" if loads > 1 else "One more load is"
    return f" {many} in the tables below." if loads else ""


# --- Metrics and their values ---


def label(metric: str) -> str:
    """A metric's name with its unit, for tables and axes."""
    unit = METRICS[metric].unit
    return METRICS[metric].label + (f" ({unit})" if unit else "")


def mark(metric: str, cell: Cell) -> str:
    """`OUTSIDE` where the metric lies outside the band around its prediction, else nothing."""
    return OUTSIDE if is_outside(metric, cell) else ""


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


def estimate_text(metric: str, estimate: Estimate | None, digits: int = 3) -> str:
    """A metric with its interval, "1.2 (1.1–1.4)"; "–" where it was not measured."""
    if estimate is None:
        return ABSENT
    value = value_text(metric, estimate.value, digits)
    if estimate.low is None:
        return value
    low, high = (
        value_text(metric, side, digits).removesuffix(" %") for side in (estimate.low, estimate.high)
    )
    return value if low == high == value.removesuffix(" %") else f"{value} ({low}–{high})"


def bytes_text(count: float) -> str:
    """A number of bytes with its unit, short: 100 B, 10 kB, 1 MB."""
    for unit, size in (("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{number(count / size)} {unit}"
    return f"{number(count)} B"
