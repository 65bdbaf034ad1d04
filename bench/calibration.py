"""Loads that suit the machine: how much a group of cells must ask for to keep its core as busy as it says.

A share of a core is what a load means to a cost model, and how many requests that is differs between
machines, and between hours on one that others share. So a group with `core_busy_share` gives its loads in
proportion, and they are all multiplied by one number before the first trial.

Rules:
- The smallest load of the group is tried, `ATTEMPTS` times. Each time the group's loads are multiplied by
  what was asked over what was found; the last time already lies near.
- Busy is the server's own CPU time over the window's length, the `busy_share` of `bench/costs.py`.
- The number stays within `scenario.TIMES`. An attempt that does not end leaves it as it was.
- These trials measure nothing else and are not kept. run.json tells for each group, in `calibrations`:

    {"transport": …, "server_model": …, "load": "subscribers" or "publish_rate", "asked": [the file's loads],
     "core_busy_share": 0.33, "found": [the shares found in the attempts, null where one did not end],
     "times": 0.82, "loads": [what was measured]}
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from bench import metrics, run, trial
from bench.scenario import TIMES, Calibrated, Planned, Scenario, Settings

ATTEMPTS = 2


def calibrate(scenario: Scenario, directory: run.RunDirectory, on_stage: Callable[[str], None]) -> Scenario:
    """The scenario with the loads that this machine needs; what was found is kept in the directory."""
    times = []
    for group in scenario.calibrated:
        found = _calibrate(group, scenario.seed, directory, on_stage)
        directory.add_calibration(found)
        print(
            f"loads of {_name(group.cells[0])}: {found['load']} × {found['times']:.2f}, to keep "
            f"the server's core {group.core_busy_share:.0%} busy",
            file=sys.stderr,
        )
        times.append(found["times"])
    return scenario.with_loads(times)


def _calibrate(
    group: Calibrated, seed: int, directory: run.RunDirectory, on_stage: Callable[[str], None]
) -> dict[str, Any]:
    """One group's number, and how it was found."""
    least = group.cells[0]
    times, shares = 1.0, []
    for attempt in range(1, ATTEMPTS + 1):
        on_stage(f"calibrating the load of {_name(least)}, {attempt} of {ATTEMPTS}")
        share = _core_busy_share(group.scaled(times)[0], seed, directory)
        shares.append(share)
        if share:
            low, high = TIMES
            times = min(max(times * group.core_busy_share / share, low), high)
    return {
        "transport": least.transport,
        "server_model": least.server_model,
        "load": group.load,
        "asked": [getattr(cell, group.load) for cell in group.cells],
        "core_busy_share": group.core_busy_share,
        "found": shares,
        "times": times,
        "loads": [getattr(cell, group.load) for cell in group.scaled(times)],
    }


def _name(cell: Settings) -> str:
    return f"{cell.transport or 'none'} on {cell.server_model or 'bare'}"


def _core_busy_share(settings: Settings, seed: int, directory: run.RunDirectory) -> float | None:
    """How busy one trial kept the server's core with the server's own work."""
    pinning = directory.record["pinning"]
    collected = trial.run(
        Planned("calibration", 1, 0, settings), seed=seed, pinning=pinning, scratch=directory.scratch()
    )
    if collected.exit != "finished":
        return None
    measured = run.as_trial(collected, run.tables_of(collected), pinning, directory.record["links"])
    cpu_us, elapsed_us = metrics.server_cpu_us(measured), metrics.elapsed_between_edges_us(measured)
    return cpu_us / elapsed_us if cpu_us is not None and elapsed_us else None
