"""E. Bozdag, A. Mesbah and A. van Deursen: push against pull, with data published every p.

What their words mean here, said before anything was measured: pull performs well where few answers are empty
(network performance) and data arrive before the next are published (coherence: nine in ten within p). Their
pull gets the newest datum alone, so a slow one misses some; ours asks from a cursor.
"""

from __future__ import annotations

from bench.analysis.cells import Cell, Measured
from bench.analysis.estimate import Band, Estimate
from bench.analysis.literature.reproduce import (
    READ,
    Reproduction,
    Result,
    Row,
    Statement,
    cell,
    estimate,
    ratio,
)

PERIOD_S = 1.0
FREQUENT_S, RARE_S = 0.5, 2.0
WASTE_PERCENT = 10.0
"""More empty answers than this is waste."""
FRESHER = Band(low=1.0)
SEVEN = Band(3.5, 14.0)
"""Within a factor of two of 7."""
MISSED = Band(high=99.0)
"""Per cent of what was published: some of it did not come."""
SATURATED = Band(low=95.0)
"""Per cent of a core, as in `bench/evidence/gates/steadiness.py`."""
CONCLUSION = f"{READ}: the conclusion, in a stored copy of the report"
PUSHES = {"long-poll": "long poll", "websocket": "WebSocket"}


def _pull(measured: Measured, interval_s: float, schedule: str = "constant") -> Cell | None:
    return cell(measured, "short-poll", poll_interval_s=interval_s, schedule=schedule)


def coherence(measured: Measured) -> list[Row]:
    """How old data are on arrival by pull, against push."""
    return [
        Row(
            f"T = {interval_s:g} s / {name}",
            "older",
            ratio(_pull(measured, interval_s), cell(measured, push), "latency_ms_mean"),
            FRESHER,
        )
        for push, name in PUSHES.items()
        for interval_s in (FREQUENT_S, PERIOD_S)
    ]


def cost(measured: Measured) -> list[Row]:
    """Server CPU of push against pull at the publisher's interval; deliveries are the same in both."""
    pull = _pull(measured, PERIOD_S)
    return [
        Row(name, "7", ratio(cell(measured, push), pull, "server_cpu_us_per_delivery"), SEVEN)
        for push, name in PUSHES.items()
    ]


def saturation(measured: Measured) -> list[Row]:
    """How busy the server's core is with their largest number of users."""
    return [
        Row(name, "saturated", estimate(cell(measured, push), "server_core_busy_share", times=100), SATURATED)
        for push, name in PUSHES.items()
    ]


def missing(measured: Measured) -> list[Row]:
    """What came of what was published, by a pull that asks too rarely."""
    return [Row(f"T = {RARE_S:g} s", "some missed", _arrived(_pull(measured, RARE_S)), MISSED)]


def _arrived(of: Cell | None) -> Result:
    """Per cent of a window's notifications that came: deliveries in it, against those and what subscribers
    were told they had missed from joining to draining; medians of the valid trials."""
    came, missed = estimate(of, "deliveries"), estimate(of, "missed")
    if isinstance(came, str) or isinstance(missed, str):
        return "not measured" if of is None else of.why_not("deliveries")
    return Estimate.exact(100 * came.value / (came.value + missed.value))


def waste(measured: Measured) -> list[Row]:
    """Empty answers of a pull that asks too often."""
    return [_empty(measured, FREQUENT_S, "wasteful", wasteful=True)]


def only_equal(measured: Measured) -> list[Row]:
    """Pull at the publisher's interval, and at others."""
    return [
        _empty(measured, PERIOD_S, "well", wasteful=False),
        _stale(measured, PERIOD_S, "well", stale=False),
        _empty(measured, FREQUENT_S, "not well", wasteful=True),
        _stale(measured, RARE_S, "not well", stale=True),
    ]


def pattern(measured: Measured) -> list[Row]:
    """The same rate at random times."""
    return [_empty(measured, PERIOD_S, "not well", wasteful=True, schedule="poisson")]


def _empty(
    measured: Measured, interval_s: float, published: str, *, wasteful: bool, schedule: str = "constant"
) -> Row:
    band = Band(low=WASTE_PERCENT) if wasteful else Band(high=WASTE_PERCENT)
    empty = estimate(_pull(measured, interval_s, schedule), "empty_response_share", times=100)
    return Row(f"T = {interval_s:g} s, % empty", published, empty, band)


def _stale(measured: Measured, interval_s: float, published: str, *, stale: bool) -> Row:
    band = Band(low=PERIOD_S) if stale else Band(high=PERIOD_S)
    late = estimate(_pull(measured, interval_s), "latency_ms_p90", times=0.001)
    return Row(f"T = {interval_s:g} s, p90 in s", published, late, band)


REPRODUCTION = Reproduction(
    name="bozdag",
    source="E. Bozdag, A. Mesbah, A. van Deursen: A Comparison of Push and Pull Techniques for AJAX. WSE "
    "2007, arXiv:0706.3984; continued in Journal of Web Engineering 8(4), 2009",
    differs=(
        "Their servers (Bayeux, and DWR in the continuation) and machines of 2007; here one core with "
        "gunicorn and gevent, for push and pull alike.",
        "500 subscribers and data every second, on loopback; their intervals and users stand in tables that "
        "could not be read.",
        "Pull here asks from a cursor and gets all that is new; theirs gets the newest alone.",
    ),
    statements=(
        Statement(
            "Push has the higher data coherence: pulled data are older on arrival.",
            CONCLUSION,
            "mean latency, pull / push",
            coherence,
        ),
        Statement(
            "Push costs the server application seven times the CPU of pull.",
            CONCLUSION,
            "server CPU, push / pull",
            cost,
        ),
        Statement(
            "The server begins to saturate at 350 to 500 users.",
            CONCLUSION,
            "% of its core busy",
            saturation,
        ),
        Statement(
            "With a pull interval above the publish interval some data are missed.",
            CONCLUSION,
            "% of notifications that came",
            missing,
        ),
        Statement(
            "With one below it, network performance suffers.",
            CONCLUSION,
            "pull, data every 1 s",
            waste,
        ),
        Statement(
            "Pull performs well only if its interval equals the publish interval.",
            CONCLUSION,
            "pull, data every 1 s",
            only_equal,
        ),
        Statement(
            "So pull is useful only where data come by a pattern that is known beforehand.",
            CONCLUSION,
            "pull, data at random, 1/s",
            pattern,
        ),
    ),
)
