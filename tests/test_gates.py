"""Each gate, broken on purpose, one at a time, on a small trial that passes them all."""

from typing import Any

import numpy as np
import pytest

from bench import gates
from bench.reading import Trial

START_US = 1_763_874_000_000_000
END_US = START_US + 5_000_000
SUBSCRIBERS, NOTIFICATIONS = 4, 20


def good_trial(transport: str | None = "long-poll") -> Trial:
    """Four subscribers who joined at id 1 and got ids 2 to 21, each 2 ms after it was due."""
    ids = np.arange(2, 2 + NOTIFICATIONS, dtype=np.int64)
    due_us = START_US + (ids - 2) * 200_000
    subscribers = np.repeat(np.arange(SUBSCRIBERS), NOTIFICATIONS)
    all_ids, all_due = np.tile(ids, SUBSCRIBERS), np.tile(due_us, SUBSCRIBERS)
    count = np.zeros(SUBSCRIBERS, np.int64)
    record = {
        "id": "r1",
        "transport": transport,
        "implementation": "wirelab",
        "subscribers": SUBSCRIBERS,
        "publish_rate": 4.0,
        "window_start_us": START_US,
        "window_end_us": END_US,
        "exit": "finished",
    }
    return Trial(
        record,
        deliveries={
            "subscriber": subscribers,
            "id": all_ids,
            "due_us": all_due,
            "received_us": all_due + 2000,
            "handled_us": all_due + 2100,
        },
        requests={"subscriber": subscribers, "received_us": all_due + 2000, "handled_us": all_due + 2100},
        published={"id": ids, "due_us": due_us, "written_us": due_us + 100, "answered_us": due_us + 500},
        subscribers={
            "subscriber": np.arange(SUBSCRIBERS),
            "joined_id": count + 1,
            **{name: count.copy() for name in ("missed", "duplicates", "reordered", "epoch_changes")},
        },
        resources=[sample("window_start", START_US), sample("window_end", END_US)],
        pinning={"server": [0], "generator": [1]},
    )


def sample(edge: str, at_us: int) -> dict[str, Any]:
    """What everybody had used by then: the generator a tenth of a core, the server's core half of it."""
    spent_us = at_us - START_US
    return {
        "edge": edge,
        "at_us": at_us,
        "monotonic_us": at_us - START_US + 7_000_000,
        "server": {"cpu_us": spent_us // 2},
        "generator": {"cpu_us": spent_us // 10, "waited_us": spent_us // 100},
        "cores": {"0": {"busy_us": spent_us // 2, "total_us": spent_us}},
    }


@pytest.mark.parametrize("transport", ["short-poll", "long-poll", "websocket", None])
def test_a_good_trial_passes(transport: str | None) -> None:
    """Valid, steady, and no gate failed."""
    outcome = gates.check(good_trial(transport))
    assert (outcome.valid, outcome.steady) == (True, True)
    assert not any(gate["passed"] is False for gate in outcome.gates.values())


def lose_one(trial: Trial) -> None:
    keep = np.ones(len(trial.deliveries["id"]), bool)
    keep[30] = False
    trial.deliveries = {name: values[keep] for name, values in trial.deliveries.items()}


def lose_the_last(trial: Trial) -> None:
    keep = trial.deliveries["id"] != NOTIFICATIONS + 1
    trial.deliveries = {name: values[keep] for name, values in trial.deliveries.items()}


def lose_the_first(trial: Trial) -> None:
    keep = trial.deliveries["id"] != 2
    trial.deliveries = {name: values[keep] for name, values in trial.deliveries.items()}


def repeat_one(trial: Trial) -> None:
    order = np.sort(np.append(np.arange(len(trial.deliveries["id"])), 30))
    trial.deliveries = {name: values[order] for name, values in trial.deliveries.items()}


def swap_two(trial: Trial) -> None:
    trial.deliveries["id"][[30, 31]] = trial.deliveries["id"][[31, 30]]


def receiver_saw_a_duplicate(trial: Trial) -> None:
    trial.subscribers["duplicates"][1] = 1


def receiver_saw_a_latecomer(trial: Trial) -> None:
    trial.subscribers["reordered"][1] = 1


def one_never_joined(trial: Trial) -> None:
    trial.subscribers = {name: values[1:] for name, values in trial.subscribers.items()}


def told_more_than_was_missing(trial: Trial) -> None:
    trial.subscribers["missed"][2] = 3


def epoch_changed(trial: Trial) -> None:
    trial.subscribers["epoch_changes"][2] = 1


def publish_refused(trial: Trial) -> None:
    trial.published["id"] = np.where(trial.published["id"] == 5, np.nan, trial.published["id"])
    lose = trial.deliveries["id"] != 5
    trial.deliveries = {name: values[lose] for name, values in trial.deliveries.items()}


@pytest.mark.parametrize(
    ("break_it", "told"),
    [
        (lose_one, "1 notifications were lost"),
        (lose_the_last, "4 notifications were lost"),
        (lose_the_first, "4 notifications were lost"),
        (repeat_one, "1 came twice"),
        (swap_two, "1 came out of order"),
        (receiver_saw_a_duplicate, "1 came twice"),
        (receiver_saw_a_latecomer, "1 came out of order"),
        (one_never_joined, "1 subscribers never reported"),
        (told_more_than_was_missing, "3 were delivered or told"),
        (epoch_changed, "1 changes of epoch"),
        (publish_refused, "did not accept 1"),
    ],
)
def test_delivery_is_exact(break_it: Any, told: str) -> None:
    """Whatever is lost, repeated or reordered makes the trial invalid, and it says what."""
    trial = good_trial()
    break_it(trial)
    outcome = gates.check(trial)
    assert not outcome.valid
    assert outcome.gates["delivered"]["passed"] is False
    assert told in " ".join(outcome.why)


def test_a_told_gap_is_valid_and_not_steady() -> None:
    """published × subscribers = delivered + told gaps still holds; latency wins nothing."""
    trial = good_trial()
    lose_one(trial)
    trial.subscribers["missed"][1] = 1
    outcome = gates.check(trial)
    assert outcome.valid
    assert not outcome.steady
    assert "1 missed" in outcome.not_steady_why[0]


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
    ("transport", "implementation", "latency_us", "delay_us", "passed"),
    [
        ("long-poll", "wirelab", 2_000, 900, True),
        ("long-poll", "wirelab", 2_000, 1_100, False),
        ("short-poll", "wirelab", 500_000, 40_000, True),
        ("short-poll", "wirelab", 500_000, 60_000, False),
        ("websocket", "wirelab", 2_000, 60_000, None),
        ("long-poll", "bare", 2_000, 60_000, None),
    ],
)
def test_a_generator_that_handles_answers_late(
    transport: str, implementation: str, latency_us: int, delay_us: int, passed: bool | None
) -> None:
    """Only where it delays the next request, over 1 ms or a tenth of the median latency."""
    trial = good_trial(transport)
    trial.record["implementation"] = implementation
    trial.deliveries["received_us"] = trial.deliveries["due_us"] + latency_us
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


def test_a_dead_server() -> None:
    """Whatever was measured before."""
    trial = good_trial()
    trial.record["exit"] = "the server was killed by SIGKILL"
    outcome = gates.check(trial)
    assert "SIGKILL" in outcome.why[0]
    assert outcome.gates["server_alive"]["passed"] is False
    trial.record |= {"window_start_us": None, "window_end_us": None}
    assert "never measured" in gates.check(trial).why[0]


@pytest.mark.parametrize(("share", "steady"), [(0.94, True), (0.96, False)])
def test_a_saturated_server(share: float, steady: bool) -> None:
    """Its latency is a queue's; its counts and costs stand."""
    trial = good_trial()
    trial.resources[1]["cores"]["0"]["busy_us"] = int(share * 5_000_000)
    outcome = gates.check(trial)
    assert outcome.valid
    assert outcome.steady is steady


def test_what_is_not_measured_fails_nobody() -> None:
    """Another system: no CPU clocks, no cores, no pinning."""
    trial = good_trial()
    trial.pinning = None
    for found in trial.resources:
        found |= {"generator": {"cpu_us": None, "waited_us": None}, "cores": None}
    outcome = gates.check(trial)
    assert outcome.valid
    assert outcome.gates["generator_cpu_share"] == {"value": None, "limit": 0.85, "passed": None}
