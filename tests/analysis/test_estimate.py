"""An estimate against a band: what the whole interval decides."""

from __future__ import annotations

from bench.analysis.estimate import Band, Estimate


def test_an_outcome_needs_the_whole_interval_on_one_side() -> None:
    """Across the limit, or without an interval, nothing is decided."""
    assert Band(low=1).outcome(Estimate(2, 1.5, 2.5)) == "holds"
    assert Band(low=1).outcome(Estimate(2, 0.5, 2.5)) == "unclear"
    assert Band(low=1).outcome(Estimate(0.5, 0.4, 0.9)) == "fails"
    assert Band(low=1).outcome(Estimate(2, None, None)) == "unclear"
    assert Band(high=1).outcome(Estimate(0.5, 0.4, 0.9)) == "holds"
    assert Band(high=1).outcome(Estimate(2, 0.5, 2.5)) == "unclear"
    assert Band(3, 7).outcome(Estimate(5, 4, 6)) == "holds"
    assert Band(3, 7).outcome(Estimate(5, 2, 6)) == "unclear"
    assert Band(3, 7).outcome(Estimate(9, 8, 10)) == "fails"
    assert Band(3, 7).outcome(Estimate(5, None, None)) == "unclear"
