"""The wire's part of the bill: bytes told apart by poll and by notification."""

from __future__ import annotations

import pytest
from made_cells import made
from made_costs import deliveries

from bench.analysis.costs.model import summarise
from bench.analysis.costs.wire import QUANTITIES
from bench.analysis.theory import bill


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
    model = summarise([*cells, *deliveries(lambda x: 28.0)])
    assert model is not None
    [short] = [one for one in model["wire"] if one["transport"] == "short-poll"]
    exact = {"bytes_up": 110, "bytes_down": 190, "packets_up": 2, "packets_down": 1}
    assert {name: one["value"] for name, one in short["per_poll"].items()} == pytest.approx(exact)
    exact = {"bytes_up": 0, "bytes_down": 170, "packets_up": 0, "packets_down": 0}
    added = {name: one["value"] for name, one in short["per_notification"].items()}
    assert added == pytest.approx(exact, abs=1e-9)
    [pushed] = [one for one in model["wire"] if one["transport"] == "websocket"]
    assert pushed["per_poll"] is None
    model = summarise(cells[1:2] * 2)
    assert model is not None
    assert model["wire"][0]["per_poll"] is None


def test_bytes_are_not_told_apart_where_only_the_windows_edges_differ() -> None:
    """Long polls that all bring news: a poll and a notification come together, and noise would be told."""
    cells = []
    for rate, edge in ((15.5, 1.002), (17.0, 0.999), (33.5, 1.001)):
        wire = {f"{name}_per_subscriber_second": 300.0 * rate * edge for name in QUANTITIES}
        work = {"requests_per_subscriber_second": rate, "deliveries": rate * edge * 20 * 5.0}
        cells.append(made("long-poll", {**wire, **work}, publish_rate=rate))
    model = summarise([*cells, *deliveries(lambda x: 28.0)])
    assert model is not None
    [told] = [one for one in model["wire"] if one["transport"] == "long-poll"]
    assert told["per_poll"] is None
    assert told["per_notification"] is None


def test_a_window_in_which_nothing_came_is_left_out() -> None:
    """Polls that are held for longer than the window: neither a poll nor a notification to bill."""
    cells = []
    for asked, wait_s in ((0.0, 25.0), (4.0, 0.25)):
        wire = {f"{name}_per_subscriber_second": 300.0 * asked for name in QUANTITIES}
        work = {bill.REQUESTS: asked, bill.MEMORY: 20.0}
        cells.append(made("long-poll", {**wire, **work}, publish_rate=0.0, wait_s=wait_s))
    model = summarise(cells)
    assert model is not None
    [told] = model["wire"]
    assert told["per_poll"]["bytes_up"]["value"] == pytest.approx(300.0)


def test_a_handshake_is_no_pings_bytes() -> None:
    """WebSockets that were cut and connected again are left out."""
    cells = []
    for number, again, times in ((600, 0.0, 1.0), (700, 0.0, 1.0), (1400, 0.5, 3.0)):
        sent = {f"{name}_per_subscriber_second": 60.0 * times for name in QUANTITIES}
        settings = {"subscribers": number, "publish_rate": 0.0, "wait_s": 0.1}
        cells.append(made("websocket", {**sent, bill.MEMORY: 20.0, bill.REQUESTS: again}, **settings))
    model = summarise(cells)
    assert model is not None
    [told] = model["wire"]
    assert told["per_poll"]["bytes_up"]["value"] == pytest.approx(6.0)
