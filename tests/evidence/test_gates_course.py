"""Whether a trial ran its course, broken on purpose."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from made_trials import END_US, START_US, good_trial

from bench.evidence import gates
from bench.rundir.trial import Trial


def test_a_dead_server() -> None:
    """Whatever was measured before."""
    trial = good_trial()
    trial.record["exit"] = "the server was killed by SIGKILL"
    outcome = gates.check(trial)
    assert "SIGKILL" in outcome.why[0]
    assert outcome.gates["server_alive"]["passed"] is False
    trial.record |= {"window_start_us": None, "window_end_us": None}
    assert "never measured" in gates.check(trial).why[0]


def test_a_trial_that_does_not_tell_how_it_ended() -> None:
    """Silence is no "finished"."""
    trial = good_trial()
    del trial.record["exit"]
    outcome = gates.check(trial)
    assert outcome.gates["server_alive"]["passed"] is False
    assert "does not tell how it ended" in outcome.why[0]


def without_samples(trial: Trial) -> None:
    trial.resources.clear()


def without_the_last_sample(trial: Trial) -> None:
    del trial.resources[1]


def moved_window(trial: Trial) -> None:
    trial.record |= {"window_start_us": START_US + 10_000, "window_end_us": END_US + 10_000}


def without_the_clock(trial: Trial) -> None:
    trial.resources[0]["monotonic_us"] = None


def without_the_servers_cpu(trial: Trial) -> None:
    del trial.resources[0]["server"]


def without_the_generators_cpu(trial: Trial) -> None:
    trial.resources[1]["generator"]["cpu_us"] = None


def without_the_servers_core(trial: Trial) -> None:
    trial.resources[1]["cores"] = None


@pytest.mark.parametrize(
    ("break_it", "told"),
    [
        (without_samples, "at the window's start and the window's end are missing"),
        (without_the_last_sample, "at the window's end are missing"),
        (moved_window, "at the window's start and the window's end are missing"),
        (without_the_clock, "at the window's start are missing"),
        (without_the_servers_cpu, "at the window's start are missing"),
        (without_the_generators_cpu, "at the window's end are missing"),
        (without_the_servers_core, "at the window's end are missing"),
    ],
)
def test_the_samples_at_the_windows_edges_are_needed(break_it: Callable[[Trial], None], told: str) -> None:
    """What the system tells must be there: without it no gate could fail."""
    trial = good_trial()
    break_it(trial)
    outcome = gates.check(trial)
    assert outcome.gates["edge_samples_missing"]["passed"] is False
    assert told in " ".join(outcome.why)


def test_a_baseline_needs_no_load_generator() -> None:
    """It has none."""
    trial = good_trial(None)
    for found in trial.resources:
        del found["generator"]
    assert gates.check(trial).valid


@pytest.mark.parametrize(
    ("window_s", "passed"), [(4.9, True), (5.2, True), (4.6, False), (10.0, False), (None, None)]
)
def test_the_window_is_as_long_as_was_asked(window_s: float | None, passed: bool | None) -> None:
    """Within a twentieth."""
    trial = good_trial()
    trial.record["window_s"] = window_s
    outcome = gates.check(trial)
    assert outcome.valid is bool(passed)
    assert "window_off_s" not in outcome.gates or outcome.gates["window_off_s"]["passed"] is passed
