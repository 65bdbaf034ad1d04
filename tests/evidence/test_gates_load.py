"""A load that was not the one asked for, or came from tools that were busy."""

from __future__ import annotations

import pytest
from made_trials import good_trial

from bench.evidence import gates


@pytest.mark.parametrize(("late_us", "passed"), [(4_900, True), (5_100, False)])
def test_a_late_publisher(late_us: int, passed: bool) -> None:
    """p99 of written − due, at most 5 ms."""
    trial = good_trial()
    trial.published["written_us"] = trial.published["due_us"] + late_us
    outcome = gates.check(trial)
    assert outcome.gates["publisher_late_ms_p99"]["passed"] is passed
    assert outcome.valid is passed


@pytest.mark.parametrize(("share", "passed"), [(0.84, True), (0.85, False)])
def test_a_busy_generator(share: float, passed: bool) -> None:
    """85 % of its core is too much."""
    trial = good_trial()
    trial.resources[1]["generator"]["cpu_us"] = int(share * 5_000_000)
    outcome = gates.check(trial)
    assert outcome.gates["generator_cpu_share"]["passed"] is passed
    assert outcome.valid is passed


def test_a_starved_generator() -> None:
    """It could run, and something else had its core."""
    trial = good_trial()
    trial.resources[1]["generator"]["waited_us"] = 2_000_000
    outcome = gates.check(trial)
    assert "something else was running" in outcome.why[0]


@pytest.mark.parametrize(
    ("transport", "server", "latency_us", "delay_us", "passed"),
    [
        ("long-poll", ("wirelab", "gevent"), 2_000, 9_900, True),
        ("long-poll", ("wirelab", "gevent"), 2_000, 10_100, False),
        ("long-poll", ("wirelab", "asyncio"), 2_000, 9_900, True),
        ("long-poll", ("wirelab", "asyncio"), 2_000, 10_100, False),
        ("long-poll", ("nchan", None), 2_000, 10_100, False),
        ("short-poll", ("wirelab", "gevent"), 2_000, 900, True),
        ("short-poll", ("wirelab", "gevent"), 2_000, 1_100, False),
        ("short-poll", ("wirelab", "gevent"), 500_000, 40_000, True),
        ("short-poll", ("wirelab", "gevent"), 500_000, 60_000, False),
        ("websocket", ("wirelab", "gevent"), 2_000, 60_000, None),
        ("long-poll", ("bare", None), 2_000, 60_000, None),
    ],
)
def test_a_generator_that_handles_answers_late(
    transport: str, server: tuple[str, str | None], latency_us: int, delay_us: int, passed: bool | None
) -> None:
    """Only where it delays the next request, over 1 ms or a tenth of the median latency; of a held poll where
    that adds so much to the mean. At four a second 10 ms add 0.2 ms: 0.04 of the news waits 5 ms."""
    trial = good_trial(transport)
    trial.record |= {"system": server[0], "server_model": server[1]}
    trial.deliveries["received_us"] = trial.deliveries["due_us"] + latency_us
    trial.deliveries["handled_us"] = trial.deliveries["received_us"] + delay_us
    trial.requests["handled_us"] = trial.requests["received_us"] + delay_us
    outcome = gates.check(trial)
    assert outcome.gates["generator_delay_ms_p50"]["passed"] is passed
    assert outcome.valid is (passed is not False)


@pytest.mark.parametrize(("moved_us", "passed"), [(-900, True), (1_100, False), (-1_100, False)])
def test_a_moved_clock(moved_us: int, passed: bool) -> None:
    """Realtime against monotonic, either way, at most 1 ms."""
    trial = good_trial()
    trial.resources[1]["monotonic_us"] += moved_us
    outcome = gates.check(trial)
    assert outcome.gates["clock_moved_ms"]["passed"] is passed
    assert outcome.valid is passed


def test_something_is_published_where_a_rate_is_asked() -> None:
    """Else there is no latency to believe; an idle trial has nothing to measure it on."""
    trial = good_trial()
    for columns in (trial.published, trial.deliveries):
        for name in columns.keys() - {"subscriber", "id"}:
            columns[name] -= 10_000_000
    assert gates.check(trial).why == ["nothing was published in the window, where 4 a second were asked for"]
    trial.record["publish_rate"] = 0.0
    outcome = gates.check(trial)
    assert outcome.valid
    assert outcome.gates["published"]["passed"] is None
