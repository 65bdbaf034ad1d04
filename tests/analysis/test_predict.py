"""The formulas, against simulations that know nothing of them."""

from __future__ import annotations

import dataclasses
import heapq
import itertools
import math
from collections import deque

import numpy as np
import pytest

from bench.analysis.theory import predict
from clients.publisher import schedule

RATE, WAIT_S = 3.0, 25.0


def load(transport: str, **changed: float | str) -> predict.Load:
    settings: dict[str, object] = {
        "transport": transport,
        "subscribers": 100,
        "publish_rate": RATE,
        "poll_interval_s": 1.0,
        "wait_s": WAIT_S,
        "one_way_s": 0.02,
        "service_s": 0.0001,
        "turnaround_s": 0.3,
    }
    return predict.Load(**{**settings, **changed})  # type: ignore[arg-type]


def test_short_poll_waits_for_its_next_tick() -> None:
    """Poisson arrivals against a grid of ticks: mean, quantiles and empty share follow."""
    rng = np.random.default_rng(1)
    due = np.cumsum(rng.exponential(1 / RATE, 200_000))
    late = np.ceil(due) - due + 0.02 + 0.0001
    one = load("short-poll")
    assert predict.mean_latency_s(one) == pytest.approx(late.mean(), rel=0.01)
    quantiles = predict.latency_quantiles_s(one)
    assert quantiles is not None
    assert np.quantile(late, predict.QUANTILES) == pytest.approx(quantiles, abs=0.01)
    ticks, counts = np.unique(np.ceil(due), return_counts=True)
    assert predict.empty_response_share(one) == pytest.approx(1 - len(ticks) / ticks[-1], abs=0.01)
    assert predict.requests_per_delivery(one) == pytest.approx(ticks[-1] / counts.sum(), rel=0.02)


def test_a_poll_that_takes_longer_than_its_interval_skips_ticks() -> None:
    """T becomes the next multiple that has room for a whole poll: later, and fewer requests."""
    far = load("short-poll", one_way_s=0.6, poll_interval_s=0.5)
    assert far.effective_interval_s == 1.5
    assert predict.mean_latency_s(far) == pytest.approx(0.75 + 0.6 + 0.0001)
    assert predict.requests_per_delivery(far) == pytest.approx(1 / (RATE * 1.5))
    assert load("short-poll", one_way_s=0.6, poll_interval_s=5.0).effective_interval_s == 5.0


def test_a_fresh_connection_costs_long_poll_a_round_trip_and_short_poll_no_latency() -> None:
    """It comes before the request: nobody waits at the server meanwhile, but a tick is as good as another."""
    kept, fresh = (
        load("long-poll", connection=connection, service_s=0.0) for connection in ("kept", "fresh")
    )
    assert fresh.unattended_s == pytest.approx(kept.unattended_s + 2 * 0.02)
    late, later = predict.mean_latency_s(kept), predict.mean_latency_s(fresh)
    assert late is not None
    assert later is not None
    assert later > late
    kept, fresh = (load("short-poll", connection=connection) for connection in ("kept", "fresh"))
    assert predict.mean_latency_s(kept) == predict.mean_latency_s(fresh)


def serve(one: predict.Load, answer_share: float, seconds: float) -> tuple[np.ndarray, float]:
    """A server of one core and its long pollers, event by event: latencies (s) and requests a delivery.

    Rounds as gevent's loop has them: callbacks (answers to those it woke) for 5 ms, then every request that
    has come meanwhile. An answer takes `answer_share` of the service time, the request after it the rest.
    """
    rng = np.random.default_rng(3)
    due = np.sort(rng.uniform(0, seconds, rng.poisson(one.rate * seconds)))
    answer_s, request_s = one.service_s * answer_share, one.service_s * (1 - answer_share)
    waiting, woken = set(range(one.subscribers)), deque[int]()
    coming: list[tuple[float, int]] = []
    cursor = [0] * one.subscribers
    late: list[np.ndarray] = []
    now, accepted, requests = 0.0, 0, 0

    def answer(client: int) -> None:
        late.append(now + one.one_way_s - due[cursor[client] : accepted])
        cursor[client] = accepted
        heapq.heappush(coming, (now + one.away_s, client))

    while accepted < len(due) or woken:
        looks_up_s = now + predict.SWITCH_INTERVAL_S
        while woken and now < looks_up_s:
            now += answer_s
            answer(woken.popleft())
        while coming and coming[0][0] <= now:
            client = heapq.heappop(coming)[1]
            requests += 1
            now += request_s
            if cursor[client] == accepted:
                waiting.add(client)
            else:
                now += answer_s
                answer(client)
        if accepted < len(due) and due[accepted] <= now:
            accepted += 1
            woken.extend(waiting)
            waiting.clear()
        elif not woken:
            news = due[accepted] if accepted < len(due) else math.inf
            now = max(now, min(news, coming[0][0] if coming else math.inf))
    deliveries = np.concatenate(late)
    return deliveries, requests / len(deliveries)


@pytest.mark.parametrize(
    ("subscribers", "one_way_s", "rate"),
    [(300, 0.0, 1.0), (300, 0.0, 4.0), (50, 0.025, 20.0), (100, 0.05, 5.0), (300, 0.05, 2.0), (50, 0.1, 1.0)],
)
@pytest.mark.parametrize("answer_share", [0.4, 0.6])
def test_long_polls_fan_out_competes_with_its_own_next_requests(
    subscribers: int, one_way_s: float, rate: float, answer_share: float
) -> None:
    """One core serves answers and the requests that follow them: within the stated band, however s is
    split."""
    one = load(
        "long-poll",
        subscribers=subscribers,
        one_way_s=one_way_s,
        publish_rate=rate,
        service_s=0.00026,
        turnaround_s=0.0001,
    )
    deliveries, requests = serve(one, answer_share, seconds=400 / rate)
    for metric, predicted, found in (
        ("latency_ms_mean", predict.mean_latency_s(one), deliveries.mean()),
        ("requests_per_delivery", predict.requests_per_delivery(one), requests),
    ):
        assert predicted is not None
        unit = 1000.0 if metric.startswith("latency") else 1.0
        assert abs(found - predicted) * unit < predict.band(one, metric, predicted * unit), metric


def test_the_first_answers_of_a_fan_out_meet_no_competition() -> None:
    """Twice as many a second until the first of the next requests are back, and it is one distribution."""
    one = load("long-poll", one_way_s=0.004, turnaround_s=0.0, service_s=0.0004, publish_rate=0.01)
    alone, competing = one.fan_out
    assert alone.share / (alone.to_s - alone.from_s) == pytest.approx(
        2 * competing.share / (competing.to_s - competing.from_s), rel=0.01
    )
    assert alone.to_s == competing.from_s == pytest.approx(0.008)
    assert alone.share + competing.share == pytest.approx(1)
    assert len(load("long-poll", one_way_s=0.5).fan_out) == 1


def test_threads_take_turns_and_widen_the_band() -> None:
    """Nobody is served before half of all has been; what theory cannot tell is in the band."""
    greenlets, threads = (load("websocket", server_model=model) for model in ("gevent", "gthread"))
    assert predict.mean_latency_s(threads) == pytest.approx(0.02 + 0.75 * 100 * 0.0001)
    quantiles = predict.latency_quantiles_s(threads)
    assert quantiles is not None
    assert quantiles[0] >= 0.02 + 0.005
    wider = predict.band(threads, "latency_ms_mean", 27.5) - predict.band(greenlets, "latency_ms_mean", 27.5)
    assert wider == pytest.approx(100 * 0.1 / 4)


def test_the_band_is_a_share_or_a_slack() -> None:
    """Whichever is wider."""
    one = load("websocket")
    assert predict.band(one, "latency_ms_mean", 100.0) == pytest.approx(10.0)
    assert predict.band(one, "latency_ms_mean", 5.0) == predict.LATENCY_SLACK_MS
    assert predict.band(one, "requests_per_delivery", 2.0) == pytest.approx(0.2)
    assert predict.band(one, "empty_response_share", 0.1) == predict.COUNT_SLACK


def test_theory_goes_by_the_rate_that_came_out() -> None:
    """A few Poisson arrivals are seldom what was asked for."""
    assert predict.requests_per_delivery(load("short-poll", rate_share=0.5)) == pytest.approx(2 / RATE)


def answered(due: np.ndarray, away_s: float) -> tuple[np.ndarray, int]:
    """A client that is away for so long after each answer: how late each notification leaves the server (s),
    and how many answers that took."""
    late = np.empty_like(due)
    waiting_from, answers, place = 0.0, 0, 0
    while place < len(due):
        at = max(waiting_from, due[place])
        last = int(np.searchsorted(due, at, side="right"))
        late[place:last] = at - due[place:last]
        waiting_from, answers, place = at + away_s, answers + 1, last
    return late, answers


def test_long_poll_pays_for_the_time_when_nobody_waits() -> None:
    """Mean latency, quantiles and requests per notification follow from the time away."""
    rng = np.random.default_rng(2)
    due = np.cumsum(rng.exponential(1 / RATE, 200_000))
    one = load("long-poll", service_s=0.0)
    late, answers = answered(due, one.unattended_s)
    assert predict.mean_latency_s(one) == pytest.approx(late.mean() + 0.02, rel=0.01)
    assert predict.requests_per_delivery(one) == pytest.approx(answers / len(due), rel=0.01)
    quantiles = predict.latency_quantiles_s(one)
    assert quantiles is not None
    assert np.quantile(late + 0.02, predict.QUANTILES) == pytest.approx(quantiles, abs=0.01)


def test_bursts_find_a_long_poll_away_as_their_own_rate_would() -> None:
    """On-off publishing, drawn as the publisher draws it: the latency of the rate inside the on periods."""
    one = load("long-poll", schedule="on-off", service_s=0.0, turnaround_s=0.05)
    due = np.fromiter(itertools.islice(schedule("on-off", RATE, seed=4), 60_000), float)
    late, _ = answered(due, one.unattended_s)
    assert predict.mean_latency_s(one) == pytest.approx(late.mean() + 0.02, rel=0.05)
    steady = predict.mean_latency_s(dataclasses.replace(one, schedule="poisson"))
    assert steady is not None
    assert late.mean() + 0.02 > 1.1 * steady


def test_websocket_is_late_by_its_place_in_the_fan_out() -> None:
    """N deliveries of s each: uniform on [d, d + N·s], whatever the rate."""
    one = load("websocket")
    assert predict.mean_latency_s(one) == pytest.approx(0.02 + 100 * 0.0001 / 2)
    quantiles = predict.latency_quantiles_s(one)
    assert quantiles is not None
    assert quantiles == pytest.approx(0.02 + predict.QUANTILES * 0.01, rel=0.01)
    assert predict.requests_per_delivery(one) == 0
    assert predict.empty_response_share(one) is None


def test_a_distribution_and_its_mean_agree() -> None:
    """The mean is the area above the distribution function, for every transport."""
    grid = np.linspace(0, 3, 300_001)
    for transport in ("short-poll", "long-poll", "websocket"):
        one = load(transport, service_s=0.001)
        share = predict.latency_share_below(one, grid)
        assert share is not None
        assert np.all(np.diff(share) >= -1e-9)
        assert np.trapezoid(1 - share, grid) == pytest.approx(predict.mean_latency_s(one), rel=1e-3)


def test_what_cannot_be_known_is_not_predicted() -> None:
    """Nothing published, an unknown transport, or a short poll's phase under constant publishing."""
    assert predict.mean_latency_s(load("websocket", publish_rate=0.0)) is None
    assert predict.requests_per_delivery(load("short-poll", publish_rate=0.0)) is None
    assert predict.latency_quantiles_s(load("websocket", publish_rate=0.0)) is None
    assert predict.mean_latency_s(load("carrier-pigeon")) is None
    assert predict.latency_quantiles_s(load("short-poll", schedule="constant")) is None
    assert predict.empty_response_share(load("short-poll", schedule="constant")) is None
    for transport in ("short-poll", "long-poll", "websocket"):
        rough = load(transport, delay_alone=False)
        assert predict.mean_latency_s(rough) is None
        assert predict.requests_per_delivery(rough) is None
    assert predict.requests_per_delivery(load("long-poll", schedule="on-off")) is None
    assert predict.empty_response_share(load("short-poll", schedule="on-off")) is None


def test_constant_publishing_catches_a_long_poll_only_when_it_is_too_fast() -> None:
    """d while w < p, d + w/2 beyond."""
    slow = load("long-poll", schedule="constant", service_s=0.0, publish_rate=1.0)
    fast = load("long-poll", schedule="constant", service_s=0.0, publish_rate=10.0)
    assert predict.mean_latency_s(slow) == pytest.approx(0.02)
    assert predict.mean_latency_s(fast) == pytest.approx(0.02 + fast.unattended_s / 2)


def test_an_idle_poll_is_always_empty() -> None:
    """e^0 = 1; and a long poll that came to nothing waits its whole wait."""
    assert predict.empty_response_share(load("short-poll", publish_rate=0.0)) == 1.0
    one = load("long-poll", wait_s=0.2)
    assert predict.empty_response_share(one) == pytest.approx(math.exp(-RATE * (0.2 + one.unattended_s)))
