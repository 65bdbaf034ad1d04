"""`wirelab reproduce [NAME] [--out DIR | --from DIR] [--quiet]`: published results against measured ones.

Rules:
- Without NAME all are run in turn. `--out DIR` is the run's directory; of all, the directory of theirs, each
  under its name. `--from DIR` reads such a directory and measures nothing.
- What it leaves is an ordinary run directory: `wirelab report` and `wirelab claims` read it, and the table
  stands in its summary.json as `reproduction`.
- Exit codes are those of `wirelab bench`: 0 when every run is valid, 1 when a gate failed too often for a
  cell, 2 on wrong usage, 130 at Ctrl-C. A published result that fails is no failure of the command.
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.analysis.literature.reproduce import Reproduction
    from bench.analysis.summary import Summary


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
    from bench.commands.bench import analyse, code_of, perform
    from bench.errors import UsageError
    from bench.scenario.parse import load
    from bench.trials.processes.interruption import noticed

    if args.out and args.out.is_dir() and any(args.out.iterdir()):
        raise UsageError(
            f"{args.out} is not empty: give --out a new directory, results are never overwritten"
        )
    valid = True
    for one in chosen:
        out = args.out / one.name if args.out and len(chosen) > 1 else args.out
        command = shlex.join(["wirelab", "reproduce", one.name])
        with noticed():
            ended = perform(load(str(one.scenario_path)), out, command, quiet=args.quiet)
            analysed = analyse(ended)
            if analysed:
                _print(ended.path, analysed[1], one.name)
            code = code_of(ended, analysed and analysed[1])
        if code > 1:
            return code
        valid = valid and code == 0
    return 0 if valid else 1


def _read(source: Path, name: str | None, chosen: list[Reproduction]) -> int:
    """The tables of a run, or of all in a directory of runs."""
    from bench.analysis import store
    from bench.commands.reading import judge
    from bench.errors import UsageError

    directories = [source] if (source / "run.json").exists() else [source / one.name for one in chosen]
    valid = True
    for directory in directories:
        if not (directory / "run.json").exists():
            raise UsageError(
                f"{directory} holds no run.json: give --from a directory that `wirelab reproduce` wrote"
            )
        summary = judge(store.load(directory))
        _print(directory, summary, name)
        valid = valid and summary.valid
    return 0 if valid else 1


def _print(directory: Path, summary: Summary, name: str | None) -> None:
    """Print the table of a run. Raises UsageError if it is no reproduction, or not the one that was named."""
    from bench.errors import UsageError
    from bench.rendering.terminal.reproduce import print_reproduction

    found = summary.reproduction
    if found is None:
        raise UsageError(f"{directory} reproduces nothing: it was measured by another scenario")
    if name not in (None, found.name):
        raise UsageError(f"{directory} is of {found.name}, not of {name}")
    print_reproduction(summary, found, directory)
