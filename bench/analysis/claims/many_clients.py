"""The claim `many-clients`: can several clients connect and exchange messages?"""

from __future__ import annotations

from bench.analysis.cells import Measured
from bench.analysis.estimate import Estimate
from bench.analysis.verdicts.claim import Claim
from bench.analysis.verdicts.comparison import Comparison, Judged, evidence
from bench.words import spelled

SEVERAL = 2
"""Fewer subscribers are not several."""
FORGIVEN_TRIALS = 1
"""One trial with losses makes its cell invalid; more of them fail the claim."""


def judge(measured: Measured) -> Judged:
    """Whether any WebSocket subscriber lost, repeated or reordered anything."""
    comparisons, reasons = [], []
    for cell in measured.of("websocket", busy=True):
        if cell.settings["subscribers"] < SEVERAL:
            continue
        condition = cell.factors("server_model", "subscribers", "publish_rate")
        lost = len(cell.finished_losses)
        if lost > FORGIVEN_TRIALS:
            says = f"{cell.id} lost, repeated or reordered notifications in {lost} trials"
            entry = evidence(cell.id, "delivered", Estimate.exact(lost), "0 trials", says)
            comparisons.append(Comparison("fails", says, condition, (entry,)))
        elif not cell.enough:
            reasons.append(cell.why_not("deliveries"))
        else:
            says = (
                f"each of {cell.load_text()} got every notification once, in order, "
                f"in {cell.valid_trials} trials"
            )
            deliveries = cell.estimate("deliveries")
            entry = evidence(cell.id, "deliveries", deliveries, "nothing lost, repeated or reordered", says)
            comparisons.append(Comparison("holds", says, condition, (entry,)))
    return Judged(tuple(comparisons), tuple(reasons))


CLAIM = Claim(
    id="many-clients",
    says="Several clients can connect and exchange messages.",
    hypothesis="Every connected client gets every message once, in order.",
    band="nothing lost, repeated or reordered in any valid trial; "
    f"more than {spelled(FORGIVEN_TRIALS)} such trial fails it",
    measured="ids received by every subscriber against ids published",
    decided_by=("quick", "article"),
    judge=judge,
)
