"""The form of summary.json: everything that the analysis says of a run, as types.

Rules:
- The builders (claims, costs, saturation, theory, literature) return plain dicts; `summarise` puts them
  together and converts them here, once. A dict of another form fails there, and the message names the place.
- Whoever reads a summary reads attributes. Where a name comes from a registry (a metric, a gate) or from the
  run, there is a dict; nobody may depend on the order of its keys.
- None is "not measured" or "not known", never 0.
- Every number that a reader sees of a run stands here or in run.json: rendering computes none.

The builders' own docstrings say what their values mean.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from bench.analysis.summary.base import Form, Number
from bench.analysis.summary.cells import (
    CellSummary,
    Conservation,
    FloorCell,
    Gate,
    GateCount,
    GateOfCell,
    TrialCounts,
    TrialSummary,
)
from bench.analysis.summary.loads import (
    CostModel,
    CostSeries,
    Counts,
    HeldOut,
    Point,
    Publish,
    Saturation,
    SaturationSeries,
    Step,
    Threads,
    Wire,
)
from bench.analysis.summary.theory import Curve, Edges, Outcomes, Prediction, Residual, outcomes_of
from bench.analysis.summary.verdicts import (
    Claim,
    Evidence,
    Reproduction,
    Row,
    ServerVerdict,
    ServerVerdicts,
    Statement,
    Verdict,
)

__all__ = [
    "SUMMARY_SCHEMA",
    "CellSummary",
    "Claim",
    "Conservation",
    "CostModel",
    "CostSeries",
    "Counts",
    "Curve",
    "Edges",
    "Evidence",
    "FloorCell",
    "Form",
    "Gate",
    "GateCount",
    "GateOfCell",
    "HeldOut",
    "Number",
    "Outcomes",
    "Point",
    "Prediction",
    "Publish",
    "Reproduction",
    "Residual",
    "Row",
    "Saturation",
    "SaturationSeries",
    "ServerVerdict",
    "ServerVerdicts",
    "Statement",
    "Step",
    "Summary",
    "Threads",
    "TrialCounts",
    "TrialSummary",
    "Verdict",
    "Wire",
    "outcomes_of",
]

SUMMARY_SCHEMA = 4
"""The version of this form. History: 1, the first. 2: links, residuals, naive latency, the floor. 3: a
cell has all settings, and `implementation` is called `system`; floor and series have all settings too; the
counts that rendering used to make; the edges of predicted bands. 4: the claims that compare transports, on
each server by itself."""


class Summary(Form, frozen=True):
    """The whole of it."""

    schema: int
    analysis: int
    run: str | None
    valid: bool
    interrupted: bool
    minimum_valid_trials: int
    confidence_percent: float
    coverage_percent: float
    quantiles: list[float]
    counts: TrialCounts
    gates: list[GateCount]
    outcomes: Outcomes
    cells: list[CellSummary]
    floor: dict[str, list[FloorCell]]
    curves: list[Curve]
    claims: list[Claim]
    servers: list[ServerVerdicts]
    reproduction: Reproduction | None
    costs: CostModel | None
    saturation: Saturation | None
    trials: list[TrialSummary]
    inputs: dict[str, str | None]

    def only(self, keep: Callable[[CellSummary], bool]) -> Summary:
        """The same of some cells alone, with the outcomes of their residuals."""
        cells = [cell for cell in self.cells if keep(cell)]
        outcomes = outcomes_of(
            residual.outcome for cell in cells if cell.valid for residual in cell.residuals.values()
        )
        return msgspec.structs.replace(self, cells=cells, outcomes=outcomes)
