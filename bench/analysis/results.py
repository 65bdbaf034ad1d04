"""What the analysis finds in one trial: its validity, its figures, its distributions.

Rules:
- A trial is valid only if run.json says so, every gate asked again here is passed, and its notifications
  are all accounted for: published × subscribers = delivered + told gaps.
- Invalid trials keep their reasons and their figures, and count for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.analysis import intervals
from bench.analysis.theory.base import QUANTILES
from bench.evidence import gates, metrics
from bench.evidence.window import Window
from bench.rundir.trial import Trial
from bench.scenario.labels import cell_key

DISTRIBUTIONS = ("latency_quantiles_ms", "naive_latency_quantiles_ms", "response_quantiles_ms")
"""What is kept of a cell as a distribution, at `QUANTILES`: the median over its valid trials of each
quantile. Latency from when a notification was due; the same from when it was written (naive); and how long a
poll took from request to answer, which a load generator would print."""

Floats = npt.NDArray[np.float64]


@dataclass
class TrialResult:
    """What the analysis found in one trial."""

    record: dict[str, Any]
    valid: bool
    why: list[str]
    steady: bool
    not_steady_why: list[str]
    gates: dict[str, Any]
    conservation: dict[str, Any] | None
    figures: dict[str, float | None]
    unfinished: dict[str, float | None]
    """Its part of each metric that needs a baseline."""
    inner: dict[str, Floats] = field(default_factory=dict)
    quantiles_ms: dict[str, Floats] = field(default_factory=dict)

    @property
    def cell_key(self) -> str:
        """What makes it a repeat of its cell."""
        return cell_key(self.record)


def conservation(trial: Trial) -> dict[str, Any] | None:
    """Are all notifications accounted for? Sums over subscribers: those published after each one's joining
    point must be delivered to it or told as missed. None for a trial without subscribers."""
    if trial.record["transport"] is None or len(trial.subscribers["subscriber"]) == 0:
        return None
    ids = trial.published["id"].astype(float)
    ids = np.sort(ids[~np.isnan(ids)])
    joined = trial.subscribers["joined_id"].astype(float)
    missed = trial.subscribers["missed"].astype(float)
    if "missed" in trial.unreported:
        missed = np.zeros(len(missed))
    if not (np.isfinite(joined).all() and np.isfinite(missed).all()):
        return {"expected": None, "delivered": len(trial.deliveries["id"]), "missed": None, "holds": False}
    expected = int((len(ids) - np.searchsorted(ids, joined, side="right")).sum())
    delivered, told = len(trial.deliveries["id"]), int(missed.sum())
    return {
        "expected": expected,
        "delivered": delivered,
        "missed": told,
        "holds": expected == delivered + told,
    }


def result_of(trial: Trial, seed: int) -> TrialResult:
    """Ask a trial everything that can be asked of it alone; `seed` is the run's."""
    record = trial.record
    asked = gates.check(trial)
    why = list(dict.fromkeys([*record.get("why", []), *asked.why]))
    not_steady = list(dict.fromkeys([*record.get("not_steady_why", []), *asked.not_steady_why]))
    accounted = conservation(trial)
    passed = all(
        gate["passed"] is not False
        for name, gate in asked.gates.items()
        if gates.GATES[name].makes == "invalid"
    )
    if accounted is not None and not accounted["holds"] and passed:
        why.append(
            f"{accounted['delivered']} deliveries and {accounted['missed']} told as missed do not make up "
            f"the {accounted['expected']} that were due to its subscribers"
        )
    valid = bool(record.get("valid")) and asked.valid and (accounted is None or accounted["holds"])
    window = Window.of(trial)
    result = TrialResult(
        record=record,
        valid=valid and window is not None,
        why=why,
        steady=bool(record.get("steady", True)) and asked.steady,
        not_steady_why=not_steady,
        gates=asked.gates,
        conservation=accounted,
        figures=metrics.figures(window),
        unfinished=metrics.unfinished(window),
    )
    if window is None:
        return result
    late = window.latencies
    if late is not None:
        rng = intervals.generator(seed, "trial", trial.id)
        result.inner = intervals.within_trial(late, rng, spread=int(record["subscribers"]) > 1)
    for name, values in zip(
        DISTRIBUTIONS,
        (
            None if late is None else late.ms,
            window.naive_latencies_ms,
            window.response_times_ms,
        ),
        strict=True,
    ):
        if values is not None:
            result.quantiles_ms[name] = np.quantile(values, QUANTILES)
    return result


def subtract_baselines(results: list[TrialResult]) -> None:
    """Finish the metrics that need a second trial: the empty server's.

    That is the baseline of the same repeat if it is valid, else the median of the valid ones.
    """

    def model(result: TrialResult) -> tuple[Any, Any]:
        return result.record["system"], result.record["server_model"]

    for name, metric in metrics.METRICS.items():
        if metric.over_empty is None:
            continue
        empty: dict[tuple[Any, Any], dict[int, float]] = {}
        for result in results:
            own = result.unfinished[name]
            if result.record["transport"] is None and result.valid and own is not None:
                empty.setdefault(model(result), {})[int(result.record.get("repeat", 0))] = own
        for result in results:
            own, baselines = result.unfinished[name], empty.get(model(result))
            subscribers = int(result.record["subscribers"])
            if not baselines or not subscribers or own is None:
                continue
            baseline = baselines.get(
                int(result.record.get("repeat", 0)), float(np.median(list(baselines.values())))
            )
            result.figures[name] = metric.over_empty(own, baseline, subscribers)
