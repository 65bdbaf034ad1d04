"""A published result beside what was measured, on the terminal. Readable at 80 columns."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bench.analysis.summary import Reproduction, Row, Statement, Summary
from bench.rendering import names
from bench.rendering.terminal.console import console as terminal
from bench.rendering.terminal.verdicts import STYLES
from bench.words import number

MOST_COLUMNS = 100


def print_reproduction(summary: Summary, found: Reproduction, directory: Path) -> None:
    """The table of a run, and where the run is."""
    console = terminal()
    console.width = min(console.width, MOST_COLUMNS)
    state = "valid" if summary.valid else "NOT VALID"
    counts = summary.counts
    console.print()
    console.print(Text(f"{found.name}: {found.source}", style="bold"))
    console.print(
        f"run {summary.run}: {state}; {counts.valid} of {counts.all} trials valid. "
        "95 % intervals in brackets."
    )
    if found.links_unavailable:
        console.print(f"No link could be emulated, so all ran on loopback: {found.links_unavailable}")
    everywhere = {statement.read for statement in found.statements}
    if len(everywhere) == 1:
        console.print(Text(everywhere.pop(), style="dim"))
    for place, statement in enumerate(found.statements, 1):
        console.print()
        _print_hanging(console, str(place), Text(statement.says, style="bold"))
        if everywhere:
            _print_hanging(console, "", Text(statement.read, style="dim"))
        _print_rows(console, statement)
    console.print()
    console.print("What differs:")
    for difference in found.differs:
        _print_hanging(console, "-", Text(difference))
    console.print()
    verdict = Text(found.verdict, style=STYLES[found.verdict])
    console.print(Text.assemble("the published result: ", verdict, f" ({found.why})"))
    console.print(f"run: {directory}", soft_wrap=True)


def _print_rows(console: Console, statement: Statement) -> None:
    rows = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", expand=True)
    rows.add_column(statement.measure, ratio=1)
    for heading in ("published", "measured", "must be"):
        rows.add_column(heading, justify="right")
    rows.add_column("")
    for row in statement.rows:
        outcome = "inconclusive" if row.outcome == "unclear" else row.outcome or ""
        cells = (row.case, row.published, _measured(row), row.band or "")
        rows.add_row(*cells, Text(outcome, style=STYLES.get(outcome, "")))
    console.print(Padding(rows, (0, 0, 0, 3)))
    verdict = Text(statement.verdict, style=STYLES[statement.verdict])
    why = f": {statement.why}" if statement.why else ""
    _print_hanging(console, "→", Text.assemble(verdict, why))


def _print_hanging(console: Console, mark: str, text: Text) -> None:
    """A paragraph with its mark before it and its later lines under its first."""
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(width=2, no_wrap=True)
    grid.add_column()
    grid.add_row(mark, text)
    console.print(grid)


def _measured(row: Row) -> str:
    """What was measured, with its interval."""
    if row.value is None:
        return names.ABSENT
    value, *interval = ("" if side is None else number(side) for side in (row.value, row.low, row.high))
    return value if not interval[0] or interval == [value, value] else f"{value} ({'–'.join(interval)})"
