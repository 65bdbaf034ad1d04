"""Whether everybody got everything, once, in order, unaltered, and in the order of time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bench.evidence.gates.gate import Gate, Reading, known_sum
from bench.evidence.window import Window

CLOCK_TOLERANCE_US = 1000
"""All times of a trial are read from one machine's clock, whose steps `load.CLOCK_MOVED_MS` bounds."""


def _delivered(window: Window) -> Reading:
    """Each subscriber got every id after the one it joined at, once, in order, or was told what it missed."""
    trial = window.trial
    ids = trial.published["id"].astype(float)
    refused = int(np.isnan(ids).sum())
    not_accepted = f"the server did not accept {refused} published notifications"
    if not window.has_subscribers:
        return Reading(refused, not_accepted)
    expected_ids = np.sort(ids[~np.isnan(ids)]).astype(np.int64)
    subscribers = trial.subscribers
    counts = {
        name: subscribers[name].astype(float)
        for name in ("missed", "duplicates", "reordered", "epoch_changes")
    }
    told = [values for name, values in counts.items() if name not in trial.unreported]
    unknown = int((~np.isfinite(told)).any(axis=0).sum())
    lost, duplicated, reordered, uncounted = _faults(window, expected_ids)
    # The receiver keeps back what came twice or late, so its own counts are looked at as well.
    duplicated += known_sum(counts["duplicates"])
    reordered += known_sum(counts["reordered"])
    epoch_changes = known_sum(counts["epoch_changes"])
    absent = int(window.record["subscribers"]) - len(subscribers["subscriber"])
    faults = {
        f"{absent} subscribers never reported": absent,
        f"{unknown} subscribers do not tell what they missed, or got twice or out of order": unknown,
        f"{lost} notifications were lost without a told gap": lost,
        f"{duplicated} came twice": duplicated,
        f"{reordered} came out of order": reordered,
        f"{uncounted} were delivered or told as missed that the subscriber was never due": uncounted,
        not_accepted: refused,
        f"{epoch_changes} changes of epoch, so nobody can count what was missed": epoch_changes,
    }
    return Reading(
        sum(faults.values()),
        "; ".join(sentence for sentence, count in faults.items() if count),
        more={"wrong_deliveries": lost + duplicated + reordered + uncounted},
    )


def _faults(window: Window, expected_ids: npt.NDArray[np.int64]) -> tuple[int, int, int, int]:
    """How many notifications were lost, came twice, came out of order, and were delivered or told as missed
    though the subscriber was never due them."""
    subscribers, deliveries = window.trial.subscribers, window.trial.deliveries
    missed = np.nan_to_num(subscribers["missed"].astype(float), posinf=0, neginf=0)
    joined = subscribers["joined_id"].astype(float)
    lost = duplicated = reordered = uncounted = 0
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
    return lost, duplicated, reordered, uncounted


def _due_times_altered(window: Window) -> Reading:
    """Each delivery carries the due time with which its notification was published."""
    published, deliveries = window.trial.published, window.trial.deliveries
    ids = published["id"].astype(float)
    accepted = ~np.isnan(ids)
    order = np.argsort(ids[accepted], kind="stable")
    ids, due_us = ids[accepted][order], published["due_us"][accepted][order]
    altered = 0
    if len(ids):
        # An id that was never published is `_delivered`'s to tell.
        place = np.minimum(np.searchsorted(ids, deliveries["id"]), len(ids) - 1)
        known = ids[place] == deliveries["id"]
        altered = int((known & (due_us[place] != deliveries["due_us"])).sum())
    return Reading(altered, f"{altered} deliveries carry another due time than was published")


ORDERS = (
    ("published", "due_us", "written_us", "notifications were written before they were due"),
    ("deliveries", "accepted_us", "received_us", "deliveries arrived before the server accepted them"),
    ("deliveries", "received_us", "handled_us", "deliveries were handled before they arrived"),
    ("requests", "sent_us", "received_us", "answers arrived before their requests were sent"),
    ("requests", "received_us", "handled_us", "answers were handled before they arrived"),
)
"""Of which table what comes first, what comes then, and what is said of rows where it does not."""


def _times_out_of_order(window: Window) -> Reading:
    """Nothing is written before it is due, arrives before it was sent or accepted, or is handled before it
    arrived."""
    trial = window.trial
    tables = {"published": trial.published, "deliveries": trial.deliveries, "requests": trial.requests}
    faults = []
    for table, first, then, fault in ORDERS:
        if first in trial.unreported:
            continue
        in_order = tables[table][first] <= tables[table][then] + CLOCK_TOLERANCE_US
        count = int((~in_order).sum())
        faults += [(count, f"{count} {fault}")] if count else []
    return Reading(sum(count for count, _ in faults), "; ".join(fault for _, fault in faults))


GATES = (
    Gate("delivered", 0, _delivered),
    Gate("due_times_altered", 0, _due_times_altered),
    Gate("times_out_of_order", 0, _times_out_of_order),
)
