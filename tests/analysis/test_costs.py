"""The cost model: exact inputs are found again, what does not fit is refused, and nothing is mixed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from made_cells import made

from bench.analysis.cells import Cell
from bench.analysis.costs import costs
from bench.scenario import scenario

Cost = Callable[[float], float]


def deliveries(cost: Cost, rates: Sequence[float] = (11, 14, 17, 33), **changed: Any) -> list[Cell]:
    """1,000 WebSockets that are told so often: `cost(x)` µs a delivery at x deliveries a second."""
    return [
        made(
            "websocket",
            {"deliveries": 1000 * rate * 5.0, costs.CPU_PER_DELIVERY: cost(1000 * rate)},
            subscribers=1000,
            publish_rate=rate,
            **changed,
        )
        for rate in rates
    ]


def only(cells: list[Cell], operation: str, transport: str = "websocket") -> dict[str, Any]:
    """The one series of that operation."""
    model = costs.summarise(cells)
    assert model is not None
    [found] = [
        one for one in model["series"] if (one["operation"], one["transport"]) == (operation, transport)
    ]
    return dict(found)


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
        made("websocket", {costs.MEMORY: kb}, subscribers=number, publish_rate=0.0, wait_s=wait_s)
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
                    costs.REQUESTS: 1.0,
                    costs.CPU_PER_REQUEST: 3485 * number**-0.336 * rng.normal(1, 0.02),
                },
                subscribers=number,
            )
            for number in (900, 1300, 1900, 3700)
        ]
        found = only(cells, "request", "short-poll")
        assert found["form"] != "constant"
        assert found["checked"] is True


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


def test_only_our_own_server_on_loopback_is_billed() -> None:
    """Another implementation, a link, fresh connections or compression are never mixed in."""
    usual = only(deliveries(lambda x: 28.0), "delivery")
    for other in (
        {"implementation": "bare"},
        {"link": "constant"},
        {"connection": "fresh"},
        {"permessage_deflate": True},
    ):
        mixed = deliveries(lambda x: 28.0) + deliveries(lambda x: 99.0, [13, 56], **other)
        assert only(mixed, "delivery") == usual
        assert costs.summarise(deliveries(lambda x: 99.0, **other)) is None
    payloads = costs.summarise(deliveries(lambda x: 28.0) + deliveries(lambda x: 26.0, payload_bytes=10_000))
    assert payloads is not None
    assert [one["cost"]["value"] for one in payloads["series"]] == pytest.approx([28.0, 26.0])


def test_idle_subscribers_are_billed_by_ping_and_by_memory() -> None:
    """A ping every wait_s; of idle long polls the memory alone, since they foretell no CPU."""
    cells = []
    for subscribers in (500, 600, 700, 1400):
        idle = {"subscribers": subscribers, "publish_rate": 0.0}
        pinged = {costs.CPU_IDLE: 60.0 / 0.1, costs.MEMORY: 35.0, "server_threads": 2.0 * subscribers + 4}
        cells.append(made("websocket", pinged, wait_s=0.1, **idle))
        asked = {costs.REQUESTS: 3.2, costs.CPU_PER_REQUEST: 200.0, costs.MEMORY: 18.0, "server_threads": 2.0}
        cells.append(made("long-poll", asked, wait_s=0.3, **idle))
    model = costs.summarise(cells)
    assert model is not None
    found = {(one["transport"], one["operation"]): one["cost"]["value"] for one in model["series"]}
    assert found == pytest.approx(
        {
            ("websocket", "renewal"): 60.0,
            ("websocket", "subscriber"): 35.0,
            ("long-poll", "subscriber"): 18.0,
        }
    )
    renewals = only(cells, "renewal")
    assert [point["load"] for point in renewals["points"]] == [5_000, 6_000, 7_000, 14_000]
    threads = {one["transport"]: one["threads_per_subscriber"] for one in model["threads"]}
    assert threads == {"websocket": 2.0, "long-poll": 0.0}


def test_a_websocket_that_connects_again_is_not_renewed() -> None:
    """A peer that answers a ping too late is cut, and its handshake is not a ping's cost."""
    cells = [
        made(
            "websocket",
            {costs.CPU_IDLE: 500.0, costs.REQUESTS: again},
            subscribers=number,
            publish_rate=0.0,
            wait_s=0.1,
        )
        for number, again in ((600, 0.0), (700, 0.0), (1400, 0.02))
    ]
    found = only(cells, "renewal")
    assert found["checked"] is False
    assert "cut and connect again" in found["points"][-1]["why_not"]


def test_a_short_poll_costs_the_same_with_and_without_news() -> None:
    """One series of both."""
    rates = {0.0: 0.25, 2.0: 0.2, 3.0: 0.1}
    cells = [
        made(
            "short-poll",
            {"requests_per_subscriber_second": 1 / interval, costs.CPU_PER_REQUEST: 200.0, "deliveries": 1.0},
            subscribers=400,
            publish_rate=rate,
            poll_interval_s=interval,
        )
        for rate, interval in rates.items()
    ]
    found = only(cells, "request", "short-poll")
    assert [point["load"] for point in found["points"]] == [1_600, 2_000, 4_000]
    assert found["checked"] is True


def test_bytes_are_told_apart_by_poll_and_by_notification() -> None:
    """Two unknowns, cells enough; and nothing where they cannot be told apart."""
    cells = []
    for rate, interval in ((0.0, 0.25), (2.0, 0.25), (2.0, 0.1)):
        asked = 1 / interval
        wire = {
            "bytes_up_per_subscriber_second": 110 * asked,
            "bytes_down_per_subscriber_second": 190 * asked + 170 * rate,
            "packets_up_per_subscriber_second": 2 * asked,
            "packets_down_per_subscriber_second": 1 * asked,
        }
        work = {"requests_per_subscriber_second": asked, "deliveries": rate * 20 * 5.0}
        cells.append(made("short-poll", {**wire, **work}, publish_rate=rate, poll_interval_s=interval))
    model = costs.summarise([*cells, *deliveries(lambda x: 28.0)])
    assert model is not None
    [short] = [one for one in model["wire"] if one["transport"] == "short-poll"]
    exact = {"bytes_up": 110, "bytes_down": 190, "packets_up": 2, "packets_down": 1}
    assert {name: one["value"] for name, one in short["per_poll"].items()} == pytest.approx(exact)
    exact = {"bytes_up": 0, "bytes_down": 170, "packets_up": 0, "packets_down": 0}
    added = {name: one["value"] for name, one in short["per_notification"].items()}
    assert added == pytest.approx(exact, abs=1e-9)
    [pushed] = [one for one in model["wire"] if one["transport"] == "websocket"]
    assert pushed["per_poll"] is None
    model = costs.summarise(cells[1:2] * 2)
    assert model is not None
    assert model["wire"][0]["per_poll"] is None


def test_bytes_are_not_told_apart_where_only_the_windows_edges_differ() -> None:
    """Long polls that all bring news: a poll and a notification come together, and noise would be told."""
    cells = []
    for rate, edge in ((15.5, 1.002), (17.0, 0.999), (33.5, 1.001)):
        wire = {f"{name}_per_subscriber_second": 300.0 * rate * edge for name in costs.WIRE}
        work = {"requests_per_subscriber_second": rate, "deliveries": rate * edge * 20 * 5.0}
        cells.append(made("long-poll", {**wire, **work}, publish_rate=rate))
    model = costs.summarise([*cells, *deliveries(lambda x: 28.0)])
    assert model is not None
    [told] = [one for one in model["wire"] if one["transport"] == "long-poll"]
    assert told["per_poll"] is None
    assert told["per_notification"] is None


def test_publishing_is_told_and_not_checked() -> None:
    """With nobody listening."""
    quiet = made(None, {"server_cpu_us_per_publish": 250.0}, publish_rate=1000.0, subscribers=0)
    model = costs.summarise([quiet])
    assert model is not None
    [told] = model["publish"]
    assert (told["server_model"], told["load"], told["cost"]["value"]) == ("gevent", 1000.0, 250.0)
    assert costs.summarise([]) is None


def test_capacity_asks_for_loads_to_fit_and_twice_as_much() -> None:
    """Every series has three loads or more and, of the same operation, one about twice as large as each."""
    series: dict[tuple[Any, ...], list[float]] = {}
    for one in scenario.load("capacity").cells:
        idle = one.publish_rate == 0
        if one.transport and not (idle and one.transport == "long-poll"):
            a_second = {"short-poll": 1 / one.poll_interval_s}.get(
                one.transport, 1 / one.wait_s if idle else one.publish_rate
            )
            key = (one.transport, one.server_model, idle and one.transport == "websocket")
            series.setdefault(key, []).append(one.subscribers * a_second)
    assert len(series) == 8
    for loads in series.values():
        assert sum(load * costs.HELD_OUT_TIMES <= max(loads) for load in loads) == len(loads) - 1 >= 3
