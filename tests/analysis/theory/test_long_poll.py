"""Long poll's formulas, against simulations that know nothing of them."""

from __future__ import annotations

import dataclasses
import heapq
import itertools
import math
from collections import deque

import numpy as np
import pytest
from made_loads import RATE, load

from bench.analysis import theory
from bench.analysis.theory.base import QUANTILES
from bench.analysis.theory.load import Load
from bench.analysis.theory.long_poll import SWITCH_INTERVAL_S, LongPoll
from clients.publisher import schedule


def serve(one: Load, answer_share: float, seconds: float) -> tuple[np.ndarray, float]:
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
        looks_up_s = now + SWITCH_INTERVAL_S
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
        ("latency_ms_mean", theory.mean_latency_s(one), deliveries.mean()),
        ("requests_per_delivery", theory.requests_per_delivery(one), requests),
    ):
        assert predicted is not None
        unit = 1000.0 if metric.startswith("latency") else 1.0
        assert abs(found - predicted) * unit < LongPoll().band(one, metric, predicted * unit), metric


def test_the_first_answers_of_a_fan_out_meet_no_competition() -> None:
    """Twice as many a second until the first of the next requests are back, and it is one distribution."""
    one = load("long-poll", one_way_s=0.004, turnaround_s=0.0, service_s=0.0004, publish_rate=0.01)
    alone, competing = LongPoll().fan_out(one)
    assert alone.share / (alone.to_s - alone.from_s) == pytest.approx(
        2 * competing.share / (competing.to_s - competing.from_s), rel=0.01
    )
    assert alone.to_s == competing.from_s == pytest.approx(0.008)
    assert alone.share + competing.share == pytest.approx(1)
    assert len(LongPoll().fan_out(load("long-poll", one_way_s=0.5))) == 1


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
    late, answers = answered(due, LongPoll().unattended_s(one))
    assert theory.mean_latency_s(one) == pytest.approx(late.mean() + 0.02, rel=0.01)
    assert theory.requests_per_delivery(one) == pytest.approx(answers / len(due), rel=0.01)
    quantiles = LongPoll().latency_quantiles_s(one)
    assert quantiles is not None
    assert np.quantile(late + 0.02, QUANTILES) == pytest.approx(quantiles, abs=0.01)


def test_bursts_find_a_long_poll_away_as_their_own_rate_would() -> None:
    """On-off publishing, drawn as the publisher draws it: the latency of the rate inside the on periods."""
    one = load("long-poll", schedule="on-off", service_s=0.0, turnaround_s=0.05)
    due = np.fromiter(itertools.islice(schedule("on-off", RATE, seed=4), 60_000), float)
    late, _ = answered(due, LongPoll().unattended_s(one))
    assert theory.mean_latency_s(one) == pytest.approx(late.mean() + 0.02, rel=0.05)
    steady = theory.mean_latency_s(dataclasses.replace(one, schedule="poisson"))
    assert steady is not None
    assert late.mean() + 0.02 > 1.1 * steady


def test_constant_publishing_catches_a_long_poll_only_when_it_is_too_fast() -> None:
    """d while w < p, d + w/2 beyond."""
    slow = load("long-poll", schedule="constant", service_s=0.0, publish_rate=1.0)
    fast = load("long-poll", schedule="constant", service_s=0.0, publish_rate=10.0)
    assert theory.mean_latency_s(slow) == pytest.approx(0.02)
    assert theory.mean_latency_s(fast) == pytest.approx(0.02 + LongPoll().unattended_s(fast) / 2)


def test_threads_answer_and_new_requests_queue_behind_them() -> None:
    """Half of s is the answer's: all are answered after n·s/2, and nobody before half of that."""
    one = load("long-poll", server_model="gthread", schedule="constant", publish_rate=1.0)
    [served] = LongPoll().fan_out(one)
    assert served == (1.0, pytest.approx(0.0025), pytest.approx(0.005))
