"""Whether requests and connections were those that the transport makes, and all of them are kept."""

from __future__ import annotations

from bench.evidence.gates.gate import NOTHING, Gate, Reading, known_sum
from bench.evidence.window import Window
from clients.subscriber import Subscriber


def _unaccounted(window: Window) -> Reading | None:
    """The requests that were answered well are as many as the subscribers counted themselves; refused ones
    are not in their count."""
    if not window.has_subscribers:
        return None
    counted = known_sum(window.trial.subscribers["requests"])
    client = window.client or Subscriber
    statuses = window.trial.requests["status"]
    kept = int(((statuses == client.good_status) | (statuses == client.empty_status)).sum())
    return Reading(abs(counted - kept), f"the subscribers counted {counted} requests, and {kept} are kept")


def _reconnects(window: Window) -> Reading:
    """Nobody lost a connection that was to be kept: to make it again costs what no transport's bill has."""
    if not window.has_subscribers:
        return NOTHING
    again = known_sum(window.trial.subscribers["reconnects"])
    return Reading(again, f"{again} connections were lost and made again")


GATES = (
    Gate("requests_unaccounted", 0, _unaccounted, only_finished=True),
    Gate("reconnects", 0, _reconnects),
)
