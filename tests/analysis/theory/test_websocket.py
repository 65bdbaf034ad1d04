"""WebSocket's formulas."""

from __future__ import annotations

import pytest
from made_loads import load

from bench.analysis import theory
from bench.analysis.theory.base import QUANTILES
from bench.analysis.theory.websocket import WebSocket


def test_websocket_is_late_by_its_place_in_the_fan_out() -> None:
    """N deliveries of s each: uniform on [d, d + N·s], whatever the rate."""
    one = load("websocket")
    assert theory.mean_latency_s(one) == pytest.approx(0.02 + 100 * 0.0001 / 2)
    quantiles = WebSocket().latency_quantiles_s(one)
    assert quantiles is not None
    assert quantiles == pytest.approx(0.02 + QUANTILES * 0.01, rel=0.01)
    assert theory.requests_per_delivery(one) == 0
    assert theory.empty_response_share(one) is None


def test_threads_take_turns_and_widen_the_band() -> None:
    """Nobody is served before half of all has been; what theory cannot tell is in the band."""
    greenlets, threads = (load("websocket", server_model=model) for model in ("gevent", "gthread"))
    assert theory.mean_latency_s(threads) == pytest.approx(0.02 + 0.75 * 100 * 0.0001)
    quantiles = WebSocket().latency_quantiles_s(threads)
    assert quantiles is not None
    assert quantiles[0] >= 0.02 + 0.005
    wider = WebSocket().band(threads, "latency_ms_mean", 27.5) - WebSocket().band(
        greenlets, "latency_ms_mean", 27.5
    )
    assert wider == pytest.approx(100 * 0.1 / 4)
