"""What is billed: each cell by its operation, and nothing is mixed."""

from __future__ import annotations

import pytest
from made_cells import made
from made_costs import deliveries, only

from bench.analysis.costs.model import summarise
from bench.analysis.theory import bill


def test_only_our_own_server_on_loopback_is_billed() -> None:
    """Another system, a link, fresh connections or compression are never mixed in."""
    usual = only(deliveries(lambda x: 28.0), "delivery")
    for other in (
        {"system": "bare"},
        {"link": "constant"},
        {"connection": "fresh"},
        {"permessage_deflate": True},
    ):
        mixed = deliveries(lambda x: 28.0) + deliveries(lambda x: 99.0, [13, 56], **other)
        assert only(mixed, "delivery") == usual
        assert summarise(deliveries(lambda x: 99.0, **other)) is None
    payloads = summarise(deliveries(lambda x: 28.0) + deliveries(lambda x: 26.0, payload_bytes=10_000))
    assert payloads is not None
    assert [one["cost"]["value"] for one in payloads["series"]] == pytest.approx([28.0, 26.0])


def test_idle_subscribers_are_billed_by_ping_and_by_memory() -> None:
    """A ping every wait_s; of idle long polls the memory alone, since they foretell no CPU."""
    cells = []
    for subscribers in (500, 600, 700, 1400):
        idle = {"subscribers": subscribers, "publish_rate": 0.0}
        pinged = {bill.CPU_IDLE: 60.0 / 0.1, bill.MEMORY: 35.0, "server_threads": 2.0 * subscribers + 4}
        cells.append(made("websocket", pinged, wait_s=0.1, **idle))
        asked = {bill.REQUESTS: 3.2, bill.CPU_PER_REQUEST: 200.0, bill.MEMORY: 18.0, "server_threads": 2.0}
        cells.append(made("long-poll", asked, wait_s=0.3, **idle))
    model = summarise(cells)
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
            {bill.CPU_IDLE: 500.0, bill.REQUESTS: again},
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
            {"requests_per_subscriber_second": 1 / interval, bill.CPU_PER_REQUEST: 200.0, "deliveries": 1.0},
            subscribers=400,
            publish_rate=rate,
            poll_interval_s=interval,
        )
        for rate, interval in rates.items()
    ]
    found = only(cells, "request", "short-poll")
    assert [point["load"] for point in found["points"]] == [1_600, 2_000, 4_000]
    assert found["checked"] is True


@pytest.mark.parametrize(("transport", "told"), [("short-poll", 4), ("long-poll", 2), ("websocket", 2)])
def test_memory_is_told_by_those_who_wait(transport: str, told: int) -> None:
    """News takes buffers: beside it only a short poll, which holds nothing, tells what a subscriber takes."""
    cells = [
        made(transport, {bill.MEMORY: 20.0}, subscribers=number, publish_rate=rate)
        for number, rate in ((500, 0.0), (1000, 0.0), (600, 1.0), (700, 1.0))
    ]
    assert len(only(cells, "subscriber", transport)["points"]) == told


def test_a_cell_without_a_valid_trial_is_no_point() -> None:
    """Not even one that is not used."""
    usual = only(deliveries(lambda x: 28.0), "delivery")
    lost = deliveries(lambda x: 28.0, [20], valid_trials=0)
    assert only(deliveries(lambda x: 28.0) + lost, "delivery") == usual
