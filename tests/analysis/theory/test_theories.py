"""What holds of every transport's theory, or compares two of them."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from made_costs import measured, model_of
from made_loads import RATE, load

from bench.analysis import theory
from bench.analysis.cells import Measured
from bench.analysis.claims import million
from bench.analysis.costs import plan
from bench.analysis.theory import curves, residuals
from bench.analysis.theory.base import COUNT_SLACK, LATENCY_SLACK_MS
from bench.analysis.theory.load import load_of
from bench.analysis.theory.long_poll import LongPoll
from bench.analysis.theory.short_poll import ShortPoll
from bench.analysis.theory.websocket import WebSocket
from clients import TRANSPORTS


def test_a_fresh_connection_costs_long_poll_a_round_trip_and_short_poll_no_latency() -> None:
    """It comes before the request: nobody waits at the server meanwhile, but a tick is as good as another."""
    kept, fresh = (
        load("long-poll", connection=connection, service_s=0.0) for connection in ("kept", "fresh")
    )
    assert LongPoll().unattended_s(fresh) == pytest.approx(LongPoll().unattended_s(kept) + 2 * 0.02)
    late, later = theory.mean_latency_s(kept), theory.mean_latency_s(fresh)
    assert late is not None
    assert later is not None
    assert later > late
    kept, fresh = (load("short-poll", connection=connection) for connection in ("kept", "fresh"))
    assert theory.mean_latency_s(kept) == theory.mean_latency_s(fresh)


def test_the_band_is_a_share_or_a_slack() -> None:
    """Whichever is wider."""
    one = load("websocket")
    assert WebSocket().band(one, "latency_ms_mean", 100.0) == pytest.approx(10.0)
    assert WebSocket().band(one, "latency_ms_mean", 5.0) == LATENCY_SLACK_MS
    assert WebSocket().band(one, "requests_per_delivery", 2.0) == pytest.approx(0.2)
    assert WebSocket().band(one, "empty_response_share", 0.1) == COUNT_SLACK


def test_theory_goes_by_the_rate_that_came_out() -> None:
    """A few Poisson arrivals are seldom what was asked for."""
    assert theory.requests_per_delivery(load("short-poll", rate_share=0.5)) == pytest.approx(2 / RATE)


def test_a_distribution_and_its_mean_agree() -> None:
    """The mean is the area above the distribution function, for every transport."""
    grid = np.linspace(0, 3, 300_001)
    for transport in theory.THEORIES:
        one = load(transport, service_s=0.001)
        share = theory.of(transport).latency_share_below(one, grid)
        assert share is not None
        assert np.all(np.diff(share) >= -1e-9)
        assert np.trapezoid(1 - share, grid) == pytest.approx(theory.mean_latency_s(one), rel=1e-3)


def test_what_cannot_be_known_is_not_predicted() -> None:
    """Nothing published, an unknown transport, or a short poll's phase under constant publishing."""
    assert theory.mean_latency_s(load("websocket", publish_rate=0.0)) is None
    assert theory.requests_per_delivery(load("short-poll", publish_rate=0.0)) is None
    assert WebSocket().latency_quantiles_s(load("websocket", publish_rate=0.0)) is None
    assert theory.mean_latency_s(load("carrier-pigeon")) is None
    assert theory.requests_per_delivery(load("carrier-pigeon")) is None
    assert theory.empty_response_share(load("carrier-pigeon", publish_rate=0.0)) is None
    assert ShortPoll().latency_quantiles_s(load("short-poll", schedule="constant")) is None
    assert theory.empty_response_share(load("short-poll", schedule="constant")) is None
    for transport in theory.THEORIES:
        rough = load(transport, delay_alone=False)
        assert theory.mean_latency_s(rough) is None
        assert theory.requests_per_delivery(rough) is None
    assert theory.requests_per_delivery(load("long-poll", schedule="on-off")) is None
    assert theory.empty_response_share(load("short-poll", schedule="on-off")) is None


def test_an_idle_poll_is_always_empty() -> None:
    """e^0 = 1; and a long poll that came to nothing waits its whole wait."""
    assert theory.empty_response_share(load("short-poll", publish_rate=0.0)) == 1.0
    one = load("long-poll", wait_s=0.2)
    assert theory.empty_response_share(one) == pytest.approx(
        math.exp(-RATE * (0.2 + LongPoll().unattended_s(one)))
    )


def test_a_new_theory_is_a_file_and_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """With it a transport has predictions, curves, costs, a plan and a projection; without it, none of
    them."""
    cells = [
        dataclasses.replace(cell, settings={**cell.settings, "transport": "pigeon"}, service_s=25e-6)
        for cell in measured()
        if cell.transport == "websocket"
    ]
    demand = plan.Demand(1_000_000, 0.1, 200, 5.0)

    def found() -> tuple[int, int, int, int, int]:
        costs = model_of(cells)
        latencies = [residuals.of_load(load_of(cell))["latency_ms_mean"] for cell in cells]
        try:
            plans = len(plan.plan(costs, demand, None))
        except plan.CannotPlan:
            plans = 0
        told = million.judge(Measured(tuple(cells), {})).comparisons
        series = 0 if costs is None else len(costs.series)
        known = sum(one is not None for one in latencies)
        return known, len(curves.summarise(cells)), series, plans, len(told)

    assert found() == (0, 0, 0, 0, 0)
    monkeypatch.setitem(TRANSPORTS, "pigeon", TRANSPORTS["websocket"])
    monkeypatch.setitem(theory.THEORIES, "pigeon", WebSocket())
    assert found() == (4, 1, 3, 1, 1)


def test_a_theory_is_a_registered_transports() -> None:
    """Under the same name; and one that has no theory has no bill either."""
    assert set(theory.THEORIES) <= set(TRANSPORTS)
    assert all(one.upkeep for one in theory.THEORIES.values())
    for nobody in ("carrier-pigeon", None):
        assert theory.of(nobody).upkeep is None
        assert theory.of(nobody).rates(1.0, 1.0, 25.0) == {}
