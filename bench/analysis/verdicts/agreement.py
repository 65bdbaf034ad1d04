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


def rows(summaries: Sequence[dict[str, Any]]) -> list[Row]:
    """Every claim that any of the runs judged, in the order of the first that has it."""
    judged = [{claim["id"]: claim for claim in summary["claims"]} for summary in summaries]
    found = []
    for claim in dict.fromkeys(name for claims in judged for name in claims):
        mine = [claims.get(claim) for claims in judged]
        verdicts = tuple("not judged" if one is None else str(one["verdict"]) for one in mine)
        depends = (str(one["short"]) for one in mine if one is not None and one["verdict"] == "depends")
        found.append(Row(claim, verdicts, tuple(dict.fromkeys(depends))))
    return found


def sentence(found: Sequence[Row]) -> str:
    """Whether all agree, and which do not."""
    apart = [row.claim for row in found if len(set(row.verdicts)) > 1]
    otherwise = [row.claim for row in found if not row.agrees and row.claim not in apart]
    if not apart and not otherwise:
        return f"All {len(found)} verdicts agree."
    told = [f"{len(apart)} of {len(found)} verdicts differ: {', '.join(apart)}"] if apart else []
    told += [f"all depend, but on other conditions: {', '.join(otherwise)}"] if otherwise else []
    said = "; ".join(told)
    return f"{said[0].upper()}{said[1:]}."
