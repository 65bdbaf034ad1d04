"""The claim `welcome`: is each new connection greeted?"""

from __future__ import annotations

from bench.analysis.cells import Measured
from bench.analysis.estimate import Estimate
from bench.analysis.verdicts.claim import Claim
from bench.analysis.verdicts.comparison import Comparison, Judged, evidence
from bench.words import spelled

GREETING = "web Socket Works"
"""What the article's server says to each client that connects, to the letter."""
LEAST_CLIENTS = 2
"""Fewer clients than this are not "each"."""
MOST_SHOWN = 80
"""Characters of a wrong greeting that are shown."""


def judge(measured: Measured) -> Judged:
    """The probe's clients and the first message of each. The page is seen in the tests' browser."""
    probe = measured.probes.get("welcome")
    if not probe:
        return Judged(reasons=("this run did not connect to the greeting endpoint",))
    messages = probe.get("messages") or []
    if len(messages) < LEAST_CLIENTS:
        why = probe.get("error", "too few clients")
        return Judged(reasons=(f"the greeting was not probed to the end: {why}",))
    greeted = sum(message == GREETING for message in messages)
    says = f"{greeted} of {len(messages)} clients that connected were greeted with `{GREETING}` first"
    share = Estimate.exact(greeted / len(messages))
    entries = (evidence("probe welcome", "share greeted", share, "all of them", says),)
    if greeted == len(messages):
        return Judged((Comparison("holds", says, {}, entries),))
    other = next(message for message in messages if message != GREETING)
    got = "no message at all" if other is None else f"{other[:MOST_SHOWN]!r}"
    return Judged((Comparison("fails", f"{says}; another got {got}", {}, entries),))


CLAIM = Claim(
    id="welcome",
    says="The server greets each new connection, and the page shows the greeting.",
    hypothesis="Every client that connects gets the greeting as its first message; in a browser the page "
    "shows it.",
    band=f"each of at least {spelled(LEAST_CLIENTS)} clients gets exactly `{GREETING}` first",
    measured="the first message of several plain WebSocket clients (the page itself: in the tests' browser)",
    decided_by=("quick", "article"),
    judge=judge,
)
