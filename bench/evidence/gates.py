"""The gates: whether a trial's figures may be believed. Pure functions of what the trial left behind.

The harness asks them when a trial ends and the analysis asks them again from the files, so that nobody has to
trust what run.json says.

Rules:
- A gate that fails makes the trial *invalid*: it is kept and shown, and wins nothing.
- A steadiness gate that fails makes it *not steady*: its counts and costs stand, its latency wins nothing.
- Each gate tells its value, its limit and whether it was passed; `passed` None means that this trial has
  nothing to measure it on (no polls, nothing published, a system that does not tell), which fails nobody.
- Evidence that the harness always writes, and that is not there or contradicts itself, fails: what cannot be
  shown is not believed.
- Each failure is one sentence, with the figure and the limit in it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.evidence import metrics
from bench.rundir.trial import Trial
from bench.scenario.links import LOOPBACK

PUBLISHER_LATE_MS = 5.0
GENERATOR_CPU_SHARE = 0.85
GENERATOR_STARVED_SHARE = 0.25
"""Share of the window for which the load generator could run and had no core: somebody else's load was on
it."""
GENERATOR_DELAY_MS = 1.0
GENERATOR_DELAY_OF_P50 = 0.1
CLOCK_MOVED_MS = 1.0
CLOCK_TOLERANCE_US = 1000
"""All times of a trial are read from one machine's clock, whose steps `CLOCK_MOVED_MS` bounds."""
WINDOW_OFF_S = 0.1
WINDOW_OFF_SHARE = 0.05
"""How far the window's length may lie from what the scenario asked for: the larger of the two."""
SERVER_CORE_BUSY_SHARE = 0.95
RELAY_LATE_MS = 2.0
"""p99 of how late the relay of an emulated link sent frames on."""
WIRE_OFF_SHARE = 0.01
"""How far what TCP_INFO counts may lie from what passed the interface."""
PACKET_HEADER_BYTES = 52
"""IPv4's 20 and TCP's 20 with its time stamps' 12 (RFC 7323 §3.2)."""
SYN_OPTION_BYTES = 8
"""By which a SYN is longer: it also tells segment size, window scale and selective acknowledgements."""
ETHERNET_HEADER_BYTES = 14
STEADINESS = frozenset({"told_gap", "server_core_busy_share"})
"""Gates that make a trial not steady rather than invalid."""
LABORATORY = frozenset(
    {
        "window_off_s",
        "publisher_late_ms_p99",
        "generator_cpu_share",
        "generator_starved_share",
        "generator_delay_ms_p50",
        "clock_moved_ms",
        "relay_late_ms_p99",
        "relay_dropped",
    }
)
"""Gates that tell of what measures, and of the machine's other work, and never of the server."""

Gate = dict[str, Any]


@dataclass
class Outcome:
    """What the gates say of one trial."""

    gates: dict[str, Gate] = field(default_factory=dict)
    why: list[str] = field(default_factory=list)
    not_steady_why: list[str] = field(default_factory=list)

    @property
    def valid(self) -> bool:
        """Whether the trial counts."""
        return not self.why

    @property
    def steady(self) -> bool:
        """Whether its latency counts."""
        return not self.not_steady_why

    def as_record(self) -> dict[str, Any]:
        """What run.json keeps of it."""
        return {
            "valid": self.valid,
            "why": self.why,
            "steady": self.steady,
            "not_steady_why": self.not_steady_why,
            "gates": self.gates,
        }


def check(trial: Trial) -> Outcome:
    """Every gate on one trial. A trial whose window never ended is invalid whatever else holds."""
    outcome = Outcome()
    exit_ = str(trial.record.get("exit") or "run.json does not tell how it ended")
    if trial.window_us is None:
        ends = trial.record.get("window_end_us") is not None
        backwards = ends and trial.record.get("window_start_us") is not None
        outcome.why.append(
            "the window does not end after its start, so nothing was measured in it"
            if backwards
            else f"the window was never measured: {exit_}"
        )
    alive = exit_ == "finished"
    outcome.gates["server_alive"] = {"value": int(alive), "limit": 1, "passed": alive}
    if not alive and trial.window_us is not None:
        outcome.why.append(f"the trial was cut short: {exit_}")
    if trial.window_us is None:
        return outcome
    _window_length(trial, outcome)
    _edge_samples(trial, outcome)
    _delivered(trial, outcome)
    _due_times(trial, outcome)
    _order_of_times(trial, outcome)
    if alive:
        _requests_kept(trial, outcome)
    _reconnected(trial, outcome)
    _published(trial, outcome)
    _publisher_late(trial, outcome)
    _generator(trial, outcome)
    _generator_delay(trial, outcome)
    _clock_moved(trial, outcome)
    _link(trial, outcome)
    if alive:
        _wire_counts(trial, outcome)
    _told_gap(trial, outcome)
    _server_core(trial, outcome)
    return outcome


def _window_length(trial: Trial, outcome: Outcome) -> None:
    """The window is as long as the scenario asked."""
    start, end = _window(trial)
    length_s, asked_s = (end - start) / 1e6, trial.record.get("window_s")
    if asked_s is None:
        outcome.why.append("run.json does not tell how long the window was to be")
        return
    limit_s = max(WINDOW_OFF_S, WINDOW_OFF_SHARE * asked_s)
    if _limit(outcome, "window_off_s", abs(length_s - asked_s), limit_s):
        outcome.why.append(f"the window was {length_s:.2f} s long where {asked_s:g} s were asked for")


def _edge_samples(trial: Trial, outcome: Outcome) -> None:
    """The resource samples that are the window's edges are there, with all that the run's system tells:
    without them nobody knows what the load generator, the server's core and the clock did."""
    missing = [
        name.replace("_", "'s ")
        for name, at_us in zip(("window_start", "window_end"), _window(trial), strict=True)
        if not _whole(trial, metrics.edge(trial, name), at_us)
    ]
    if _limit(outcome, "edge_samples_missing", len(missing), 0):
        edges = " and the ".join(missing)
        outcome.why.append(f"the resource samples at the {edges} are missing or not whole")


def _whole(trial: Trial, sample: dict[str, Any] | None, at_us: int) -> bool:
    """Whether an edge's sample was read at that edge and holds what this run's system tells."""
    if sample is None or sample.get("at_us") != at_us or sample.get("monotonic_us") is None:
        return False
    cores = sample.get("cores") or {}
    if any(str(core) not in cores for core in (trial.pinning or {}).get("server", ())):
        return False
    # A baseline has no load generator.
    read = ["server"] if trial.record["transport"] is None else ["server", "generator"]
    return trial.measured.get("cpu") is None or all(
        (sample.get(name) or {}).get("cpu_us") is not None for name in read
    )


def _delivered(trial: Trial, outcome: Outcome) -> None:
    """Each subscriber got every id after the one it joined at, once, in order, or was told what it missed."""
    if trial.record["transport"] is None:
        refused = int(np.isnan(trial.published["id"].astype(float)).sum())
        outcome.gates["delivered"] = {"value": refused, "limit": 0, "passed": refused == 0}
        if refused:
            outcome.why.append(f"the server did not accept {refused} published notifications")
        return
    ids = trial.published["id"].astype(float)
    refused = int(np.isnan(ids).sum())
    expected_ids = np.sort(ids[~np.isnan(ids)]).astype(np.int64)
    subscribers, deliveries = trial.subscribers, trial.deliveries
    counts = {
        name: subscribers[name].astype(float)
        for name in ("missed", "duplicates", "reordered", "epoch_changes")
    }
    unknown = int((~np.isfinite(list(counts.values()))).any(axis=0).sum())
    missed = np.nan_to_num(counts["missed"], posinf=0, neginf=0)
    joined = subscribers["joined_id"].astype(float)
    lost = reordered = duplicated = uncounted = 0
    order = np.argsort(deliveries["subscriber"], kind="stable")
    sorted_subscribers, sorted_ids = deliveries["subscriber"][order], deliveries["id"][order]
    for row, subscriber in enumerate(subscribers["subscriber"]):
        start, stop = np.searchsorted(sorted_subscribers, [subscriber, subscriber + 1])
        got = sorted_ids[start:stop]
        if np.isnan(joined[row]):
            lost += len(expected_ids)
            continue
        expected = expected_ids[np.searchsorted(expected_ids, joined[row], side="right") :]
        distinct = np.unique(got)
        duplicated += len(got) - len(distinct)
        reordered += int((np.diff(got) < 0).sum())
        missing = len(np.setdiff1d(expected, distinct, assume_unique=True))
        strangers = len(np.setdiff1d(distinct, expected, assume_unique=True))
        told = int(missed[row])
        lost += max(0, missing - told)
        uncounted += max(0, told - missing) + strangers
    # The receiver keeps back what came twice or late, so its own counts are looked at as well.
    duplicated += _sum(counts["duplicates"])
    reordered += _sum(counts["reordered"])
    epoch_changes = _sum(counts["epoch_changes"])
    absent = int(trial.record["subscribers"]) - len(subscribers["subscriber"])
    faults = {
        f"{absent} subscribers never reported": absent,
        f"{unknown} subscribers do not tell what they missed, or got twice or out of order": unknown,
        f"{lost} notifications were lost without a told gap": lost,
        f"{duplicated} came twice": duplicated,
        f"{reordered} came out of order": reordered,
        f"{uncounted} were delivered or told as missed that the subscriber was never due": uncounted,
        f"the server did not accept {refused} published notifications": refused,
        f"{epoch_changes} changes of epoch, so nobody can count what was missed": epoch_changes,
    }
    value = sum(faults.values())
    outcome.gates["delivered"] = {
        "value": value,
        "limit": 0,
        "passed": value == 0,
        "wrong_deliveries": lost + duplicated + reordered + uncounted,
    }
    if value:
        outcome.why.append("; ".join(sentence for sentence, count in faults.items() if count))


def _due_times(trial: Trial, outcome: Outcome) -> None:
    """Each delivery carries the due time with which its notification was published."""
    ids = trial.published["id"].astype(float)
    accepted = ~np.isnan(ids)
    order = np.argsort(ids[accepted], kind="stable")
    ids, due_us = ids[accepted][order], trial.published["due_us"][accepted][order]
    altered = 0
    if len(ids):
        # An id that was never published is `_delivered`'s to tell.
        place = np.minimum(np.searchsorted(ids, trial.deliveries["id"]), len(ids) - 1)
        known = ids[place] == trial.deliveries["id"]
        altered = int((known & (due_us[place] != trial.deliveries["due_us"])).sum())
    if _limit(outcome, "due_times_altered", altered, 0):
        outcome.why.append(f"{altered} deliveries carry another due time than was published")


def _order_of_times(trial: Trial, outcome: Outcome) -> None:
    """Nothing is written before it is due, arrives before it was sent or accepted, or is handled before it
    arrived."""
    columns = {"published": trial.published, "deliveries": trial.deliveries, "requests": trial.requests}
    orders = (
        ("published", "due_us", "written_us", "notifications were written before they were due"),
        ("deliveries", "accepted_us", "received_us", "deliveries arrived before the server accepted them"),
        ("deliveries", "received_us", "handled_us", "deliveries were handled before they arrived"),
        ("requests", "sent_us", "received_us", "answers arrived before their requests were sent"),
        ("requests", "received_us", "handled_us", "answers were handled before they arrived"),
    )
    found = []
    for table, first, then, fault in orders:
        in_order = columns[table][first] <= columns[table][then] + CLOCK_TOLERANCE_US
        count = int((~in_order).sum())
        found += [(count, f"{count} {fault}")] if count else []
    if _limit(outcome, "times_out_of_order", sum(count for count, _ in found), 0):
        outcome.why.append("; ".join(fault for _, fault in found))


def _reconnected(trial: Trial, outcome: Outcome) -> None:
    """Nobody lost a connection that was to be kept: to make it again costs what no transport's bill has."""
    again = None if trial.record["transport"] is None else _sum(trial.subscribers["reconnects"])
    if _limit(outcome, "reconnects", again, 0):
        outcome.why.append(f"{again} connections were lost and made again")


def _requests_kept(trial: Trial, outcome: Outcome) -> None:
    """The requests that were answered well are as many as the subscribers counted themselves; refused ones
    are not in their count."""
    if trial.record["transport"] is None:
        return
    counted = trial.subscribers["requests"].astype(float)
    answered_well = 101 if trial.record["transport"] == "websocket" else 200
    kept = int((trial.requests["status"] == answered_well).sum())
    if _limit(outcome, "requests_unaccounted", abs(_sum(counted) - kept), 0):
        outcome.why.append(f"the subscribers counted {_sum(counted)} requests, and {kept} are kept")


def _published(trial: Trial, outcome: Outcome) -> None:
    """Where the scenario publishes, something was due in the window."""
    rate, published = float(trial.record["publish_rate"]), None
    if rate > 0:
        published = int(metrics.in_window(trial.published, "due_us", *_window(trial)).sum())
    outcome.gates["published"] = {
        "value": published,
        "limit": 1,
        "passed": None if published is None else published > 0,
    }
    if published == 0:
        outcome.why.append(f"nothing was published in the window, where {rate:g} a second were asked for")


def _publisher_late(trial: Trial, outcome: Outcome) -> None:
    """p99 of written − due, over the notifications that were due in the window."""
    late_ms = None
    start, end = _window(trial)
    inside = metrics.in_window(trial.published, "due_us", start, end)
    if inside.any():
        late_us = trial.published["written_us"][inside] - trial.published["due_us"][inside]
        late_ms = float(np.percentile(late_us, 99)) / 1000.0
    if _limit(outcome, "publisher_late_ms_p99", late_ms, PUBLISHER_LATE_MS):
        outcome.why.append(
            f"the publisher was late: p99 of written − due was {late_ms:.1f} ms, "
            f"over {PUBLISHER_LATE_MS:g} ms"
        )


def _generator(trial: Trial, outcome: Outcome) -> None:
    """The load generator had CPU to spare, and got a core when it wanted one."""
    start, end = metrics.edge(trial, "window_start"), metrics.edge(trial, "window_end")
    elapsed_us = metrics.elapsed_between_edges_us(trial)
    shares: dict[str, float | None] = {"cpu_us": None, "waited_us": None}
    if start and end and elapsed_us and trial.record["transport"] is not None:
        for name in shares:
            before, after = ((sample.get("generator") or {}).get(name) for sample in (start, end))
            if before is not None and after is not None:
                shares[name] = (after - before) / elapsed_us
    used, starved = shares["cpu_us"], shares["waited_us"]
    if _limit(outcome, "generator_cpu_share", used, GENERATOR_CPU_SHARE, at_limit=True):
        outcome.why.append(
            f"the load generator used {used:.0%} of its core; from {GENERATOR_CPU_SHARE:.0%} on "
            "it delays what it measures"
        )
    if _limit(outcome, "generator_starved_share", starved, GENERATOR_STARVED_SHARE):
        outcome.why.append(
            f"the load generator waited for its core {starved:.0%} of the window, "
            f"over {GENERATOR_STARVED_SHARE:.0%}: something else was running there"
        )


def _generator_delay(trial: Trial, outcome: Outcome) -> None:
    """Polls only: how late an answer was handled after it arrived, since that delays the next request.

    Not for the bare server: it is there to show what the harness itself adds, this delay included."""
    delay_ms, limit_ms = None, GENERATOR_DELAY_MS
    if trial.record["transport"] in metrics.POLLS and trial.record["implementation"] != "bare":
        start, end = _window(trial)
        answered = metrics.in_window(trial.requests, "received_us", start, end)
        due = metrics.in_window(trial.deliveries, "due_us", start, end)
        if answered.any():
            delays_us = trial.requests["handled_us"][answered] - trial.requests["received_us"][answered]
            delay_ms = float(np.median(delays_us)) / 1000.0
        if due.any():
            latency_us = trial.deliveries["received_us"][due] - trial.deliveries["due_us"][due]
            limit_ms = max(limit_ms, GENERATOR_DELAY_OF_P50 * float(np.median(latency_us)) / 1000.0)
    if _limit(outcome, "generator_delay_ms_p50", delay_ms, limit_ms):
        outcome.why.append(
            f"the load generator handled answers late: p50 was {delay_ms:.1f} ms after arrival, "
            f"over {limit_ms:.1f} ms"
        )


def _clock_moved(trial: Trial, outcome: Outcome) -> None:
    """Realtime against monotonic time, over the samples from the window's start to its end."""
    start, end = _window(trial)
    offsets = [
        sample["at_us"] - sample["monotonic_us"]
        for sample in trial.resources
        if sample.get("monotonic_us") is not None and start <= sample.get("at_us", 0) <= end
    ]
    moved_ms = (max(offsets) - min(offsets)) / 1000.0 if offsets else None
    if _limit(outcome, "clock_moved_ms", moved_ms, CLOCK_MOVED_MS):
        outcome.why.append(f"the clock moved by {moved_ms:.1f} ms in the window, over {CLOCK_MOVED_MS:g} ms")


def _link(trial: Trial, outcome: Outcome) -> None:
    """Across a link: it was found to be what was asked for, and its relay kept up in the window."""
    checked = late_ms = dropped = None
    if trial.record["link"] != LOOPBACK:
        checked = int(trial.link_check is not None and bool(trial.link_check["passed"]))
        window, after = (
            ((metrics.edge(trial, name) or {}).get("link") or {}).get("relay")
            for name in ("window_end", "drained")
        )
        # What was due in the window is on its way for a while after it.
        told = [relay for relay in (window, after) if relay]
        late = [relay["late_ms_p99"] for relay in told if relay["late_ms_p99"] is not None]
        late_ms = max(late, default=None)
        dropped = sum(relay["overflowed"] + relay["unread"] for relay in told) if window else 1
    outcome.gates["link_checked"] = {
        "value": checked,
        "limit": 1,
        "passed": None if checked is None else checked == 1,
    }
    if checked == 0:
        why = "it was never checked" if trial.link_check is None else trial.link_check["why"]
        outcome.why.append(f"the emulated link is not what was asked for: {why}")
    if _limit(outcome, "relay_late_ms_p99", late_ms, RELAY_LATE_MS):
        outcome.why.append(
            f"the link's relay was late: p99 was {late_ms:.1f} ms, over {RELAY_LATE_MS:g} ms; something else "
            "was running on its core"
        )
    if _limit(outcome, "relay_dropped", dropped, 0):
        outcome.why.append(
            f"the link's relay dropped {dropped} packets that it had no room for, or did not tell"
        )


def _wire_counts(trial: Trial, outcome: Outcome) -> None:
    """Across a link: what TCP_INFO says of all connections is what passed the clients' interface. Not where
    packets are lost on purpose: what arrives twice then passes the interface, and TCP counts it once."""
    off: float | None = None
    before = metrics.edge(trial, "warmed") or metrics.edge(trial, "empty") or {}
    after = metrics.edge(trial, "drained") or {}
    was, now = ((edge.get("link") or {}).get("wire") for edge in (before, after))
    names = ("bytes_sent", "bytes_received", "segments_sent", "segments_received")
    totals = [metrics.total(trial.subscribers, f"total_{name}") for name in names]
    known = [total for total in totals if total is not None]
    if trial.record["loss_percent"]:
        pass
    elif was and now and len(known) == len(names):
        packets = sum(now[name] - was[name] for name in ("packets_sent", "packets_received"))
        exact = sum(now[name] - was[name] for name in ("bytes_sent", "bytes_received"))
        exact -= ETHERNET_HEADER_BYTES * packets
        told = sum(known[:2]) + PACKET_HEADER_BYTES * sum(known[2:])
        told += 2 * SYN_OPTION_BYTES * _connections(trial)
        off = abs(told - exact) / exact if exact else None
    elif trial.record["link"] != LOOPBACK:
        off = 1.0
    if _limit(outcome, "wire_counts_off_share", off, WIRE_OFF_SHARE):
        outcome.why.append(
            f"TCP_INFO's bytes are {off:.1%} off what passed the interface, over {WIRE_OFF_SHARE:.0%}, or "
            "one of the two is missing"
        )


def _connections(trial: Trial) -> int:
    """How many connections the subscribers made: one each, or one for each poll. Lost ones are few."""
    if trial.record["connection"] == "fresh":
        return _sum(trial.subscribers["requests"])
    return len(trial.subscribers["subscriber"])


def _told_gap(trial: Trial, outcome: Outcome) -> None:
    missed = None if trial.record["transport"] is None else float(_sum(trial.subscribers["missed"]))
    if _limit(outcome, "told_gap", missed, 0):
        outcome.not_steady_why.append(
            f"subscribers fell behind the log and were told of {missed:.0f} missed notifications"
        )


def _server_core(trial: Trial, outcome: Outcome) -> None:
    busy = metrics._server_core_busy_share(trial)
    if _limit(outcome, "server_core_busy_share", busy, SERVER_CORE_BUSY_SHARE, at_limit=True):
        outcome.not_steady_why.append(
            f"the server's core was {busy:.0%} busy, and from {SERVER_CORE_BUSY_SHARE:.0%} a queue only grows"
        )


def _sum(counts: npt.NDArray[Any]) -> int:
    """The sum of what is known."""
    known = counts.astype(float)
    return int(known[np.isfinite(known)].sum())


def _limit(outcome: Outcome, name: str, value: float | None, limit: float, *, at_limit: bool = False) -> bool:
    """Note a gate with an upper limit; True when it failed. `at_limit` fails at the limit already."""
    failed = value is not None and (value >= limit if at_limit else value > limit)
    outcome.gates[name] = {"value": value, "limit": limit, "passed": None if value is None else not failed}
    return failed


def _window(trial: Trial) -> tuple[int, int]:
    assert trial.window_us is not None
    return trial.window_us
