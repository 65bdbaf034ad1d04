"""Whether the load was the one that was asked for, on time, from tools that had CPU to spare."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bench.evidence.gates.gate import NOTHING, Gate, Reading
from bench.evidence.window import Window
from bench.systems.registry import FORMER
from clients.publisher import ON_SHARE

PUBLISHER_LATE_MS = 5.0
"""What is written late comes late to every subscriber, whoever serves it."""
GENERATOR_CPU_SHARE = 0.85
"""From about here on messages wait in the load generator, and it measures its own queue."""
GENERATOR_STARVED_SHARE = 0.25
"""Share of the window for which the load generator could run and had no core: something else ran on it."""
GENERATOR_DELAY_MS = 1.0
GENERATOR_DELAY_OF_P50 = 0.1
"""By how much of the median latency each next request may be delayed, or by `GENERATOR_DELAY_MS` if that is
more. Of a held poll it is the wait that the delay adds, on average, which may be so much of it."""
CLOCK_MOVED_MS = 1.0
"""A step of the clock is in every latency that is measured across it."""


def _published(window: Window) -> Reading:
    """If the scenario publishes, something was due in the window."""
    rate = float(window.record["publish_rate"])
    if rate <= 0:
        return NOTHING
    return Reading(
        int(window.published.sum()),
        f"nothing was published in the window, where {rate:g} a second were asked for",
    )


def _publisher_late_ms(window: Window) -> Reading:
    """p99 of written − due, over the notifications that were due in the window."""
    if not window.published.any():
        return NOTHING
    published = window.trial.published
    late_us = published["written_us"][window.published] - published["due_us"][window.published]
    late_ms = float(np.percentile(late_us, 99)) / 1000.0
    return Reading(
        late_ms,
        f"the publisher was late: p99 of written − due was {late_ms:.1f} ms, over {PUBLISHER_LATE_MS:g} ms",
    )


def _generator_share(window: Window, field: str) -> float | None:
    """A counter of the load generator over the window, as a share of it."""
    used_us = window.used("generator", field) if window.has_subscribers else None
    return used_us / window.elapsed_us if used_us is not None and window.elapsed_us else None


def _generator_cpu_share(window: Window) -> Reading:
    """The load generator had CPU to spare."""
    share = _generator_share(window, "cpu_us")
    if share is None:
        return NOTHING
    return Reading(
        share,
        f"the load generator used {share:.0%} of its core; from {GENERATOR_CPU_SHARE:.0%} on it delays what "
        "it measures",
    )


def _generator_starved_share(window: Window) -> Reading:
    """The load generator got a core when it wanted one."""
    share = _generator_share(window, "waited_us")
    if share is None:
        return NOTHING
    return Reading(
        share,
        f"the load generator waited for its core {share:.0%} of the window, "
        f"over {GENERATOR_STARVED_SHARE:.0%}: something else was running there",
    )


def _generator_delay_ms(window: Window) -> Reading:
    """Only for transports that ask again: how late an answer was handled after it arrived, since that delays
    the next request.

    News waits for a held poll only if it comes while the poll is not there. With a delay w and news at the
    rate λ that is the share λw of it, which waits w/2. A server that answers everybody faster than one
    generator reads has its median before the generator has come half way: held against the median alone, such
    a server could never be measured. So the mean wait that is added to a held poll, λw²/2, may be a tenth of
    the median. (Decided 2026-11-27, after nchan's cells had failed; until then held polls had the same limit
    as short ones.)

    The noise floor is asked too, since it stands beside others as a server: a cell that is valid for it alone
    would favour it. Runs of the time when it was a system of its own (`FORMER`) were not asked."""
    record = window.record
    if not window.asks_again or record["system"] in FORMER:
        return Reading(None, limit=GENERATOR_DELAY_MS)
    limit_ms = GENERATOR_DELAY_MS
    requests, deliveries = window.trial.requests, window.trial.deliveries
    if window.due.any():
        latency_us = deliveries["received_us"][window.due] - deliveries["due_us"][window.due]
        added_ms = GENERATOR_DELAY_OF_P50 * float(np.median(latency_us)) / 1000.0
        limit_ms = max(limit_ms, added_ms)
        if window.client is not None and window.client.held and record["publish_rate"] > 0:
            limit_ms = max(limit_ms, math.sqrt(2 * added_ms * _between_news_ms(record)))
    if not window.requests:
        return Reading(None, limit=limit_ms)
    delays_us = requests["handled_us"][window.answered] - requests["received_us"][window.answered]
    delay_ms = float(np.median(delays_us)) / 1000.0
    return Reading(
        delay_ms,
        f"the load generator handled answers late: p50 was {delay_ms:.1f} ms after arrival, "
        f"over {limit_ms:.1f} ms",
        limit=limit_ms,
    )


def _between_news_ms(record: dict[str, Any]) -> float:
    """The mean time between notifications, within a burst if they come in bursts."""
    rate = float(record["publish_rate"])
    return 1000.0 / (rate / ON_SHARE if record["schedule"] == "on-off" else rate)


def _clock_moved_ms(window: Window) -> Reading:
    """Realtime against monotonic time, over the samples from the window's start to its end."""
    offsets = [
        sample["at_us"] - sample["monotonic_us"]
        for sample in window.samples
        if sample.get("monotonic_us") is not None
    ]
    if not offsets:
        return NOTHING
    moved_ms = (max(offsets) - min(offsets)) / 1000.0
    return Reading(
        moved_ms, f"the clock moved by {moved_ms:.1f} ms in the window, over {CLOCK_MOVED_MS:g} ms"
    )


GATES = (
    Gate("published", 1, _published, fails="below"),
    Gate("publisher_late_ms_p99", PUBLISHER_LATE_MS, _publisher_late_ms, spoiled_by="laboratory"),
    Gate(
        "generator_cpu_share",
        GENERATOR_CPU_SHARE,
        _generator_cpu_share,
        fails="from",
        spoiled_by="laboratory",
    ),
    Gate(
        "generator_starved_share",
        GENERATOR_STARVED_SHARE,
        _generator_starved_share,
        spoiled_by="laboratory",
    ),
    Gate("generator_delay_ms_p50", None, _generator_delay_ms, spoiled_by="laboratory"),
    Gate("clock_moved_ms", CLOCK_MOVED_MS, _clock_moved_ms, spoiled_by="laboratory"),
)
