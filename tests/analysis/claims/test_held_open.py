"""`held-open`: news in the answer, and the next request at once."""

from __future__ import annotations

from typing import Any

from judging import judged, made

from bench.analysis.cells import Cell


def held(empty: float = 0.001, gap_ms: float = 0.3, held_ms: float = 400.0, **changed: Any) -> Cell:
    metrics = {"empty_response_share": empty, "next_request_gap_ms_p50": gap_ms, "held_ms_mean": held_ms}
    return made("long-poll", {**metrics, "notifications_per_answer": 1.1}, **changed)


def test_held_open_needs_news_in_the_answer_and_the_next_request_at_once() -> None:
    """Each of the three bands can fail it."""
    assert judged("held-open", [held()])["verdict"] == "holds"
    assert judged("held-open", [held(empty=0.5)])["verdict"] == "fails"
    assert judged("held-open", [held(gap_ms=30)])["verdict"] == "fails"
    assert judged("held-open", [held(held_ms=1.0)])["verdict"] == "fails"
    assert judged("held-open", [made("long-poll", {"held_ms_mean": 3.0})])["verdict"] == "inconclusive"
    idle = made("long-poll", {"held_ms_mean": 5000.0}, publish_rate=0.0, wait_s=5.0)
    assert judged("held-open", [held(), idle])["verdict"] == "holds"
    cut_short = made("long-poll", {"held_ms_mean": 2000.0}, publish_rate=0.0, wait_s=5.0)
    assert judged("held-open", [held(), cut_short])["verdict"] == "depends"
