"""Loads that suit the machine: by how much to multiply a group's loads to keep the core as busy as it asks.

A cost model needs loads that keep a given share of a core busy. How many requests that takes differs between
machines, and from hour to hour on a shared one. So a group with `core_busy_share` gives its loads in
proportion, and the run multiplies all of them by one number before the first trial.

Rules:
- `core_busy_share` is the share that the group's largest load shall keep busy. All groups are tried in each
  of `ROUNDS` rounds, so that a machine that is fast or slow for some seconds does not decide. Each attempt
  gives one number: the attempt's own number times the wanted share over the measured one. The result is the
  median of these numbers. The first round is only a first approach: it tries the smallest load, which no
  machine finds too much, for a share in proportion, and does not count.
- A group may bound what the load generator takes of its own core (`generator_cpu_share`): the load then stops
  where the first of the two is reached, and `bound_by` tells which that was.
- Busy is the server's own CPU time over the window's length, the `busy_share` of
  `bench/analysis/costs/model.py`.
- The number stays within `scenario.TIMES`. An attempt that does not end asks for nothing.
- These trials measure nothing else and are not kept. run.json tells for each group, in `calibrations`:

    {"transport": …, "system": …, "server_model": …, "load": "subscribers" or "publish_rate",
     "asked": [the file's loads], "core_busy_share": 0.78,
     "generator_cpu_share": 0.5 or null, "bound_by": "server" or "generator",
     "found": [the server's shares found, null if an attempt did not end],
     "times": 0.82, "loads": [what was measured]}
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.evidence.metrics import METRICS
from bench.evidence.window import Window
from bench.rundir import writer
from bench.scenario.labels import server_id
from bench.scenario.scenario import ROUNDS, TIMES, Calibrated, Planned, Scenario
from bench.scenario.settings import Settings
from bench.trials import trial


def calibrate(
    scenario: Scenario, directory: writer.RunDirectory, on_stage: Callable[[str], None]
) -> Scenario:
    """The scenario with the loads that this machine needs; what was found is kept in the directory."""
    searches = [_Search(group) for group in scenario.calibrated]
    for number in range(1, ROUNDS + 1):
        for search in searches:
            on_stage(f"calibrating the load of {search.name}, {number} of {ROUNDS}")
            search.note(*_shares(search.next_attempt, scenario.seed, directory))
    for search in searches:
        directory.add_calibration(search.json())
        print(f"loads of {search.name}: {search.said}", file=sys.stderr)
    return scenario.with_loads([search.times for search in searches])


class _Search:
    """The search for one group's number."""

    def __init__(self, group: Calibrated) -> None:
        self.group = group
        self._found: list[float | None] = []
        self._asked: list[float] = []
        self._bound_by: list[str] = []

    @property
    def name(self) -> str:
        """Whose loads they are."""
        cell = self.group.cells[0]
        return f"{cell.transport or 'none'} on {server_id(cell.system, cell.server_model)}"

    @property
    def times(self) -> float:
        """The number, as far as it is known."""
        return float(np.median(self._asked[1:] or self._asked)) if self._asked else 1.0

    @property
    def bound_by(self) -> str:
        """Whose core the load is bound by, in most attempts that count: "server" or "generator"."""
        counted = self._bound_by[1:] or self._bound_by
        return "generator" if counted.count("generator") * 2 > len(counted) else "server"

    @property
    def said(self) -> str:
        """The result in words."""
        share = f"the server's core {self.group.core_busy_share:.0%} busy"
        if self.bound_by == "generator":
            share = f"the load generator's core {self.group.generator_cpu_share:.0%} busy, which comes first"
        return f"{self.group.load} × {self.times:.2f}, so that the largest keeps {share}"

    @property
    def next_attempt(self) -> Settings:
        """The smallest load at first, then the largest, multiplied."""
        return self.group.scaled(self.times)[-1 if self._found else 0]

    def note(self, share: float | None, generator_share: float | None) -> None:
        """How busy `next_attempt` kept the server's core, and the generator's; None if that is not known."""
        if share:
            times, bound_by = self.group.core_busy_share / share, "server"
            most = self.group.generator_cpu_share
            if most and generator_share and most / generator_share < times:
                times, bound_by = most / generator_share, "generator"
            if not self._found:
                loads = [getattr(cell, self.group.load) for cell in self.group.cells]
                times *= loads[0] / loads[-1]
            low, high = TIMES
            self._asked.append(min(max(self.times * times, low), high))
            self._bound_by.append(bound_by)
        self._found.append(share)

    def json(self) -> dict[str, Any]:
        """The entry of run.json."""
        load, cells = self.group.load, self.group.cells
        return {
            "transport": cells[0].transport,
            "system": cells[0].system,
            "server_model": cells[0].server_model,
            "load": load,
            "asked": [getattr(cell, load) for cell in cells],
            "core_busy_share": self.group.core_busy_share,
            "generator_cpu_share": self.group.generator_cpu_share,
            "bound_by": self.bound_by,
            "found": self._found,
            "times": self.times,
            "loads": [getattr(cell, load) for cell in self.group.scaled(self.times)],
        }


def _shares(
    settings: Settings, seed: int, directory: writer.RunDirectory
) -> tuple[float | None, float | None]:
    """How busy one trial kept the server's core with the server's own work, and the load generator's core
    with the generator's; None if that is not known."""
    pinning = directory.record["pinning"]
    collected = trial.run(
        Planned("calibration", 1, 0, settings), seed=seed, pinning=pinning, scratch=directory.scratch()
    )
    if collected.exit != "finished":
        return None, None
    window = Window.of(writer.as_trial(collected, pinning, directory.record["links"]))
    if window is None or window.server_cpu_us is None or not window.elapsed_us:
        return None, None
    return window.server_cpu_us / window.elapsed_us, METRICS["generator_cpu_share"].figure(window)
