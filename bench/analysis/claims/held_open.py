"""The claim `held-open`: does long polling hold its request until there is news, and is it asked again at
once?"""

from __future__ import annotations

import math

from bench.analysis.cells import Cell, Measured, ratio
from bench.analysis.estimate import Band, Estimate, Outcome
from bench.analysis.verdicts.claim import Claim
from bench.analysis.verdicts.comparison import Comparison, Judged, evidence
from bench.analysis.verdicts.verdict import all_of
from bench.words import number, percent

SHARE_EMPTY = 0.05
"""At most this share of answers beyond e^(−λ·wait) may bring nothing."""
GAP_MS = 10.0
"""Asked again "at once" is within this, at the median."""
IDLE_SHARE = 0.95
"""Without any news a request is held for at least this share of the time that it may wait."""
TIMES_THE_GAP = 10.0
"""A request must be held at least this many times as long as the pause before it."""

DECIDING = ("empty_response_share", "next_request_gap_ms_p50", "held_ms_mean")


def judge(measured: Measured) -> Judged:
    """Empty answers, the gap before the next request, and how long a request is held."""
    comparisons, reasons = [], []
    for cell in measured.of("long-poll", busy=True):
        if cell.settings["connection"] == "fresh":
            # Asked again at once, but not before a connection was made: that is another question.
            continue
        empty, gap, held = (cell.estimate(metric) for metric in DECIDING)
        if empty is None or gap is None or held is None:
            missing = next(metric for metric in DECIDING if cell.estimate(metric) is None)
            reasons.append(cell.why_not(missing))
            continue
        comparisons.append(_busy(cell, empty, gap, held))
    for cell in measured.of("long-poll", busy=False):
        held = cell.estimate("held_ms_mean")
        if held is not None:
            comparisons.append(_idle(cell, held))
    return Judged(tuple(comparisons), tuple(reasons))


def _busy(cell: Cell, empty: Estimate, gap: Estimate, held: Estimate) -> Comparison:
    """Do answers bring news, does the next request follow at once, and is one held most of the time?"""
    settings = cell.settings
    allowed = SHARE_EMPTY + math.exp(-settings["publish_rate"] * settings["wait_s"])
    longer = ratio(cell, cell, "held_ms_mean", "next_request_gap_ms_p50")
    outcomes: list[Outcome] = [
        Band(high=allowed).outcome(empty),
        Band(high=GAP_MS).outcome(gap),
        "unclear" if longer is None else Band(low=TIMES_THE_GAP).outcome(longer),
    ]
    entries = [
        evidence(
            cell.id,
            "empty_response_share",
            empty,
            f"below {allowed:.0%}",
            f"{empty.value:.1%} of the answers brought nothing",
        ),
        evidence(
            cell.id,
            "next_request_gap_ms_p50",
            gap,
            f"below {GAP_MS:g} ms",
            f"asked again {gap.text()} ms after an answer",
        ),
        evidence(
            cell.id,
            "held_ms_mean",
            held,
            f"at least {TIMES_THE_GAP:g} times that gap",
            f"a request waited {held.text()} ms for its answer",
        ),
    ]
    answer = cell.estimate("notifications_per_answer")
    if answer is not None:
        says = f"{answer.text()} notifications an answer"
        entries.append(evidence(cell.id, "notifications_per_answer", answer, "for comparison", says))
    says = (
        f"at {settings['publish_rate']:g}/s and {cell.load_text()} a request is held "
        f"{number(held.value)} ms, answered with news in {1 - empty.value:.1%} of cases, "
        f"and followed by the next after {number(gap.value, 2)} ms"
    )
    return Comparison(all_of(outcomes), says, _condition(cell), tuple(entries))


def _idle(cell: Cell, held: Estimate) -> Comparison:
    """Is a request held for as long as it may wait if nothing is published?"""
    wait_ms = cell.settings["wait_s"] * 1000.0
    says = f"with no news at all a request is held {held.text()} ms of the {wait_ms:g} it may wait"
    band = f"at least {IDLE_SHARE:.0%} of {wait_ms:g} ms"
    entry = evidence(cell.id, "held_ms_mean", held, band, says)
    return Comparison(Band(low=IDLE_SHARE * wait_ms).outcome(held), says, _condition(cell), (entry,))


def _condition(cell: Cell) -> dict[str, object]:
    return cell.factors("server_model", "publish_rate", "subscribers")


CLAIM = Claim(
    id="held-open",
    says="Long polling holds the request until there is news, answers, and is asked again at once.",
    hypothesis="Answers bring news, the next request follows at once, and most of the time a request is "
    "being held.",
    band=f"empty answers at most {percent(SHARE_EMPTY)} beyond e^(−λ·wait); asked again within {GAP_MS:g} "
    f"ms; held {TIMES_THE_GAP:g} times that; without news held {percent(IDLE_SHARE)} of wait",
    measured="time held, gap before the next request, notifications per answer",
    decided_by=("quick", "article"),
    judge=judge,
)
