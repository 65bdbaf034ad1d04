"""The claim `long-poll-cost`: does long polling take many resources?"""

from __future__ import annotations

from bench.analysis.cells import Cell, Measured, ratio
from bench.analysis.claims import bill
from bench.analysis.estimate import Band
from bench.analysis.verdicts.claim import Claim
from bench.analysis.verdicts.comparison import Comparison, Judged, evidence

FACTOR = 2.0
"""Many is at least this many times what a WebSocket takes."""


def judge(measured: Measured) -> Judged:
    """Long poll's CPU per delivery and memory over a WebSocket's."""
    return bill.judge(measured, (bill.BUSY_CPU, bill.MEMORY), _compare)


def _compare(metric: str, held: Cell, push: Cell) -> Comparison | None:
    times = ratio(held, push, metric)
    if times is None:
        return None
    says = f"long poll takes {times.text()} times a WebSocket's {bill.in_words(metric, held)}"
    entry = evidence(f"{held.id} / {push.id}", metric, times, f"at least {FACTOR:g}", says)
    return Comparison(
        Band(low=FACTOR).outcome(times),
        says,
        bill.condition(metric, held),
        (entry, *bill.sides(metric, held, push)),
    )


CLAIM = Claim(
    id="long-poll-cost",
    says="Long polling takes many resources to process.",
    hypothesis="It takes at least twice the server CPU per delivery and memory per subscriber of a "
    "WebSocket.",
    band=f"ratio to WebSocket at least {FACTOR:g}, on both server models",
    measured="CPU per delivery and memory per waiting subscriber against WebSocket, per server model and "
    "rate",
    decided_by=("article",),
    judge=judge,
    compares=True,
)
