"""Intervals: what another run of the same cell might have shown.

Rules:
- Two levels are resampled. First trials, with replacement: the machine differs more between trials than
  within one. Then, for latencies, whole notifications within each drawn trial: all deliveries of one
  notification share its fate (one late fan-out makes hundreds late), so to resample deliveries would give
  intervals falsely tight (Davison and Hinkley 1997, §3.8: resample clusters, not members).
- A metric that is a quotient of totals over the window (a cost) has no notifications to draw from, so only
  trials are resampled.
- The interval runs from the 2.5th to the 97.5th percentile of the resampled values. With three to five trials
  the interval is roughly the range of the trials. The range of n trials holds the median of all possible
  trials with probability 1 − 2^(1−n), since it misses only if all lie on one side (David and Nagaraja 2003,
  §7.1). So "95 %" is its name, and its coverage is 75 % with three trials and 94 % with five. If
  notifications are resampled too, it is wider, since they differ within the trials as well as between them,
  and covers more: 85 to 99 % with three. A claim is decided on five trials, in `quick` on three; a
  reproduction of a published result has four, of which three must be valid.
- One trial alone says nothing about the next one, so it gets no interval.
- Everything is drawn from a seed that names run, cell and metric: the same files give the same interval
  anywhere.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bench.evidence.window import Latencies

Floats = npt.NDArray[np.float64]

REPLICATES = 1000
CONFIDENCE_PERCENT = 95.0

# A resampled percentile is read from counts between these quantiles of the trial's own latencies: fine
# enough that the reading errs by under a quarter of a percent of rank, and finer in the tail.
_BODY = np.linspace(0.0, 1.0, 401)
_TAIL = np.linspace(0.97, 1.0, 121)


def generator(seed: int, *names: str) -> np.random.Generator:
    """A random generator that depends on the run's seed and the names alone."""
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names)])


def within_trial(late: Latencies, rng: np.random.Generator, *, spread: bool) -> dict[str, Floats]:
    """Replicates of one trial's latency metrics, its notifications resampled; each array has REPLICATES
    values."""
    weights = rng.multinomial(late.count, np.full(late.count, 1.0 / late.count), size=REPLICATES).astype(
        np.float32
    )
    sums = np.bincount(late.notification, weights=late.ms, minlength=late.count)
    counts = np.bincount(late.notification, minlength=late.count)
    replicates = {"latency_ms_mean": (weights @ sums) / (weights @ counts)}
    percents = (50.0, 90.0, 99.0)
    for percent, values in zip(percents, _weighted_percentiles(late, weights, percents), strict=True):
        replicates[f"latency_ms_p{percent:.0f}"] = values
    if spread:
        drawn = rng.integers(0, late.count, size=(REPLICATES, late.count))
        replicates["fanout_spread_ms_p50"] = np.median(late.spreads_ms()[drawn], axis=1)
    return replicates


def across_trials(values: Sequence[float | Floats], rng: np.random.Generator) -> Floats | None:
    """Replicates of a cell's value, the median over its trials. `values` has one entry a trial: its value,
    or the replicates of its value from `within_trial`. None with fewer than two trials."""
    trials = len(values)
    if trials < 2:
        return None
    table = np.stack([np.broadcast_to(np.asarray(value, dtype=float), REPLICATES) for value in values])
    chosen = rng.integers(0, trials, size=(REPLICATES, trials))
    replicate = rng.integers(0, REPLICATES, size=(REPLICATES, trials))
    medians: Floats = np.median(table[chosen, replicate], axis=1)
    return medians


def coverage_percent(trials: int) -> float:
    """How often the interval of a median of so many trials holds the truth (percent), if they differ between
    trials alone: no more than CONFIDENCE_PERCENT, and less with few."""
    return min(CONFIDENCE_PERCENT, 100.0 * (1.0 - 2.0 ** (1 - trials)))


def interval(replicates: Floats | None) -> tuple[float | None, float | None]:
    """The CONFIDENCE_PERCENT interval of replicates; (None, None) if there are none."""
    if replicates is None:
        return None, None
    tail = (100.0 - CONFIDENCE_PERCENT) / 2.0
    low, high = np.percentile(replicates, [tail, 100.0 - tail])
    return float(low), float(high)


def around(value: float, replicates: Floats | None) -> tuple[float | None, float | None]:
    """The interval of replicates, widened to hold the value itself: percentiles that are read from counts err
    a little if many latencies are equal."""
    low, high = interval(replicates)
    return (None, None) if low is None or high is None else (min(low, value), max(high, value))


def _weighted_percentiles(
    late: Latencies, weights: npt.NDArray[np.float32], percents: Sequence[float]
) -> list[Floats]:
    """Percentiles of the latencies when each notification counts as often as its weight; one array a
    percentile."""
    edges = np.unique(np.quantile(late.ms, np.union1d(_BODY, _TAIL)))
    if len(edges) == 1:
        return [np.full(len(weights), edges[0]) for _ in percents]
    bins = np.clip(np.searchsorted(edges, late.ms, side="right") - 1, 0, len(edges) - 2)
    table = np.zeros((late.count, len(edges) - 1), dtype=np.float32)
    np.add.at(table, (late.notification, bins), 1.0)
    cumulative = np.cumsum(weights @ table, axis=1, dtype=np.float64)
    total = cumulative[:, -1]
    rows = np.arange(len(weights))
    percentiles = []
    for percent in percents:
        rank = percent / 100.0 * total
        position = np.argmax(cumulative >= rank[:, None], axis=1)
        before = np.where(position > 0, cumulative[rows, np.maximum(position - 1, 0)], 0.0)
        inside = cumulative[rows, position] - before
        share = np.divide(rank - before, inside, out=np.zeros_like(rank), where=inside > 0)
        percentiles.append(edges[position] + share * (edges[position + 1] - edges[position]))
    return percentiles
