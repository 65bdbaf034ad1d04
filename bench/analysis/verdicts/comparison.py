"""What a judge finds: comparisons with a band, their conditions and evidence, and what is lacking."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bench.analysis.estimate import Estimate, Outcome


@dataclass(frozen=True)
class Comparison:
    """One measured question with its outcome, the condition under which it was asked, and what it rests
    on."""

    outcome: Outcome
    says: str
    condition: dict[str, Any] = field(default_factory=dict)
    evidence: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Judged:
    """What a claim's judge found: comparisons that could be made, reasons for those that could not, and
    what the hypothesis needs that this run does not have (`lacks`; then nothing is decided)."""

    comparisons: tuple[Comparison, ...] = ()
    reasons: tuple[str, ...] = ()
    lacks: str | None = None


def evidence(cell: str, metric: str, estimate: Estimate | None, band: str, says: str) -> dict[str, Any]:
    """One entry of a verdict's evidence."""
    value, low, high = estimate.sides if estimate is not None else (None, None, None)
    return {
        "cell": cell,
        "metric": metric,
        "value": value,
        "low": low,
        "high": high,
        "band": band,
        "says": says,
    }
