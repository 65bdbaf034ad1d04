"""Verdicts on the terminal: of one run, and of several side by side."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.analysis.summary import Summary
from bench.analysis.verdicts import agreement
from bench.rendering.terminal.console import console as terminal

STYLES = {"holds": "bold green", "fails": "bold red", "depends": "bold blue", "inconclusive": "dim"}


def print_claims(summary: Summary, console: Console | None = None) -> None:
    """The verdicts of a run, with the reason in one sentence or two."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_lines=False)
    table.add_column("claim", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("why")
    for claim in summary.claims:
        table.add_row(claim.id, Text(claim.verdict, style=STYLES[claim.verdict]), claim.short)
    (console or terminal()).print(table)


def print_side_by_side(
    runs: Sequence[str | None], rows: Sequence[agreement.Row], console: Console | None = None
) -> None:
    """A row a claim, a column a run, and in one line whether all agree."""
    console = console or terminal()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("claim", no_wrap=True)
    for run in runs:
        table.add_column(str(run), overflow="fold")
    for row in rows:
        table.add_row(row.claim, *(Text(word, style=STYLES.get(word, "")) for word in row.verdicts))
    console.print(table)
    console.print(agreement.sentence(rows), soft_wrap=True)
    for row in rows:
        for condition in row.conditions if len(row.conditions) > 1 else ():
            console.print(f"  {row.claim}: {condition}", soft_wrap=True)
