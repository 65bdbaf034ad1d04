"""From a run directory to its summary: cells, metrics with intervals, verdicts.

Rules:
- Pure over files: the same files give the same summary, byte for byte, wherever the directory lies.
- A metric's value is the median over the cell's valid trials of the trial's own figure;
  `bench/analysis/intervals.py` gives its interval. Without a valid trial, or where nothing was measured, it
  is null.
- Nothing downstream computes: tables, figures and reports show what stands here.
"""

from __future__ import annotations

import json
import re
from typing import Any, cast

import msgspec
import numpy as np
import numpy.typing as npt

from bench.analysis import claims, intervals, literature, saturation, theory
from bench.analysis.cells import Cell, Measured
from bench.analysis.costs import model
from bench.analysis.estimate import Estimate
from bench.analysis.results import DISTRIBUTIONS, TrialResult, result_of, subtract_baselines
from bench.analysis.summary import SUMMARY_SCHEMA, Summary, outcomes_of
from bench.analysis.theory import curves
from bench.analysis.theory.base import QUANTILES
from bench.analysis.theory.residuals import predicted, residuals
from bench.errors import RunDirectoryError
from bench.evidence import metrics
from bench.evidence.gates import GATES
from bench.rundir.reader import RunFiles
from bench.scenario.settings import SETTINGS, Settings
from bench.systems.registry import is_noise_floor
from clients import TRANSPORTS

ANALYSIS_VERSION = 11
"""Raised whenever the same files would give other figures, so that a stale summary is seen as such."""

Floats = npt.NDArray[np.float64]


def summarise(run: RunFiles, inputs: dict[str, str | None]) -> Summary:
    """The whole summary of a run. `inputs` are the digests of its files. Pure: nothing is written. Raises
    RunDirectoryError."""
    scenario = run.run.get("scenario") or {}
    seed = int(scenario.get("seed") or 0)
    minimum = int(scenario.get("minimum_valid_trials") or (3 if scenario.get("name") == "quick" else 5))
    _require_known([*run.run["trials"], *(run.run.get("skipped") or [])])
    results = [result_of(trial, seed) for trial in run.each_trial()]
    subtract_baselines(results)
    groups: dict[str, list[TrialResult]] = {}
    for result in results:
        groups.setdefault(result.cell_key, []).append(result)
    names = _cell_ids(groups)
    cells = [_cell(names[key], group, minimum, seed) for key, group in groups.items()]
    measured = Measured(tuple(cells), run.run.get("probes") or {})
    interrupted = run.unfinished is not None
    shown = [_cell_json(cell, group) for cell, group in zip(cells, groups.values(), strict=True)]
    trials = [_trial_json(result, names[result.cell_key]) for result in results]
    saturated = saturation.summarise(
        shown, trials, run.run.get("skipped") or [], scenario.get("p99_budget_ms")
    )
    whole = all(cell["valid"] or saturation.excuses(saturated, cell, minimum) for cell in shown)
    found = {
        "schema": SUMMARY_SCHEMA,
        "analysis": ANALYSIS_VERSION,
        "run": run.run.get("id"),
        "valid": bool(cells) and whole and not interrupted,
        "interrupted": interrupted,
        "minimum_valid_trials": minimum,
        "confidence_percent": intervals.CONFIDENCE_PERCENT,
        "coverage_percent": intervals.coverage_percent(minimum),
        "quantiles": [round(float(share), 6) for share in QUANTILES],
        "counts": _counts(results, scenario.get("repeats")),
        "gates": _gate_counts(results),
        "outcomes": msgspec.structs.asdict(outcomes_of(_residuals_that_count(shown))),
        "cells": shown,
        "floor": _floor(shown),
        "curves": curves.summarise(
            [cell for cell, one in zip(cells, shown, strict=True) if one["predicted"]]
        ),
        "claims": claims.judge_all(measured),
        "servers": claims.judge_servers(measured),
        "reproduction": literature.summarise(run.run, measured),
        "costs": model.summarise(cells),
        "saturation": saturated,
        "trials": trials,
        "inputs": inputs,
    }
    return msgspec.convert(_plain(found), Summary)


def _require_known(settings: list[dict[str, Any]]) -> None:
    """Raise RunDirectoryError if a run names a setting or a value of one that is not known here."""
    for one in settings:
        try:
            msgspec.convert({name: one[name] for name in SETTINGS}, Settings)
        except (msgspec.ValidationError, KeyError) as error:
            raise RunDirectoryError(
                f"run.json has a setting that this wirelab does not know ({error}): use a newer wirelab"
            ) from error


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
    shown = {name: estimate and estimate.as_data() for name, estimate in cell.metrics.items()}
    predictions = predicted(cell)
    quantiles = {name: _median_quantiles(group, name) for name in DISTRIBUTIONS}
    return {
        "id": cell.id,
        **cell.settings,
        "trials": cell.trials,
        "valid_trials": cell.valid_trials,
        "steady_trials": cell.steady_trials,
        "valid": cell.enough,
        "gates": _gates(group),
        "metrics": shown,
        **quantiles,
        "hidden_ms": _hidden_ms(quantiles),
        "notifications_per_interval": _notifications_per_interval(cell),
        "predicted": predictions,
        "residuals": residuals(cell, predictions),
    }


def _median_quantiles(group: list[TrialResult], name: str) -> list[float] | None:
    found = [result.quantiles_ms[name] for result in group if result.valid and name in result.quantiles_ms]
    return np.median(np.stack(found), axis=0).tolist() if found else None


def _hidden_ms(quantiles: dict[str, list[float] | None]) -> float | None:
    """How much later the last percentile is than the naive clock shows it."""
    late, naive = quantiles["latency_quantiles_ms"], quantiles["naive_latency_quantiles_ms"]
    return late[-1] - naive[-1] if late and naive else None


def _notifications_per_interval(cell: Cell) -> float | None:
    """λT as it was asked for; None for a transport that does not ask every T."""
    client = TRANSPORTS.get(str(cell.transport))
    if client is None or "poll_interval_s" not in client.factors:
        return None
    return float(cell.settings["publish_rate"] * cell.settings["poll_interval_s"])


def _floor(cells: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """For each transport, the noise floor's valid cells: what the harness, the clients and the kernel cost
    and take by themselves at that load. To be drawn beside the others, and subtracted from nothing."""
    found: dict[str, list[dict[str, Any]]] = {}
    for cell in cells:
        if is_noise_floor(cell["system"], cell["server_model"]) and cell["valid"]:
            settings = {name: cell[name] for name in SETTINGS}
            found.setdefault(cell["transport"], []).append(
                {"cell": cell["id"], **settings, "metrics": cell["metrics"]}
            )
    return found


def _residuals_that_count(cells: list[dict[str, Any]]) -> list[str]:
    return [one["outcome"] for cell in cells if cell["valid"] for one in cell["residuals"].values()]


def _counts(results: list[TrialResult], repeats: int | None) -> dict[str, int]:
    """How many trials there are, how many count, and how many were made in spare repeats."""
    spare = [one for one in results if repeats is not None and one.record.get("repeat", 0) > repeats]
    return {"all": len(results), "valid": sum(one.valid for one in results), "spare": len(spare)}


def _gate_counts(results: list[TrialResult]) -> list[dict[str, Any]]:
    """Each gate that was asked of a trial, over the whole run."""
    found = []
    for name in GATES:
        mine = [result.gates[name] for result in results if name in result.gates]
        if not mine:
            continue
        passed = [gate.get("passed") for gate in mine]
        limits = [gate["limit"] for gate in mine if gate.get("limit") is not None]
        found.append(
            {
                "name": name,
                "passed": passed.count(True),
                "failed": passed.count(False),
                "silent": passed.count(None),
                "limit_low": min(limits, default=None),
                "limit_high": max(limits, default=None),
            }
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
    return {
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
