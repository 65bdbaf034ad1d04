"""From a run directory to its summary: cells, metrics with intervals, verdicts.

Rules:
- Pure over files: the same files give the same summary, byte for byte, wherever the directory lies.
- A trial is valid only if run.json says so, every gate asked again here is passed, and its notifications
  are all accounted for: published × subscribers = delivered + told gaps.
- A metric's value is the median over the cell's valid trials of the trial's own figure;
  `bench/analysis/intervals.py` gives its interval. Without a valid trial, or where nothing was measured, it
  is null.
- Invalid trials stay in the summary with their reasons and their figures, and count for nothing.
- Nothing downstream computes: tables, figures and reports show what stands here.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from bench.analysis import claims, intervals, literature, saturation, theory
from bench.analysis.cells import Cell, Measured
from bench.analysis.costs import model
from bench.analysis.estimate import Estimate
from bench.analysis.theory import curves
from bench.analysis.theory.base import QUANTILES
from bench.analysis.theory.residuals import predicted, residuals
from bench.evidence import gates, metrics
from bench.evidence.window import Window
from bench.rundir.reader import RunFiles
from bench.rundir.trial import Trial
from bench.scenario.labels import cell_key
from bench.scenario.settings import LOAD
from bench.systems.registry import is_noise_floor

SUMMARY_SCHEMA = 3
"""Version of summary.json's form. History: 1, the first. 2: links, residuals, naive latency, the floor.
3: a cell has all settings, and `implementation` is called `system`."""
ANALYSIS_VERSION = 9
"""Raised whenever the same files would give other figures, so that a stale summary is seen as such."""

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


def summarise(run: RunFiles, inputs: dict[str, str | None]) -> dict[str, Any]:
    """The whole summary of a run. `inputs` are the digests of its files. Pure: nothing is written."""
    scenario = run.run.get("scenario", {})
    seed = int(scenario.get("seed") or 0)
    minimum = int(scenario.get("minimum_valid_trials") or (3 if scenario.get("name") == "quick" else 5))
    results = [_result(trial, seed) for trial in run.each_trial()]
    _subtract_baselines(results)
    groups: dict[str, list[TrialResult]] = {}
    for result in results:
        groups.setdefault(result.cell_key, []).append(result)
    names = _cell_ids(groups)
    cells = [_cell(names[key], group, minimum, seed) for key, group in groups.items()]
    measured = Measured(tuple(cells), run.run.get("probes") or {})
    interrupted = bool(run.run.get("interrupted"))
    shown = [_cell_json(cell, group) for cell, group in zip(cells, groups.values(), strict=True)]
    trials = [_trial_json(result, names[result.cell_key]) for result in results]
    saturated = saturation.summarise(
        shown, trials, run.run.get("skipped") or [], scenario.get("p99_budget_ms")
    )
    whole = all(cell["valid"] or saturation.excuses(saturated, cell, minimum) for cell in shown)
    return {
        "schema": SUMMARY_SCHEMA,
        "analysis": ANALYSIS_VERSION,
        "run": run.run.get("id"),
        "valid": bool(cells) and whole and not interrupted,
        "interrupted": interrupted,
        "minimum_valid_trials": minimum,
        "confidence_percent": intervals.CONFIDENCE_PERCENT,
        "coverage_percent": intervals.coverage_percent(minimum),
        "quantiles": [round(float(share), 6) for share in QUANTILES],
        "cells": shown,
        "floor": _floor(shown),
        "curves": curves.summarise(
            [cell for cell, one in zip(cells, shown, strict=True) if one["predicted"]]
        ),
        "claims": [_plain(verdict) for verdict in claims.judge_all(measured)],
        "reproduction": _plain(literature.summarise(run.run, measured)),
        "costs": _plain(model.summarise(cells)),
        "saturation": saturated,
        "trials": trials,
        "inputs": inputs,
    }


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


def _result(trial: Trial, seed: int) -> TrialResult:
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


def _subtract_baselines(results: list[TrialResult]) -> None:
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


def _cell(name: str, group: list[TrialResult], minimum: int, seed: int) -> Cell:
    valid = [result for result in group if result.valid]
    found: dict[str, Estimate | None] = {}
    replicates: dict[str, Floats] = {}
    for metric in metrics.METRICS:
        measured = [result for result in valid if result.figures[metric] is not None]
        if not measured:
            found[metric] = None
            continue
        values = [cast(float, result.figures[metric]) for result in measured]
        rng = intervals.generator(seed, name, metric)
        drawn = intervals.across_trials(
            [result.inner.get(metric, value) for result, value in zip(measured, values, strict=True)], rng
        )
        found[metric] = Estimate(float(np.median(values)), *intervals.around(float(np.median(values)), drawn))
        if drawn is not None:
            replicates[metric] = drawn
    settings = json.loads(group[0].cell_key)
    service = found[theory.of(settings["transport"]).service_metric]
    return Cell(
        id=name,
        settings=settings,
        trials=len(group),
        valid_trials=len(valid),
        steady_trials=sum(result.steady for result in valid),
        minimum_valid_trials=minimum,
        metrics=found,
        replicates=replicates,
        service_s=None if service is None else service.value / 1e6,
        finished_losses=tuple(
            str(result.record["id"])
            for result in group
            if result.record.get("exit") == "finished"
            and (
                result.gates.get("delivered", {}).get("wrong_deliveries")
                or not (result.conservation or {"holds": True})["holds"]
            )
        ),
    )


def _cell_json(cell: Cell, group: list[TrialResult]) -> dict[str, Any]:
    shown = {
        name: None if figure is None else {"value": figure.value, "low": figure.low, "high": figure.high}
        for name, figure in cell.metrics.items()
    }
    predictions = predicted(cell)
    return cast(
        dict[str, Any],
        _plain(
            {
                "id": cell.id,
                **cell.settings,
                "trials": cell.trials,
                "valid_trials": cell.valid_trials,
                "steady_trials": cell.steady_trials,
                "valid": cell.enough,
                "gates": _gates(group),
                "metrics": shown,
                **{name: _median_quantiles(group, name) for name in DISTRIBUTIONS},
                "predicted": predictions,
                "residuals": residuals(cell, predictions),
            }
        ),
    )


def _median_quantiles(group: list[TrialResult], name: str) -> list[float] | None:
    found = [result.quantiles_ms[name] for result in group if result.valid and name in result.quantiles_ms]
    return np.median(np.stack(found), axis=0).tolist() if found else None


def _floor(cells: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """For each transport, the bare server's valid cells: what the harness, the clients and the kernel cost
    and take by themselves at that load. To be drawn beside the others, and subtracted from nothing."""
    found: dict[str, list[dict[str, Any]]] = {}
    for cell in cells:
        if is_noise_floor(cell["system"]) and cell["valid"]:
            load = {name: cell[name] for name in LOAD}
            found.setdefault(cell["transport"], []).append(
                {"cell": cell["id"], **load, "metrics": cell["metrics"]}
            )
    return found


def _gates(group: list[TrialResult]) -> dict[str, Any]:
    """Each gate over the cell's trials: its limit (the last trial's), every trial's value, and who did not
    pass."""
    found: dict[str, Any] = {}
    for result in group:
        for name, gate in result.gates.items():
            entry = found.setdefault(name, {"limit": None, "values": [], "passed": None, "failed_trials": []})
            entry["limit"] = gate.get("limit")
            entry["values"].append(gate.get("value"))
            if gate.get("passed") is not None:
                entry["passed"] = gate["passed"] and entry["passed"] is not False
            if gate.get("passed") is False:
                entry["failed_trials"].append(result.record["id"])
    return found


def _trial_json(result: TrialResult, cell: str) -> dict[str, Any]:
    return cast(
        dict[str, Any],
        _plain(
            {
                "id": result.record["id"],
                "cell": cell,
                "valid": result.valid,
                "why": result.why,
                "steady": result.steady,
                "not_steady_why": result.not_steady_why,
                "conservation": result.conservation,
                "gates": result.gates,
                "figures": result.figures,
            }
        ),
    )


def _cell_ids(groups: dict[str, list[TrialResult]]) -> dict[str, str]:
    """A short name for each cell: its trials' name without the repeat, and without how long it was measured
    where that tells nothing apart."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for key, group in groups.items():
        whole = re.sub(r"^r\d+-", "", str(group[0].record["id"]))
        short = re.sub(r"-(window|settle|memory-)[^-]*", "", whole)
        name = next(candidate for candidate in (short, *_candidates(whole)) if candidate not in taken)
        taken.add(name)
        names[key] = name
    return names


def _candidates(base: str) -> list[str]:
    return [base, *(f"{base}-{number}" for number in range(2, 1000))]


def _plain(value: Any) -> Any:
    """The value as JSON can hold it: numpy scalars as Python's, and no NaN or infinity (they become null)."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
