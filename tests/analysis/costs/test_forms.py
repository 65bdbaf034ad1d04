"""The forms of a cost: each is found again, and noise buys none."""

from __future__ import annotations

import numpy as np
import pytest
from made_cells import made
from made_costs import Cost, deliveries, only

from bench.analysis.theory import bill


@pytest.mark.parametrize(
    ("form", "cost", "parameters"),
    [
        ("constant", lambda x: 28.0, {"c": 28.0}),
        ("overhead", lambda x: 18.0 + 120_000 / x, {"c": 18.0, "a": 120_000}),
        ("power", lambda x: 30.0 * (x / 12_000) ** -0.3, {"c": 30.0 * 12_000**0.3, "q": -0.3}),
    ],
)
def test_exact_costs_are_found_again(form: str, cost: Cost, parameters: dict[str, float]) -> None:
    """Each form from its own data, its parameters, and the load that it never saw."""
    found = only(deliveries(cost), "delivery")
    assert found["form"] == form
    assert found["parameters"] == pytest.approx(parameters, rel=1e-6)
    assert found["checked"] is True
    assert found["held_out"]["load"] == 33_000
    assert found["held_out"]["predicted"] == pytest.approx(cost(33_000))
    assert found["held_out"]["error"] == pytest.approx(0, abs=1e-9)
    assert found["cost"]["value"] == pytest.approx(cost(33_000))
    assert [point["role"] for point in found["points"]] == ["fitted"] * 3 + ["held out"]
    assert found["curve"][-1] == pytest.approx([33_000, cost(33_000)])


def test_noise_is_not_taken_for_a_form() -> None:
    """A few percent between cells seldom buy a second parameter, and seldom cost the check."""
    rng = np.random.default_rng(5)
    found = [only(deliveries(lambda x: 28.0 * rng.normal(1, 0.02)), "delivery") for _ in range(30)]
    assert sum(one["form"] == "constant" for one in found) >= 16
    assert sum(one["checked"] for one in found) >= 25


def test_a_slope_needs_loads_that_lie_apart() -> None:
    """Over a fifth of a load, noise would be carried on to twice the load several times enlarged."""
    rising = only(deliveries(lambda x: 28.0 * (x / 11_000) ** 0.25, [11, 12, 13.2, 26]), "delivery")
    assert set(rising["candidates"]) == {"constant"}
    falling = only(deliveries(lambda x: 28.0 * (x / 11_000) ** -0.3, [11, 13, 16.5, 32]), "delivery")
    assert set(falling["candidates"]) == {"constant", "overhead", "power"}


def test_memory_knows_no_power() -> None:
    """One that weighs less than the others is an outlier, and no law."""
    cells = [
        made("websocket", {bill.MEMORY: kb}, subscribers=number, publish_rate=0.0, wait_s=wait_s)
        for number, kb, wait_s in ((500, 59.0, 1.8), (730, 81.6, 0.1), (780, 81.6, 0.1), (1490, 79.0, 0.1))
    ]
    found = only(cells, "subscriber")
    assert set(found["candidates"]) == {"constant", "overhead"}
    assert found["checked"] is True


def test_a_cost_that_falls_is_followed_through_the_noise() -> None:
    """Requests that come one by one cost a third less for twice as many: a wide series shows it, and what is
    constant would miss by half."""
    rng = np.random.default_rng(6)
    for _ in range(10):
        cells = [
            made(
                "short-poll",
                {
                    bill.REQUESTS: 1.0,
                    bill.CPU_PER_REQUEST: 3485 * number**-0.336 * rng.normal(1, 0.02),
                },
                subscribers=number,
            )
            for number in (900, 1300, 1900, 3700)
        ]
        found = only(cells, "request", "short-poll")
        assert found["form"] != "constant"
        assert found["checked"] is True
