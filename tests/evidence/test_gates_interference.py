"""A process that stood still, and other work on the server's core."""

from __future__ import annotations

from typing import Any

import pytest
from made_trials import END_US, START_US, across_a_link, good_trial

from bench.evidence import gates
from bench.rundir.trial import Trial

PROCESSES = ("harness", "generator", "generator_loop", "publisher")


def stalls(longest: float = 12.0, together: float = 0.0) -> dict[str, float]:
    return {"longest": longest, "together": together}


def stalled(trial: Trial, **stalls_ms: dict[str, float]) -> gates.Outcome:
    trial.record["stalls_ms"] = {name: stalls() for name in PROCESSES} | stalls_ms
    return gates.check(trial)


@pytest.mark.parametrize(
    ("process", "stall_ms", "passed"),
    [
        ("generator", 79.0, True),
        ("generator", 81.0, False),
        ("publisher", 300.0, False),
        ("harness", 2000.0, False),
        ("generator_loop", 149.0, True),
        ("generator_loop", 151.0, False),
    ],
)
def test_a_process_that_stood_still(process: str, stall_ms: float, passed: bool) -> None:
    """Its loop alone may take longer, by its own work."""
    outcome = stalled(good_trial(), **{process: stalls(stall_ms)})
    assert outcome.gates["stalled_ms"]["passed"] is passed
    assert outcome.valid is passed
    if not passed:
        who = process.replace("_loop", "'s loop")
        assert outcome.why[0].startswith(f"the {who} stood still for {stall_ms:.0f} ms, over ")


def test_many_subscribers_keep_the_loop_longer() -> None:
    """A tenth of a millisecond each."""
    trial = good_trial()
    trial.record["subscribers"] = 3200
    outcome = stalled(trial, generator_loop=stalls(469.0))
    assert outcome.gates["stalled_ms"]["passed"] is True
    assert stalled(trial, generator_loop=stalls(471.0)).gates["stalled_ms"]["passed"] is False


@pytest.mark.parametrize(
    ("process", "together_ms", "window_s", "passed"),
    [
        ("generator", 79.0, 5, True),
        ("generator", 81.0, 5, False),
        ("publisher", 400.0, 5, False),
        ("generator", 290.0, 30, True),
        ("harness", 310.0, 30, False),
        ("generator_loop", 900.0, 5, True),
    ],
)
def test_a_process_that_stood_still_again_and_again(
    process: str, together_ms: float, window_s: int, passed: bool
) -> None:
    """None of its stalls was long; together they may take 1 % of the window."""
    trial = good_trial()
    trial.record |= {"window_end_us": START_US + 1_000_000 * window_s, "window_s": window_s}
    trial.resources[1] |= {"at_us": trial.record["window_end_us"]}
    outcome = stalled(trial, **{process: stalls(60.0, together_ms)})
    assert outcome.gates["stalled_together_ms"]["passed"] is passed
    assert ("stood still now and then" in " ".join(outcome.why)) is not passed


def test_a_relay_that_stood_still() -> None:
    """It tells in its reports."""
    trial = across_a_link()
    trial.resources[2]["link"]["relay"]["stalls_ms"] = stalls(90.0)
    outcome = stalled(trial)
    assert outcome.why == [
        "the relay stood still for 90 ms, over 80 ms, and what arrived meanwhile lost its time"
    ]


@pytest.mark.parametrize("process", ["generator", "publisher", "harness"])
def test_a_process_that_does_not_tell(process: str) -> None:
    """What cannot be shown is not believed."""
    trial = good_trial()
    trial.record["stalls_ms"] = {name: stalls() for name in PROCESSES if name != process}
    outcome = gates.check(trial)
    assert outcome.why == [f"nobody knows whether the {process} stood still"]


def test_who_has_no_part_need_not_tell() -> None:
    """A baseline has no load generator, an idle trial no publisher, and older runs told nothing."""
    baseline, idle = good_trial(None), good_trial()
    baseline.record["stalls_ms"] = {name: stalls() for name in ("harness", "publisher")}
    assert gates.check(baseline).valid
    idle.record |= {"stalls_ms": {name: stalls() for name in PROCESSES[:3]}, "publish_rate": 0}
    assert gates.check(idle).gates["stalled_ms"]["passed"] is True
    assert gates.check(good_trial()).gates["stalled_ms"]["passed"] is None


def busy(trial: Trial, **shares: float) -> Trial:
    """The server's core was used so, as shares of the window."""
    for sample in trial.resources:
        spent_us = sample["at_us"] - START_US
        core: dict[str, Any] = {"total_us": spent_us, "irq_us": 0, "steal_us": 0}
        sample["cores"]["0"] = core | {f"{name}_us": share * spent_us for name, share in shares.items()}
    assert trial.resources[-1]["at_us"] == END_US
    return trial


@pytest.mark.parametrize(
    ("shares", "foreign_share", "valid"),
    [
        ({"busy": 0.54}, 0.04, True),
        ({"busy": 0.64}, 0.14, True),
        ({"busy": 0.66}, 0.16, False),
        ({"busy": 0.87}, 0.37, False),
        ({"busy": 0.5, "steal": 0.2}, 0.2, False),
        ({"busy": 0.7, "irq": 0.18}, 0.02, True),
        ({"busy": 0.48}, 0.0, True),
    ],
)
def test_other_work_on_the_servers_core(shares: dict[str, float], foreign_share: float, valid: bool) -> None:
    """The server itself used half of it. What the host took counts, and interrupts do not."""
    outcome = gates.check(busy(good_trial(), **shares))
    assert outcome.gates["server_core_foreign_share"]["value"] == pytest.approx(foreign_share)
    assert outcome.valid is valid
    if not valid:
        assert "other work took" in outcome.why[0]


@pytest.mark.parametrize(("steal", "steady"), [(0.0, True), (0.06, True), (0.3, False)])
def test_a_core_that_the_host_took_away_has_no_time_to_spare(steal: float, steady: bool) -> None:
    """Of the time that is left, the same work takes a larger share."""
    outcome = gates.check(busy(good_trial(), busy=0.7, steal=steal))
    assert outcome.gates["server_core_busy_share"]["value"] == pytest.approx(0.7 / (1 - steal))
    assert outcome.steady is steady


def test_an_older_run_is_not_judged_by_what_it_did_not_tell() -> None:
    """Its busy time holds what the host took."""
    assert gates.check(good_trial()).gates["server_core_foreign_share"]["passed"] is None
