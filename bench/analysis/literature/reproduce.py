"""Published results held against a run of our own: what was published, what was measured, and a verdict.

Rules:
- A published number is given only as it was read, and each statement says where: at the source, second-hand,
  or not at all. What could not be read is a statement in words, without a number.
- The bands stand beside the statements in `bench/analysis/literature/`, and no run moves them. They were set
  before the first run of each reproduction, with theory and the sizes of our own headers in sight.
- A row holds or fails only with its whole interval on one side of its band (`bench/analysis/estimate.py`); a
  row without a band is there for comparison. A statement holds if all of its rows do, fails if none does,
  and depends if some do, which are named; else it is inconclusive. The published result as a whole is judged
  by its statements in the same way.
- Judging is pure: the same run gives the same table anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.analysis import cells
from bench.analysis.cells import Cell, Measured
from bench.analysis.estimate import Band, Estimate, Outcome
from bench.analysis.verdicts.verdict import Verdict, verdict
from bench.words import listed

PREFIX = "reproduce-"
"""What the name of a reproduction's scenario begins with."""
FOLDER = Path(__file__).parent

READ = "read at the source"
SECOND_HAND = "read second-hand"
NOT_READ = "not read"
PROVENANCES = (READ, SECOND_HAND, NOT_READ)
"""What a statement's provenance begins with."""

Result = Estimate | str
"""What was measured, or why there is nothing."""


@dataclass(frozen=True)
class Row:
    """One measured result beside a published one, under the circumstances that `case` names. Without a band
    it is there for comparison and decides nothing."""

    case: str
    published: str
    result: Result
    band: Band | None = None

    @property
    def outcome(self) -> Outcome | None:
        """Holds, fails, or unclear; None for a comparison."""
        if self.band is None:
            return None
        return "unclear" if isinstance(self.result, str) else self.band.outcome(self.result)

    def why_unclear(self) -> str:
        """Why there is no result, or why it decides nothing although it has a band; else empty."""
        if isinstance(self.result, str):
            return self.result
        if self.outcome != "unclear":
            return ""
        return "has no interval" if self.result.low is None else "lies across its band's edge"


@dataclass(frozen=True)
class Statement:
    """One published result, in our words. `read` is where it was read and begins with one of PROVENANCES;
    `measure` says what its rows show, with the unit."""

    says: str
    read: str
    measure: str
    rows: Callable[[Measured], Sequence[Row]]


@dataclass(frozen=True)
class Reproduction:
    """A published comparison, scaled down. Its scenario is the TOML file of the same name in FOLDER."""

    name: str
    source: str
    differs: tuple[str, ...]
    statements: tuple[Statement, ...]

    @property
    def scenario_path(self) -> Path:
        """The file of its scenario."""
        return FOLDER / f"{self.name}.toml"


def judge(reproduction: Reproduction, measured: Measured, links_unavailable: str | None) -> dict[str, Any]:
    """The table, as summary.json has it: `name`, `source`, `differs`, `links_unavailable` (why all ran on
    loopback, or null), `statements` (each with `says`, `read`, `measure`, `rows`, `verdict`, `why`),
    `verdict`, `why`. A row has `case`, `published`, `value`, `low`, `high`, `band` and `outcome` (both null
    for a comparison), `why`."""
    statements: list[dict[str, Any]] = []
    verdicts: list[Verdict] = []
    for statement in reproduction.statements:
        rows = statement.rows(measured)
        on_statement, why = _of_rows(rows)
        verdicts.append(on_statement)
        statements.append(
            {
                "says": statement.says,
                "read": statement.read,
                "measure": statement.measure,
                "rows": [_row_json(row) for row in rows],
                "verdict": on_statement,
                "why": why,
            }
        )
    on_the_whole, why = _of_statements(verdicts)
    return {
        "name": reproduction.name,
        "source": reproduction.source,
        "differs": list(reproduction.differs),
        "links_unavailable": links_unavailable,
        "statements": statements,
        "verdict": on_the_whole,
        "why": why,
    }


def cell(measured: Measured, transport: str, **settings: Any) -> Cell | None:
    """The one cell of a transport with these settings; None if the run does not have it."""
    for one in measured.of(transport):
        if all(one.settings.get(name) == value for name, value in settings.items()):
            return one
    return None


def estimate(of: Cell | None, metric: str, *, times: float = 1.0) -> Result:
    """A cell's metric, multiplied into the unit that the row shows."""
    if of is None:
        return "not measured"
    measured = of.estimate(metric)
    return of.why_not(metric) if measured is None else measured.times(times)


def ratio(over: Cell | None, under: Cell | None, metric: str) -> Result:
    """One metric in two cells, divided."""
    if over is None or under is None:
        return "not measured"
    quotient = cells.ratio(over, under, metric)
    if quotient is not None:
        return quotient
    lacking = over if over.estimate(metric) is None else under
    return lacking.why_not(metric)


def _row_json(row: Row) -> dict[str, Any]:
    value, low, high = (None, None, None) if isinstance(row.result, str) else row.result.sides
    return {
        "case": row.case,
        "published": row.published,
        "value": value,
        "low": low,
        "high": high,
        "band": None if row.band is None else row.band.text(),
        "outcome": row.outcome,
        "why": row.why_unclear(),
    }


def _of_rows(rows: Sequence[Row]) -> tuple[Verdict, str]:
    """A statement's verdict, and the cases if it is no plain one."""
    cases: dict[Outcome, list[str]] = {"holds": [], "fails": [], "unclear": []}
    for row in rows:
        if row.outcome is not None:
            cases[row.outcome].append(row.case)
    reached = verdict(outcome for outcome, named in cases.items() if named)
    if reached == "depends":
        also = f"; open for {listed(cases['unclear'])}" if cases["unclear"] else ""
        return reached, f"holds for {listed(cases['holds'])}; fails for {listed(cases['fails'])}{also}"
    unclear = [f"{row.case}: {row.why_unclear()}" for row in rows if row.outcome == "unclear"]
    return reached, "; ".join(unclear)


def _of_statements(verdicts: Sequence[Verdict]) -> tuple[Verdict, str]:
    """The verdict on the whole, and which statements got which."""
    numbers: dict[Verdict, list[str]] = {}
    for number, one in enumerate(verdicts, 1):
        numbers.setdefault(one, []).append(str(number))
    why = "; ".join(f"{listed(which)} {_verb(kind, len(which))}" for kind, which in numbers.items())
    return verdict(verdicts), why


def _verb(verdict: str, count: int) -> str:
    if verdict == "inconclusive":
        return "is inconclusive" if count == 1 else "are inconclusive"
    return verdict if count == 1 else verdict.removesuffix("s")
