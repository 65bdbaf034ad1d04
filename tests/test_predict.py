"""The formulas, against simulations that know nothing of them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench import predict

RATE, WAIT_S = 3.0, 25.0


def load(transport: str, **changed: float | str) -> predict.Load:
    settings: dict[str, object] = {
        "transport": transport,
        "subscribers": 100,
        "publish_rate": RATE,
        "poll_interval_s": 1.0,
        "wait_s": WAIT_S,
        "one_way_s": 0.02,
        "service_s": 0.0001,
        "turnaround_s": 0.3,
    }
    return predict.Load(**{**settings, **changed})  # type: ignore[arg-type]


def test_short_poll_waits_for_its_next_tick() -> None:
    """Poisson arrivals against a grid of ticks: mean, quantiles and empty share follow."""
    rng = np.random.default_rng(1)
    due = np.cumsum(rng.exponential(1 / RATE, 200_000))
    late = np.ceil(due) - due + 0.02 + 0.0001
    one = load("short-poll")
    assert predict.mean_latency_s(one) == pytest.approx(late.mean(), rel=0.01)
    quantiles = predict.latency_quantiles_s(one)
    assert quantiles is not None
    assert np.quantile(late, predict.QUANTILES) == pytest.approx(quantiles, abs=0.01)
    ticks, counts = np.unique(np.ceil(due), return_counts=True)
    assert predict.empty_response_share(one) == pytest.approx(1 - len(ticks) / ticks[-1], abs=0.01)
    assert predict.requests_per_delivery(one) == pytest.approx(ticks[-1] / counts.sum(), rel=0.02)


def test_long_poll_pays_for_the_time_when_nobody_waits() -> None:
    """A client that is away for w after each answer: mean latency and requests per notification follow."""
    rng = np.random.default_rng(2)
    due = np.cumsum(rng.exponential(1 / RATE, 200_000))
    one = load("long-poll", service_s=0.0)
    w = one.unattended_s
    late = np.empty_like(due)
    waiting_from, answers, place = 0.0, 0, 0
    while place < len(due):
        answered = max(waiting_from, due[place])
        last = int(np.searchsorted(due, answered, side="right"))
        late[place:last] = answered - due[place:last]
        waiting_from, answers, place = answered + w, answers + 1, last
    assert predict.mean_latency_s(one) == pytest.approx(late.mean() + 0.02, rel=0.01)
    assert predict.requests_per_delivery(one) == pytest.approx(answers / len(due), rel=0.01)
    quantiles = predict.latency_quantiles_s(one)
    assert quantiles is not None
    assert np.quantile(late + 0.02, predict.QUANTILES) == pytest.approx(quantiles, abs=0.01)


def test_websocket_is_late_by_its_place_in_the_fan_out() -> None:
    """N deliveries of s each: uniform on [d, d + N·s], whatever the rate."""
    one = load("websocket")
    assert predict.mean_latency_s(one) == pytest.approx(0.02 + 100 * 0.0001 / 2)
    quantiles = predict.latency_quantiles_s(one)
    assert quantiles is not None
    assert quantiles == pytest.approx(0.02 + predict.QUANTILES * 0.01, rel=0.01)
    assert predict.requests_per_delivery(one) == 0
    assert predict.empty_response_share(one) is None


def test_a_distribution_and_its_mean_agree() -> None:
    """The mean is the area above the distribution function, for every transport."""
    grid = np.linspace(0, 3, 300_001)
    for transport in ("short-poll", "long-poll", "websocket"):
        one = load(transport, service_s=0.001)
        share = predict.latency_share_below(one, grid)
        assert share is not None
        assert np.all(np.diff(share) >= -1e-9)
        assert np.trapezoid(1 - share, grid) == pytest.approx(predict.mean_latency_s(one), rel=1e-3)


def test_what_cannot_be_known_is_not_predicted() -> None:
    """Nothing published, an unknown transport, or a short poll's phase under constant publishing."""
    assert predict.mean_latency_s(load("websocket", publish_rate=0.0)) is None
    assert predict.requests_per_delivery(load("short-poll", publish_rate=0.0)) is None
    assert predict.latency_quantiles_s(load("websocket", publish_rate=0.0)) is None
    assert predict.mean_latency_s(load("carrier-pigeon")) is None
    assert predict.latency_quantiles_s(load("short-poll", schedule="constant")) is None
    assert predict.empty_response_share(load("short-poll", schedule="constant")) is None


def test_constant_publishing_catches_a_long_poll_only_when_it_is_too_fast() -> None:
    """d while w < p, d + w/2 beyond."""
    slow = load("long-poll", schedule="constant", service_s=0.0, publish_rate=1.0)
    fast = load("long-poll", schedule="constant", service_s=0.0, publish_rate=10.0)
    assert predict.mean_latency_s(slow) == pytest.approx(0.02)
    assert predict.mean_latency_s(fast) == pytest.approx(0.02 + fast.unattended_s / 2)


def test_an_idle_poll_is_always_empty() -> None:
    """e^0 = 1."""
    assert predict.empty_response_share(load("short-poll", publish_rate=0.0)) == 1.0
    assert predict.empty_response_share(load("long-poll")) == pytest.approx(math.exp(-RATE * WAIT_S))
