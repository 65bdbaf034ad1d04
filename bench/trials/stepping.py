"""The search for saturation: which steps of a rising load are still worth running. Pure.

Rules:
- Cells that differ in their subscribers alone are the steps of one series, and run in rising order within a
  repeat (`bench/evidence/budget.py` says what it is to break the budget).
- When two steps of a series in a row have broken the budget, the higher ones are skipped in that repeat. A
  skipped trial is told in run.json (`skipped`, with why), and counts as one that broke.
"""

from __future__ import annotations

from typing import Any

from bench.evidence.budget import keeps
from bench.scenario.labels import series_of

STEPS_THAT_BREAK = 2
"""This many broken steps in a row end a series in a repeat: one alone may have been bad luck."""


class Search:
    """Which steps are still worth running, while a scenario runs. Without a budget, all of them."""

    def __init__(self, p99_budget_ms: float | None) -> None:
        self._budget_ms = p99_budget_ms
        self._broken: dict[tuple[Any, ...], list[int]] = {}

    def note(self, repeat: int, settings: Any, valid: bool, steady: bool, p99_ms: float | None) -> None:
        """A step was measured. A trial that is not valid tells nothing: it neither breaks nor clears."""
        if self._budget_ms is None or not valid:
            return
        broken = self._broken.setdefault((repeat, *series_of(settings)), [])
        if keeps(valid, steady, p99_ms, self._budget_ms):
            broken.clear()
        else:
            broken.append(settings.subscribers)

    def why_skip(self, repeat: int, settings: Any) -> str | None:
        """Why a step need not be measured in this repeat; None if it has to be."""
        broken = self._broken.get((repeat, *series_of(settings)), [])
        if len(broken) < STEPS_THAT_BREAK:
            return None
        lower = " and ".join(f"{subscribers:,}" for subscribers in broken)
        return f"{lower} subscribers broke the p99 budget of {self._budget_ms:g} ms already"
