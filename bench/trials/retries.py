"""Spare repeats: trials in place of those that the laboratory itself spoiled. Pure.

A machine that others share spoils a trial now and then: a relay waits for its core, a clock steps. With fewer
valid trials the figures would be worse, and a lower minimum would accept that from everybody.

Rules:
- Only a trial is replaced that failed nothing but gates which the laboratory spoiled (`Gate.spoiled_by`). If
  notifications were lost, or the server died, the trial says something of the server: trying until it looks
  well would hide it.
- Whether a trial is replaced is decided by its gates alone, never by the figures that it gave.
- After the last repeat, each cell that has too few valid trials is tried again once in each spare repeat,
  until it has enough of them. What was spoiled stays in the run and in its report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.evidence.gates import GATES
from bench.scenario.settings import SETTINGS, Settings

Record = Mapping[str, Any]


def cells_to_try_again(trials: Sequence[Record], minimum_valid_trials: int) -> tuple[Settings, ...]:
    """The cells, of run.json's trials, that lack valid trials though nothing but the laboratory failed."""
    groups: dict[Settings, list[Record]] = {}
    for trial in trials:
        groups.setdefault(Settings(**{name: trial[name] for name in SETTINGS}), []).append(trial)
    found = []
    for cell, group in groups.items():
        invalid = [trial for trial in group if not trial["valid"]]
        if len(group) - len(invalid) < minimum_valid_trials and invalid and all(map(_spoiled, invalid)):
            found.append(cell)
    return tuple(found)


def _spoiled(trial: Record) -> bool:
    """Whether nothing but gates that the laboratory spoils made a trial invalid."""
    failed = [GATES[name] for name, gate in trial["gates"].items() if gate["passed"] is False]
    invalidating = [gate for gate in failed if gate.makes == "invalid"]
    return bool(invalidating) and all(gate.spoiled_by == "laboratory" for gate in invalidating)
