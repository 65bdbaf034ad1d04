"""Whether the latency of one window says anything of the next: nobody fell behind, and no queue grew."""

from __future__ import annotations

from bench.evidence.gates.gate import NOTHING, Gate, Reading, known_sum
from bench.evidence.window import Window

SERVER_CORE_BUSY_SHARE = 0.95
"""From about here on a queue grows for as long as the load lasts."""


def _told_gap(window: Window) -> Reading:
    """Nobody fell behind the log."""
    if not window.has_subscribers or "missed" in window.trial.unreported:
        return NOTHING
    missed = float(known_sum(window.trial.subscribers["missed"]))
    return Reading(
        missed, f"subscribers fell behind the log and were told of {missed:.0f} missed notifications"
    )


def _server_core_busy_share(window: Window) -> Reading:
    """The server's core had time to spare."""
    busy = window.server_core_busy_share
    if busy is None:
        return NOTHING
    return Reading(
        busy,
        f"the server's core was {busy:.0%} busy, and from {SERVER_CORE_BUSY_SHARE:.0%} a queue only grows",
    )


GATES = (
    Gate("told_gap", 0, _told_gap, makes="not steady"),
    Gate(
        "server_core_busy_share",
        SERVER_CORE_BUSY_SHARE,
        _server_core_busy_share,
        fails="from",
        makes="not steady",
    ),
)
