"""Do several runs come to the same verdicts?

Rules:
- Runs agree on a claim when all give it the same verdict; where that is `depends`, also on the same
  condition.
- A run that is inconclusive about a claim does not agree with one that decides it.
- Pure over summaries; nothing is printed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.analysis.summary import Summary


@dataclass(frozen=True)
class Row:
    """One claim: its verdict in each run, and the conditions of those that depend, each once."""

    claim: str
    verdicts: tuple[str, ...]
    conditions: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Do all runs say the same?"""
        return len(set(self.verdicts)) == 1 and len(self.conditions) <= 1

    def as_data(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "id": self.claim,
            "verdicts": self.verdicts,
            "conditions": self.conditions,
            "agrees": self.agrees,
        }


def rows(summaries: Sequence[Summary]) -> list[Row]:
    """Every claim that any of the runs judged, in the order of the first that has it."""
    judged = [{claim.id: claim for claim in summary.claims} for summary in summaries]
    table = []
    for claim in dict.fromkeys(name for claims in judged for name in claims):
        mine = [claims.get(claim) for claims in judged]
        verdicts = tuple("not judged" if one is None else one.verdict for one in mine)
        depends = (one.short for one in mine if one is not None and one.verdict == "depends")
        table.append(Row(claim, verdicts, tuple(dict.fromkeys(depends))))
    return table


def sentence(table: Sequence[Row]) -> str:
    """Whether all agree, and which do not."""
    apart = [row.claim for row in table if len(set(row.verdicts)) > 1]
    otherwise = [row.claim for row in table if not row.agrees and row.claim not in apart]
    if not apart and not otherwise:
        return f"All {len(table)} verdicts agree."
    parts = [f"{len(apart)} of {len(table)} verdicts differ: {', '.join(apart)}"] if apart else []
    parts += [f"all depend, but on other conditions: {', '.join(otherwise)}"] if otherwise else []
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."
