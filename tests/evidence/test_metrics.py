"""Metrics of a small trial whose figures can be told in the head."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from made_trials import NOTIFICATIONS, START_US, SUBSCRIBERS, good_trial

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


def counted(**server: tuple[int, int]) -> Trial:
    """The good trial, whose server had these counters at the window's start and end."""
    trial = good_trial()
    for place, sample in enumerate(trial.resources):
        sample["server"] |= {name: values[place] for name, values in server.items()}
    return trial


@pytest.mark.parametrize(
    ("user_us", "system_us", "share"),
    [(300_000, 100_000, 0.25), (0, 100_000, 1.0), (60_000, 30_000, None), (0, 0, None)],
)
def test_the_kernels_share_of_the_servers_cpu(user_us: int, system_us: int, share: float | None) -> None:
    """From ten ticks on: below, one tick of 10 ms would be too much of it."""
    trial = counted(user_us=(50_000, 50_000 + user_us), system_us=(20_000, 20_000 + system_us))
    assert figures(trial)["server_system_cpu_share"] == share


def test_context_switches() -> None:
    """160 times a thread waited, for 80 deliveries; ten times in five seconds one lost its core."""
    found = figures(counted(voluntary_switches=(1_000, 1_160), involuntary_switches=(7, 17)))
    assert found["server_voluntary_switches_per_delivery"] == 2.0
    assert found["server_involuntary_switches_per_second"] == 2.0


def test_switches_that_left_with_their_threads_are_not_known() -> None:
    """A sum that fell says nothing, and is never less than none."""
    found = figures(counted(voluntary_switches=(1_000, 900), involuntary_switches=(7, 6)))
    assert found["server_voluntary_switches_per_delivery"] is None
    assert found["server_involuntary_switches_per_second"] is None


def test_threads_and_descriptors_are_the_most_of_the_window() -> None:
    """Of all samples in it, and of none before."""
    trial = counted(threads=(3, 4), file_descriptors=(20, 21))
    between = copy.deepcopy(trial.resources[0]) | {"edge": "sample", "at_us": START_US + 1_000_000}
    between["server"] |= {"threads": 9, "file_descriptors": 40}
    before = copy.deepcopy(between) | {"edge": "warmed", "at_us": START_US - 1_000_000}
    before["server"] |= {"threads": 99, "file_descriptors": 400}
    trial.resources[1:1] = [between]
    trial.resources.insert(0, before)
    found = figures(trial)
    assert (found["server_threads"], found["server_file_descriptors"]) == (9, 40)


def test_what_the_bill_does_not_sample_is_none() -> None:
    """Elsewhere than on Linux there are none of these."""
    found = figures(good_trial())
    names = ("system_cpu_share", "voluntary_switches_per_delivery", "threads", "file_descriptors")
    assert {found[f"server_{name}"] for name in names} == {None}
