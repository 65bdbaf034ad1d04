"""A committed run of `quick` on a real machine: the analysis must go on finding in it what it found.

`golden/quick` is a whole run directory as `wirelab bench quick` wrote it (its columns packed tighter), and
`golden/expected.json` what was found in it. The figures that can be had without our code are computed here
again; the others are pinned, so that a change of meaning cannot pass unseen.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bench
from bench.analysis.summary import Summary
from bench.rendering.report import report

GOLDEN = Path(__file__).parents[1] / "golden" / "quick"
EXPECTED = json.loads((GOLDEN.parent / "expected.json").read_text())


@pytest.fixture(scope="module")
def summary() -> Summary:
    return bench.load(GOLDEN).analyse()


def test_it_finds_what_it_found(summary: Summary) -> None:
    """Values and intervals of every pinned metric, and every verdict."""
    assert summary.valid
    for cell in summary.cells:
        for name, expected in EXPECTED["cells"][cell.id].items():
            figure = cell.metrics[name]
            found = None if figure is None else [figure.value, figure.low, figure.high]
            assert found == (None if expected is None else pytest.approx(expected, rel=1e-5, abs=1e-6)), name
    assert {claim.id: claim.verdict for claim in summary.claims} == EXPECTED["verdicts"]


def test_percentiles_agree_with_plain_pandas(summary: Summary) -> None:
    """Over all deliveries of notifications due in the window, by trial; then the median."""
    frame = pd.read_parquet(GOLDEN / "deliveries.parquet")
    trials = json.loads((GOLDEN / "run.json").read_text())["trials"]
    for cell in summary.cells:
        mine = [one for one in summary.trials if one.cell == cell.id and one.valid]
        for percent in (50, 90, 99):
            found = []
            for one in mine:
                trial = next(record for record in trials if record["id"] == one.id)
                rows = frame[frame["trial"] == one.id]
                rows = rows[rows["due_us"].between(trial["window_start_us"], trial["window_end_us"] - 1)]
                found.append(np.percentile((rows["received_us"] - rows["due_us"]) / 1000, percent))
            assert cell.metrics[f"latency_ms_p{percent}"].value == pytest.approx(np.median(found))


def test_published_times_subscribers_were_delivered_or_told(summary: Summary) -> None:
    """In every valid trial."""
    published = pd.read_parquet(GOLDEN / "published.parquet").groupby("trial").size()
    for trial in summary.trials:
        counted = trial.conservation
        assert counted.expected == published[trial.id] * 300 == counted.delivered + counted.missed


def test_theory_lies_close_to_what_was_measured(summary: Summary) -> None:
    """Every latency's median over trials lies within the stated band; nothing at all lies beside it."""
    for cell in summary.cells:
        assert {"latency_ms_mean", "latency_ms_p50"} <= set(cell.residuals)
        for metric, found in cell.residuals.items():
            assert found.outcome != "outside", (cell.id, metric)
            if metric.startswith("latency"):
                assert abs(found.residual_share) <= found.band_share, (cell.id, metric)


def test_its_report_can_be_written_anywhere(tmp_path: Path) -> None:
    """A run that was moved."""
    moved = Path(shutil.copytree(GOLDEN, tmp_path / "moved"))
    opened = bench.load(moved)
    text = report.write(moved, opened.run, opened.summary).read_text(encoding="utf-8")
    assert "<svg" in text
    assert str(tmp_path) not in text
