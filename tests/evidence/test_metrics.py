"""Metrics of a small trial whose figures can be told in the head."""

from __future__ import annotations

import numpy as np
import pytest
from made_trials import NOTIFICATIONS, SUBSCRIBERS, good_trial

from bench.evidence import metrics
from bench.evidence.metrics import METRICS
from bench.evidence.window import Window
from bench.rundir.trial import Trial


def figures(trial: Trial) -> dict[str, float | None]:
    return metrics.figures(Window.of(trial))


def test_a_good_trial_in_figures() -> None:
    """Each of 20 notifications reaches four subscribers 2 ms after it was due, by 80 requests."""
    found = figures(good_trial())
    assert list(found) == list(METRICS)
    expected = {
        "latency_ms_mean": 2.0,
        "latency_ms_p99": 2.0,
        "naive_latency_ms_p50": 1.9,
        "fanout_spread_ms_p50": 0.0,
        "accept_delay_ms_p50": 0.3,
        "requests_per_delivery": 1.0,
        "requests_per_subscriber_second": NOTIFICATIONS / 5.0,
        "empty_response_share": 0.0,
        "held_ms_mean": 3.0,
        "next_request_gap_ms_p50": 197.0,
        "server_cpu_us_per_delivery": 2_500_000 / (SUBSCRIBERS * NOTIFICATIONS),
        "server_core_busy_share": 0.5,
        "generator_cpu_share": 0.1,
        "generator_delay_ms_p50": 0.1,
        "deliveries": SUBSCRIBERS * NOTIFICATIONS,
        "missed": 0.0,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_what_was_not_measured_is_none() -> None:
    """Of a trial without a window, all; of a baseline, what subscribers alone have."""
    trial = good_trial()
    trial.record["window_end_us"] = None
    assert set(figures(trial).values()) == {None}
    baseline = good_trial(None)
    for columns in (baseline.deliveries, baseline.requests, baseline.subscribers):
        columns.update({name: values[:0] for name, values in columns.items()})
    measured = {name for name, value in figures(baseline).items() if value is not None}
    assert measured == {"server_cpu_us_per_publish", "server_core_busy_share", "generator_cpu_share"}


def test_what_a_system_does_not_tell_is_none() -> None:
    """When it accepted a notification, and what a subscriber missed; the rest stands."""
    trial = good_trial("websocket")
    trial.deliveries["accepted_us"] = np.full(len(trial.deliveries["id"]), np.nan)
    trial.subscribers["missed"] = np.array([None] * SUBSCRIBERS)
    found = figures(trial)
    assert found["accept_delay_ms_p50"] is None
    assert found["missed"] is None
    assert found["latency_ms_mean"] == pytest.approx(2.0)
    assert found["duplicates"] == 0


def test_an_unknown_transport_does_not_ask_again() -> None:
    """A run may come from a wirelab that has more transports than this one."""
    found = figures(good_trial("gossip"))
    assert found["held_ms_mean"] is None
    assert found["requests_per_delivery"] == 1.0


def test_metrics_that_need_a_baseline_are_unfinished() -> None:
    """One trial alone tells its own part: half a core, of which the empty server has used some."""
    idle = good_trial()
    idle.record["publish_rate"] = 0.0
    name = "server_cpu_us_per_idle_subscriber_second"
    assert figures(idle)[name] is None
    assert metrics.unfinished(Window.of(idle)) == {name: 500_000.0}
    finish = METRICS[name].over_empty
    assert finish is not None
    assert finish(500_000.0, 100_000.0, SUBSCRIBERS) == 100_000.0
    assert metrics.unfinished(Window.of(good_trial())) == {name: None}
