"""The claim `calls`: does polling make many network calls?"""

from __future__ import annotations

from typing import Any

from bench.analysis import theory
from bench.analysis.cells import Cell, Measured, ratio
from bench.analysis.estimate import Band, Outcome
from bench.analysis.theory.load import load_of
from bench.analysis.verdicts.claim import Claim
from bench.analysis.verdicts.comparison import Comparison, Judged, evidence
from bench.words import number, percent

MANY = 1.0
"""More requests than this for each notification are many; fewer are not."""
RATE_TOLERANCE = 0.10
"""Polls must come at 1/T within this, or the cell did not poll every T."""


def judge(measured: Measured) -> Judged:
    """Requests for each notification against 1, in cells that did poll every T."""
    comparisons, reasons = [], []
    for cell in measured.of("short-poll", busy=True):
        requests = cell.estimate("requests_per_delivery")
        if requests is None or cell.estimate("deliveries") is None:
            reasons.append(cell.why_not("requests_per_delivery"))
            continue
        interval_s = cell.settings["poll_interval_s"]
        lambda_t = cell.settings["publish_rate"] * interval_s
        polls = cell.estimate("requests_per_subscriber_second")
        on_time = polls is not None and (
            Band.around(1, RATE_TOLERANCE).outcome(polls.times(interval_s)) == "holds"
        )
        outcome: Outcome = Band(low=MANY).outcome(requests) if on_time else "unclear"
        says = (
            f"at λT = {number(lambda_t)} a short poller makes {requests.text()} requests "
            "for each notification"
        )
        if not on_time:
            says = f"{cell.id} did not poll every T"
        band = f"above {MANY:g} is many, below {MANY:g} is not"
        entries = [evidence(cell.id, "requests_per_delivery", requests, band, says)]
        if polls is not None:
            band = f"1/T = {number(1 / interval_s)} ± {percent(RATE_TOLERANCE)}"
            asked = f"asked {polls.text()} times a second, with or without news"
            entries.append(evidence(cell.id, "requests_per_subscriber_second", polls, band, asked))
        entries += [*_empty_answers(cell), *_against_websocket(measured, cell)]
        condition = {"lambda_t": float(lambda_t), **cell.factors("server_model")}
        comparisons.append(Comparison(outcome, says, condition, tuple(entries)))
    return Judged(tuple(comparisons), tuple(reasons))


def _empty_answers(cell: Cell) -> list[dict[str, Any]]:
    """The share of empty answers beside its prediction, for comparison."""
    empty = cell.estimate("empty_response_share")
    if empty is None:
        return []
    says = f"{empty.value:.0%} of the answers brought nothing"
    expected = theory.empty_response_share(load_of(cell))
    if expected is not None:
        says += f"; theory says {expected:.0%}"
    return [evidence(cell.id, "empty_response_share", empty, "for comparison", says)]


def _against_websocket(measured: Measured, cell: Cell) -> list[dict[str, Any]]:
    """A WebSocket's requests and bytes under the same load, for comparison."""
    push = measured.partner(cell, "websocket")
    if push is None:
        return []
    entries = []
    requests = push.estimate("requests_per_delivery")
    if requests is not None:
        says = "a WebSocket makes none after its handshake"
        entries.append(evidence(push.id, "requests_per_delivery", requests, "for comparison", says))
    wire = ratio(cell, push, "wire_bytes_per_delivery")
    if wire is not None:
        says = f"{wire.text()} times a WebSocket's bytes for each delivery"
        pair = f"{cell.id} / {push.id}"
        entries.append(evidence(pair, "wire_bytes_per_delivery", wire, "for comparison", says))
    return entries


CLAIM = Claim(
    id="calls",
    says="Request/response polling makes many network calls.",
    hypothesis="A client that asks every T makes more requests than it gets notifications.",
    band=f"requests per delivery above {MANY:g}, asked at 1/T ± {percent(RATE_TOLERANCE)}; "
    f"below {MANY:g} the claim fails for that λT",
    measured="requests and wire bytes per delivery, share of empty answers, as λT varies",
    decided_by=("quick", "article"),
    judge=judge,
    compares=True,
)
