"""Deliveries that are lost, repeated, reordered, altered, or out of the order of time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from made_trials import NOTIFICATIONS, good_trial, lose_one

from bench.evidence import gates
from bench.rundir.trial import Trial


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


@pytest.mark.parametrize(("table", "name"), [("deliveries", "due_us"), ("published", "due_us")])
def test_due_times_are_those_that_were_published(table: str, name: str) -> None:
    """By a microsecond."""
    trial = good_trial()
    getattr(trial, table)[name][3] += 1
    outcome = gates.check(trial)
    assert outcome.gates["due_times_altered"]["passed"] is False
    assert "another due time" in outcome.why[0]


@pytest.mark.parametrize(
    ("table", "earlier", "later", "told"),
    [
        ("published", "written_us", "due_us", "written before they were due"),
        ("deliveries", "received_us", "accepted_us", "arrived before the server accepted them"),
        ("deliveries", "handled_us", "received_us", "handled before they arrived"),
        ("requests", "received_us", "sent_us", "arrived before their requests were sent"),
        ("requests", "handled_us", "received_us", "answers were handled before they arrived"),
    ],
)
def test_effects_come_after_their_causes(table: str, earlier: str, later: str, told: str) -> None:
    """Within the millisecond by which the clock may move."""
    trial = good_trial()
    columns = getattr(trial, table)
    columns[earlier][3] = columns[later][3] - 1_000
    assert gates.check(trial).gates["times_out_of_order"]["passed"] is True
    columns[earlier][3] -= 1
    outcome = gates.check(trial)
    assert outcome.gates["times_out_of_order"]["passed"] is False
    assert outcome.why[0].startswith("1 ")
    assert told in outcome.why[0]


def test_a_time_that_is_not_there_is_not_in_order() -> None:
    """A column may hold nulls, which compare with nothing."""
    trial = good_trial()
    trial.deliveries["handled_us"] = np.where(
        trial.deliveries["id"] == 5, np.nan, trial.deliveries["handled_us"]
    )
    assert not gates.check(trial).valid
