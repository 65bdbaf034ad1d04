"""The claim `low-latency`: is a WebSocket late by one transit, and less late than long polling?"""

from __future__ import annotations

from bench.analysis.cells import Cell, Measured, ratio
from bench.analysis.estimate import Band
from bench.analysis.theory import base
from bench.analysis.theory.residuals import predicted, residuals
from bench.analysis.verdicts.claim import Claim
from bench.analysis.verdicts.comparison import Comparison, Judged, evidence
from bench.evidence.metrics import METRICS
from bench.words import number, percent

LOWER = 0.9
"""Lower is below this, as a ratio to long poll's latency; from there on it is the same, or worse. "One
transit" is within the band of its prediction, `bench/analysis/theory/websocket.py`."""
DECIDING = {"latency_ms_mean": "the mean", "latency_ms_p50": "the median"}
"""The metrics that decide. The 99th percentile stands beside them: if few notifications come, hardly one
meets a client that is away, and the tail is noise."""


def judge(measured: Measured) -> Judged:
    """A WebSocket's latency against its prediction and against long poll's, across every link. On loopback
    nothing is decided; the ratios are shown."""
    pairs = [
        (cell, held)
        for cell in measured.of("websocket", busy=True)
        if (held := measured.partner(cell, "long-poll")) is not None
    ]
    # A link without a delay saves nobody a transit either.
    linked = [pair for pair in pairs if pair[0].settings["one_way_ms"] > 0]
    if not linked:
        lacks = (
            "on loopback there is no transit to save: long poll's extra transits cost nothing here, "
            "so the claim needs a network delay between server and clients"
        )
        return Judged(tuple(_on_loopback(*pair) for pair in pairs), lacks=lacks)
    comparisons, reasons = [], []
    for push, held in linked:
        missing = next((cell for cell in (push, held) if cell.estimate("latency_ms_mean") is None), None)
        if missing is not None:
            reasons.append(missing.why_not("latency_ms_mean"))
            continue
        comparisons += [
            against for metric in DECIDING if (against := _against_long_poll(push, held, metric)) is not None
        ]
    return Judged(tuple(comparisons), tuple(reasons))


def _against_long_poll(push: Cell, held: Cell, metric: str) -> Comparison | None:
    """Is a WebSocket's latency lower than long poll's, and what its one transit explains?"""
    times, own, other = ratio(push, held, metric), push.estimate(metric), held.estimate(metric)
    if times is None or own is None or other is None:
        return None
    settings = push.settings
    pair = f"{push.id} / {held.id}"
    outcome = Band(high=LOWER).outcome(times)
    between = ", not" if outcome == "holds" else " and"
    says = (
        f"across {settings['one_way_ms']:g} ms one way, at {settings['publish_rate']:g}/s, "
        f"{DECIDING[metric]} of a WebSocket's latency is {times.text()} times long poll's: "
        f"{number(own.value)} ms{between} {number(other.value)}"
    )
    entries = [evidence(pair, metric, times, f"lower is below {LOWER:g}", says)]
    residual = residuals(push, predicted(push)).get(metric)
    if residual is not None:
        one_transit = number(residual["predicted"])
        near = (
            f"{own.text()} ms, where one transit, and what the server took until it had accepted and "
            f"written, make {one_transit} ms"
        )
        entries.append(
            evidence(push.id, metric, own, f"{one_transit} ms ± {residual['band_share']:.0%}", near)
        )
        if residual["outcome"] != "within":
            says = f"{says}; but {near}"
            outcome = "fails" if residual["outcome"] == "outside" else "unclear"
    tail = ratio(push, held, "latency_ms_p99")
    if tail is not None and metric == "latency_ms_mean":
        beside = f"{METRICS['latency_ms_p99'].label}: {tail.text()} times long poll's"
        entries.append(evidence(pair, "latency_ms_p99", tail, "for comparison", beside))
    condition = {
        "lambda_2d": round(settings["publish_rate"] * 2 * settings["one_way_ms"] / 1000.0, 6),
        "statistic": DECIDING[metric],
        **push.factors("one_way_ms", "publish_rate", "server_model", "subscribers"),
    }
    return Comparison(outcome, says, condition, tuple(entries))


def _on_loopback(push: Cell, held: Cell) -> Comparison:
    times = ratio(push, held, "latency_ms_mean")
    if times is None:
        return Comparison("unclear", f"{push.id} and {held.id} cannot be compared")
    says = f"on loopback a WebSocket's mean latency is {times.text()} times long poll's ({push.load_text()})"
    band = "none: loopback has no transit to save"
    entry = evidence(f"{push.id} / {held.id}", "latency_ms_mean", times, band, says)
    return Comparison("unclear", says, {}, (entry,))


CLAIM = Claim(
    id="low-latency",
    says="WebSocket is low-latency.",
    hypothesis="Across a network it is one transit late, and less than long poll, which grows towards two as "
    "delay and rate rise.",
    band=f"below {LOWER:g} of long poll's mean and median, and within the band of its own prediction: "
    f"{percent(base.BAND_SHARE)}, or {base.LATENCY_SLACK_MS:g} ms",
    measured="latency against long poll as the network's delay and the rate vary",
    decided_by=("article",),
    judge=judge,
    compares=True,
)
