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


def test_a_band_is_told_with_its_edges() -> None:
    """Above, below, within, exactly; around a value by a share of it."""
    for band, text, inside, outside in (
        (Band(low=2.0), "above 2", 3.0, 1.0),
        (Band(high=2.0), "below 2", 1.0, 3.0),
        (Band(1.0, 2.0), "1 to 2", 1.5, 3.0),
        (Band(2, 2), "2", 2.0, 3.0),
    ):
        assert band.text() == text
        assert band.outcome(Estimate(inside, inside, inside)) == "holds"
        assert band.outcome(Estimate(outside, outside, outside)) == "fails"
    assert Band.around(200.0, 0.25) == Band(150.0, 250.0)


def test_an_edge_belongs_to_a_band_with_two_sides_alone() -> None:
    """What lies exactly on the edge of an open band is not yet above or below."""
    assert Band(3, 7).outcome(Estimate(5, 3, 7)) == "holds"
    assert Band(low=3).outcome(Estimate(5, 3, 7)) == "unclear"
    assert Band(high=7).outcome(Estimate(5, 3, 7)) == "unclear"


def test_an_estimate_in_words_and_in_another_unit() -> None:
    """Three significant digits, the interval if it has one and shows one."""
    late = Estimate(0.0123456, 0.0120001, 0.013)
    assert late.text() == "0.0123 (0.012 to 0.013)"
    assert late.times(1000.0).text(2) == "12 (12 to 13)"
    assert Estimate(2.0, None, None).times(2.0) == Estimate(4.0, None, None)
    assert Estimate(2.0, None, None).text() == "2"
    assert Estimate.exact(101).text() == "101"
