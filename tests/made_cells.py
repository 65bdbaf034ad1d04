"""Cells without a run: medians as given, so that a test knows what a model or a judge must make of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from synthetic_run import cell

from bench.analysis import intervals
from bench.analysis.cells import Cell
from bench.analysis.estimate import Estimate
from bench.evidence.metrics import METRICS

OURS = {"schedule": "constant"}


def made(transport: str | None, metrics: dict[str, float], *, width: float = 0.0, **changed: Any) -> Cell:
    """A cell with these medians, each with replicates ± `width` of it; other keywords change its settings or
    counts."""
    counts = {
        key: changed.pop(key)
        for key in ("valid_trials", "steady_trials", "losses", "service_s")
        if key in changed
    }
    settings = cell(transport, **{**OURS, **changed})
    rng = np.random.default_rng(list(str(transport).encode()))
    replicates = {
        name: value * (1 + width * rng.uniform(-1, 1, intervals.REPLICATES))
        for name, value in metrics.items()
    }
    figures: dict[str, Estimate | None] = dict.fromkeys(METRICS)
    for name, value in metrics.items():
        figures[name] = Estimate(value, *intervals.interval(replicates[name]))
    return Cell(
        id=f"{transport}-{settings['server_model']}-{settings['subscribers']}x{settings['publish_rate']:g}",
        settings=settings,
        trials=5,
        valid_trials=counts.get("valid_trials", 5),
        steady_trials=counts.get("steady_trials", counts.get("valid_trials", 5)),
        minimum_valid_trials=5,
        metrics=figures,
        replicates=replicates,
        service_s=counts.get("service_s"),
        finished_losses=counts.get("losses", ()),
    )
