"""`poll-latency`: half an interval late, and later than the others."""

from __future__ import annotations

from judging import judged, made, three


def test_poll_latency_needs_half_an_interval_and_a_margin() -> None:
    """T/2 + d, and 1.1 times every other transport."""
    assert judged("poll-latency", three(500, 40, 5))["verdict"] == "holds"
    assert judged("poll-latency", three(500, 520, 5))["verdict"] == "fails"
    unlike = judged("poll-latency", three(900, 40, 5))
    assert unlike["verdict"] == "inconclusive"
    assert "not clearly within 20 %" in unlike["why"]
    assert judged("poll-latency", three(500, 40, 5, steady_trials=3))["verdict"] == "inconclusive"
    assert judged("poll-latency", three(500, 40, 5)[:1])["verdict"] == "inconclusive"
    partner_lost = three(500, 40, 5)[:2] + three(500, 40, 5, valid_trials=2)[2:]
    assert judged("poll-latency", partner_lost)["verdict"] == "inconclusive"


def test_poll_latency_may_depend_on_the_load() -> None:
    """The condition that separates is named."""
    found = judged("poll-latency", three(500, 40, 5) + three(500, 520, 5, subscribers=2000))
    assert found["verdict"] == "depends"
    assert "20 subscribers" in found["why"]
    assert "2,000 subscribers" in found["why"]


def test_a_bare_server_decides_nothing() -> None:
    """It is the harness's floor, not a transport of ours."""
    bare = [made(one.transport or "", {"latency_ms_mean": 1.0}, system="bare") for one in three(1, 1, 1)]
    assert judged("poll-latency", bare)["verdict"] == "inconclusive"
