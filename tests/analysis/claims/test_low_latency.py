"""`low-latency`: one transit late, and less late than long poll."""

from __future__ import annotations

from typing import Any

from judging import judged, made, three

from bench.analysis.cells import Cell


def across(one_way_ms: float, rate: float, held_ms: float, push_ms: float, **changed: Any) -> list[Cell]:
    """Long poll and WebSocket across a link: mean and median of each, and what a prediction needs."""
    return [
        made(
            transport,
            {f"latency_ms_{name}": late for name in ("mean", "p50", "p99")}
            | {"accept_delay_ms_p50": 0.5, "next_request_gap_ms_p50": 0.1, "server_core_busy_share": 0.1},
            one_way_ms=one_way_ms,
            publish_rate=rate,
            service_s=0.00003,
            **changed,
        )
        for transport, late in (("long-poll", held_ms), ("websocket", push_ms))
    ]


def test_low_latency_is_lower_than_long_poll_and_one_transit() -> None:
    """Both are needed: half of long poll's, and what its own transit explains."""
    assert judged("low-latency", across(50, 20, 100, 51))["verdict"] == "holds"
    assert judged("low-latency", across(50, 1, 52, 51))["verdict"] == "fails"
    assert judged("low-latency", across(50, 20, 200, 100))["verdict"] == "fails"
    on_the_edge = judged("low-latency", across(50, 20, 56.7, 51))
    assert on_the_edge["verdict"] == "inconclusive"
    assert "does not clear the band" in on_the_edge["why"]
    assert judged("low-latency", across(50, 20, 100, 51, steady_trials=2))["verdict"] == "inconclusive"


def test_low_latency_depends_on_rate_times_round_trip() -> None:
    """The condition is told as the product, with what was measured."""
    cells = [
        *across(25, 1, 27, 26),
        *across(75, 1, 77, 76),
        *across(25, 20, 45, 26),
        *across(75, 20, 150, 76),
    ]
    found = judged("low-latency", cells)
    assert found["verdict"] == "depends"
    assert found["short"].startswith("It holds for λ·2d of 1 and more and fails for λ·2d of 0.15 and less.")
    assert {item["metric"] for item in found["evidence"]} >= {
        "latency_ms_mean",
        "latency_ms_p50",
        "latency_ms_p99",
    }


def test_low_latency_on_a_link_without_theory_is_judged_by_long_poll_alone() -> None:
    """Jitter has no prediction, and the comparison still stands."""
    assert judged("low-latency", across(50, 20, 100, 60, link="4g", jitter_ms=10.0))["verdict"] == "holds"


def test_what_loopback_cannot_tell_stays_open() -> None:
    """low-latency shows its figures and decides nothing."""
    found = judged("low-latency", three(500, 40, 5))
    assert found["verdict"] == "inconclusive"
    assert "network delay" in found["why"]
    assert "`wirelab bench article`" in found["why"]
    assert found["evidence"]
