"""Judges of polling: calls, poll-latency, held-open.

The bands stand here, and no run moves them; `poll-latency`'s factor was changed once, while the laboratory
was built, after its first runs. A judge returns comparisons, never a verdict;
`bench/analysis/claims/__init__.py` makes one of them.
"""

from __future__ import annotations

import numpy as np

from bench.analysis import theory
from bench.analysis.cells import Measured, ratio
from bench.analysis.estimate import Band, Outcome
from bench.analysis.theory.load import load_of
from bench.analysis.verdicts.comparison import Comparison, Judged, all_of, evidence
from bench.words import number
from clients import label

CALLS_PER_NOTIFICATION = 1.0
"""calls: more requests than notifications is many; fewer is not."""
CALLS_RATE_TOLERANCE = 0.10
"""calls: polls must come at 1/T within this, or it was not polling every T that was measured."""
POLL_LATENCY_TOLERANCE = 0.20
"""poll-latency: the mean must lie this close to T/2 + d, or polling is not what made it late."""
POLL_LATENCY_FACTOR = 1.1
"""poll-latency: late means at least this many times the mean of another transport."""
HELD_SHARE_EMPTY = 0.05
"""held-open: at most this share of answers beyond e^(−λ·wait) may bring nothing."""
HELD_GAP_MS = 10.0
"""held-open: asked again "at once" is within this, at the median."""
HELD_IDLE_SHARE = 0.95
"""held-open: where there is no news at all, a request is held at least this share of what it may wait."""
HELD_FACTOR = 10.0
"""held-open: a request must be held at least this many times as long as the pause before it."""


def calls(measured: Measured) -> Judged:
    """Requests for each notification against 1, in cells that did poll every T."""
    comparisons, reasons = [], []
    for cell in measured.of("short-poll", busy=True):
        figure = cell.estimate("requests_per_delivery")
        deliveries = cell.estimate("deliveries")
        if figure is None or deliveries is None:
            reasons.append(cell.why_not("requests_per_delivery"))
            continue
        interval_s = cell.settings["poll_interval_s"]
        lambda_t = cell.settings["publish_rate"] * interval_s
        polls = cell.estimate("requests_per_subscriber_second")
        on_time = (
            "unclear"
            if polls is None
            else Band.around(1, CALLS_RATE_TOLERANCE).outcome(polls.times(interval_s))
        )
        says = (
            f"at λT = {number(lambda_t)} a short poller makes {figure.text()} requests for each notification"
            if on_time == "holds"
            else f"{cell.id} did not poll every T"
        )
        found = [evidence(cell.id, "requests_per_delivery", figure, "above 1 is many, below 1 is not", says)]
        if polls is not None:
            found.append(
                evidence(
                    cell.id,
                    "requests_per_subscriber_second",
                    polls,
                    f"1/T = {number(1 / interval_s)} ± 10 %",
                    f"asked {polls.text()} times a second, with or without news",
                )
            )  # fmt: skip
        empty = cell.estimate("empty_response_share")
        if empty is not None:
            expected = theory.empty_response_share(load_of(cell))
            brought = f"{empty.value:.0%} of the answers brought nothing"
            theory_says = "" if expected is None else f"; theory says {expected:.0%}"
            found.append(
                evidence(cell.id, "empty_response_share", empty, "for comparison", brought + theory_says)
            )
        push = measured.partner(cell, "websocket")
        if push is not None:
            none = push.estimate("requests_per_delivery")
            if none is not None:
                found.append(
                    evidence(
                        push.id,
                        "requests_per_delivery",
                        none,
                        "for comparison",
                        "a WebSocket makes none after its handshake",
                    )
                )
            wire = ratio(cell, push, "wire_bytes_per_delivery")
            if wire is not None:
                found.append(
                    evidence(
                        f"{cell.id} / {push.id}", "wire_bytes_per_delivery", wire, "for comparison",
                        f"{wire.text()} times a WebSocket's bytes for each delivery",
                    )
                )  # fmt: skip
        outcome: Outcome = (
            Band(low=CALLS_PER_NOTIFICATION).outcome(figure) if on_time == "holds" else "unclear"
        )
        comparisons.append(
            Comparison(
                outcome,
                says,
                {"lambda_t": float(lambda_t), "server_model": cell.settings["server_model"]},
                tuple(found),
            )
        )
    return Judged(tuple(comparisons), tuple(reasons))


def poll_latency(measured: Measured) -> Judged:
    """Short poll's mean against T/2 + d, and against each other transport under the same load."""
    comparisons, reasons = [], []
    for cell in measured.of("short-poll", busy=True):
        mean = cell.estimate("latency_ms_mean")
        if mean is None:
            reasons.append(cell.why_not("latency_ms_mean"))
            continue
        expected = theory.mean_latency_s(load_of(cell))
        if expected is None:
            reasons.append(f"{cell.id} has no prediction")
            continue
        expected_ms = expected * 1000.0
        tolerance = POLL_LATENCY_TOLERANCE
        near = Band.around(expected_ms, tolerance).outcome(mean)
        found = [
            evidence(
                cell.id, "latency_ms_mean", mean,
                f"T/2 + d and the server's part: {number(expected_ms)} ms ± 20 %",
                f"{mean.text()} ms late on average; theory says {number(expected_ms)} ms",
            )
        ]  # fmt: skip
        outcomes: list[Outcome] = []
        against = []
        partners = [measured.partner(cell, transport) for transport in ("long-poll", "websocket")]
        for other in partners:
            if other is None:
                continue
            name = label(other.transport)
            times = ratio(cell, other, "latency_ms_mean")
            if times is None:
                reasons.append(other.why_not("latency_ms_mean"))
                outcomes.clear()
                break
            outcomes.append(Band(low=POLL_LATENCY_FACTOR).outcome(times))
            against.append(f"{number(times.value, 2)} times {name}'s")
            found.append(
                evidence(
                    f"{cell.id} / {other.id}", "latency_ms_mean", times, f"at least {POLL_LATENCY_FACTOR:g}",
                    f"{times.text()} times as late as {name}",
                )
            )  # fmt: skip
        if not outcomes:
            continue
        late = (
            f"with T = {cell.settings['poll_interval_s']:g} s and {cell.load_text()} "
            f"short poll's mean latency is {mean.text()} ms"
        )
        says = f"{late}, {' and '.join(against)}"
        outcome = all_of(outcomes)
        if near != "holds":
            outcome, says = (
                "unclear",
                f"{late}, not clearly within 20 % of T/2 + d = {number(expected_ms)} ms",
            )
        condition = {
            key: cell.settings[key]
            for key in ("poll_interval_s", "subscribers", "server_model", "publish_rate", "one_way_ms")
        }
        comparisons.append(Comparison(outcome, says, condition, tuple(found)))
    return Judged(tuple(comparisons), tuple(reasons))


def held_open(measured: Measured) -> Judged:
    """Empty answers, the gap before the next request, and how long a request is held."""
    comparisons, reasons = [], []
    for cell in measured.of("long-poll", busy=True):
        settings = cell.settings
        if settings["connection"] == "fresh":
            # Asked again at once, but not before a connection was made: that is another question.
            continue
        empty, gap, held = (
            cell.estimate(name)
            for name in ("empty_response_share", "next_request_gap_ms_p50", "held_ms_mean")
        )
        if empty is None or gap is None or held is None:
            missing = next(
                name
                for name in ("empty_response_share", "next_request_gap_ms_p50", "held_ms_mean")
                if cell.estimate(name) is None
            )
            reasons.append(cell.why_not(missing))
            continue
        allowed = HELD_SHARE_EMPTY + float(np.exp(-settings["publish_rate"] * settings["wait_s"]))
        longer = ratio(cell, cell, "held_ms_mean", "next_request_gap_ms_p50")
        outcomes = [Band(high=allowed).outcome(empty), Band(high=HELD_GAP_MS).outcome(gap)]
        outcomes.append("unclear" if longer is None else Band(low=HELD_FACTOR).outcome(longer))
        answer = cell.estimate("notifications_per_answer")
        found = [
            evidence(
                cell.id, "empty_response_share", empty, f"below {allowed:.0%}",
                f"{empty.value:.1%} of the answers brought nothing",
            ),
            evidence(
                cell.id, "next_request_gap_ms_p50", gap, f"below {HELD_GAP_MS:g} ms",
                f"asked again {gap.text()} ms after an answer",
            ),
            evidence(
                cell.id, "held_ms_mean", held, f"at least {HELD_FACTOR:g} times that gap",
                f"a request waited {held.text()} ms for its answer",
            ),
        ]  # fmt: skip
        if answer is not None:
            found.append(
                evidence(
                    cell.id,
                    "notifications_per_answer",
                    answer,
                    "for comparison",
                    f"{answer.text()} notifications an answer",
                )
            )
        says = (
            f"at {settings['publish_rate']:g}/s and {cell.load_text()} a request is held "
            f"{number(held.value)} ms, answered with news in {1 - empty.value:.1%} of cases, and "
            f"followed by the next after {number(gap.value, 2)} ms"
        )
        condition = {key: settings[key] for key in ("server_model", "publish_rate", "subscribers")}
        comparisons.append(Comparison(all_of(outcomes), says, condition, tuple(found)))
    for cell in measured.of("long-poll", busy=False):
        held = cell.estimate("held_ms_mean")
        if held is None:
            continue
        wait_ms = cell.settings["wait_s"] * 1000.0
        says = f"with no news at all a request is held {held.text()} ms of the {wait_ms:g} it may wait"
        band = f"at least {HELD_IDLE_SHARE:.0%} of {wait_ms:g} ms"
        found = [evidence(cell.id, "held_ms_mean", held, band, says)]
        condition = {key: cell.settings[key] for key in ("server_model", "publish_rate", "subscribers")}
        comparisons.append(
            Comparison(Band(low=HELD_IDLE_SHARE * wait_ms).outcome(held), says, condition, tuple(found))
        )
    return Judged(tuple(comparisons), tuple(reasons))
