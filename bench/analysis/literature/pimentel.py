"""V. Pimentel and B. G. Nickerson: one-way latency of 4 Hz sensor data over several distances.

Theory, for constant publishing every p = 250 ms: after an answer nobody waits at the server for w = 2d plus
what client and server take, so no update waits while w < p, that is d < 125 ms; beyond, each waits w/2 on
average, which makes about 2d of WebSocket's d (`bench/analysis/theory/long_poll.py`).
"""

from __future__ import annotations

from bench.analysis.cells import Measured
from bench.analysis.estimate import Band
from bench.analysis.literature.reproduce import NOT_READ, Reproduction, Row, Statement, cell, ratio

SAME = Band(0.8, 1.2)
"""About as late: within a fifth."""
LATER = Band(low=1.2)
NEAR_MS, FAR_MS = (50, 100), (150, 200)
PERIOD_HALF_MS = 125
ABSENT = (
    f"{NOT_READ}: only the paper's abstract and first page were (4 Hz wind data, one-way latency; polling, "
    "long polling and WebSocket from Jetty); the result is quoted from memory, in words"
)


def _against_websocket(measured: Measured, distances_ms: tuple[int, ...], says: str, band: Band) -> list[Row]:
    rows = []
    for one_way_ms in distances_ms:
        held, push = (cell(measured, name, one_way_ms=one_way_ms) for name in ("long-poll", "websocket"))
        rows.append(Row(f"{one_way_ms} ms one way", says, ratio(held, push, "latency_ms_mean"), band))
    return rows


def as_late(measured: Measured) -> list[Row]:
    """Long poll against WebSocket below half the period."""
    return _against_websocket(measured, NEAR_MS, "the same", SAME)


def behind(measured: Measured) -> list[Row]:
    """And above it."""
    return _against_websocket(measured, FAR_MS, "later", LATER)


def polling(measured: Measured) -> list[Row]:
    """Polling once a period against both."""
    poll, *others = (
        cell(measured, name, one_way_ms=NEAR_MS[0]) for name in ("short-poll", "long-poll", "websocket")
    )
    return [
        Row(f"{name}, {NEAR_MS[0]} ms one way", "later", ratio(poll, other, "latency_ms_mean"), LATER)
        for name, other in zip(("long poll", "WebSocket"), others, strict=True)
    ]


REPRODUCTION = Reproduction(
    name="pimentel",
    source="V. Pimentel, B. G. Nickerson: Communicating and Displaying Real-Time Data with WebSocket. IEEE "
    "Internet Computing 16(4), 45–53, 2012, doi:10.1109/MIC.2012.64",
    differs=(
        "An emulated link of constant delay stands for paths across the Internet, which jitter and lose.",
        "gunicorn and gevent serve; the paper had Jetty.",
        "Ten subscribers at once, on connections that are kept, on the same clock as the publisher.",
        "Latency ends with the arrival at the client's kernel, so without what a page adds.",
    ),
    statements=(
        Statement(
            "Long polling is about as late as WebSocket while one way takes less than half the update "
            f"period ({PERIOD_HALF_MS} of 250 ms).",
            ABSENT,
            "long poll / WebSocket, mean",
            as_late,
        ),
        Statement(
            "Beyond half the update period long polling falls behind.",
            ABSENT,
            "long poll / WebSocket, mean",
            behind,
        ),
        Statement(
            "Polling is later than both (here with T = 0.25 s).",
            ABSENT,
            "short poll / the other, mean",
            polling,
        ),
    ),
)
