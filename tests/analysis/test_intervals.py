"""Intervals: do they cover what they claim to, and are they the same every time?"""

from __future__ import annotations

import numpy as np

from bench.analysis import intervals
from bench.evidence.window import Latencies


def clustered(rng: np.random.Generator, notifications: int = 40, subscribers: int = 25) -> Latencies:
    """Latencies in which all deliveries of a notification share a fate: mean 20 ms, mostly between them."""
    fate = rng.gamma(4.0, 5.0, notifications)
    notification = np.repeat(np.arange(notifications), subscribers)
    ms = fate[notification] + rng.normal(0, 0.1, len(notification))
    return Latencies(ms, notification, notifications)


def test_the_interval_of_a_trial_covers_the_truth_although_deliveries_are_correlated() -> None:
    """Of 200 synthetic trials, 95 % intervals of the mean must hold the true 20 ms in about 95 %."""
    rng = np.random.default_rng(3)
    covered = 0
    for number in range(200):
        late = clustered(rng)
        drawn = intervals.within_trial(late, np.random.default_rng(number), spread=False)["latency_ms_mean"]
        low, high = intervals.interval(drawn)
        assert low is not None
        assert high is not None
        covered += low <= 20.0 <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_resampling_deliveries_instead_would_be_falsely_tight() -> None:
    """What the two levels are for: the interval is several times that of independent deliveries."""
    late = clustered(np.random.default_rng(4))
    drawn = intervals.within_trial(late, np.random.default_rng(5), spread=False)["latency_ms_mean"]
    naive = late.ms.std() / np.sqrt(len(late.ms))
    assert drawn.std() > 3 * naive


def test_resampled_percentiles_centre_on_the_trials_own() -> None:
    """Reading percentiles from a table of counts must not shift them."""
    late = clustered(np.random.default_rng(6), notifications=200)
    drawn = intervals.within_trial(late, np.random.default_rng(7), spread=True)
    for percent in (50, 90, 99):
        exact = np.percentile(late.ms, percent)
        assert abs(np.median(drawn[f"latency_ms_p{percent}"]) - exact) < 0.05 * exact
    assert abs(np.median(drawn["fanout_spread_ms_p50"]) - np.median(late.spreads_ms())) < 0.1


def test_percentiles_of_whole_weights_are_exact() -> None:
    """With every notification drawn once, the table must give numpy's own percentile, to its resolution."""
    late = clustered(np.random.default_rng(8))
    weights = np.ones((1, late.count), dtype=np.float32)
    for percent, found in zip(
        (50.0, 90.0, 99.0), intervals._weighted_percentiles(late, weights, (50.0, 90.0, 99.0)), strict=True
    ):
        nearby = np.percentile(late.ms, [percent - 0.5, min(percent + 0.5, 100)])
        assert nearby[0] <= found[0] <= nearby[1]


def test_latencies_that_are_all_equal_have_themselves_as_interval() -> None:
    """No spread, no division by it."""
    late = Latencies(np.full(30, 7.0), np.repeat(np.arange(3), 10), 3)
    drawn = intervals.within_trial(late, np.random.default_rng(9), spread=True)
    assert intervals.interval(drawn["latency_ms_p99"]) == (7.0, 7.0)
    assert intervals.interval(drawn["fanout_spread_ms_p50"]) == (0.0, 0.0)


def test_few_trials_span_their_own_range_and_one_tells_nothing() -> None:
    """Three trials: about their range. One: no interval."""
    drawn = intervals.across_trials([1.0, 2.0, 4.0], intervals.generator(1, "cell", "metric"))
    assert intervals.interval(drawn) == (1.0, 4.0)
    assert intervals.across_trials([1.0], intervals.generator(1, "cell", "metric")) is None
    assert intervals.interval(None) == (None, None)


def covered(trials: int, within: float, rounds: int = 300) -> float:
    """Percent of rounds in which the interval of a median of so many trials holds the true 10; trials differ
    by 1, and notifications within them by `within`."""
    rng = np.random.default_rng(11)
    hits = 0
    for number in range(rounds):
        seen = 10 + rng.standard_normal(trials) + within * rng.standard_normal(trials)
        values = [value + within * rng.standard_normal(intervals.REPLICATES) for value in seen]
        drawn = intervals.across_trials(values, np.random.default_rng(number))
        low, high = intervals.interval(drawn)
        assert low is not None
        assert high is not None
        hits += low <= 10 <= high
    return 100 * hits / rounds


def test_the_interval_of_few_trials_covers_what_is_told_of_it() -> None:
    """75 % with three trials and 94 % with five, if nothing differs within them; more where something
    does."""
    for trials in (3, 5):
        told = intervals.coverage_percent(trials)
        assert abs(covered(trials, within=0.0) - told) < 7, trials
        assert covered(trials, within=1.0) >= 94, trials
    assert intervals.coverage_percent(3) == 75
    assert intervals.coverage_percent(30) == intervals.CONFIDENCE_PERCENT


def test_the_same_seed_and_names_give_the_same_interval() -> None:
    """Deterministic; other names draw other numbers."""
    values = [1.0, 2.0, 3.0, 5.0, 8.0]
    first = intervals.across_trials(values, intervals.generator(1, "a", "m"))
    again = intervals.across_trials(values, intervals.generator(1, "a", "m"))
    other = intervals.across_trials(values, intervals.generator(1, "b", "m"))
    assert first is not None
    assert other is not None
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
