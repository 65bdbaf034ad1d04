"""Which cells are retried in a scenario's spare repeats: those whose trials the laboratory itself spoiled.
Pure.

Other work on the machine spoils a trial now and then: a relay waits for its core, a clock steps. With fewer
valid trials the results would be worse, and a lower minimum would accept that from every run.

Rules:
- A trial is replaced only if it failed nothing but gates that the laboratory spoils (`Gate.spoiled_by`). If
  notifications were lost, or the server died, the trial says something about the server, and retrying until
  it looks good would hide that.
- The gates alone decide whether a trial is replaced, never its results.
- After the last repeat, each cell that has too few valid trials is retried once in each spare repeat, until
  it has enough of them. Spoiled trials stay in the run and in its report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.evidence.gates import GATES
from bench.scenario.settings import SETTINGS, Settings

Record = Mapping[str, Any]


def cells_to_try_again(trials: Sequence[Record], minimum_valid_trials: int) -> tuple[Settings, ...]:
    """The cells of run.json's trials that have too few valid trials because of the laboratory alone."""
    groups: dict[Settings, list[Record]] = {}
    for trial in trials:
        groups.setdefault(Settings(**{name: trial[name] for name in SETTINGS}), []).append(trial)
    spoiled = []
    for cell, group in groups.items():
        invalid = [trial for trial in group if not trial["valid"]]
        if len(group) - len(invalid) < minimum_valid_trials and invalid and all(map(_spoiled, invalid)):
            spoiled.append(cell)
    return tuple(spoiled)


def _spoiled(trial: Record) -> bool:
    """Whether only gates that the laboratory spoils made a trial invalid."""
    failed = [GATES[name] for name, gate in trial["gates"].items() if gate["passed"] is False]
    invalidating = [gate for gate in failed if gate.makes == "invalid"]
    return bool(invalidating) and all(gate.spoiled_by == "laboratory" for gate in invalidating)
