"""From outcomes to one verdict: the same rule for claims, for published statements and for a publication."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from bench.analysis.estimate import Outcome

Verdict = Literal["holds", "fails", "depends", "inconclusive"]


def verdict(outcomes: Iterable[Outcome | Verdict]) -> Verdict:
    """`depends` if some hold and some fail; `holds` or `fails` if all do; else, and if there are none,
    `inconclusive`. Verdicts on parts count like outcomes."""
    kinds = set(outcomes)
    if "depends" in kinds or {"holds", "fails"} <= kinds:
        return "depends"
    if kinds == {"holds"}:
        return "holds"
    return "fails" if kinds == {"fails"} else "inconclusive"


def all_of(outcomes: Iterable[Outcome]) -> Outcome:
    """The outcome of one comparison with several bands: fails if any fails, holds if all hold, else
    unclear."""
    kinds = set(outcomes)
    return "fails" if "fails" in kinds else "unclear" if "unclear" in kinds else "holds"
