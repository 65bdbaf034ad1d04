"""A claim, and its verdict with the reason in words.

Rules:
- A claim is a sentence, a hypothesis that could be false, and a pass band that no run moves.
- `holds`: every comparison passes. `fails`: none does. `depends`: some do, and the condition that separates
  them is named (`bench/analysis/verdicts/conditions.py`). Anything else is `inconclusive`: an interval across
  its band, too few valid trials, or no cell that could decide. The reason is given, and the shipped scenario
  that can decide.
- Cells that may not decide are left out of `holds`, `fails` and `depends`, and named.
- A judge returns comparisons, never a verdict.
- Judging reads cells and probes alone, so the same run is judged the same anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.analysis.cells import Measured
from bench.analysis.verdicts import conditions
from bench.analysis.verdicts.comparison import Comparison, Judged
from bench.analysis.verdicts.verdict import Verdict, verdict

MOST_REASONS = 3
"""So many reasons are given in a sentence; a run that failed throughout would fill a page."""


@dataclass(frozen=True)
class Claim:
    """One claim. `says` is the article's sentence in our words; `band` is where the measurements must lie, in
    words made from the judge's own constants; `decided_by` names shipped scenarios that can decide it."""

    id: str
    says: str
    hypothesis: str
    band: str
    measured: str
    decided_by: tuple[str, ...]
    judge: Callable[[Measured], Judged]
    compares: bool = False
    """Does it compare transports? Then each server is also judged by itself."""


def judge(claim: Claim, measured: Measured) -> dict[str, Any]:
    """One claim's verdict, with its sentence, its reason and its evidence, as summary.json has it."""
    judged = claim.judge(measured)
    reached, why, short = _in_words(claim, judged)
    return {
        "id": claim.id,
        "verdict": reached,
        "why": why,
        "short": short,
        "says": claim.says,
        "hypothesis": claim.hypothesis,
        "band": claim.band,
        "measured": claim.measured,
        "decided_by": list(claim.decided_by),
        "evidence": [item for comparison in judged.comparisons for item in comparison.evidence],
    }


def _in_words(claim: Claim, judged: Judged) -> tuple[Verdict, str, str]:
    """The verdict, its reason, and the reason in one sentence or two."""
    comparisons = judged.comparisons
    if judged.lacks is not None or not comparisons:
        reason = (
            _few([judged.lacks] if judged.lacks else [], judged.reasons) or "no cell of this run could tell"
        )
        why = f"{_sentence(reason)} {_who_can(claim)}"
        return "inconclusive", why, why
    left_out = f" Not counted: {_few(judged.reasons)}." if judged.reasons else ""
    unclear = [comparison.says for comparison in comparisons if comparison.outcome == "unclear"]
    reached = verdict(comparison.outcome for comparison in comparisons)
    if reached == "depends":
        condition = conditions.sentence(comparisons)
        still_open = f" Open: {_few(unclear)}." if unclear else ""
        return reached, f"{condition} {_examples(comparisons)}{still_open}{left_out}", condition
    if reached == "inconclusive":
        return reached, *_unclear(claim, comparisons, unclear[0])
    says = list(dict.fromkeys(comparison.says for comparison in comparisons))
    more = ""
    if len(says) > 1:
        more = f" Other loads agree ({len(says) - 1}). {conditions.scope(comparisons)}".rstrip()
    return reached, _sentence(says[0]) + more + left_out, _sentence(says[0])


def _unclear(claim: Claim, comparisons: Sequence[Comparison], says: str) -> tuple[str, str]:
    """Which comparison is across its band, and what the others decided: at length, and in short."""
    across = f"{_sentence(says)} It does not clear the band ({claim.band})."
    short = f"{_sentence(says)} This does not clear the band."
    decided = [comparison for comparison in comparisons if comparison.outcome != "unclear"]
    if decided:
        cases = f" It {decided[0].outcome} in {len(decided)} of {len(comparisons)} cases"
        across += f"{cases}: {_few([comparison.says for comparison in decided])}."
        short += f"{cases}."
    return f"{across} {_who_can(claim)}", short


def _few(*reasons: Sequence[str]) -> str:
    """The first reasons, and how many more there are."""
    different = list(dict.fromkeys(reason for some in reasons for reason in some))
    more = f"; and {len(different) - MOST_REASONS} more" if len(different) > MOST_REASONS else ""
    return "; ".join(different[:MOST_REASONS]) + more


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
