"""One rule from outcomes to a verdict."""

from __future__ import annotations

import pytest

from bench.analysis.estimate import Outcome
from bench.analysis.verdicts.comparison import evidence
from bench.analysis.verdicts.verdict import Verdict, all_of, verdict


@pytest.mark.parametrize(
    ("found", "reached"),
    [
        (["holds", "holds"], "holds"),
        (["fails", "fails"], "fails"),
        (["holds", "fails", "unclear"], "depends"),
        (["holds", "unclear"], "inconclusive"),
        (["fails", "unclear"], "inconclusive"),
        (["unclear"], "inconclusive"),
        ([], "inconclusive"),
        (["holds", "depends"], "depends"),
        (["depends", "inconclusive"], "depends"),
        (["holds", "inconclusive"], "inconclusive"),
    ],
)
def test_a_verdict_needs_every_part_to_agree(found: list[Outcome | Verdict], reached: Verdict) -> None:
    """Outcomes of comparisons, or verdicts on statements; without any nothing is decided."""
    assert verdict(found) == reached


def test_several_bands_make_one_outcome() -> None:
    """Failing one is failing; an open one keeps the others open."""
    assert all_of(["holds", "holds"]) == "holds"
    assert all_of(["holds", "unclear"]) == "unclear"
    assert all_of(["unclear", "fails", "holds"]) == "fails"


def test_evidence_has_the_promised_keys() -> None:
    """cell, metric, value, low, high, band, says."""
    found = evidence("a", "deliveries", None, "b", "c")
    assert list(found) == ["cell", "metric", "value", "low", "high", "band", "says"]
    assert (found["value"], found["low"], found["high"]) == (None, None, None)
