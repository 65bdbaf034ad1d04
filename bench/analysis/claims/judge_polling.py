"""Judges of polling: calls, poll-latency, held-open.

The bands stand here, and no run moves them; `poll-latency`'s factor was changed once, while the laboratory
was built, after its first runs. A judge returns comparisons, never a verdict;
`bench/analysis/claims/__init__.py` makes one of them.
"""

from __future__ import annotations

import numpy as np

from bench.analysis.compare import (
    Comparison,
    Figure,
    Judged,
    Measured,
    Outcome,
    above,
    all_of,
    below,
    evidence,
    load_of,
    ratio,
    text,
    where,
    within,
)
from bench.analysis.theory import predict
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
        figure = cell.figure("requests_per_delivery")
        deliveries = cell.figure("deliveries")
        if figure is None or deliveries is None:
            reasons.append(cell.why_not("requests_per_delivery"))
            continue
        interval_s = cell.settings["poll_interval_s"]
        lambda_t = cell.settings["publish_rate"] * interval_s
        polls = cell.figure("requests_per_subscriber_second")
        on_time = (
            "unclear"
            if polls is None
            else within(
                Figure(polls.value * interval_s, *(None if x is None else x * interval_s for x in polls[1:])),
                1 - CALLS_RATE_TOLERANCE,
                1 + CALLS_RATE_TOLERANCE,
            )
        )
        says = (
            f"at λT = {number(lambda_t)} a short poller makes {text(figure)} requests for each notification"
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
                    f"asked {text(polls)} times a second, with or without news",
                )
            )  # fmt: skip
        empty = cell.figure("empty_response_share")
        if empty is not None:
            expected = predict.empty_response_share(load_of(cell))
            brought = f"{empty.value:.0%} of the answers brought nothing"
            theory_says = "" if expected is None else f"; theory says {expected:.0%}"
            found.append(
                evidence(cell.id, "empty_response_share", empty, "for comparison", brought + theory_says)
            )
        push = measured.partner(cell, "websocket")
        if push is not None:
            none = push.figure("requests_per_delivery")
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
                        f"{text(wire)} times a WebSocket's bytes for each delivery",
                    )
                )  # fmt: skip
        outcome: Outcome = above(figure, CALLS_PER_NOTIFICATION) if on_time == "holds" else "unclear"
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
        mean = cell.figure("latency_ms_mean")
        if mean is None:
            reasons.append(cell.why_not("latency_ms_mean"))
            continue
        expected = predict.mean_latency_s(load_of(cell))
        if expected is None:
            reasons.append(f"{cell.id} has no prediction")
            continue
        expected_ms = expected * 1000.0
        tolerance = POLL_LATENCY_TOLERANCE
        near = within(mean, expected_ms * (1 - tolerance), expected_ms * (1 + tolerance))
        found = [
            evidence(
                cell.id, "latency_ms_mean", mean,
                f"T/2 + d and the server's part: {number(expected_ms)} ms ± 20 %",
                f"{text(mean)} ms late on average; theory says {number(expected_ms)} ms",
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
            outcomes.append(above(times, POLL_LATENCY_FACTOR))
            against.append(f"{number(times.value, 2)} times {name}'s")
            found.append(
                evidence(
                    f"{cell.id} / {other.id}", "latency_ms_mean", times, f"at least {POLL_LATENCY_FACTOR:g}",
                    f"{text(times)} times as late as {name}",
                )
            )  # fmt: skip
        if not outcomes:
            continue
        late = (
            f"with T = {cell.settings['poll_interval_s']:g} s and {where(cell)} "
            f"short poll's mean latency is {text(mean)} ms"
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
        if settings.get("connection") == "fresh":
            # Asked again at once, but not before a connection was made: that is another question.
            continue
        empty, gap, held = (
            cell.figure(name) for name in ("empty_response_share", "next_request_gap_ms_p50", "held_ms_mean")
        )
        if empty is None or gap is None or held is None:
            missing = next(
                name
                for name in ("empty_response_share", "next_request_gap_ms_p50", "held_ms_mean")
                if cell.figure(name) is None
            )
            reasons.append(cell.why_not(missing))
            continue
        allowed = HELD_SHARE_EMPTY + float(np.exp(-settings["publish_rate"] * settings["wait_s"]))
        longer = ratio(cell, cell, "held_ms_mean", "next_request_gap_ms_p50")
        outcomes = [below(empty, allowed), below(gap, HELD_GAP_MS)]
        outcomes.append("unclear" if longer is None else above(longer, HELD_FACTOR))
        answer = cell.figure("notifications_per_answer")
        found = [
            evidence(
                cell.id, "empty_response_share", empty, f"below {allowed:.0%}",
                f"{empty.value:.1%} of the answers brought nothing",
            ),
            evidence(
                cell.id, "next_request_gap_ms_p50", gap, f"below {HELD_GAP_MS:g} ms",
                f"asked again {text(gap)} ms after an answer",
            ),
            evidence(
                cell.id, "held_ms_mean", held, f"at least {HELD_FACTOR:g} times that gap",
                f"a request waited {text(held)} ms for its answer",
            ),
        ]  # fmt: skip
        if answer is not None:
            found.append(
                evidence(
                    cell.id,
                    "notifications_per_answer",
                    answer,
                    "for comparison",
                    f"{text(answer)} notifications an answer",
                )
            )
        says = (
            f"at {settings['publish_rate']:g}/s and {where(cell)} a request is held {number(held.value)} ms, "
            f"answered with news in {1 - empty.value:.1%} of cases, and followed by the next after "
            f"{number(gap.value, 2)} ms"
        )
        condition = {key: settings[key] for key in ("server_model", "publish_rate", "subscribers")}
        comparisons.append(Comparison(all_of(outcomes), says, condition, tuple(found)))
    for cell in measured.of("long-poll", busy=False):
        held = cell.figure("held_ms_mean")
        if held is None:
            continue
        wait_ms = cell.settings["wait_s"] * 1000.0
        says = f"with no news at all a request is held {text(held)} ms of the {wait_ms:g} it may wait"
        band = f"at least {HELD_IDLE_SHARE:.0%} of {wait_ms:g} ms"
        found = [evidence(cell.id, "held_ms_mean", held, band, says)]
        condition = {key: cell.settings[key] for key in ("server_model", "publish_rate", "subscribers")}
        comparisons.append(Comparison(above(held, HELD_IDLE_SHARE * wait_ms), says, condition, tuple(found)))
    return Judged(tuple(comparisons), tuple(reasons))
