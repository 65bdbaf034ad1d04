"""`wirelab reproduce [NAME] [--out DIR | --from DIR] [--quiet]`: published results against measured ones.

Rules:
- Without NAME all are run in turn. `--out DIR` is the run's directory; of all, the directory of theirs, each
  under its name. `--from DIR` reads such a directory and measures nothing.
- What it leaves is an ordinary run directory: `wirelab report` and `wirelab claims` read it, and the table
  stands in its summary.json as `reproduction`.
- Exit codes are those of `wirelab bench`: 0 when every run is valid, 1 when a gate failed too often for a
  cell, 2 on wrong usage, 130 when interrupted. A published result that fails is no failure of the command.
- It prints the table and computes nothing; readable at 80 columns.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from bench.analysis.literature.reproduce import Reproduction

MOST_COLUMNS = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which comparison, and where its results go or are."""
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="pimentel, rfc6202, bozdag or kaazing (default: all four)"
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--out", type=Path, metavar="DIR", help="where the results go (runs/reproduce-<name>-<UTC time>)"
    )
    where.add_argument(
        "--from", type=Path, dest="source", metavar="DIR", help="print the table of an earlier run"
    )
    parser.add_argument("--quiet", action="store_true", help="plain lines instead of a live display")


def run(args: argparse.Namespace) -> int:
    """Measure, or read what was measured, and print each table. Raises UsageError."""
    from bench.analysis.literature import REPRODUCTIONS
    from bench.errors import UsageError

    if args.name not in (None, *REPRODUCTIONS):
        raise UsageError(
            f"there is no reproduction {args.name!r}: name one of {', '.join(REPRODUCTIONS)}, or none for all"
        )
    chosen = [one for name, one in REPRODUCTIONS.items() if args.name in (None, name)]
    return _read(args.source, args.name, chosen) if args.source else _measure(args, chosen)


def _measure(args: argparse.Namespace, chosen: list[Reproduction]) -> int:
    from bench.commands.bench import INTERRUPTED, perform
    from bench.errors import UsageError
    from bench.scenario.parse import load

    if args.out and args.out.is_dir() and any(args.out.iterdir()):
        raise UsageError(
            f"{args.out} is not empty: give --out a new directory, results are never overwritten"
        )
    valid = True
    for one in chosen:
        out = args.out / one.name if args.out and len(chosen) > 1 else args.out
        command = shlex.join(["wirelab", "reproduce", one.name])
        path, interrupted = perform(load(str(one.scenario_path)), out, command, quiet=args.quiet)
        valid = _print(path, one.name) and valid
        if interrupted:
            print("wirelab: interrupted; the finished trials are kept", file=sys.stderr)
            return INTERRUPTED
    return 0 if valid else 1


def _read(source: Path, name: str | None, chosen: list[Reproduction]) -> int:
    """The tables of a run, or of all in a directory of runs."""
    directories = [source] if (source / "run.json").is_file() else [source / one.name for one in chosen]
    valid = [_print(directory, name) for directory in directories]
    return 0 if all(valid) else 1


def _print(directory: Path, name: str | None) -> bool:
    """Analyse a run and print its table. Returns whether the run is valid. Raises UsageError where it is no
    reproduction, or not the one that was named."""
    from rich.console import Console

    from bench.analysis import store
    from bench.errors import UsageError

    if not (directory / "run.json").is_file():
        raise UsageError(
            f"{directory} holds no run.json: give --from a directory that `wirelab reproduce` wrote"
        )
    summary = store.analyse(directory)
    table = summary["reproduction"]
    if table is None:
        raise UsageError(f"{directory} reproduces nothing: it was measured by another scenario")
    if name not in (None, table["name"]):
        raise UsageError(f"{directory} is of {table['name']}, not of {name}")
    console = Console(highlight=False)
    console.width = min(console.width, MOST_COLUMNS)
    _print_table(console, table, summary)
    console.print(f"run: {directory}", soft_wrap=True)
    return bool(summary["valid"])


def _print_table(console: Console, table: dict[str, Any], summary: dict[str, Any]) -> None:
    from rich.text import Text

    from bench.rendering.terminal.table import VERDICT_STYLES

    trials = summary["trials"]
    state = "valid" if summary["valid"] else "NOT VALID"
    console.print()
    console.print(Text(f"{table['name']}: {table['source']}", style="bold"))
    console.print(
        f"run {summary['run']}: {state}; {sum(trial['valid'] for trial in trials)} of {len(trials)} trials "
        "valid. 95 % intervals in brackets."
    )
    if table["links_unavailable"]:
        console.print(f"No link could be emulated, so all ran on loopback: {table['links_unavailable']}")
    everywhere = {statement["read"] for statement in table["statements"]}
    if len(everywhere) == 1:
        console.print(Text(everywhere.pop(), style="dim"))
    for number, statement in enumerate(table["statements"], 1):
        console.print()
        _print_hanging(console, str(number), Text(statement["says"], style="bold"))
        if everywhere:
            _print_hanging(console, "", Text(statement["read"], style="dim"))
        _print_rows(console, statement)
    console.print()
    console.print("What differs:")
    for difference in table["differs"]:
        _print_hanging(console, "-", Text(difference))
    console.print()
    verdict = Text(table["verdict"], style=VERDICT_STYLES[table["verdict"]])
    console.print(Text.assemble("the published result: ", verdict, f" ({table['why']})"))


def _print_rows(console: Console, statement: dict[str, Any]) -> None:
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    from bench.rendering.terminal.table import VERDICT_STYLES

    rows = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", expand=True)
    rows.add_column(statement["measure"], ratio=1)
    for heading in ("published", "measured", "must be"):
        rows.add_column(heading, justify="right")
    rows.add_column("")
    for row in statement["rows"]:
        outcome = {"unclear": "inconclusive", None: ""}.get(row["outcome"], row["outcome"])
        cells = (row["case"], row["published"], _figure(row), row["band"] or "")
        rows.add_row(*cells, Text(outcome, style=VERDICT_STYLES.get(outcome, "")))
    console.print(Padding(rows, (0, 0, 0, 3)))
    verdict = Text(statement["verdict"], style=VERDICT_STYLES[statement["verdict"]])
    why = f": {statement['why']}" if statement["why"] else ""
    _print_hanging(console, "→", Text.assemble(verdict, why))


def _print_hanging(console: Console, mark: str, text: Any) -> None:
    """A paragraph with its mark before it and its later lines under its first."""
    from rich.table import Table

    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(width=2, no_wrap=True)
    grid.add_column()
    grid.add_row(mark, text)
    console.print(grid)


def _figure(row: dict[str, Any]) -> str:
    from bench.analysis.estimate import Estimate
    from bench.words import number

    if row["value"] is None:
        return "–"
    figure = Estimate(row["value"], row["low"], row["high"])
    value, *interval = ("" if side is None else number(side) for side in figure)
    return value if not interval[0] or interval == [value, value] else f"{value} ({'–'.join(interval)})"
