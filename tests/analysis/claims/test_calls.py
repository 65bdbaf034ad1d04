"""`calls`: more than one request for each notification, fewer, or both."""

from __future__ import annotations

from typing import Any

from judging import judged, made

from bench.analysis.cells import Cell


def short(requests: float, interval_s: float, *, polls: float | None = None, **changed: Any) -> Cell:
    every = 1 / interval_s if polls is None else polls
    metrics = {
        "requests_per_delivery": requests,
        "requests_per_subscriber_second": every,
        "deliveries": 100.0,
    }
    return made("short-poll", {**metrics, "empty_response_share": 0.2}, poll_interval_s=interval_s, **changed)


def test_calls_holds_fails_or_depends_on_how_often_there_is_news() -> None:
    """More than one request for each notification, fewer, or both."""
    often, seldom = short(0.25, 1.0), short(2.5, 0.1)
    assert judged("calls", [seldom])["verdict"] == "holds"
    assert judged("calls", [often])["verdict"] == "fails"
    both = judged("calls", [often, seldom])
    assert both["verdict"] == "depends"
    assert "λT = 0.4" in both["why"]
    assert "λT = 4" in both["why"]


def test_calls_is_open_at_one_request_each_and_when_polls_were_skipped() -> None:
    """Across the band; or not the load that was asked for."""
    open_ = judged("calls", [short(1.0, 0.25)])
    assert open_["verdict"] == "inconclusive"
    assert "does not clear the band" in open_["why"]
    assert "cases" not in open_["why"]
    partly = judged("calls", [short(1.0, 0.25), short(2.5, 0.1)])
    assert partly["verdict"] == "inconclusive"
    assert "It holds in 1 of 2 cases: at λT = 0.4" in partly["why"]
    assert partly["short"].endswith("It holds in 1 of 2 cases.")
    skipped = judged("calls", [short(2.5, 0.1, polls=6.0)])
    assert skipped["verdict"] == "inconclusive"
    assert "did not poll every T" in skipped["why"]
    few = judged("calls", [short(2.5, 0.1, valid_trials=4)])
    assert few["verdict"] == "inconclusive"
    assert "4 of the 5 valid trials" in few["why"]
    none = judged("calls", [])
    assert none["verdict"] == "inconclusive"
    assert "wirelab bench quick" in none["why"]
