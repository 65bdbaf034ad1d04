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
from bench.systems import registry

UNDECIDED = "inconclusive"
CLAIM_LETTERS = 12
"""Of a claim's name in one line, above a column."""
STYLES = {"holds": "bold green", "fails": "bold red", "depends": "bold blue", UNDECIDED: "dim"}


def print_claims(summary: Summary, console: Console | None = None) -> None:
    """The verdicts of a run, with the reason in one sentence or two."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_lines=False)
    table.add_column("claim", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("why")
    for claim in summary.claims:
        table.add_row(claim.id, Text(claim.verdict, style=STYLES[claim.verdict]), claim.short)
    (console or terminal()).print(table)


def print_servers(summary: Summary, console: Console | None = None) -> None:
    """The claims that compare transports, a column each; a row a server, which is judged by itself."""
    if not summary.servers:
        return
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        title="Each server by itself",
        title_justify="left",
        padding=(0, 1, 0, 0),
    )
    table.add_column("server", no_wrap=True)
    claims = sorted(summary.servers[0].verdicts)
    for claim in claims:
        # A long name is broken where it has a hyphen.
        name = claim if len(claim) <= CLAIM_LETTERS else "-\n".join(claim.rsplit("-", 1))
        table.add_column(name, min_width=len("depends"), overflow="fold")
    for server in summary.servers:
        words = (server.verdicts[claim].verdict for claim in claims)
        name = registry.server_name(server.system, server.server_model)
        table.add_row(name, *(Text("–" if word == UNDECIDED else word, style=STYLES[word]) for word in words))
    console = console or terminal()
    console.print(table)
    console.print("–: not decided by this run. The report gives each reason.", style="dim")


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
