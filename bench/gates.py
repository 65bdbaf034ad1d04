"""The gates: whether a trial's figures may be believed. Pure functions of what the trial left behind.

The harness asks them when a trial ends and the analysis asks them again from the files, so that nobody has to
trust what run.json says.

Rules:
- A gate that fails makes the trial *invalid*: it is kept and shown, and wins nothing.
- A steadiness gate that fails makes it *not steady*: its counts and costs stand, its latency wins nothing.
- Each gate tells its value, its limit and whether it was passed; `passed` None means that this trial has
  nothing to measure it on (no polls, nothing published, a system that does not tell), which fails nobody.
- Each failure is one sentence, with the figure and the limit in it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bench import metrics
from bench.reading import Trial

PUBLISHER_LATE_MS = 5.0
GENERATOR_CPU_SHARE = 0.85
GENERATOR_STARVED_SHARE = 0.25
"""Share of the window for which the load generator could run and had no core: somebody else's load was on
it."""
GENERATOR_DELAY_MS = 1.0
GENERATOR_DELAY_OF_P50 = 0.1
CLOCK_MOVED_MS = 1.0
SERVER_CORE_BUSY_SHARE = 0.95

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


def check(trial: Trial) -> Outcome:
    """Every gate on one trial. A trial whose window never ended is invalid whatever else holds."""
    outcome = Outcome()
    exit_ = str(trial.record.get("exit") or "finished")
    if trial.window_us is None:
        outcome.why.append(f"the window was never measured: {exit_}")
    alive = exit_ == "finished"
    outcome.gates["server_alive"] = {"value": int(alive), "limit": 1, "passed": alive}
    if not alive and trial.window_us is not None:
        outcome.why.append(f"the trial was cut short: {exit_}")
    if trial.window_us is None:
        return outcome
    _delivered(trial, outcome)
    _publisher_late(trial, outcome)
    _generator(trial, outcome)
    _generator_delay(trial, outcome)
    _clock_moved(trial, outcome)
    _told_gap(trial, outcome)
    _server_core(trial, outcome)
    return outcome


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
        told = int(subscribers["missed"][row])
        lost += max(0, missing - told)
        uncounted += max(0, told - missing) + strangers
    # The receiver keeps back what came twice or late, so its own counts are looked at as well.
    duplicated += int(subscribers["duplicates"].sum())
    reordered += int(subscribers["reordered"].sum())
    epoch_changes = int(np.sum(subscribers.get("epoch_changes", np.zeros(0, dtype=np.int64))))
    absent = int(trial.record["subscribers"]) - len(subscribers["subscriber"])
    faults = {
        f"{absent} subscribers never reported": absent,
        f"{lost} notifications were lost without a told gap": lost,
        f"{duplicated} came twice": duplicated,
        f"{reordered} came out of order": reordered,
        f"{uncounted} were delivered or told as missed that the subscriber was never due": uncounted,
        f"the server did not accept {refused} published notifications": refused,
        f"{epoch_changes} changes of epoch, so nobody can count what was missed": epoch_changes,
    }
    value = sum(faults.values())
    outcome.gates["delivered"] = {"value": value, "limit": 0, "passed": value == 0}
    if value:
        outcome.why.append("; ".join(sentence for sentence, count in faults.items() if count))


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
        if sample.get("monotonic_us") is not None and start <= sample["at_us"] <= end
    ]
    moved_ms = (max(offsets) - min(offsets)) / 1000.0 if offsets else None
    if _limit(outcome, "clock_moved_ms", moved_ms, CLOCK_MOVED_MS):
        outcome.why.append(f"the clock moved by {moved_ms:.1f} ms in the window, over {CLOCK_MOVED_MS:g} ms")


def _told_gap(trial: Trial, outcome: Outcome) -> None:
    missed = None if trial.record["transport"] is None else float(trial.subscribers["missed"].sum())
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


def _limit(outcome: Outcome, name: str, value: float | None, limit: float, *, at_limit: bool = False) -> bool:
    """Note a gate with an upper limit; True when it failed. `at_limit` fails at the limit already."""
    failed = value is not None and (value >= limit if at_limit else value > limit)
    outcome.gates[name] = {"value": value, "limit": limit, "passed": None if value is None else not failed}
    return failed


def _window(trial: Trial) -> tuple[int, int]:
    assert trial.window_us is not None
    return trial.window_us
