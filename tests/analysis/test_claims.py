"""Every claim, every verdict: from cells made by hand, so that each path is taken on purpose."""

from __future__ import annotations

from functools import partial
from typing import Any

import made_cells
import pytest
from synthetic_run import AS_PRINTED, UPGRADE

from bench.analysis import claims
from bench.analysis.cells import Cell, Measured, ratio
from bench.analysis.claims import judge_costs
from bench.analysis.estimate import Band, Estimate
from bench.analysis.verdicts import conditions
from bench.analysis.verdicts.comparison import Comparison, evidence
from bench.scenario.parse import shipped

made = partial(made_cells.made, width=0.02)


def judged(claim: str, cells: list[Cell], probes: dict[str, Any] | None = None) -> dict[str, Any]:
    """The claim's verdict on these cells."""
    chosen = next(one for one in claims.CLAIMS if one.id == claim)
    return claims.judge(chosen, Measured(tuple(cells), probes or {}))


def test_the_claims_are_data() -> None:
    """Eleven, each with sentence, hypothesis, band; decided by shipped scenarios only."""
    assert [claim.id for claim in claims.CLAIMS] == [
        "calls", "poll-latency", "held-open", "long-poll-cost", "million", "upgrade", "as-printed",
        "low-latency", "cheaper", "many-clients", "welcome",
    ]  # fmt: skip
    for claim in claims.CLAIMS:
        assert claim.says.endswith(".")
        assert claim.hypothesis
        assert claim.band
        assert set(claim.decided_by) <= {*shipped(), "article"}


def test_an_outcome_needs_the_whole_interval_on_one_side() -> None:
    """Across the limit, or without an interval, nothing is decided."""
    assert Band(low=1).outcome(Estimate(2, 1.5, 2.5)) == "holds"
    assert Band(low=1).outcome(Estimate(2, 0.5, 2.5)) == "unclear"
    assert Band(low=1).outcome(Estimate(0.5, 0.4, 0.9)) == "fails"
    assert Band(low=1).outcome(Estimate(2, None, None)) == "unclear"
    assert Band(high=1).outcome(Estimate(0.5, 0.4, 0.9)) == "holds"
    assert Band(high=1).outcome(Estimate(2, 0.5, 2.5)) == "unclear"
    assert Band(3, 7).outcome(Estimate(5, 4, 6)) == "holds"
    assert Band(3, 7).outcome(Estimate(5, 2, 6)) == "unclear"
    assert Band(3, 7).outcome(Estimate(9, 8, 10)) == "fails"
    assert Band(3, 7).outcome(Estimate(5, None, None)) == "unclear"


def test_a_ratio_takes_the_uncertainty_of_both_sides() -> None:
    """Wider than either; absent where a side may not decide."""
    over, under = made("long-poll", {"deliveries": 30.0}), made("websocket", {"deliveries": 10.0})
    found = ratio(over, under, "deliveries")
    assert found is not None
    assert found.value == pytest.approx(3)
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high
    assert ratio(over, made("websocket", {"deliveries": 10.0}, valid_trials=4), "deliveries") is None
    assert ratio(over, made("websocket", {"deliveries": 0.0}), "deliveries") is None


# --- calls ---


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


# --- poll-latency ---


def three(short_ms: float, long_ms: float, socket_ms: float, **changed: Any) -> list[Cell]:
    means = {"short-poll": short_ms, "long-poll": long_ms, "websocket": socket_ms}
    return [made(transport, {"latency_ms_mean": mean}, **changed) for transport, mean in means.items()]


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


# --- held-open ---


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


# --- the bill ---


def bills(**costs: tuple[float, float]) -> list[Cell]:
    """Long poll's and WebSocket's cells: busy CPU, idle CPU and memory of each (long poll, WebSocket) by
    model."""
    cells = []
    for model in ("gevent", "gthread"):
        for place, transport in enumerate(("long-poll", "websocket")):
            busy, idle, memory = (
                costs.get(f"{model}_{name}", costs[name])[place] for name in ("busy", "idle", "memory")
            )
            cells.append(made(transport, {judge_costs.BUSY_CPU: busy}, server_model=model))
            waiting = {judge_costs.IDLE_CPU: idle, judge_costs.MEMORY: memory}
            cells.append(made(transport, waiting, server_model=model, publish_rate=0.0, subscribers=300))
    return cells


def test_long_poll_cost_and_cheaper_hold_fail_or_depend() -> None:
    """On all counts, on none, or on some that are named."""
    dear = bills(busy=(300, 30), idle=(13, 4), memory=(80, 20))
    assert judged("long-poll-cost", dear)["verdict"] == "holds"
    assert judged("cheaper", dear)["verdict"] == "holds"
    cheap = bills(busy=(30, 30), idle=(4, 4), memory=(20, 40))
    assert judged("long-poll-cost", cheap)["verdict"] == "fails"
    assert judged("cheaper", cheap)["verdict"] == "fails"
    mixed = bills(busy=(300, 30), idle=(13, 4), memory=(19, 39))
    for claim in ("long-poll-cost", "cheaper"):
        found = judged(claim, mixed)
        assert found["verdict"] == "depends"
        assert "memory" in found["short"]
        assert "CPU while publishing" in found["short"]
    usual = {"busy": (300.0, 30.0), "idle": (13.0, 4.0), "memory": (80.0, 20.0)}
    threads = {"gthread_busy": (30.0, 60.0), "gthread_idle": (4.0, 8.0), "gthread_memory": (20.0, 40.0)}
    by_model = bills(**usual, **threads)
    found = judged("cheaper", by_model)
    assert found["verdict"] == "depends"
    assert "It holds for gevent and fails for gthread." in found["why"]


def test_a_bill_needs_both_server_models_and_enough_trials() -> None:
    """Otherwise it says what is lacking, and which scenario has it."""
    whole = bills(busy=(300, 30), idle=(13, 4), memory=(80, 20))
    one_model = [one for one in whole if one.settings["server_model"] == "gevent"]
    for claim in ("long-poll-cost", "cheaper"):
        found = judged(claim, one_model)
        assert found["verdict"] == "inconclusive"
        assert "gevent alone" in found["why"]
        assert "`wirelab bench article`" in found["why"]
        assert judged(claim, [])["verdict"] == "inconclusive"
    no_idle = [one for one in whole if one.settings["publish_rate"]]
    assert "CPU while idle" in judged("cheaper", no_idle)["why"]


def test_a_bill_on_loopback_decides_where_there_is_one() -> None:
    """CPU across a link stands beside it and is never mixed in; alone it is judged by its own link."""
    cheap = bills(busy=(300, 30), idle=(13, 4), memory=(80, 20))
    linked = [
        made(transport, {judge_costs.BUSY_CPU: cost}, server_model=model, one_way_ms=20.0)
        for model in ("gevent", "gthread")
        for transport, cost in (("long-poll", 30.0), ("websocket", 30.0))
    ]
    assert judged("cheaper", cheap + linked)["verdict"] == "holds"
    without = [one for one in cheap if not one.settings["publish_rate"]]
    assert judged("cheaper", without + linked)["verdict"] == "depends"
    found = judged("cheaper", bills(busy=(300, 30), idle=(13, 4), memory=(19, 39)))
    assert found["short"].endswith(
        "Measured on gevent and gthread, at 0 and 4 notifications/s, with 20 and 300 subscribers."
    )


def test_a_bill_across_its_band_is_inconclusive() -> None:
    """Twice, give or take: nobody can say."""
    found = judged("long-poll-cost", bills(busy=(60, 30), idle=(13, 4), memory=(80, 20)))
    assert found["verdict"] == "inconclusive"


def decided(*cases: tuple[str, dict[str, Any]]) -> list[Comparison]:
    return [
        Comparison(outcome, f"case {number}", condition)  # type: ignore[arg-type]
        for number, (outcome, condition) in enumerate(cases)
    ]


def test_a_condition_is_one_factor_where_one_separates() -> None:
    """A name, or a number's threshold: told as it was measured, with the range of everything else."""
    by_name = decided(
        ("holds", {"resource": "CPU", "server_model": "gevent", "subscribers": 300}),
        ("holds", {"resource": "CPU", "server_model": "gthread", "subscribers": 100}),
        ("fails", {"resource": "memory", "server_model": "gevent", "subscribers": 300}),
    )
    assert conditions.sentence(by_name) == (
        "It holds for CPU and fails for memory. Measured on gevent and gthread, with 100 and 300 subscribers."
    )
    by_threshold = decided(
        *(
            ("holds" if delay >= 20 else "fails", {"server_model": "gevent", "one_way_ms": delay})
            for delay in (0.0, 5.0, 20.0, 50.0)
        )
    )
    assert conditions.sentence(by_threshold) == (
        "It holds for 20 ms one way and more and fails for 5 ms one way and less. Measured on gevent."
    )
    opposite = [
        Comparison("holds" if c.outcome == "fails" else "fails", c.says, c.condition) for c in by_threshold
    ]
    assert "It holds for 5 ms one way and less and fails for 20 ms one way and more." in conditions.sentence(
        opposite
    )


def test_a_condition_is_a_product_where_neither_of_its_factors_separates() -> None:
    """λ·2d does, as the judge gives it first."""
    cases = decided(
        *(
            (
                "holds" if rate * delay >= 400 else "fails",
                {"lambda_2d": rate * 2 * delay / 1000, "one_way_ms": delay, "publish_rate": rate},
            )
            for rate, delay in ((1.0, 20.0), (1.0, 400.0), (20.0, 1.0), (20.0, 25.0))
        )
    )
    assert conditions.sentence(cases).startswith(
        "It holds for λ·2d of 0.8 and more and fails for λ·2d of 0.04 and less."
    ) or ("It holds for λ·2d of 0.8 and more" in conditions.sentence(cases))


def test_a_condition_is_two_factors_where_one_is_not_enough() -> None:
    """The rule with the fewest values; parts that agree come first."""
    mixed = decided(
        ("holds", {"server_model": "gevent", "publish_rate": 1.0}),
        ("fails", {"server_model": "gevent", "publish_rate": 10.0}),
        ("fails", {"server_model": "gthread", "publish_rate": 1.0}),
    )
    assert conditions.sentence(mixed) == (
        "It fails for gthread. For gevent it holds for 1 notifications/s and fails for 10 notifications/s."
    )
    figures = decided(
        *(
            ("holds" if product >= least else "fails", {"lambda_2d": product, "figure": figure})
            for figure, least in (("the mean", 0.15), ("the median", 1.0))
            for product in (0.05, 0.15, 1.0, 3.0)
        )
    )
    assert conditions.sentence(figures) == (
        "For the mean it holds for λ·2d of 0.15 and more and fails for λ·2d = 0.05. "
        "For the median it holds for λ·2d of 1 and more and fails for λ·2d of 0.15 and less."
    )


def test_what_no_two_factors_separate_is_told_case_by_case() -> None:
    """Three that only act together, and what all share left out."""
    corners = [(a, b, c) for a in ("a", "A") for b in ("b", "B") for c in ("c", "C")]
    cases = decided(
        *(
            (
                "holds" if sum(letter.isupper() for letter in corner) % 2 else "fails",
                {"first": corner[0], "second": corner[1], "third": corner[2], "same": "x"},
            )
            for corner in corners
        )
    )
    assert conditions.sentence(cases) == (
        "It holds for a, b, C; a, B, c; A, b, c; A, B, C. It fails for a, b, c; a, B, C; A, b, C; A, B, c."
    )


# --- many-clients ---


def test_many_clients_holds_until_something_is_lost_twice() -> None:
    """Once may be an accident of the harness: the trial is invalid, and nothing is won."""
    whole = made("websocket", {"deliveries": 100.0})
    assert judged("many-clients", [whole])["verdict"] == "holds"
    once = made("websocket", {"deliveries": 100.0}, valid_trials=4, losses=("r1",))
    assert judged("many-clients", [once])["verdict"] == "inconclusive"
    twice = made("websocket", {"deliveries": 100.0}, valid_trials=3, losses=("r1", "r2"))
    assert judged("many-clients", [twice])["verdict"] == "fails"
    alone = made("websocket", {"deliveries": 100.0}, subscribers=1)
    assert judged("many-clients", [alone])["verdict"] == "inconclusive"


# --- probes ---


def test_upgrade_checks_the_handshake_itself() -> None:
    """101, the right accept key (RFC 6455 §1.3's own example), messages both ways on one connection."""
    assert "dGhlIHNhbXBsZSBub25jZQ==" in str(UPGRADE["request"])
    assert "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in str(UPGRADE["response"])
    assert judged("upgrade", [], {"upgrade": UPGRADE})["verdict"] == "holds"
    for change in (
        {"status": 200},
        {"same_connection": False},
        {"messages_received": 3},
        {"messages_sent": 0, "messages_received": 0},
        {"response": UPGRADE["response"].replace("s3pP", "xxxx")},  # type: ignore[attr-defined]
        {"request": UPGRADE["request"].replace("Upgrade: websocket", "Upgrade: h2c")},  # type: ignore[attr-defined]
    ):
        assert judged("upgrade", [], {"upgrade": {**UPGRADE, **change}})["verdict"] == "fails"
    assert judged("upgrade", [], {})["verdict"] == "inconclusive"
    assert judged("upgrade", [], {"upgrade": None})["verdict"] == "inconclusive"
    broken = judged("upgrade", [], {"upgrade": {"error": "TimeoutError: timed out"}})
    assert (broken["verdict"], "timed out" in broken["why"]) == ("inconclusive", True)


@pytest.mark.parametrize(
    ("printed", "completed", "verdict"),
    [
        (400, 101, "holds"),
        (426, 101, "holds"),
        (500, 101, "inconclusive"),
        (400, 400, "inconclusive"),
        (101, 101, "fails"),
        (None, 101, "inconclusive"),
    ],
)
def test_as_printed_needs_both_answers(printed: int | None, completed: int, verdict: str) -> None:
    """Refused as printed, accepted when completed; a server error refuses nothing."""
    probe = {**AS_PRINTED, "printed": {"status": printed}, "completed": {"status": completed}}
    assert judged("as-printed", [], {"as-printed": probe})["verdict"] == verdict


@pytest.mark.parametrize(
    ("messages", "verdict"),
    [
        (["web Socket Works"] * 3, "holds"),
        (["web Socket Works", "web Socket Works", None], "fails"),
        (["Web socket works"] * 3, "fails"),
        (["web Socket Works"], "inconclusive"),
        ([], "inconclusive"),
    ],
)
def test_welcome_greets_every_client(messages: list[str | None], verdict: str) -> None:
    """To the letter, first, and each of several; nothing less."""
    probe = {"target": "/welcome/websocket", "clients": len(messages), "messages": messages}
    assert judged("welcome", [], {"welcome": probe})["verdict"] == verdict


def test_welcome_without_its_probe_names_who_can_decide() -> None:
    """Runs from before the probe, and probes that failed."""
    for probes in ({}, {"welcome": None}, {"welcome": {"error": "ConnectionRefusedError: refused"}}):
        found = judged("welcome", [], probes)
        assert found["verdict"] == "inconclusive"
        assert "`wirelab bench quick`" in found["why"]


# --- low-latency ---


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


# --- partners ---


def test_partners_share_the_link_and_the_use_of_connections() -> None:
    """Else another network, or another client, would be compared; where nothing is published the wait counts
    too."""
    held = made("long-poll", {"deliveries": 1.0}, one_way_ms=20.0)
    for changed in ({}, {"one_way_ms": 50.0}, {"one_way_ms": 20.0, "loss_percent": 1.0}):
        assert Measured((held, made("websocket", {}, **changed)), {}).partner(held, "websocket") is None
    push = made("websocket", {}, one_way_ms=20.0, wait_s=5.0)
    assert Measured((held, push), {}).partner(held, "websocket") is push
    fresh = made("long-poll", {"deliveries": 1.0}, one_way_ms=20.0, connection="fresh")
    kept = made("websocket", {}, one_way_ms=20.0, connection="kept")
    assert Measured((fresh, kept), {}).partner(fresh, "websocket") is None
    idle = made("long-poll", {}, publish_rate=0.0, wait_s=5.0)
    other = made("websocket", {}, publish_rate=0.0, wait_s=25.0)
    assert Measured((idle, other), {}).partner(idle, "websocket") is None


def test_a_bare_server_decides_nothing() -> None:
    """It is the harness's floor, not a transport of ours."""
    bare = [made(one.transport or "", {"latency_ms_mean": 1.0}, system="bare") for one in three(1, 1, 1)]
    assert judged("poll-latency", bare)["verdict"] == "inconclusive"


def test_evidence_has_the_promised_keys() -> None:
    """cell, metric, value, low, high, band, says."""
    found = evidence("a", "deliveries", None, "b", "c")
    assert list(found) == ["cell", "metric", "value", "low", "high", "band", "says"]
    assert (found["value"], found["low"], found["high"]) == (None, None, None)
