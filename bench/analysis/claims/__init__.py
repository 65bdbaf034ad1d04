"""The article's eleven claims as data, and how comparisons become one verdict.

Rules:
- A claim is a sentence, a hypothesis that could be false, and a pass band that no run moves
  (the numbers stand in `bench/analysis/claims/judge_*.py`).
- `holds`: every comparison passes. `fails`: none does. `depends`: some do, and the condition that separates
  them is named (`bench/analysis/verdicts/conditions.py`). Anything else is `inconclusive`: an interval across
  its band, too few valid trials, or no cell that could tell; it says why, and which shipped scenario can
  decide.
- Cells that may not decide are left out of `holds`, `fails` and `depends`, and named.
- Judging reads cells and probes alone, so the same run is judged the same anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.analysis.cells import Measured
from bench.analysis.claims import judge_costs, judge_delivery, judge_million, judge_polling, judge_probes
from bench.analysis.verdicts import conditions
from bench.analysis.verdicts.comparison import Comparison, Judged

MOST_REASONS = 3
"""Reasons told in a sentence; a run that failed throughout would fill a page."""


@dataclass(frozen=True)
class Claim:
    """One claim. `says` is the article's sentence in our words; `decided_by` names shipped scenarios that
    can tell."""

    id: str
    says: str
    hypothesis: str
    band: str
    measured: str
    decided_by: tuple[str, ...]
    judge: Callable[[Measured], Judged]


def judge_all(measured: Measured) -> list[dict[str, Any]]:
    """Every claim's verdict, in the order of CLAIMS, as summary.json has it."""
    return [judge(claim, measured) for claim in CLAIMS]


def judge(claim: Claim, measured: Measured) -> dict[str, Any]:
    """One claim's verdict, with its sentence, its reason and its evidence."""
    found = claim.judge(measured)
    verdict, why, short = _verdict(claim, found)
    return {
        "id": claim.id,
        "verdict": verdict,
        "why": why,
        "short": short,
        "says": claim.says,
        "hypothesis": claim.hypothesis,
        "band": claim.band,
        "measured": claim.measured,
        "decided_by": list(claim.decided_by),
        "evidence": [item for comparison in found.comparisons for item in comparison.evidence],
    }


def _verdict(claim: Claim, found: Judged) -> tuple[str, str, str]:
    """The verdict, its reason, and the reason in one sentence or two."""
    comparisons = found.comparisons
    outcomes = {comparison.outcome for comparison in comparisons}
    unclear = [comparison.says for comparison in comparisons if comparison.outcome == "unclear"]
    left_out = f" Not counted: {_few(found.reasons)}." if found.reasons else ""
    if found.lacks is not None or not comparisons:
        reason = _few([found.lacks] if found.lacks else [], found.reasons) or "no cell of this run could tell"
        return "inconclusive", *_twice(f"{_sentence(reason)} {_who_can(claim)}")
    if {"holds", "fails"} <= outcomes:
        condition = conditions.sentence(comparisons)
        still_open = f" Open: {_few(unclear)}." if unclear else ""
        return "depends", f"{condition} {_examples(comparisons)}{still_open}{left_out}", condition
    if unclear:
        decided = [comparison for comparison in comparisons if comparison.outcome != "unclear"]
        across = f"{_sentence(unclear[0])} It does not clear the band ({claim.band})."
        short = f"{_sentence(unclear[0])} This does not clear the band."
        if decided:
            cases = f" It {decided[0].outcome} in {len(decided)} of {len(comparisons)} cases"
            across += f"{cases}: {_few([comparison.says for comparison in decided])}."
            short += f"{cases}."
        return "inconclusive", f"{across} {_who_can(claim)}", short
    says = list(dict.fromkeys(comparison.says for comparison in comparisons))
    more = ""
    if len(says) > 1:
        more = f" Other loads agree ({len(says) - 1}). {conditions.scope(comparisons)}".rstrip()
    return comparisons[0].outcome, _sentence(says[0]) + more + left_out, _sentence(says[0])


def _few(*reasons: Sequence[str]) -> str:
    """The first reasons, and how many more there are."""
    told = list(dict.fromkeys(reason for some in reasons for reason in some))
    more = f"; and {len(told) - MOST_REASONS} more" if len(told) > MOST_REASONS else ""
    return "; ".join(told[:MOST_REASONS]) + more


def _twice(text: str) -> tuple[str, str]:
    return text, text


def _who_can(claim: Claim) -> str:
    if not claim.decided_by:
        return "No shipped scenario can decide it yet."
    return f"{' or '.join(f'`wirelab bench {name}`' for name in claim.decided_by)} can decide it."


def _examples(comparisons: Sequence[Comparison]) -> str:
    """One comparison that holds, and one that fails."""
    held, failed = (
        next(comparison.says for comparison in comparisons if comparison.outcome == outcome)
        for outcome in ("holds", "fails")
    )
    return _sentence(f"{held}, but {failed}")


def _sentence(text: str) -> str:
    # A cell's name stays as it is: it is looked up in the tables.
    opening = text if re.match(r"\S+-\S*\d", text) else text[:1].upper() + text[1:]
    return opening + ("" if text.endswith(".") else ".")


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "calls",
        "Request/response polling makes many network calls.",
        "A client that asks every T makes more requests than it gets notifications.",
        "requests per delivery above 1, asked at 1/T ± 10 %; below 1 the claim fails for that λT",
        "requests and wire bytes per delivery, share of empty answers, as λT varies",
        ("quick", "article"),
        judge_polling.calls,
    ),
    Claim(
        "poll-latency",
        "Those calls make it late.",
        "Short poll's mean latency is T/2 + d, and at least 1.1 times that of every other transport.",
        "mean within 20 % of T/2 + d; ratio to each other transport at least 1.1",
        "short poll's latency against T/2 + d and against the other transports",
        ("quick", "article"),
        judge_polling.poll_latency,
    ),
    Claim(
        "held-open",
        "Long polling holds the request until there is news, answers, and is asked again at once.",
        "Answers bring news, the next request follows at once, and most of the time a request is being held.",
        "empty answers at most 5 % beyond e^(−λ·wait); asked again within 10 ms; held 10 times that; without "
        "news held 95 % of wait",
        "time held, gap before the next request, notifications per answer",
        ("quick", "article"),
        judge_polling.held_open,
    ),
    Claim(
        "long-poll-cost",
        "Long polling takes many resources to process.",
        "It takes at least twice the server CPU per delivery and memory per subscriber of a WebSocket.",
        "ratio to WebSocket at least 2, on both server models",
        "CPU per delivery and memory per waiting subscriber against WebSocket, per server model and rate",
        ("article",),
        judge_costs.long_poll_cost,
    ),
    Claim(
        "million",
        "Keeping a million users connected takes much computing.",
        "A million idle subscribers, renewed or pinged every 25 s, need over 4 cores or 128 GB.",
        "projection above 4 cores or 128 GB; the model must predict a held-out larger load within 25 %",
        "cost per idle subscriber, projected to 10^6 with its interval",
        ("article",),
        judge_million.million,
    ),
    Claim(
        "upgrade",
        "A WebSocket starts as an HTTP request with Upgrade, is answered, and is then open both ways.",
        "A GET with Upgrade is answered 101, and messages then go up and down on the same TCP connection.",
        "every check must pass",
        "the handshake's bytes; messages both ways on the same connection",
        ("quick", "article"),
        judge_probes.upgrade,
    ),
    Claim(
        "as-printed",
        "The handshake, as the article prints it, is incomplete.",
        "A server that follows RFC 6455 refuses it, and accepts it once a key and a version are added.",
        "4xx as printed and 101 when completed",
        "the printed handshake sent to the WebSocket route, then the same with key and version",
        ("quick", "article"),
        judge_probes.as_printed,
    ),
    Claim(
        "low-latency",
        "WebSocket is low-latency.",
        "Across a network it is one transit late, and less than long poll, which grows towards two as delay "
        "and rate rise.",
        "below 0.9 of long poll's mean and median, and within the band of its own prediction: 10 %, or 2 ms",
        "latency against long poll as the network's delay and the rate vary",
        ("article",),
        judge_delivery.low_latency,
    ),
    Claim(
        "cheaper",
        "WebSocket takes less computing than long polling.",
        "Its bill is lower: CPU while publishing, CPU while idle, memory; on every server model.",
        "ratio to long poll below 0.9; 0.9 to 1.1 is the same",
        "the server's bill, per server model",
        ("article",),
        judge_costs.cheaper,
    ),
    Claim(
        "many-clients",
        "Several clients can connect and exchange messages.",
        "Every connected client gets every message once, in order.",
        "nothing lost, repeated or reordered in any valid trial; more than one such trial fails it",
        "ids received by every subscriber against ids published",
        ("quick", "article"),
        judge_delivery.many_clients,
    ),
    Claim(
        "welcome",
        "The server greets each new connection, and the page shows the greeting.",
        "Every client that connects gets the greeting as its first message; in a browser the page shows it.",
        "each of at least two clients gets exactly `web Socket Works` first",
        "the first message of several plain WebSocket clients (the page itself: in the tests' browser)",
        ("quick", "article"),
        judge_probes.welcome,
    ),
)
