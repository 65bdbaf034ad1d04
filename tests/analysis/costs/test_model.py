"""The cost model: what does not fit is refused, and the held-out load decides."""

from __future__ import annotations

from typing import Any

import pytest
from made_cells import made
from made_costs import deliveries, only

from bench.analysis.costs.model import HELD_OUT_TIMES, summarise
from bench.scenario.parse import load


def test_the_held_out_load_plays_no_part_in_the_fit() -> None:
    """Whatever it cost, the fitted form and its parameters are the same."""
    usual, other = (
        only(deliveries(lambda x, at=at: at if x > 20_000 else 28.0), "delivery") for at in (28.0, 24.0)
    )
    assert other["parameters"] == usual["parameters"]
    assert other["form"] == usual["form"]
    assert other["held_out"]["error"] == pytest.approx(28 / 24 - 1)


def test_a_cost_that_bends_is_not_projected() -> None:
    """It doubles beyond what was fitted: nothing that was fitted could know."""
    found = only(deliveries(lambda x: 22.0 if x < 20_000 else 33.0, [14, 14.5, 28]), "delivery")
    assert found["checked"] is False
    assert found["cost"] is None
    assert found["why_not"] == "fitted on smaller loads, it misses the largest by -33%"


@pytest.mark.parametrize(("at", "checked"), [(1.33, True), (1.34, False), (0.801, True), (0.799, False)])
def test_a_quarter_is_the_limit(at: float, checked: bool) -> None:
    """On either side of what was measured."""
    found = only(deliveries(lambda x: 22.0 * (at if x > 20_000 else 1.0), [14, 14.5, 28]), "delivery")
    assert found["checked"] is checked


def test_the_interval_holds_the_trials_and_the_error() -> None:
    """Wider than the bootstrap's by what the prediction missed."""
    exact = only(deliveries(lambda x: 28.0, width=0.05), "delivery")["cost"]
    assert 28 * 0.95 < exact["low"] < 28 < exact["high"] < 28 * 1.05
    missed = only(deliveries(lambda x: 28.0 if x < 20_000 else 25.0), "delivery")
    assert missed["held_out"]["error"] == pytest.approx(0.12)
    assert missed["cost"]["low"] < 25
    assert missed["cost"]["high"] > 28


def test_loads_outside_the_band_are_not_fitted() -> None:
    """Below 0.3 of a core an operation costs more; above half of the held-out load it would be no check."""
    cells = deliveries(lambda x: 60.0 if x < 9_000 else 28.0, [3, 11, 12, 14, 20, 28])
    found = only(cells, "delivery")
    roles = {point["load"]: point["role"] for point in found["points"]}
    assert roles == {
        3_000: "not used",
        11_000: "fitted",
        12_000: "fitted",
        14_000: "fitted",
        20_000: "not used",
        28_000: "held out",
    }
    reasons = [point["why_not"] for point in found["points"] if point["role"] == "not used"]
    assert "18% busy" in reasons[0]
    assert "more than half" in reasons[1]
    assert found["parameters"] == {"c": pytest.approx(28.0)}


def test_a_full_core_an_invalid_cell_and_a_single_load_decide_nothing() -> None:
    """They are shown with the reason."""
    cells = deliveries(lambda x: 28.0)
    full = only([*cells, *deliveries(lambda x: 24.0, [40])], "delivery")
    assert full["held_out"]["load"] == 33_000
    assert "filled the server's core" in full["points"][-1]["why_not"]
    assert only(deliveries(lambda x: 28.0, steady_trials=0), "delivery")["checked"] is True
    invalid = only([*cells[:3], *deliveries(lambda x: 28.0, [33], valid_trials=4)], "delivery")
    assert invalid["checked"] is False
    assert "4 of the 5 valid trials" in invalid["points"][-1]["why_not"]
    alone = only(cells[:1], "delivery")
    assert alone["checked"] is False
    assert alone["held_out"] is None
    assert "fewer than two loads" in alone["why_not"]


def test_publishing_is_told_and_not_checked() -> None:
    """With nobody listening."""
    quiet = made(None, {"server_cpu_us_per_publish": 250.0}, publish_rate=1000.0, subscribers=0)
    model = summarise([quiet])
    assert model is not None
    [told] = model["publish"]
    assert (told["server_model"], told["load"], told["cost"]["value"]) == ("gevent", 1000.0, 250.0)
    assert summarise([]) is None


def test_capacity_asks_for_loads_to_fit_and_twice_as_much() -> None:
    """Every series has three loads or more and, of the same operation, one about twice as large as each."""
    series: dict[tuple[Any, ...], list[float]] = {}
    for one in load("capacity").cells:
        idle = one.publish_rate == 0
        if one.transport and not (idle and one.transport == "long-poll"):
            a_second = {"short-poll": 1 / one.poll_interval_s}.get(
                one.transport, 1 / one.wait_s if idle else one.publish_rate
            )
            key = (one.transport, one.server_model, idle and one.transport == "websocket")
            series.setdefault(key, []).append(one.subscribers * a_second)
    assert len(series) == 8
    for loads in series.values():
        assert sum(load * HELD_OUT_TIMES <= max(loads) for load in loads) == len(loads) - 1 >= 3
