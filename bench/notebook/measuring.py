"""Measuring from a notebook: a scenario of one's own, and what theory says of it beforehand."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from bench.analysis import store, theory
from bench.analysis.cells import Cell
from bench.analysis.store import Run
from bench.analysis.theory.load import load_of
from bench.errors import UsageError
from bench.rendering.looks import look
from bench.rundir import writer as runs
from bench.scenario.parse import parse
from bench.trials.processes import surroundings

SERVED_BY = ("transport", "system", "server_model")
"""Cells that share these spend their time alike."""
BORROWED = ("next_request_gap_ms_p50", "accept_delay_ms_p50")
"""What theory takes from measurements, beside the time for one delivery."""


def measure(toml: str, **changes: Any) -> Run:
    """Run a scenario, quietly, and open what it measured. `changes` are lines of it, `publish_rate=10`, to be
    put in place of those that it has.

    The run stays in runs/, where `wirelab bench` would have put it. Raises UsageError if the scenario is
    wrong, before anything is started, or where the run could not be made.
    """
    for key, value in changes.items():
        toml, found = re.subn(rf"(?m)^{key} *=.*$", f"{key} = {json.dumps(value)}", toml)
        if found != 1:
            raise UsageError(f"the scenario has {found} lines that set {key}: a change needs one to replace")
    checked = parse(toml)
    directory = runs.default_directory(checked).resolve()
    with tempfile.TemporaryDirectory(prefix="wirelab-") as scratch:
        Path(scratch, f"{checked.name}.toml").write_text(toml, encoding="utf-8")
        command = [
            sys.executable,
            "-m",
            "bench.cli",
            "bench",
            f"{checked.name}.toml",
            "--quiet",
            "--no-report",
        ]
        ended = subprocess.run(
            [*command, "--out", str(directory)],
            cwd=scratch,
            env=surroundings.environment(),
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    if ended.returncode not in (0, 1):
        raise UsageError(
            f"the run could not be made: {(ended.stderr.splitlines() or ['it says nothing'])[-1]}"
        )
    return store.load(directory)


def foretold(toml: str, run: Run) -> dict[str, float | None]:
    """What theory says of a scenario before it is run: the mean latency (ms) of each transport.

    What it cannot know (the server's time for one delivery, its acceptance, the client's turnaround) is taken
    from the cell of another run, on the same server model, whose load is nearest.
    """
    values: dict[str, float | None] = {}
    for settings in parse(toml).cells:
        served_alike = [
            (cell, cell.predicted)
            for cell in run.summary.cells
            if cell.predicted and all(getattr(cell, key) == getattr(settings, key) for key in SERVED_BY)
        ]
        if not served_alike:
            wanted = f"{settings.transport} on {settings.server_model}"
            raise UsageError(f"the other run has no cell of {wanted} to take times from")
        if look(settings.transport).label in values:
            raise UsageError(
                f"the scenario has several cells of {look(settings.transport).label}: give it one value of "
                "each factor, or theory's answers could not be told apart"
            )
        load = settings.subscribers * settings.publish_rate
        near, predicted = min(
            served_alike, key=lambda pair: abs(pair[0].subscribers * pair[0].publish_rate - load)
        )
        borrowed = Cell(
            id="",
            settings=msgspec.structs.asdict(settings),
            trials=0,
            valid_trials=0,
            steady_trials=0,
            minimum_valid_trials=0,
            metrics={name: near.metrics.get(name) for name in BORROWED},
            service_s=predicted.service_us / 1e6,
        )
        mean_s = theory.mean_latency_s(load_of(borrowed))
        values[look(settings.transport).label] = None if mean_s is None else mean_s * 1000
    return values
