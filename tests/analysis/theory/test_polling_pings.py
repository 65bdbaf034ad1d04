"""Socket.IO on polling: what its pings add to a long poll, against a simulation that knows no formula."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from made_loads import load

from bench.analysis import theory
from bench.analysis.theory.load import Load
from bench.analysis.theory.socketio_polling import SocketIoPolling

POLLING = SocketIoPolling()


def polled(one: Load, seconds: float) -> tuple[float, float]:
    """One client and its server, event by event: requests a notification, and the share of empty answers.

    A poll is answered by news or by a ping. A ping is answered by a post, then comes the next poll; the
    server waits from there to the next ping."""
    due = np.sort(np.random.default_rng(5).uniform(0, seconds, round(one.rate * seconds)))
    polled_s, ping_s, seen, requests, empty = 0.0, one.wait_s, 0, 0, 0
    while seen < len(due):
        answered_s = max(polled_s, min(due[seen], ping_s))
        told = int(np.searchsorted(due, answered_s, side="right"))
        requests, empty = requests + 1, empty + (told == seen)
        is_pinged, seen = ping_s <= answered_s, told
        polled_s = answered_s + one.away_s
        if is_pinged:
            requests, empty = requests + 1, empty + 1
            ping_s = polled_s + one.wait_s
            polled_s += one.away_s
    return requests / len(due), empty / requests


@pytest.mark.parametrize(
    ("rate", "wait_s"), [(0.05, 25.0), (0.5, 25.0), (3.0, 25.0), (0.5, 5.0), (10.0, 10.0)]
)
def test_pings_end_polls_and_are_posted_for(rate: float, wait_s: float) -> None:
    """However rare news is: its polls and the pings' are counted once each."""
    one = load("socketio-polling", publish_rate=rate, wait_s=wait_s, service_s=0.0, turnaround_s=0.1)
    requests, empty = polled(one, seconds=60_000 / rate)
    assert theory.requests_per_delivery(one) == pytest.approx(requests, rel=0.03)
    assert theory.empty_response_share(one) == pytest.approx(empty, rel=0.05)


def test_nothing_but_a_ping_ends_an_idle_poll() -> None:
    """All answers are empty then; and a user's requests are the pings' alone."""
    assert theory.empty_response_share(load("socketio-polling", publish_rate=0.0)) == 1.0
    assert POLLING.rates(0.0, 1.0, 25.0) == {"request": 2 / 25}
    assert POLLING.upkeep is not None
    assert POLLING.upkeep.times / 25 == POLLING.rates(0.0, 1.0, 25.0)["request"]


def test_all_clocks_strike_in_a_short_window_or_none() -> None:
    """One ping of each is in it or not: no share, and a band as wide as that."""
    endless = load("socketio-polling", publish_rate=0.5)
    for window_s, known in ((3.0, False), (25.0, True), (250.0, True)):
        one = dataclasses.replace(endless, window_s=window_s)
        assert (theory.empty_response_share(one) is not None) == known
        assert theory.requests_per_delivery(one) == theory.requests_per_delivery(endless)
        for metric in ("requests_per_delivery", "empty_response_share"):
            assert POLLING.band(one, metric, 0.2) > POLLING.band(endless, metric, 0.2)
        assert POLLING.band(one, "latency_ms_p50", 50.0) == POLLING.band(endless, "latency_ms_p50", 50.0)
    without, expected = POLLING._requests_of_news(endless), theory.requests_per_delivery(endless)
    assert without is not None
    assert expected is not None
    short = dataclasses.replace(endless, window_s=3.0)
    for pings in (0, 1):
        asked = without + pings * POLLING._empties_per_ping(short) / (short.rate * short.window_s)
        assert abs(asked - expected) < POLLING.band(short, "requests_per_delivery", expected)


def test_constant_publishing_leaves_pings_a_poll_or_none() -> None:
    """A poll is held between two notifications, or none ever is."""
    for rate, empties in ((1.0, 2.0), (10.0, 1.0)):
        one = load("socketio-polling", schedule="constant", publish_rate=rate, service_s=0.0)
        assert POLLING._empties_per_ping(one) == empties
        assert theory.empty_response_share(one) is None
    assert theory.requests_per_delivery(load("socketio-polling", schedule="on-off")) is None
    assert math.isinf(load("socketio-polling").window_s)
