"""The claim `cheaper`: does a WebSocket take less computing than long polling?"""

from __future__ import annotations

from bench.analysis.cells import Cell, Measured, ratio
from bench.analysis.claims import bill
from bench.analysis.estimate import Band
from bench.analysis.verdicts.claim import Claim
from bench.analysis.verdicts.comparison import Comparison, Judged, evidence

MARGIN = 0.10
"""Less is below 1 − this, as a ratio to long poll; within the margin is the same."""
LOW, HIGH = 1 - MARGIN, 1 + MARGIN


def judge(measured: Measured) -> Judged:
    """A WebSocket's bill over long poll's: CPU while publishing, CPU while idle, memory."""
    return bill.judge(measured, (bill.BUSY_CPU, bill.IDLE_CPU, bill.MEMORY), _compare)


def _compare(metric: str, held: Cell, push: Cell) -> Comparison | None:
    share = ratio(push, held, metric)
    if share is None:
        return None
    outcome = Band(high=LOW).outcome(share)
    if outcome == "unclear" and Band(LOW, HIGH).outcome(share) == "holds":
        outcome = "fails"
    says = f"a WebSocket takes {share.text()} times long poll's {bill.in_words(metric, held)}"
    band = f"less is below {LOW:g}; {LOW:g} to {HIGH:g} is the same"
    entry = evidence(f"{push.id} / {held.id}", metric, share, band, says)
    return Comparison(outcome, says, bill.condition(metric, held), (entry, *bill.sides(metric, push, held)))


CLAIM = Claim(
    id="cheaper",
    says="WebSocket takes less computing than long polling.",
    hypothesis="Its bill is lower: CPU while publishing, CPU while idle, memory; on every server model.",
    band=f"ratio to long poll below {LOW:g}; {LOW:g} to {HIGH:g} is the same",
    measured="the server's bill, per server model",
    decided_by=("article",),
    judge=judge,
    compares=True,
)
