"""`wirelab claims DIR [DIR …] [--json]`: the verdicts of a run, alone, or of several side by side."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the runs are, and in which form to print."""
    parser.add_argument(
        "directories",
        metavar="DIR",
        type=Path,
        nargs="+",
        help="a run directory, as `wirelab bench` writes it; with several, whether their verdicts agree",
    )
    parser.add_argument("--json", action="store_true", help="print JSON; of one run, as summary.json has it")


def run(args: argparse.Namespace) -> int:
    """Judge the claims from the runs' measurements and print them."""
    from bench.analysis import store
    from bench.rendering.terminal import table
    from bench.rundir.reader import require_run

    for directory in args.directories:
        require_run(directory)
    summaries = [store.analyse(directory) for directory in args.directories]
    if len(summaries) > 1:
        _print_side_by_side(summaries, as_json=args.json)
    elif args.json:
        print(json.dumps(summaries[0]["claims"], indent=2, ensure_ascii=False))
    else:
        table.print_claims(args.directories[0])
    return 0


def _print_side_by_side(summaries: list[dict[str, Any]], *, as_json: bool) -> None:
    """A row a claim, a column a run, and in one line whether all agree."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from bench.analysis.verdicts import agreement
    from bench.rendering.terminal.table import VERDICT_STYLES

    rows = agreement.rows(summaries)
    if as_json:
        told = [
            {"id": row.claim, "verdicts": row.verdicts, "conditions": row.conditions, "agrees": row.agrees}
            for row in rows
        ]
        runs = [summary["run"] for summary in summaries]
        print(json.dumps({"runs": runs, "claims": told}, indent=2, ensure_ascii=False))
        return
    console = Console(highlight=False)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("claim", no_wrap=True)
    for summary in summaries:
        table.add_column(str(summary["run"]), overflow="fold")
    for row in rows:
        table.add_row(row.claim, *(Text(word, style=VERDICT_STYLES.get(word, "")) for word in row.verdicts))
    console.print(table)
    console.print(agreement.sentence(rows), soft_wrap=True)
    for row in rows:
        for condition in row.conditions if len(row.conditions) > 1 else ():
            console.print(f"  {row.claim}: {condition}", soft_wrap=True)
