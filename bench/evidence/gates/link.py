"""Across a link: whether it was what was asked for, its relay kept up, and both ways to count what passed it
agree."""

from __future__ import annotations

from typing import Any

from bench.evidence.gates.gate import NOTHING, Gate, Reading, known_sum
from bench.evidence.window import Window
from bench.scenario.links import LOOPBACK

RELAY_LATE_MS = 2.0
"""p99 of how late the relay of an emulated link sent frames on."""
WIRE_OFF_SHARE = 0.01
"""How far what TCP_INFO counts may lie from what passed the interface."""
PACKET_HEADER_BYTES = 52
"""IPv4's 20 and TCP's 20 with its time stamps' 12 (RFC 7323 §3.2)."""
SYN_OPTION_BYTES = 8
"""By which a SYN is longer: it also tells segment size, window scale and selective acknowledgements."""
ETHERNET_HEADER_BYTES = 14


def _linked(window: Window) -> bool:
    return bool(window.record["link"] != LOOPBACK)


def _checked(window: Window) -> Reading:
    """The link was found to be what was asked for."""
    if not _linked(window):
        return NOTHING
    check = window.trial.link_check
    why = "it was never checked" if check is None else check["why"]
    return Reading(
        int(check is not None and bool(check["passed"])),
        f"the emulated link is not what was asked for: {why}",
    )


def _told(window: Window, edge: str, of: str) -> dict[str, Any] | None:
    """What the sample at an edge says of the link's relay, or of its wire; None if it says nothing."""
    told: dict[str, Any] | None = ((window.edge(edge) or {}).get("link") or {}).get(of)
    return told or None


def _relay(window: Window) -> list[dict[str, Any]]:
    """What the relay told at the window's end and after the drain, since what was due in the window is on
    its way for a while after it."""
    told = [_told(window, edge, "relay") for edge in ("window_end", "drained")]
    return [relay for relay in told if relay]


def _relay_late_ms(window: Window) -> Reading:
    late = [relay["late_ms_p99"] for relay in _relay(window) if relay["late_ms_p99"] is not None]
    if not _linked(window) or not late:
        return NOTHING
    late_ms = max(late)
    return Reading(
        late_ms,
        f"the link's relay was late: p99 was {late_ms:.1f} ms, over {RELAY_LATE_MS:g} ms; something else "
        "was running on its core",
    )


def _relay_dropped(window: Window) -> Reading:
    if not _linked(window):
        return NOTHING
    dropped = 1
    if _told(window, "window_end", "relay"):
        dropped = sum(relay["overflowed"] + relay["unread"] for relay in _relay(window))
    return Reading(
        dropped, f"the link's relay dropped {dropped} packets that it had no room for, or did not tell"
    )


def _wire_counts_off_share(window: Window) -> Reading:
    """What TCP_INFO says of all connections is what passed the clients' interface. Not if packets are lost on
    purpose: what arrives twice then passes the interface, and TCP counts it once."""
    if window.record["loss_percent"]:
        return NOTHING
    off: float | None = 1.0 if _linked(window) else None
    was = _told(window, "warmed" if window.edge("warmed") else "empty", "wire")
    now = _told(window, "drained", "wire")
    names = ("bytes_sent", "bytes_received", "segments_sent", "segments_received")
    totals = [window.total(f"total_{name}") for name in names]
    known = [total for total in totals if total is not None]
    if was and now and len(known) == len(names):
        packets = sum(now[name] - was[name] for name in ("packets_sent", "packets_received"))
        exact = sum(now[name] - was[name] for name in ("bytes_sent", "bytes_received"))
        exact -= ETHERNET_HEADER_BYTES * packets
        told = sum(known[:2]) + PACKET_HEADER_BYTES * sum(known[2:])
        told += 2 * SYN_OPTION_BYTES * _connections(window)
        off = abs(told - exact) / exact if exact else None
    if off is None:
        return NOTHING
    return Reading(
        off,
        f"TCP_INFO's bytes are {off:.1%} off what passed the interface, over {WIRE_OFF_SHARE:.0%}, or "
        "one of the two is missing",
    )


def _connections(window: Window) -> int:
    """How many connections the subscribers made: one each, or one for each poll. Lost ones are few."""
    if window.record["connection"] == "fresh":
        return known_sum(window.trial.subscribers["requests"])
    return len(window.trial.subscribers["subscriber"])


GATES = (
    Gate("link_checked", 1, _checked, fails="below"),
    Gate("relay_late_ms_p99", RELAY_LATE_MS, _relay_late_ms, spoiled_by="laboratory"),
    Gate("relay_dropped", 0, _relay_dropped, spoiled_by="laboratory"),
    Gate("wire_counts_off_share", WIRE_OFF_SHARE, _wire_counts_off_share, only_finished=True),
)
