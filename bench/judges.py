"""One judge a claim: which cells are asked, which band they must clear, and what that says in words.

Rules:
- The bands stand here and nowhere else, and no run moves them. They were set while the laboratory was built,
  with its first runs in sight: `poll-latency`'s factor and `million`'s budgets were changed once after those.
- `million` has a file of its own, `bench/judge_million.py`.
- A judge returns comparisons, never a verdict; `bench/claims.py` makes one verdict of them.
- What a run does not have is `lacks` (nothing is decided); a cell that may not decide is a reason, by name.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bench import predict
from bench.colours import look
from bench.compare import (
    Cell,
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
    number,
    ratio,
    text,
    where,
    within,
)
from bench.metrics import METRICS

Floats = npt.NDArray[np.float64]

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
HELD_FACTOR = 10.0
"""held-open: a request must be held at least this many times as long as the pause before it."""
COST_FACTOR = 2.0
"""long-poll-cost: "lots" is at least this many times what a WebSocket costs."""
GREETING = "web Socket Works"
"""welcome: what the article's server says to each client that connects, to the letter."""
WELCOME_LEAST_CLIENTS = 2
"""welcome: fewer clients than this are not "each"."""
MOST_SHOWN = 80
"""Characters of a wrong greeting that are shown."""
CHEAPER_MARGIN = 0.10
"""cheaper: less is below 1 − this, as a ratio; within the margin is the same."""


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
            expected = float(np.exp(-lambda_t))
            found.append(
                evidence(
                    cell.id,
                    "empty_response_share",
                    empty,
                    f"for comparison: e^(−λT) = {number(expected, 2)}",
                    f"{empty.value:.0%} of the answers brought nothing; theory says {expected:.0%}",
                )
            )  # fmt: skip
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
                cell.id, "latency_ms_mean", mean, f"T/2 + d = {number(expected_ms)} ms ± 20 %",
                f"{text(mean)} ms late on average; theory says {number(expected_ms)} ms",
            )
        ]  # fmt: skip
        outcomes: list[Outcome] = []
        against = []
        partners = [measured.partner(cell, transport) for transport in ("long-poll", "websocket")]
        for other in partners:
            if other is None:
                continue
            name = look(other.transport).label
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
            "poll_interval_s": f"T = {cell.settings['poll_interval_s']:g} s",
            "subscribers": cell.settings["subscribers"],
            "server_model": cell.settings["server_model"],
            "publish_rate": cell.settings["publish_rate"],
        }
        comparisons.append(Comparison(outcome, says, condition, tuple(found)))
    return Judged(tuple(comparisons), tuple(reasons))


def held_open(measured: Measured) -> Judged:
    """Empty answers, the gap before the next request, and how long a request is held."""
    comparisons, reasons = [], []
    for cell in measured.of("long-poll", busy=True):
        settings = cell.settings
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
        found = [evidence(cell.id, "held_ms_mean", held, f"{wait_ms:g} ms ± 5 %", says)]
        comparisons.append(
            Comparison(
                within(held, wait_ms * 0.95, wait_ms * 1.05), says, {"publish_rate": 0.0}, tuple(found)
            )
        )
    return Judged(tuple(comparisons), tuple(reasons))


def many_clients(measured: Measured) -> Judged:
    """Whether any WebSocket subscriber lost, repeated or reordered anything."""
    comparisons, reasons = [], []
    for cell in measured.of("websocket", busy=True):
        if cell.settings["subscribers"] < 2:
            continue
        condition = {key: cell.settings[key] for key in ("server_model", "subscribers", "publish_rate")}
        lost = len(cell.finished_losses)
        if lost > 1:
            says = f"{cell.id} lost, repeated or reordered notifications in {lost} trials"
            found = evidence(cell.id, "delivered", Figure(lost, lost, lost), "0 trials", says)
            comparisons.append(Comparison("fails", says, condition, (found,)))
        elif not cell.enough:
            reasons.append(cell.why_not("deliveries"))
        else:
            figure = cell.figure("deliveries")
            says = (
                f"each of {where(cell)} got every notification once, in order, in {cell.valid_trials} trials"
            )
            found = evidence(cell.id, "deliveries", figure, "nothing lost, repeated or reordered", says)
            comparisons.append(Comparison("holds", says, condition, (found,)))
    return Judged(tuple(comparisons), tuple(reasons))


BUSY_CPU = "server_cpu_us_per_delivery"
IDLE_CPU = "server_cpu_us_per_idle_subscriber_second"
MEMORY = "server_memory_kb_per_subscriber"
RESOURCES = {BUSY_CPU: "CPU while publishing", IDLE_CPU: "CPU while idle", MEMORY: "memory"}


def _bills(measured: Measured, metrics: Sequence[str]) -> tuple[list[tuple[str, Cell, Cell]], list[str]]:
    """Pairs (metric, long poll's cell, WebSocket's cell) under the same load, and why others could not be
    made."""
    pairs, reasons = [], []
    for metric in metrics:
        for held in measured.of("long-poll"):
            push = measured.partner(held, "websocket")
            wanted = (
                held.settings["publish_rate"] > 0
                if metric == BUSY_CPU
                else held.settings["publish_rate"] == 0
            )
            if push is None or (metric != MEMORY and not wanted):
                continue
            if metric == MEMORY and (held.metrics.get(metric) is None or push.metrics.get(metric) is None):
                continue
            lacking = next((cell for cell in (held, push) if cell.figure(metric) is None), None)
            if lacking is not None:
                reasons.append(lacking.why_not(metric))
                continue
            pairs.append((metric, held, push))
    return pairs, reasons


def _lacking(pairs: list[tuple[str, Cell, Cell]], metrics: Sequence[str], models: int = 2) -> str | None:
    """What the pairs lack to speak for a bill per server model; None where nothing is lacking."""
    for metric in metrics:
        found = {held.settings["server_model"] for name, held, _ in pairs if name == metric}
        if len(found) < models:
            what = RESOURCES[metric]
            if not found:
                return f"this run did not measure {what} of long poll and WebSocket under the same load"
            models_found = " and ".join(sorted(found))
            return f"this run measured {what} on {models_found} alone, and another server model may differ"
    return None


def _bill_condition(metric: str, cell: Cell) -> dict[str, Any]:
    return {
        "resource": RESOURCES[metric],
        "server_model": cell.settings["server_model"],
        "publish_rate": cell.settings["publish_rate"],
        "subscribers": cell.settings["subscribers"],
    }


def _bill(
    measured: Measured, metrics: Sequence[str], compare: Callable[[str, Cell, Cell], Comparison | None]
) -> Judged:
    pairs, reasons = _bills(measured, metrics)
    lacks = _lacking(pairs, metrics)
    comparisons = [compare(metric, held, push) for metric, held, push in pairs]
    return Judged(tuple(c for c in comparisons if c is not None), tuple(dict.fromkeys(reasons)), lacks)


def long_poll_cost(measured: Measured) -> Judged:
    """Long poll's CPU per delivery and memory over a WebSocket's."""

    def compare(metric: str, held: Cell, push: Cell) -> Comparison | None:
        times = ratio(held, push, metric)
        if times is None:
            return None
        says = f"long poll takes {text(times)} times a WebSocket's {_plain(metric, held)}"
        found = evidence(f"{held.id} / {push.id}", metric, times, f"at least {COST_FACTOR:g}", says)
        return Comparison(
            above(times, COST_FACTOR),
            says,
            _bill_condition(metric, held),
            (found, *_sides(metric, held, push)),
        )

    return _bill(measured, (BUSY_CPU, MEMORY), compare)


def cheaper(measured: Measured) -> Judged:
    """A WebSocket's bill over long poll's: CPU while publishing, CPU while idle, memory."""

    def compare(metric: str, held: Cell, push: Cell) -> Comparison | None:
        share = ratio(push, held, metric)
        if share is None:
            return None
        outcome = below(share, 1 - CHEAPER_MARGIN)
        if outcome == "unclear" and within(share, 1 - CHEAPER_MARGIN, 1 + CHEAPER_MARGIN) == "holds":
            outcome = "fails"
        says = f"a WebSocket takes {text(share)} times long poll's {_plain(metric, held)}"
        low, high = 1 - CHEAPER_MARGIN, 1 + CHEAPER_MARGIN
        band = f"less is below {low:g}; {low:g} to {high:g} is the same"
        found = evidence(f"{push.id} / {held.id}", metric, share, band, says)
        return Comparison(outcome, says, _bill_condition(metric, held), (found, *_sides(metric, push, held)))

    return _bill(measured, (BUSY_CPU, IDLE_CPU, MEMORY), compare)


def _sides(metric: str, *cells: Cell) -> list[dict[str, Any]]:
    """Both sides of a ratio, as evidence of their own."""
    label = METRICS[metric]
    found = []
    for cell in cells:
        figure = cell.figure(metric)
        if figure is not None:
            found.append(
                evidence(
                    cell.id, metric, figure, "for comparison", f"{label.label}: {text(figure)} {label.unit}"
                )
            )
    return found


def _plain(metric: str, cell: Cell) -> str:
    what = {
        BUSY_CPU: "CPU per delivery",
        IDLE_CPU: "CPU per idle subscriber",
        MEMORY: "memory per subscriber",
    }[metric]
    settings = cell.settings
    load = f"{settings['subscribers']:,} subscribers" + (
        f" × {settings['publish_rate']:g}/s" if metric == BUSY_CPU else ""
    )
    return f"{what} on {settings['server_model']} ({load})"


def low_latency(measured: Measured) -> Judged:
    """On loopback nothing is decided; the figures are shown."""
    found = []
    for cell in measured.of("websocket", busy=True):
        held = measured.partner(cell, "long-poll")
        times = ratio(cell, held, "latency_ms_mean") if held is not None else None
        if held is None or times is None:
            continue
        says = f"on loopback a WebSocket's mean latency is {text(times)} times long poll's ({where(cell)})"
        item = evidence(
            f"{cell.id} / {held.id}", "latency_ms_mean", times, "none: loopback has no transit to save", says
        )
        found.append(Comparison("unclear", says, {}, (item,)))
    lacks = (
        "on loopback there is no transit to save: long poll's extra transits cost nothing here, "
        "so the claim needs a network delay between server and clients"
    )
    return Judged(tuple(found), lacks=lacks)


def upgrade(measured: Measured) -> Judged:
    """The probe's handshake and its messages, checked against RFC 6455."""
    probe = measured.probes.get("upgrade")
    if not probe:
        return Judged(reasons=("this run did not probe the handshake",))
    request, response = probe.get("request") or "", probe.get("response") or ""
    accepted = _header(response, "sec-websocket-accept")
    key = _header(request, "sec-websocket-key")
    checks = {
        "the request is an HTTP GET": request.startswith("GET ")
        and "HTTP/1.1" in request.split("\r\n")[0].split("\n")[0],
        "it carries Upgrade: websocket": (_header(request, "upgrade") or "").lower() == "websocket",
        "the answer is 101": probe.get("status") == 101,
        "the answer's key matches (RFC 6455 §4.2.2)": key is not None and accepted == accept_key(key),
        "messages then went up": (probe.get("messages_sent") or 0) > 0,
        "and came down": (probe.get("messages_received") or 0) == probe.get("messages_sent"),
        "on the same TCP connection": probe.get("same_connection") is True,
    }
    failed = [check for check, passed in checks.items() if not passed]
    found = tuple(
        evidence("probe upgrade", "check", None, "must be so", f"{check}: {'yes' if passed else 'no'}")
        for check, passed in checks.items()
    )
    if failed:
        return Judged((Comparison("fails", f"not so: {'; '.join(failed)}", {}, found),))
    says = (
        f"a GET of {probe['request_bytes']} bytes with Upgrade was answered 101 in "
        f"{probe['response_bytes']} bytes, and {probe['messages_sent']} messages went each way "
        "on the same TCP connection"
    )
    return Judged((Comparison("holds", says, {}, found),))


def as_printed(measured: Measured) -> Judged:
    """The probe's two answers: to what is printed, and to it with a key and a version."""
    probe = measured.probes.get("as-printed")
    if not probe:
        return Judged(reasons=("this run did not probe the printed handshake",))
    printed, completed = (probe.get(name, {}).get("status") for name in ("printed", "completed"))
    says = f"as printed the handshake is answered {printed}; with a key and a version added, {completed}"
    found = (
        evidence(
            "probe as-printed", "status as printed", _status(printed), "400 to 499", f"as printed: {printed}"
        ),
        evidence(
            "probe as-printed",
            "status completed",
            _status(completed),
            "101",
            f"with key and version: {completed}",
        ),
    )
    if printed is None or completed is None:
        return Judged(reasons=("one of the two handshakes got no answer",))
    refused, opened = 400 <= printed <= 499, completed == 101
    if refused and opened:
        return Judged(
            (Comparison("holds", f"{says}: what is printed is incomplete (RFC 6455 §4.2.1)", {}, found),)
        )
    if printed == 101:
        return Judged((Comparison("fails", f"{says}: this server takes it as printed", {}, found),))
    return Judged((Comparison("unclear", f"{says}, which tells nothing about the handshake", {}, found),))


def welcome(measured: Measured) -> Judged:
    """The probe's clients and the first message of each. The page is seen in the tests' browser."""
    probe = measured.probes.get("welcome")
    if not probe:
        return Judged(reasons=("this run did not connect to the greeting endpoint",))
    messages = probe.get("messages") or []
    if len(messages) < WELCOME_LEAST_CLIENTS:
        return Judged(
            reasons=(f"the greeting was not probed to the end: {probe.get('error', 'too few clients')}",)
        )
    greeted = sum(message == GREETING for message in messages)
    says = f"{greeted} of {len(messages)} clients that connected were greeted with `{GREETING}` first"
    share = greeted / len(messages)
    found = (evidence("probe welcome", "share greeted", Figure(share, share, share), "all of them", says),)
    if greeted == len(messages):
        return Judged((Comparison("holds", says, {}, found),))
    other = next(message for message in messages if message != GREETING)
    got = "no message at all" if other is None else f"{other[:MOST_SHOWN]!r}"
    return Judged((Comparison("fails", f"{says}; another got {got}", {}, found),))


def accept_key(key: str) -> str:
    """The Sec-WebSocket-Accept that answers a key (RFC 6455 §1.3)."""
    guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    return base64.b64encode(
        hashlib.sha1((key + guid).encode("ascii"), usedforsecurity=False).digest()
    ).decode("ascii")


def _header(message: str, name: str) -> str | None:
    match = re.search(rf"^{re.escape(name)}:[ \t]*(.*?)[ \t]*\r?$", message, re.IGNORECASE | re.MULTILINE)
    return None if match is None else match.group(1)


def _status(status: int | None) -> Figure | None:
    return None if status is None else Figure(float(status), float(status), float(status))
