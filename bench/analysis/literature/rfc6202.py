"""RFC 6202 §2.2: long polling's latency in network transits, and what it does under load.

Theory: with λ notifications a second, one transit d and w = 2d away from the server after each answer, the
mean is d + (λw²/2)/(λw + e^(−λw)), the most is d + w, three transits, and λw + e^(−λw) notifications come
with an answer (`bench/analysis/theory/long_poll.py`).
"""

from __future__ import annotations

from bench.analysis.cells import Measured
from bench.analysis.estimate import Band
from bench.analysis.literature.reproduce import READ, Reproduction, Row, Statement, cell, estimate, ratio

ONE_WAY_MS = 50
RATES = (2, 10, 20)
CLOSE_TO_ONE = Band(high=1.5)
"""Transits: nearer to one than to two."""
ABOUT_THREE = Band(2.5, 3.5)
SEVERAL = Band(low=1.5)
"""Notifications an answer."""
CHEAPER = Band(high=0.9)
READ_WHERE = (
    f"{READ}: §2.2, and §3.2 for the third, in a copy of the draft (-07); §2.2 on latency also in a copy of "
    "the RFC's own text"
)


def _transits(measured: Measured, transport: str, rate: int, metric: str) -> Row:
    of = cell(measured, transport, publish_rate=rate, one_way_ms=ONE_WAY_MS)
    band, published = {
        ("long-poll", "latency_ms_mean"): (CLOSE_TO_ONE, "close to 1"),
        ("long-poll", "latency_ms_p99"): (ABOUT_THREE, "most over 3, so about 3"),
        ("websocket", "latency_ms_mean"): (CLOSE_TO_ONE, "1"),
        ("websocket", "latency_ms_p99"): (CLOSE_TO_ONE, "1"),
    }[transport, metric]
    case = f"{metric.removeprefix('latency_ms_')} at {rate}/s"
    return Row(case, published, estimate(of, metric, times=1 / ONE_WAY_MS), band)


def average(measured: Measured) -> list[Row]:
    """Long poll's mean."""
    return [_transits(measured, "long-poll", rate, "latency_ms_mean") for rate in RATES]


def most(measured: Measured) -> list[Row]:
    """Long poll's p99, at the rates that bring enough notifications for it."""
    return [_transits(measured, "long-poll", rate, "latency_ms_p99") for rate in RATES[1:]]


def pushed(measured: Measured) -> list[Row]:
    """WebSocket, which never leaves the server alone."""
    return [
        _transits(measured, "websocket", rate, metric)
        for metric in ("latency_ms_mean", "latency_ms_p99")
        for rate in RATES[1:]
    ]


def batches(measured: Measured) -> list[Row]:
    """Notifications an answer under the largest load."""
    of = cell(measured, "long-poll", publish_rate=RATES[-1], one_way_ms=ONE_WAY_MS)
    return [Row(f"at {RATES[-1]}/s", "several", estimate(of, "notifications_per_answer"), SEVERAL)]


def overhead(measured: Measured) -> list[Row]:
    """Bytes a notification under the largest load against the smallest."""
    quiet, loaded = (
        cell(measured, "long-poll", publish_rate=rate, one_way_ms=ONE_WAY_MS)
        for rate in (RATES[0], RATES[-1])
    )
    case = f"{RATES[-1]}/s to {RATES[0]}/s"
    return [Row(case, "less", ratio(loaded, quiet, "wire_bytes_per_delivery"), CHEAPER)]


REPRODUCTION = Reproduction(
    name="rfc6202",
    source="S. Loreto, P. Saint-Andre, S. Salsano, G. Wilkins: Known Issues and Best Practices for the Use "
    "of Long Polling and Streaming in Bidirectional HTTP. RFC 6202, 2011",
    differs=(
        "The RFC argues and measures nothing; here an emulated link of 50 ms one way, without loss.",
        "Its load is a slow client or server; here it is a rate at which notifications come faster than the "
        "client can ask again.",
        "The most is read as p99. WebSocket, which the RFC does not treat, stands for its HTTP streaming.",
    ),
    statements=(
        Statement(
            "The average latency of long polling is close to one network transit.",
            READ_WHERE,
            "latency in transits of 50 ms",
            average,
        ),
        Statement(
            "Its maximal latency is over three: an answer, the next request, and its answer.",
            READ_WHERE,
            "latency in transits of 50 ms",
            most,
        ),
        Statement(
            "Where the server need not wait for a request, average and maximum are one transit.",
            READ_WHERE,
            "WebSocket, transits of 50 ms",
            pushed,
        ),
        Statement(
            "Under load several notifications come in one answer,",
            READ_WHERE,
            "notifications an answer",
            batches,
        ),
        Statement(
            "and each of them costs less for it.",
            READ_WHERE,
            "bytes a notification",
            overhead,
        ),
    ),
)
