"""What leaves a trial valid and makes its latency win nothing."""

from __future__ import annotations

import pytest
from made_trials import good_trial, lose_one

from bench.evidence import gates


def test_a_told_gap_is_valid_and_not_steady() -> None:
    """published × subscribers = delivered + told gaps still holds; latency wins nothing."""
    trial = good_trial()
    lose_one(trial)
    trial.subscribers["missed"][1] = 1
    outcome = gates.check(trial)
    assert outcome.valid
    assert not outcome.steady
    assert "1 missed" in outcome.not_steady_why[0]


@pytest.mark.parametrize(("share", "steady"), [(0.94, True), (0.96, False)])
def test_a_saturated_server(share: float, steady: bool) -> None:
    """Its latency is a queue's; its counts and costs stand."""
    trial = good_trial()
    trial.resources[1]["cores"]["0"]["busy_us"] = int(share * 5_000_000)
    outcome = gates.check(trial)
    assert outcome.valid
    assert outcome.steady is steady
