"""What of a cell is predicted, and which of its measurements are held against that."""

from __future__ import annotations

from typing import Any

import pytest
from made_cells import made

from bench.analysis.cells import Cell
from bench.analysis.theory.residuals import predicted, residuals

SPARE = {"server_core_busy_share": 0.1}


def polled(publish_rate: float = 1.0) -> Cell:
    """Short polls every second, as late and as often as theory has it, d being 20 ms."""
    measured = {
        "latency_ms_mean": 520.1,
        "requests_per_delivery": 1 / publish_rate,
        "empty_response_share": 0.37,
    }
    load: dict[str, Any] = {"publish_rate": publish_rate, "schedule": "poisson", "one_way_ms": 20.0}
    return made("short-poll", {**SPARE, **measured}, service_s=1e-4, width=0.001, **load)


def test_what_every_poller_meets_is_not_held_against_theory() -> None:
    """Requests come at 1/T whatever the server does: they are predicted, and judge nothing."""
    cell = polled()
    prediction = predicted(cell)
    assert prediction is not None
    assert prediction["requests_per_delivery"] == pytest.approx(1.0)
    found = residuals(cell, prediction)
    assert set(found) == {"latency_ms_mean", "empty_response_share"}
    assert {one["outcome"] for one in found.values()} == {"within"}


def test_a_part_of_nothing_is_not_held_against_theory() -> None:
    """At ten notifications an interval, e^(−10) of the answers are empty."""
    cell = polled(10.0)
    assert set(residuals(cell, predicted(cell))) == {"latency_ms_mean"}


@pytest.mark.parametrize(
    "changed",
    [
        {"system": "bare"},
        {"publish_rate": 0.0},
        {"service_s": None},
        {"steady_trials": 4},
        {"valid_trials": 0},
        {"busy": 0.95},
    ],
)
def test_what_has_no_prediction(changed: dict[str, Any]) -> None:
    """The bare server, nothing published, no service time, a trial that was not steady, none that was valid,
    a full core."""
    usual = {"service_s": 1e-4, **changed}
    busy = {"server_core_busy_share": usual.pop("busy", 0.1)}
    cell = made("websocket", {**busy, "latency_ms_mean": 1.0}, width=0.001, **usual)
    assert predicted(cell) is None
    assert residuals(cell, predicted(cell)) == {}
    fine = made("websocket", {**SPARE, "latency_ms_mean": 1.0}, width=0.001, service_s=1e-4)
    assert predicted(fine) is not None
