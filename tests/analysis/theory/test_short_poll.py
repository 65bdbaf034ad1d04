"""Short poll's formulas, against a simulation that knows nothing of them."""

from __future__ import annotations

import numpy as np
import pytest
from made_loads import RATE, load

from bench.analysis import theory
from bench.analysis.theory.base import QUANTILES
from bench.analysis.theory.short_poll import ShortPoll


def test_short_poll_waits_for_its_next_tick() -> None:
    """Poisson arrivals against a grid of ticks: mean, quantiles and empty share follow."""
    rng = np.random.default_rng(1)
    due = np.cumsum(rng.exponential(1 / RATE, 200_000))
    late = np.ceil(due) - due + 0.02 + 0.0001
    one = load("short-poll")
    assert theory.mean_latency_s(one) == pytest.approx(late.mean(), rel=0.01)
    quantiles = ShortPoll().latency_quantiles_s(one)
    assert quantiles is not None
    assert np.quantile(late, QUANTILES) == pytest.approx(quantiles, abs=0.01)
    ticks, counts = np.unique(np.ceil(due), return_counts=True)
    assert theory.empty_response_share(one) == pytest.approx(1 - len(ticks) / ticks[-1], abs=0.01)
    assert theory.requests_per_delivery(one) == pytest.approx(ticks[-1] / counts.sum(), rel=0.02)


def test_a_poll_that_takes_longer_than_its_interval_skips_ticks() -> None:
    """T becomes the next multiple that has room for a whole poll: later, and fewer requests."""
    far = load("short-poll", one_way_s=0.6, poll_interval_s=0.5)
    assert far.effective_interval_s == 1.5
    assert theory.mean_latency_s(far) == pytest.approx(0.75 + 0.6 + 0.0001)
    assert theory.requests_per_delivery(far) == pytest.approx(1 / (RATE * 1.5))
    assert load("short-poll", one_way_s=0.6, poll_interval_s=5.0).effective_interval_s == 5.0
